//! The newest events: durable in the journal, not yet in a block.

use std::collections::VecDeque;

use spacefold_event_core::{EventFilter, Position, Records};

use crate::{block::plan, run::RecordRun, run_postings::RunPostings};

/// Runs that one lookup by tags finds, at the most.
const MAX_TAGGED_RUNS: usize = 64;

/// The events behind the last block, in order, without a gap.
#[derive(Debug)]
pub(crate) struct Tail {
    runs: VecDeque<RecordRun>,
    tags: RunPostings,
    records: usize,
    body_bytes: usize,
}

impl Default for Tail {
    fn default() -> Self {
        let (runs, tags) = (VecDeque::new(), RunPostings::of_tags());
        Self { runs, tags, records: 0, body_bytes: 0 }
    }
}

impl Tail {
    pub(crate) fn push(&mut self, run: RecordRun) {
        if run.records.needs_version_2() {
            self.tags.add(&run.records);
        }
        self.records += run.records.len();
        self.body_bytes += run.body_bytes();
        self.runs.push_back(run);
    }

    /// Lets go of what is in blocks up to a position.
    pub(crate) fn release_through(&mut self, position: Position) {
        while let Some(run) = self.runs.front()
            && run.records.last_position() <= position
        {
            self.records -= run.records.len();
            self.body_bytes -= run.body_bytes();
            if run.records.needs_version_2() {
                self.tags.release(&run.records);
            }
            self.runs.pop_front();
        }
    }

    /// The run that holds the event at a position.
    pub(crate) fn run_at(&self, position: Position) -> Option<&Records> {
        let place = self.runs.partition_point(|run| run.records.last_position() < position);
        let records = &self.runs.get(place)?.records;
        (records.first_position() <= position).then_some(records)
    }

    /// The positions of the first and the last event of the next runs, from the one on that holds the
    /// event at a position, that hold all tags of a filter; and whether these are all of them.
    pub(crate) fn tagged(
        &self,
        filter: &EventFilter,
        from: Position,
    ) -> (Vec<(Position, Position)>, bool) {
        let Some(first) = self.runs_from(from).next() else { return (Vec::new(), true) };
        let found = self.tags.find(filter, first.records.first_position()).take(MAX_TAGGED_RUNS);
        let run = |first| Some((first, self.run_at(first)?.last_position()));
        let found: Vec<_> = found.filter_map(run).collect();
        let is_all = found.len() < MAX_TAGGED_RUNS;
        (found, is_all)
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &RecordRun> {
        self.runs.iter()
    }

    /// The runs from the one that holds the event at a position on.
    pub(crate) fn runs_from(&self, position: Position) -> impl Iterator<Item = &RecordRun> {
        let place = self.runs.partition_point(|run| run.records.last_position() < position);
        self.runs.range(place..)
    }

    /// Whether there is enough for blocks that are worth making.
    pub(crate) fn fills_a_batch(&self) -> bool {
        plan::fills_a_batch(self.records, self.body_bytes)
    }

    /// Whether it needs no copy in sled.
    pub(crate) fn needs_no_copy(&self) -> bool {
        plan::needs_no_copy(self.records, self.body_bytes)
    }

    /// Bytes of the encoded bodies.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}
