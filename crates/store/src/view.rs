//! What readers see: the blocks, the tail behind them, and the durable head.

pub(crate) mod tail;

use rapidhash::RapidHashMap;
use spacefold_event_core::{EventFilter, Position, Records, Revision, Timestamp, least_after};

use crate::{
    block::BlockHash,
    block::index::{BlockIndex, Candidates, MissingPages, Pages},
    run::Run,
    view::tail::Tail,
};

/// Every durable event is in a block of the index or in the tail; some are in both.
#[derive(Debug)]
pub(crate) struct View {
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
    /// In a run of the tail.
    Tail(Records),
    /// Beyond the durable head.
    Beyond,
}

impl View {
    pub(crate) fn new(index: BlockIndex, last_recorded_at: Timestamp) -> Self {
        let durable_head = index.end();
        let tail_revisions = RapidHashMap::default();
        Self { index, tail: Tail::default(), durable_head, last_recorded_at, tail_revisions }
    }

    /// Takes in a run that has become durable.
    pub(crate) fn publish(&mut self, run: Run) {
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
        match self.index.block_of(position) {
            Some(first) => Located::Block(first),
            None => self.tail.run_at(position).cloned().map_or(Located::Beyond, Located::Tail),
        }
    }

    /// The next blocks from `from` on that may hold events that pass `filter`; `None` from the tail
    /// on, every append of which may.
    pub(crate) fn candidates(
        &self,
        from: Position,
        filter: &EventFilter,
        pages: &Pages,
    ) -> Result<Option<Candidates>, MissingPages> {
        if from > self.index.end() {
            return Ok(None);
        }
        self.index.candidates(from, filter, pages).map(Some)
    }

    pub(crate) fn revision(&self, space_id: &str) -> Revision {
        let newest = self.tail_revisions.get(space_id).copied();
        newest.unwrap_or_else(|| self.index.revision(space_id))
    }

    /// Some position at or before that of this revision of a space, in the same block or append;
    /// `None` when the space is not there yet.
    pub(crate) fn near_revision(
        &self,
        space_id: &str,
        revision: Revision,
        pages: &Pages,
    ) -> Result<Option<Position>, MissingPages> {
        if revision == Revision::NONE || revision > self.revision(space_id) {
            return Ok(None);
        }
        if let Some(first) = self.index.block_of_revision(space_id, revision, pages)? {
            return Ok(Some(first));
        }
        let holds = |run: &&Run| {
            let mut spaces = run.records.spaces();
            spaces
                .any(|(id, before, after)| id == space_id && before < revision && revision <= after)
        };
        // The begin of an append may be in a block already: the event is behind that.
        let behind = self.index.end().next();
        Ok(self.tail.runs().find(holds).map(|run| run.records.first_position().max(behind)))
    }

    /// The next spaces behind `after`, sorted.
    pub(crate) fn spaces_after(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        let sealed = self.index.spaces().map(|(id, _)| id);
        let ids = sealed.chain(self.tail_revisions.keys().map(|id| &**id));
        least_after(ids, after, limit)
    }

    /// The spaces with their revisions, sorted by id.
    pub(crate) fn spaces(&self) -> Vec<(String, Revision)> {
        let mut spaces: RapidHashMap<&str, Revision> = self.index.spaces().collect();
        spaces.extend(self.tail_revisions.iter().map(|(id, revision)| (id.as_ref(), *revision)));
        let mut sorted: Vec<(String, Revision)> =
            spaces.into_iter().map(|(id, revision)| (id.to_owned(), revision)).collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        sorted
    }
}
