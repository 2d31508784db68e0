//! What is known of a store at a moment of its recording.

use spacefold_event_core::Position;

use crate::{entry::Entry, history::History, message::Message};

/// What a store has told until some moment.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Every append that was acknowledged.
    pub(super) history: History,
    /// How far the log was known to be durable, and could be read.
    pub(super) head: Position,
    /// Whether a call was made to fail, so that what a writer does may fail as well.
    is_faulty: bool,
}

impl Known {
    /// Nothing is known of the store with the workload of this seed.
    #[must_use]
    pub(super) const fn new(seed: u64) -> Self {
        Self { history: History::new(seed), head: Position::START, is_faulty: false }
    }

    /// Takes what a writer did, if it is that it told something.
    ///
    /// # Errors
    /// What it told, when that is that something failed, or is no message.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let bytes = match entry {
            Entry::Mark { bytes } => bytes,
            Entry::Fault { .. } => {
                self.is_faulty = true;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let line = String::from_utf8_lossy(bytes);
        match line.trim_end().parse::<Message>() {
            Ok(Message::Acknowledged(acknowledged)) => {
                let place = acknowledged.place;
                self.head = self.head.max(place.first.plus(place.count).previous());
                self.history.note(acknowledged);
                Ok(())
            }
            Ok(Message::Open(head)) => {
                self.head = self.head.max(head);
                Ok(())
            }
            Ok(Message::Failed(failed)) if self.is_faulty => {
                self.history.note_failed(failed.key);
                Ok(())
            }
            Ok(Message::Broken(_)) if self.is_faulty => Ok(()),
            Ok(Message::Failed(failed)) => Err(format!("{} failed: {}", failed.key, failed.why)),
            Ok(Message::Broken(why)) => Err(format!("the writer fails: {why}")),
            Ok(Message::Opening | Message::Closing | Message::Closed) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
