//! What a subscriber is given.

use std::sync::Arc;

use spacefold_event_core::{EventFilter, Page, Position, ReadError, StorageError};

/// What a subscriber is given next: events, or where it stands. `E` is a page of events, or a
/// [`RecordedEvent`](spacefold_event_core::RecordedEvent) where they come one at a time, as from
/// [`FeedItems`](crate::FeedItems).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery<E = Arc<Page>> {
    /// The next events, at least one, in the order of the log. Subscribers share pages, and events
    /// are borrowed from them: [`Page::events`].
    Events(E),
    /// Everything up to the durable head was delivered; what follows is live. Told once, and again
    /// after [`Delivery::Lagging`].
    CaughtUp {
        /// The durable head then.
        position: Position,
    },
    /// The subscriber was caught up, and has fallen behind by more than it may.
    Lagging {
        /// How far it has come.
        position: Position,
        /// How many events the durable head is ahead.
        lag: u64,
    },
    /// Events were left out, as the subscription says for when it is behind.
    Skipped {
        /// The first position of the stretch, inclusive.
        from: Position,
        /// The last position of the stretch, inclusive.
        to: Position,
        /// How many events of the stretch pass the filter and were left out.
        events: u64,
    },
    /// There was nothing to deliver for the interval of the subscription.
    Heartbeat {
        /// No event up to here is left to be delivered.
        position: Position,
    },
}

/// Why a subscriber is given nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The subscriber, the feed or the log was closed. Nothing more comes.
    #[error("the subscription is closed")]
    Closed,
    /// The log could not be read or followed. Nothing was passed over: receiving again goes on
    /// where it was.
    #[error(transparent)]
    Read(ReadError),
}

impl From<ReadError> for ReceiveError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            error => Self::Read(error),
        }
    }
}

/// Why there is no subscriber.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The position to begin behind lies beyond the durable head.
    #[error("position {asked} lies beyond the head, which is {head}")]
    BeyondHead {
        /// The position that was asked for.
        asked: Position,
        /// The durable head.
        head: Position,
    },
    /// The name of a durable subscription is empty or too long.
    #[error("the name of a subscription has {bytes} bytes, 1 to {max} are allowed")]
    NameLength {
        /// Its bytes.
        bytes: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// Somebody owns the durable subscription.
    #[error("the subscription {name:?} is owned by another subscriber")]
    Owned {
        /// The name of the subscription.
        name: String,
    },
    /// The durable subscription was looked at with another filter so far: what only the new one
    /// passes would be missed up to where it is. Nothing is changed.
    #[error(
        "the subscription {name:?} is kept with another filter: kept is {}, asked for is {{{asked}}}; \
         what only the latter passes would be missed up to position {position}, where it is: open \
         it with the filter that is kept, or change that with Feed::change_durable_filter, which \
         says from where the new one applies",
        in_words(kept.as_deref())
    )]
    OtherFilter {
        /// The name of the subscription.
        name: String,
        /// How far it has come with the filter that is kept.
        position: Position,
        /// The filter that is kept; `None` when it cannot be read any more.
        kept: Option<Box<EventFilter>>,
        /// The filter that was asked for.
        asked: Box<EventFilter>,
    },
    /// There is no durable subscription of this name.
    #[error("there is no subscription {name:?}")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The position kept for a durable subscription is not one of this log, or does not decode.
    /// Nothing is changed; resetting the subscription makes it usable.
    #[error("the position kept for subscription {name:?} does not fit the log: {what}")]
    Unfit {
        /// The name of the subscription.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store of positions failed, or no thread could be started.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A filter that is kept, for people.
pub(crate) fn in_words(kept: Option<&EventFilter>) -> String {
    kept.map_or_else(|| "one that cannot be read any more".to_owned(), |it| format!("{{{it}}}"))
}
