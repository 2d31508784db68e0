//! What a read gives back.

use super::ReadRequest;
use crate::{
    bytes::{to_u64, to_usize},
    event::RecordedEventRef,
    filter::EventFilter,
    position::Position,
    query::EventQuery,
    read_error::ReadError,
    record::{Envelope, Records},
};

/// Events that were read together, in order, shared and immutable: a page of a longer read.
///
/// A page may hold fewer events than were asked for, none even, and still not be the last: a read
/// goes on at [`Page::next`] until that lies beyond the durable head.
#[derive(Clone, Debug)]
pub struct Page {
    runs: Vec<PageSelection>,
    next: Position,
}

#[derive(Clone, Debug)]
struct PageSelection {
    records: Records,
    selected: Selected,
}

#[derive(Clone, Debug)]
enum Selected {
    Range { start: usize, end: usize },
    Listed(Vec<usize>),
}

impl Page {
    /// A page without events, after which a read goes on at `next`.
    #[must_use]
    pub const fn empty(next: Position) -> Self {
        Self { runs: Vec::new(), next }
    }

    /// Adds the events of a run that are from `from` to `to`, both inclusive, and pass `query`,
    /// at most `limit` of them, and moves [`Page::next`] behind the last one looked at.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when a payload has to be decoded for the query and does not.
    pub fn add(
        &mut self,
        records: Records,
        from: Position,
        to: Position,
        query: &EventQuery,
        limit: usize,
    ) -> Result<(), ReadError> {
        let first = records.first_position();
        let place = |position: Position| to_usize(position.since(first));
        let start = place(from);
        let end = if to < first { 0 } else { place(to).saturating_add(1).min(records.len()) };
        let (selected, next) = if query.is_all() {
            let end = end.min(start.saturating_add(limit));
            (Selected::Range { start, end: end.max(start) }, end)
        } else {
            let mut listed = query.select(&records)?;
            listed.retain(|index| (start..end).contains(index));
            let full = listed.len() > limit;
            listed.truncate(limit);
            let next = if full { listed.last().map_or(start, |last| last + 1) } else { end };
            (Selected::Listed(listed), next)
        };
        self.next = self.next.max(first.plus(to_u64(next)));
        let selection = PageSelection { records, selected };
        if selection.len() > 0 {
            self.runs.push(selection);
        }
        Ok(())
    }

