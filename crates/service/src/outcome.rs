//! What came of a command.

use spacefold_event_core::{Position, Receipt, RecordedEvent, Revision, SpaceEvent};

/// What came of a command or batch that was not refused: the events that it recorded, none when it
/// changed nothing. (Under an idempotency key it has left one then, for itself: it is not among them.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    events: Vec<RecordedEvent>,
    revision: Revision,
    durable: bool,
    repeated: bool,
}

impl Outcome {
    pub(crate) const fn unchanged(revision: Revision) -> Self {
        Self { events: Vec::new(), revision, durable: true, repeated: false }
    }

    /// The outcome of an append of events of one space.
    pub(crate) fn recorded(events: Vec<SpaceEvent>, receipt: &Receipt) -> Self {
        let before = Revision::new(receipt.revision().get().saturating_sub(receipt.count()));
        let mut place = (receipt.first_position(), before.next());
        let record = |event| {
            let (position, revision) = place;
            place = (position.next(), revision.next());
            RecordedEvent { event, position, revision, recorded_at: receipt.recorded_at() }
        };
        Self {
            events: events.into_iter().map(record).collect(),
            revision: receipt.revision(),
            durable: receipt.is_durable(),
            repeated: false,
        }
    }

    /// The outcome of a command that changed nothing, when that was recorded.
    pub(crate) fn without_events(self) -> Self {
        Self { events: Vec::new(), ..self }
    }

    /// The outcome of a command that is repeated: what it recorded the first time.
    pub(crate) fn repeated(events: Vec<RecordedEvent>) -> Self {
        let revision = events.last().map_or(Revision::NONE, |event| event.revision);
        Self { events, revision, durable: true, repeated: true }
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// The events, in order.
    #[must_use]
    pub fn into_events(self) -> Vec<RecordedEvent> {
        self.events
    }

    /// Whether nothing changed, and so no event was recorded but the one that says so, which a command
    /// under an idempotency key leaves.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.events.is_empty()
    }

    /// The position of the last event; `None` when nothing changed.
    #[must_use]
    pub fn last_position(&self) -> Option<Position> {
        self.events.last().map(|event| event.position)
    }

    /// The revision of the space after the command.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the events were on disk when the command was answered.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.durable
    }

    /// Whether the command had been recorded before, under the same idempotency key: the events are
    /// those of then.
    #[must_use]
    pub const fn is_repeated(&self) -> bool {
        self.repeated
    }
}
