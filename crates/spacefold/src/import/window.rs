//! Events that were read and not yet looked up.

use spacefold_event_core::{
    AppendError, CorruptRecords, EventId, EventOrigin, Position, ReadError, SpaceEvent, Timestamp,
    append_rules::{EncodedEvents, EventEncoder},
};

/// An event that was encoded and cannot be decoded, which only a fault of this program makes.
const UNREADABLE: ReadError = ReadError::Corrupt {
    position: Position::START,
    cause: CorruptRecords::Malformed("an event of the input that does not read"),
};

/// Events of some lines, one after the other.
#[derive(Default)]
pub(super) struct LineEvents {
    pub(super) events: EncodedEvents,
    pub(super) lines: Vec<u64>,
    /// When they are to be recorded, where the lines say that.
    pub(super) times: Vec<Timestamp>,
    pub(super) text_bytes: usize,
}

impl LineEvents {
    pub(super) const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds the events of later lines.
    pub(super) fn join(&mut self, after: Self) {
        self.events.join(after.events);
        self.lines.extend(after.lines);
        self.times.extend(after.times);
        self.text_bytes += after.text_bytes;
    }

    /// Those that are to be kept, by their places.
    fn keeping(
        self,
        encoder: EventEncoder,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Self, AppendError> {
        let kept = (0..self.len()).filter(|place| keep(*place));
        let of = |place: usize| self.lines.get(place).copied().zip(self.times.get(place).copied());
        let (lines, times) = kept.filter_map(of).unzip();
        let events = self.events.keeping(encoder, &keep)?;
        Ok(Self { events, lines, times, text_bytes: self.text_bytes })
    }
}

/// Events that are looked up together.
#[derive(Default)]
pub(super) struct Window {
    parts: Vec<LineEvents>,
    len: usize,
    text_bytes: usize,
    encoded_bytes: usize,
}

impl Window {
    pub(super) fn push(&mut self, part: LineEvents) {
        self.len += part.len();
        self.text_bytes += part.text_bytes;
        self.encoded_bytes += part.events.bytes();
        self.parts.push(part);
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) const fn encoded_bytes(&self) -> usize {
        self.encoded_bytes
    }

    pub(super) fn event_ids(&self) -> Vec<EventId> {
        let mut ids = Vec::with_capacity(self.len);
        let runs = self.parts.iter().flat_map(|part| part.events.event_ids());
        runs.for_each(|run| ids.extend_from_slice(run));
        ids
    }

    /// The origins of the events that have one, each with the place of its event.
    pub(super) fn origins(&self) -> impl Iterator<Item = (usize, &EventOrigin)> {
        let mut first = 0;
        self.parts.iter().flat_map(move |part| {
            let start = first;
            first += part.len();
            part.events.origins().map(move |(place, origin)| (start + place, origin))
        })
    }

    /// The event at a place, and its line.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when what was encoded does not read.
    pub(super) fn event(&self, mut place: usize) -> Result<(SpaceEvent, u64), ReadError> {
        for part in &self.parts {
            match place.checked_sub(part.len()) {
                None => {
                    let found = part.events.event(place).zip(part.lines.get(place).copied());
                    return found.ok_or(UNREADABLE);
                }
                Some(behind) => place = behind,
            }
        }
        Err(UNREADABLE)
    }

    /// The line of the first event.
    pub(super) fn first_line(&self) -> u64 {
        let first = self.parts.first().and_then(|part| part.lines.first());
        first.copied().unwrap_or_default()
    }

    /// The events that are to be kept, by their places. Those of which none is left out are as they
    /// were encoded.
    ///
    /// # Errors
    /// [`AppendError`] when what was encoded does not read.
    pub(super) fn into_kept(
        self,
        encoder: impl Fn(usize) -> EventEncoder,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Vec<LineEvents>, AppendError> {
        let mut first = 0;
        let mut kept = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let start = first;
            let len = part.len();
            first += len;
            let keep = |place| keep(start + place);
            let count = (0..len).filter(|place| keep(*place)).count();
            if count == len {
                kept.push(part);
            } else if count > 0 {
                kept.push(part.keeping(encoder(count), keep)?);
            }
        }
        Ok(kept)
    }
}