    /// The events of the page that are at `from` or after and pass `filter`, as a page that
    /// shares the records and leads on to the same position.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when a payload has to be decoded for the filter and does not.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{
    ///     EventType, Position, SpaceEvent, event::EventFilter, log::{AppendRequest, MemoryLog, ReadRequest},
    ///     prelude::*,
    /// };
    /// let log = MemoryLog::new();
    /// let events = [SpaceEvent::space_created("a", "A"), SpaceEvent::space_activated("a")];
    /// log.append(&AppendRequest::new(&events))?;
    /// let page = log.read(&ReadRequest::from(Position::new(1)))?;
    /// let activated = EventFilter::all().types([EventType::SpaceActivated]);
    /// assert_eq!(page.matching(Position::new(1), &activated)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matching(&self, from: Position, filter: &EventFilter) -> Result<Self, ReadError> {
        let mut page = Self::empty(from.max(Position::new(1)));
        for run in &self.runs {
            let Some(run) = run.matching(from, filter)? else { continue };
            page.runs.push(run);
        }
        page.advance(self.next);
        Ok(page)
    }

    /// The events of the page that are at one of `positions`, which ascend, as a page that shares
    /// the records and leads on to the same position.
    #[must_use]
    pub fn at_positions(&self, positions: &[Position]) -> Self {
        let runs = self.runs.iter().filter_map(|run| run.at_positions(positions)).collect();
        Self { runs, next: self.next }
    }

    /// Bytes that the records of the page hold in memory, about, whether selected or not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.records.memory_bytes()).sum()
    }

    /// Says that nothing before `next` is left to be read.
    pub fn advance(&mut self, next: Position) {
        self.next = self.next.max(next);
    }

    /// Where the read goes on: everything before has been looked at.
    #[must_use]
    pub const fn next(&self) -> Position {
        self.next
    }

    /// Whether this page, given for `read`, leads on from where that begins; and where everything
    /// was asked for, whether it holds all that it leads over.
    ///
    /// # Errors
    /// [`ReadError::NothingGiven`] when it does not, though there is something to read up to
    /// [`ReadRequest::to`]: for a reader that goes on to a position that the log is known to have.
    pub fn check_progress(&self, read: &ReadRequest) -> Result<(), ReadError> {
        let from = read.from.max(Position::new(1));
        let covered = self.next.since(from);
        let holds_all = || {
            let given = to_u64(self.len());
            !read.query.is_all() || given >= covered.min(read.to.next().since(from))
        };
        if from <= read.to && (covered == 0 || !holds_all()) {
            return Err(ReadError::NothingGiven { position: from, to: read.to });
        }
        Ok(())
    }

    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.iter().map(PageSelection::len).sum()
    }

    /// Whether the page holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs that the events of the page are of, in order, each with the places of these: for those who
    /// looks at the spaces of a run before its events.
    pub fn runs(&self) -> impl Iterator<Item = (&Records, impl Iterator<Item = usize>)> {
        self.runs.iter().map(|run| (&run.records, (0..run.len()).filter_map(|nth| run.index(nth))))
    }

    /// The events in order, payloads not yet decoded.
    pub fn envelopes(&self) -> impl Iterator<Item = Envelope<'_>> {
        self.runs
            .iter()
            .flat_map(|run| (0..run.len()).filter_map(|nth| run.records.envelope(run.index(nth)?)))
    }

    /// The events in order.
    ///
    /// Each item is an error when its payload does not decode; the other items are not affected.
    pub fn events(&self) -> impl Iterator<Item = Result<RecordedEventRef<'_>, ReadError>> {
        self.envelopes().map(Envelope::decode)
    }
}

impl PageSelection {
    /// The selected records that are at `from` or after and pass `filter`; `None` when there
    /// are none.
    fn matching(&self, from: Position, filter: &EventFilter) -> Result<Option<Self>, ReadError> {
        let first = self.records.first_position();
        let skipped = to_usize(from.since(first));
        let selected = match &self.selected {
            Selected::Range { start, end } if filter.is_all() => {
                Selected::Range { start: (*start).max(skipped).min(*end), end: *end }
            }
            Selected::Range { start, end } => {
                let mut listed = filter.select(&self.records)?;
                listed.retain(|index| (skipped.max(*start)..*end).contains(index));
                Selected::Listed(listed)
            }
            Selected::Listed(before) => {
                let mut listed = filter.select(&self.records)?;
                listed.retain(|index| *index >= skipped && before.binary_search(index).is_ok());
                Selected::Listed(listed)
            }
        };
        let selection = Self { records: self.records.clone(), selected };
        Ok((selection.len() > 0).then_some(selection))
    }

    /// The selected records that are at one of `positions`; `None` when there are none.
    fn at_positions(&self, positions: &[Position]) -> Option<Self> {
        let first = self.records.first_position();
        let stands = |index: &usize| positions.binary_search(&first.plus(to_u64(*index))).is_ok();
        let listed: Vec<usize> =
            (0..self.len()).filter_map(|nth| self.index(nth)).filter(stands).collect();
        let records = self.records.clone();
        (!listed.is_empty()).then_some(Self { records, selected: Selected::Listed(listed) })
    }

    fn len(&self) -> usize {
        match &self.selected {
            Selected::Range { start, end } => end - start,
            Selected::Listed(listed) => listed.len(),
        }
    }

    fn index(&self, nth: usize) -> Option<usize> {
        match &self.selected {
            Selected::Range { start, .. } => Some(start + nth),
            Selected::Listed(listed) => listed.get(nth).copied(),
        }
    }
}
