//! Subscriptions and handlers over an event log.

mod checkpoint;
mod coalesce;
mod cursor;
mod delivery;
mod durable;
mod feed;
mod head_watch;
mod items;
mod names;
mod parked;
mod recent;
mod signal;
mod source;
mod subscriber;
mod subscription;
mod sync;
mod watcher;

pub use self::{
    delivery::{Delivery, FeedItem, ReceiveError, SubscribeError},
    durable::{AckError, DurableSubscriber, DurableSubscription},
    feed::{Feed, SubscriberInfo},
    items::FeedItems,
    subscriber::{Closer, Subscriber},
    subscription::{Subscription, WhenBehind},
};
