#![doc = include_str!("../README.md")]

mod ack_error;
mod checkpoint;
mod coalesce;
mod cursor;
mod delivery;
mod durable;
mod durable_place;
mod event_bus;
mod feed;
mod handler;
mod head_watch;
mod items;
mod names;
mod news;
mod parked;
mod place_store;
mod places;
mod priority;
mod recent;
mod retry_policy;
mod sealed;
mod signal;
mod source;
mod stop;
mod subscribed_filter;
mod subscriber;
mod subscription;
mod sync;
mod watcher;

#[cfg(test)]
mod testing;

pub use self::{
    ack_error::AckError,
    delivery::{Delivery, ReceiveError, SubscribeError},
    durable::{DurableSubscriber, DurableSubscription},
    durable_place::DurablePlace,
    event_bus::{
        AfterFailure, BusError, BusOptions, EventBus, Handled, HandlerFailure, HandlerId,
        HandlerTest, Published,
    },
    feed::{Feed, SubscriberInfo},
    handler::{Handler, HandlerError, HandlerOutcome},
    items::FeedItems,
    parked::{ParkError, ParkedEvent, ParkedId},
    place_store::{PlaceFile, PlaceStore},
    priority::Priority,
    retry_policy::RetryPolicy,
    subscriber::{Subscriber, SubscriptionHandle},
    subscription::{LagPolicy, Subscription},
};
