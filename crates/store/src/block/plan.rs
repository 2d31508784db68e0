//! Which events go into the next block.

use std::{ops::Range, sync::Arc, thread};

use rapidhash::RapidHashSet;
use spacefold_event_core::{
    Assignments, CorruptRecords, EncodedBody, Envelope, Position, RUN_BYTES, RUN_EVENTS, Records,
    RecordsBuilder, Revision, Schemas, Timestamp, bytes::to_usize,
};

use crate::run::RecordRun;

/// What a block is made of, at the most.
#[derive(Clone, Copy)]
struct BlockLimits {
    records: usize,
    /// Bytes of the bodies. Texts that they share shrink the block further.
    body_bytes: usize,
}

const FULL: BlockLimits = BlockLimits { records: RUN_EVENTS, body_bytes: RUN_BYTES };
/// So much is worth a block of its own.
const HALF: BlockLimits =
    BlockLimits { records: FULL.records / 2, body_bytes: FULL.body_bytes / 2 };
/// So much may be in a block that ends with a run worth one: the next run begins the next block.
const LONGEST: BlockLimits = BlockLimits {
    records: FULL.records + HALF.records,
    body_bytes: FULL.body_bytes + HALF.body_bytes,
};

/// Records that are encoded again between two pauses for other threads: some 10 µs.
const RECORDS_BETWEEN_PAUSES: usize = 64;
/// The fewest blocks that are made in one go, unless there is need to make some sooner: putting
/// many into sled together has it write less.
const BATCH_BLOCKS: usize = 16;

/// Whether so much fills as many blocks as are made in one go.
pub(crate) const fn fills_a_batch(records: usize, body_bytes: usize) -> bool {
    records > BATCH_BLOCKS * FULL.records || body_bytes > BATCH_BLOCKS * FULL.body_bytes
}

/// So many events of so many bytes need no copy in sled: a store begins without one.
const WITHOUT_COPY: BlockLimits = BlockLimits { records: 1_024, body_bytes: 256 << 10 };

/// Whether so little is in the log that it needs no copy in sled: the tail has all of it in memory,
/// and the journal on disk.
pub(crate) const fn needs_no_copy(records: usize, body_bytes: usize) -> bool {
    records <= WITHOUT_COPY.records && body_bytes <= WITHOUT_COPY.body_bytes
}

/// Lets another thread have this processor, if one waits for it. What completes a sync of the
/// journal is work of the kernel that may be bound to this one, and on some kernels it does not
/// interrupt: a block made in one go would hold the sync up for as long as it takes.
pub(crate) fn give_way() {
    thread::yield_now();
}

/// The events of the next block.
#[derive(Debug)]
pub(crate) enum BlockPlan {
    /// A run that becomes a block as it is.
    Whole(RecordRun),
    /// A run from one of its records on, as it was recorded.
    Rest(RecordRun, usize),
    /// Stretches of runs, whole ones where they fit, to be encoded together.
    Together(Vec<RunSlice>),
}

/// Records of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunSlice {
    run: RecordRun,
    range: Range<usize>,
}

impl BlockPlan {
    /// The next full block that can be made of the runs from `from` on; `None` when they do not
    /// fill one yet. The outcome depends on the runs alone, not on when it is asked.
    pub(crate) fn next<'r>(
        runs: impl IntoIterator<Item = &'r RecordRun>,
        from: Position,
    ) -> Option<Self> {
        let mut gathered = GatheredRecords::default();
        for run in runs {
            if run.records.last_position() < from {
                continue;
            }
            let skipped = from.since(run.records.first_position());
            let start = to_usize(skipped);
            if start == 0 && gathered.records == 0 && fills_a_block(run) {
                return Some(Self::Whole(run.clone()));
            }
            if gathered.take(run, start) {
                return Some(gathered.plan());
            }
        }
        None
    }

    /// The body of the block, and the records that it holds.
    pub(crate) fn encode(
        &self,
        schemas: &'static Schemas,
    ) -> Result<(Arc<EncodedBody>, Records), CorruptRecords> {
        match self {
            Self::Whole(run) => Ok((Arc::clone(&run.body), run.records.clone())),
            Self::Rest(run, start) => encode_part(run, *start..run.records.len(), schemas),
            Self::Together(stretches) => encode_together(stretches, schemas),
        }
    }
}

/// Whether a run is worth a block of its own.
fn fills_a_block(run: &RecordRun) -> bool {
    run.records.len() >= HALF.records || run.body_bytes() >= HALF.body_bytes
}

#[derive(Default)]
struct GatheredRecords {
    stretches: Vec<RunSlice>,
    records: usize,
    body_bytes: usize,
}

