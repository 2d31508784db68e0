//! Subscriptions and handlers over the event log of spacefold: history first, then live, nothing
//! missed.
//!
//! - [`Feed`] is a log to be subscribed to. A [`Subscription`] says from where, which events, and
//!   what to do about falling behind; a [`Subscriber`] receives pages of events at its own pace.
//! - [`DurableSubscriber`] keeps its place in the log, and a result in the same write, under a name
//!   with one owner at a time.
//! - [`EventBus`] calls handlers for what the log commits and for what is only published: by
//!   [`Priority`], with a [`RetryPolicy`], and [`ParkedEvent`]s for what does not work.
//! - [`HandlerTest`] is for tests of handlers.
//!
//! Nothing is pushed to a subscriber and nothing buffered for it: it reads the log, and waits for
//! the durable head when it is at the end. So there is no buffer that could overflow, no switch
//! from history to live at which an event could be lost or come twice, and nothing that a slow one
//! could hold up. One thread follows the log for all.
//!
//! The crate knows no runtime and no store: it reads through the `LogReader` trait and keeps places
//! through [`PlaceStore`], in a file as a rule ([`PlaceFile`]). What waits can be awaited too.

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
    delivery::{Delivery, ReceiveError, SubscribeError},
    durable::{AckError, DurableSubscriber, DurableSubscription},
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
