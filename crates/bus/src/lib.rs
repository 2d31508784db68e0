//! Subscriptions and handlers over an event log.

mod checkpoint;
mod coalesce;
mod cursor;
mod delivery;
mod durable;
mod event_bus;
mod feed;
mod handler;
mod head_watch;
mod items;
mod names;
mod news;
mod parked;
mod priority;
mod recent;
mod retry_policy;
mod signal;
mod source;
mod subscriber;
mod subscription;
mod sync;
mod watcher;

#[cfg(test)]
mod testing;

pub use self::{
    delivery::{Delivery, FeedItem, ReceiveError, SubscribeError},
    durable::{AckError, DurableSubscriber, DurableSubscription},
    event_bus::{
        AfterFailure, BusError, BusOptions, EventBus, HandlerFailure, HandlerId, Published,
    },
    feed::{Feed, SubscriberInfo},
    handler::{Handler, HandlerError, HandlerOutcome},
    items::FeedItems,
    parked::{ParkedEvent, ParkedId},
    priority::Priority,
    retry_policy::RetryPolicy,
    subscriber::{Closer, Subscriber},
    subscription::{Subscription, WhenBehind},
};