impl GatheredRecords {
    /// Takes in a run from its record at `start` on, all of it or as much as there is room for;
    /// whether the block is full now.
    fn take(&mut self, run: &RecordRun, start: usize) -> bool {
        let len = run.records.len();
        let per_record = run.body_bytes().div_ceil(len).max(1);
        let rest = len - start;
        if rest <= self.room(FULL, per_record) {
            self.push(run, start..len, per_record);
            return false;
        }
        if fills_a_block(run) && rest <= self.room(LONGEST, per_record) {
            self.push(run, start..len, per_record);
        } else if self.records == 0 || rest > Self::default().room(FULL, per_record) {
            let fit = self.room(FULL, per_record).max(usize::from(self.records == 0));
            self.push(run, start..start + fit, per_record);
        }
        true
    }

    /// How many more records of this size fit.
    fn room(&self, limits: BlockLimits, per_record: usize) -> usize {
        let records = limits.records.saturating_sub(self.records);
        records.min(limits.body_bytes.saturating_sub(self.body_bytes) / per_record)
    }

    fn push(&mut self, run: &RecordRun, range: Range<usize>, per_record: usize) {
        if range.is_empty() {
            return;
        }
        self.records += range.len();
        self.body_bytes += range.len() * per_record;
        self.stretches.push(RunSlice { run: run.clone(), range });
    }

    /// The block that is full now. A run with payloads of other versions is not encoded again, since
    /// what was recorded stays as it is: it makes a block of its own. Whether a block is full does not
    /// depend on versions, so that every program finds the same blocks to be missing.
    fn plan(mut self) -> BlockPlan {
        let foreign = self.stretches.iter().position(|stretch| !stretch.run.records.are_current());
        match foreign {
            Some(0) => {
                let RunSlice { run, range } = self.stretches.swap_remove(0);
                if range.start == 0 {
                    BlockPlan::Whole(run)
                } else {
                    BlockPlan::Rest(run, range.start)
                }
            }
            Some(place) => {
                self.stretches.truncate(place);
                BlockPlan::Together(self.stretches)
            }
            None => BlockPlan::Together(self.stretches),
        }
    }
}

/// Some records of a run, payloads and all as they were recorded.
fn encode_part(
    run: &RecordRun,
    range: Range<usize>,
    schemas: &Schemas,
) -> Result<(Arc<EncodedBody>, Records), CorruptRecords> {
    let mut assigned = Assigned::default();
    range
        .clone()
        .filter_map(|index| run.records.envelope(index))
        .for_each(|envelope| assigned.add(&envelope));
    let body = run.body.part(range, schemas)?;
    let records = Records::decode_by(schemas, body.bytes(), body.count(), assigned.finish())?;
    Ok((Arc::new(body), records))
}

/// The first records of a run, and nothing of the others; of one with payloads of other versions its
/// texts stay, since payloads stay as they were recorded.
pub(crate) fn begin_of(
    run: &RecordRun,
    count: usize,
    schemas: &'static Schemas,
) -> Result<(Arc<EncodedBody>, Records), CorruptRecords> {
    let range = 0..count;
    match run.records.are_current() {
        true => encode_together(&[RunSlice { run: run.clone(), range }], schemas),
        false => encode_part(run, range, schemas),
    }
}

/// Encodes stretches of runs under one text table.
fn encode_together(
    stretches: &[RunSlice],
    schemas: &'static Schemas,
) -> Result<(Arc<EncodedBody>, Records), CorruptRecords> {
    let count = stretches.iter().map(|stretch| stretch.range.len()).sum();
    let mut builder = RecordsBuilder::with_capacity(count).written_by(schemas);
    let mut assigned = Assigned::with_capacity(count);
    let mut since_pause = 0;
    for RunSlice { run: RecordRun { records, .. }, range } in stretches {
        builder.extend_from(records, range.clone())?;
        let envelopes = range.clone().filter_map(|index| records.envelope(index));
        envelopes.for_each(|envelope| assigned.add(&envelope));
        since_pause += range.len();
        if since_pause >= RECORDS_BETWEEN_PAUSES {
            give_way();
            since_pause = 0;
        }
    }
    let (body, records) = builder.finish_with_records()?;
    Ok((Arc::new(body), records.reassign(assigned.finish())?))
}

/// What was decided for records that become a run together.
#[derive(Default)]
struct Assigned<'a> {
    first_position: Option<Position>,
    recorded_at: Vec<Timestamp>,
    known: RapidHashSet<&'a str>,
    base_revisions: Vec<Revision>,
}

impl<'a> Assigned<'a> {
    fn with_capacity(records: usize) -> Self {
        Self { recorded_at: Vec::with_capacity(records), ..Self::default() }
    }

    fn add(&mut self, envelope: &Envelope<'a>) {
        self.first_position.get_or_insert(envelope.position);
        self.recorded_at.push(envelope.recorded_at);
        if self.known.insert(envelope.space_id) {
            self.base_revisions.push(envelope.revision.previous());
        }
    }

    fn finish(mut self) -> Assignments {
        if self.recorded_at.first() == self.recorded_at.last() {
            self.recorded_at.truncate(1);
        }
        Assignments {
            first_position: self.first_position.unwrap_or(Position::START),
            recorded_at: self.recorded_at,
            base_revisions: self.base_revisions,
        }
    }
}

#[cfg(test)]
mod tests;
