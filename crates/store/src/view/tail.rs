//! The newest events: durable in the journal, not yet in a block.

use std::collections::VecDeque;

use spacefold_event_core::{Position, Records};

use crate::{block::plan, run::RecordRun};

/// The events behind the last block, in order, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    runs: VecDeque<RecordRun>,
    records: usize,
    body_bytes: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, run: RecordRun) {
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
            self.runs.pop_front();
        }
    }

    /// The run that holds the event at a position.
    pub(crate) fn run_at(&self, position: Position) -> Option<&Records> {
        let place = self.runs.partition_point(|run| run.records.last_position() < position);
        let records = &self.runs.get(place)?.records;
        (records.first_position() <= position).then_some(records)
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

    /// Bytes of the encoded bodies.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}
