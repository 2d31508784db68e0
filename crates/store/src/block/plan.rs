//! Which events go into the next block.

use std::{ops::Range, thread};

use rustc_hash::FxHashSet;
use spacefold_event_core::{
    Assignments, CorruptRecords, EncodedBody, Position, Records, RecordsBuilder, Revision,
};

use crate::view::tail::TailRun;

/// Records of one block, at the most.
const MAX_BLOCK_RECORDS: usize = 512;
/// Bytes of the bodies that one block is made of. Texts that the bodies share shrink it further.
const MAX_BLOCK_BODY_BYTES: usize = 48 << 10;

/// Whether so much may fill a block.
pub(crate) const fn may_fill_a_block(records: usize, body_bytes: usize) -> bool {
    // A plan rounds the bytes of a record up.
    records > MAX_BLOCK_RECORDS || body_bytes + records > MAX_BLOCK_BODY_BYTES
}

/// Lets another thread have this processor, if one waits for it. What completes a sync of the
/// journal is work of the kernel that may be bound to this one, and on some kernels it does not
/// interrupt: a block made in one go would hold the sync up for as long as it takes.
pub(crate) fn give_way() {
    thread::yield_now();
}

/// The events of the next block: stretches of appends, whole ones where they fit.
#[derive(Debug, Default)]
pub(crate) struct BlockPlan {
    stretches: Vec<(Records, Range<usize>)>,
    records: usize,
    body_bytes: usize,
}

impl BlockPlan {
    /// The next full block that can be made of the appends from `from` on; `None` when they do
    /// not fill one yet. The outcome depends on the appends alone, not on when it is asked.
    pub(crate) fn next<'r>(
        runs: impl IntoIterator<Item = &'r TailRun>,
        from: Position,
    ) -> Option<Self> {
        let mut plan = Self::default();
        for run in runs {
            if run.records.last_position() < from {
                continue;
            }
            let skipped = from.since(run.records.first_position());
            let start = usize::try_from(skipped).unwrap_or(usize::MAX);
            let len = run.records.len();
            let rest = len - start;
            let per_record = run.body_bytes.div_ceil(len).max(1);
            if plan.has_room_for(rest, rest * per_record) {
                plan.push(run, start..len, per_record);
            } else if plan.records > 0
                && rest <= MAX_BLOCK_RECORDS
                && rest * per_record <= MAX_BLOCK_BODY_BYTES
            {
                return Some(plan);
            } else {
                let by_bytes = (MAX_BLOCK_BODY_BYTES - plan.body_bytes) / per_record;
                let fit = by_bytes.min(MAX_BLOCK_RECORDS - plan.records).min(rest);
                let least = usize::from(plan.records == 0);
                let end = start + fit.max(least);
                if end > start {
                    plan.push(run, start..end, per_record);
                }
                return Some(plan);
            }
        }
        None
    }

    fn has_room_for(&self, records: usize, body_bytes: usize) -> bool {
        self.records + records <= MAX_BLOCK_RECORDS
            && self.body_bytes + body_bytes <= MAX_BLOCK_BODY_BYTES
    }

    fn push(&mut self, run: &TailRun, range: Range<usize>, per_record: usize) {
        self.records += range.len();
        self.body_bytes += range.len() * per_record;
        self.stretches.push((run.records.clone(), range));
    }

    /// Encodes the block's events under one text table; the body, and the records that it holds.
    pub(crate) fn encode(&self) -> Result<(EncodedBody, Records), CorruptRecords> {
        let mut builder = RecordsBuilder::new();
        let mut recorded_at = Vec::with_capacity(self.records);
        let mut known = FxHashSet::default();
        let mut base_revisions: Vec<Revision> = Vec::new();
        let mut first_position = None;
        for (records, range) in &self.stretches {
            builder.extend_from(records, range.clone())?;
            give_way();
            for envelope in range.clone().filter_map(|index| records.envelope(index)) {
                first_position.get_or_insert(envelope.position);
                recorded_at.push(envelope.recorded_at);
                if known.insert(envelope.space_id) {
                    base_revisions.push(envelope.revision.previous());
                }
            }
        }
        if recorded_at.first() == recorded_at.last() {
            recorded_at.truncate(1);
        }
        let assignments = Assignments {
            first_position: first_position.unwrap_or(Position::START),
            recorded_at,
            base_revisions,
        };
        let (body, records) = builder.finish_with_records()?;
        Ok((body, records.reassign(assignments)?))
    }
}
