//! Event by event.

use std::vec;

use spacefold_event_core::{Page, ReadError, RecordedEvent};

use crate::{
    delivery::{Delivery, ReceiveError},
    subscriber::{Subscriber, SubscriptionHandle},
};

/// What a [`Subscriber`] receives, one at a time. Waits for what comes; ends when the subscription
/// is closed, and behind the first error.
///
/// Events are decoded a page at a time and own their texts. Where that costs too much, receive
/// pages and borrow from them.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Delivery, SpaceEvent, Subscription, log::{AppendRequest, LogWriter, MemoryLog}, subscribe::Feed,
/// };
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let feed = Feed::new(log);
/// let late = feed.subscribe(Subscription::from_start().spaces(["handbook"]))?;
/// let mut seen = 0;
/// for item in late {
///     match item? {
///         Delivery::Events(recorded) => seen = recorded.position.get(),
///         Delivery::CaughtUp { .. } => break,
///         _ => {}
///     }
/// }
/// assert_eq!(seen, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FeedItems {
    subscriber: Subscriber,
    events: vec::IntoIter<Result<RecordedEvent, ReadError>>,
    has_ended: bool,
}

impl IntoIterator for Subscriber {
    type Item = Result<Delivery<RecordedEvent>, ReceiveError>;
    type IntoIter = FeedItems;

    /// Event by event, each with its texts owned. Waits for events; ends when the subscription is
    /// closed, and behind the first error.
    fn into_iter(self) -> FeedItems {
        FeedItems { subscriber: self, events: Vec::new().into_iter(), has_ended: false }
    }
}

impl FeedItems {
    /// A handle that closes the subscription from elsewhere.
    #[must_use]
    pub fn handle(&self) -> SubscriptionHandle {
        self.subscriber.handle()
    }
}

impl Iterator for FeedItems {
    type Item = Result<Delivery<RecordedEvent>, ReceiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_ended {
            let item = match self.events.next() {
                Some(event) => event.map(Delivery::Events),
                None => match self.subscriber.recv() {
                    Ok(Delivery::Events(page)) => {
                        self.events = owned(&page).into_iter();
                        continue;
                    }
                    Ok(delivery) => Ok(marker(delivery)?),
                    Err(ReceiveError::Closed) => Err(ReadError::Closed),
                    Err(ReceiveError::Read(error)) => Err(error),
                },
            };
            self.has_ended = item.is_err();
            return match item.map_err(ReceiveError::from) {
                Err(ReceiveError::Closed) => None,
                item => Some(item),
            };
        }
        None
    }
}

fn owned(page: &Page) -> Vec<Result<RecordedEvent, ReadError>> {
    page.events().map(|event| Ok(event?.to_owned_event())).collect()
}

/// The delivery of anything but events; `None` of a page.
fn marker(delivery: Delivery) -> Option<Delivery<RecordedEvent>> {
    match delivery {
        Delivery::Events(_) => None,
        Delivery::CaughtUp { position } => Some(Delivery::CaughtUp { position }),
        Delivery::Lagging { position, lag } => Some(Delivery::Lagging { position, lag }),
        Delivery::Skipped { from, to, events } => Some(Delivery::Skipped { from, to, events }),
        Delivery::Heartbeat { position } => Some(Delivery::Heartbeat { position }),
    }
}
