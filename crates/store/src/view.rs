//! What readers see: the blocks, the tail behind them, and the durable head.

pub(crate) mod tail;

use rapidhash::RapidHashMap;
use spacefold_event_core::{EventFilter, Position, Records, Revision, Timestamp};

use crate::{
    block::BlockHash,
    block::index::{BlockIndex, Candidates, IndexedBlock},
    run::RecordRun,
    view::tail::Tail,
};

/// Every durable event is in a block of the index or in the tail; some are in both.
#[derive(Debug)]
pub(crate) struct LogView {
    pub(crate) index: BlockIndex,
    pub(crate) tail: Tail,
    durable_head: Position,
    last_recorded_at: Timestamp,
    /// Revisions at the durable head of the spaces that the tail touches.
    tail_revisions: RapidHashMap<Box<str>, Revision>,
}

/// Room for so many spaces of the tail is kept.
const MIN_TAIL_SPACES: usize = 1_024;

/// Where an event is.
#[derive(Debug)]
pub(crate) enum Located {
    /// In the block with this first position.
    Block(Position),
    /// In a block that the index has on the disk: that has to be asked which.
    Kept,
    /// In a run of the tail.
    Tail(Records),
    /// Beyond the durable head.
    Beyond,
}

impl LogView {
    pub(crate) fn new(index: BlockIndex) -> Self {
        let (durable_head, last_recorded_at) = (index.end(), index.last_recorded_at());
        let tail_revisions = RapidHashMap::default();
        Self { index, tail: Tail::default(), durable_head, last_recorded_at, tail_revisions }
    }

    /// Takes in a run that has become durable.
    pub(crate) fn publish(&mut self, run: RecordRun) {
        for (space_id, _, after) in run.records.spaces() {
            match self.tail_revisions.get_mut(space_id) {
                Some(revision) => *revision = after,
                None => {
                    self.tail_revisions.insert(space_id.into(), after);
                }
            }
        }
        self.durable_head = self.durable_head.max(run.records.last_position());
        self.last_recorded_at = self.last_recorded_at.max(run.records.last_recorded_at());
        self.tail.push(run);
    }

    /// Takes in a block made of the oldest events of the tail.
    pub(crate) fn seal(&mut self, records: &Records, hash: BlockHash) {
        self.index.add(records, hash);
        self.tail.release_through(self.index.end());
        // While there always is a tail, spaces that it has left would become ever more.
        let tail_revisions = &mut self.tail_revisions;
        for (space_id, _, after) in records.spaces() {
            if tail_revisions.get(space_id) == Some(&after) {
                tail_revisions.remove(space_id);
            }
        }
        if tail_revisions.capacity() / 8 > tail_revisions.len().max(MIN_TAIL_SPACES) {
            tail_revisions.shrink_to_fit();
        }
    }

    /// Takes in blocks that are durable and end behind the tail: then there is none.
    pub(crate) fn pass(&mut self, blocks: &[IndexedBlock]) {
        blocks.iter().for_each(|block| self.index.add_indexed(block));
        self.durable_head = self.durable_head.max(self.index.end());
        self.last_recorded_at = self.last_recorded_at.max(self.index.last_recorded_at());
        self.tail = Tail::default();
        self.tail_revisions.clear();
    }

    /// The runs that are in no block of `index`: what is to be published behind it.
    pub(crate) fn runs_behind(&self, index: &BlockIndex) -> Vec<RecordRun> {
        self.tail.runs_from(index.end().next()).cloned().collect()
    }

    pub(crate) fn durable_head(&self) -> Position {
        self.durable_head
    }

    pub(crate) fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    pub(crate) fn locate(&self, position: Position) -> Located {
        if position > self.durable_head {
            return Located::Beyond;
        }
        if self.index.is_kept(position) {
            return Located::Kept;
        }
        match self.index.block_of(position) {
            Some(first) => Located::Block(first),
            None => self.tail.run_at(position).cloned().map_or(Located::Beyond, Located::Tail),
        }
    }

    /// Where in the tail, from `from` on, events may stand that pass a filter; `None` beyond the durable
    /// head.
    pub(crate) fn tail_candidates(
        &self,
        from: Position,
        filter: &EventFilter,
    ) -> Option<Candidates> {
        let end = self.durable_head;
        if from > end {
            return None;
        }
        if !filter.wanted_tags().is_empty() {
            let (runs, is_all) = self.tail.tagged(filter, from);
            let last = runs.last().filter(|_| !is_all).map(|(_, last)| *last);
            return Some(Candidates::new(runs, last.unwrap_or(end)));
        }
        let is_there = |id: &String| self.tail_revisions.contains_key(id.as_str());
        let may_hold = filter.space_ids().is_none_or(|ids| ids.iter().any(is_there));
        Some(Candidates::new(may_hold.then_some((from, end)).into_iter().collect(), end))
    }

    /// Goes back to the blocks up to one that ends at a position: what is after it is to be published
    /// again.
    pub(crate) fn go_back_to(&mut self, sealed_end: Position) {
        self.index.go_back_to(sealed_end);
        self.durable_head = self.index.end();
        self.last_recorded_at = self.index.last_recorded_at();
        self.tail = Tail::default();
        self.tail_revisions.clear();
    }

    /// The revision of a space at the durable head; `None` where the postings that are kept have to be
    /// asked.
    pub(crate) fn revision(&self, space_id: &str) -> Option<Revision> {
        let newest = self.tail_revisions.get(space_id).copied();
        newest.or_else(|| self.index.revision(space_id))
    }

    /// Some position at or before that of this revision of a space, in the same append of the tail.
    pub(crate) fn tail_near_revision(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Option<Position> {
        let holds = |run: &&RecordRun| {
            let mut spaces = run.records.spaces();
            spaces
                .any(|(id, before, after)| id == space_id && before < revision && revision <= after)
        };
        // The begin of an append may be in a block already: the event is behind that.
        let behind = self.index.end().next();
        self.tail.runs().find(holds).map(|run| run.records.first_position().max(behind))
    }

    /// The spaces of what is newer than the postings that are kept, with their revisions.
    pub(crate) fn newest_spaces(&self) -> impl Iterator<Item = (&str, Revision)> {
        let tail = self.tail_revisions.iter().map(|(id, revision)| (id.as_ref(), *revision));
        self.index.fresh_spaces().chain(tail)
    }
}
