//! The list of the runs of a frame.

use std::sync::Arc;

use bincode::{Decode, Encode};
use spacefold_event_core::{
    Assignments, EncodedBody, Records, Schemas, Timestamp,
    bytes::{to_u32, to_usize},
};

use super::{FrameError, FrameHeader, MAX_RUNS_BYTES};
use crate::run::RecordRun;

/// What the list says of a run.
#[derive(Encode, Decode)]
struct StoredRun {
    count: u32,
    body_len: u32,
    /// When the log took its first event: µs since the first event of the frame.
    recorded_after: u64,
    assignments: Vec<u8>,
}

pub(super) fn encode(runs: &[RecordRun]) -> Vec<u8> {
    let first = runs.first().map_or(0, |run| run.records.first_recorded_at().as_micros());
    let stored = runs.iter().map(|run| StoredRun {
        count: to_u32(run.records.len()),
        body_len: to_u32(run.body_bytes()),
        recorded_after: run.records.first_recorded_at().as_micros().abs_diff(first),
        assignments: run.records.assignments().encode(),
    });
    let stored: Vec<StoredRun> = stored.collect();
    bincode::encode_to_vec(stored, bincode::config::standard())
        .expect("a list encodes into memory without an error")
}

pub(super) fn decode(
    header: &FrameHeader,
    list: &[u8],
    bodies: &[u8],
    schemas: &Schemas,
) -> Result<Vec<RecordRun>, FrameError> {
    let config = bincode::config::standard().with_limit::<{ 4 * MAX_RUNS_BYTES }>();
    let (stored, used): (Vec<StoredRun>, usize) = bincode::decode_from_slice(list, config)
        .map_err(|_| FrameError::Unreadable("a list of runs that does not decode"))?;
    let mut first_position = header.first_position;
    let mut rest = bodies;
    let mut last_recorded_at = header.recorded_at;
    let mut runs = Vec::with_capacity(stored.len());
    for run in stored {
        let split = rest.split_at_checked(to_usize(run.body_len));
        let (bytes, after) = split.ok_or(FrameError::Unreadable("a run beyond the frame"))?;
        rest = after;
        let recorded_at =
            header.recorded_at.as_micros().saturating_add_unsigned(run.recorded_after);
        let recorded_at = Timestamp::from_micros(recorded_at)
            .filter(|time| *time >= last_recorded_at)
            .ok_or(FrameError::Unreadable("a run at a time that cannot be"))?;
        let assignments = Assignments::decode(&run.assignments, first_position, recorded_at)?;
        let records = Records::decode_by(schemas, bytes, to_usize(run.count), assignments)?;
        last_recorded_at = records.last_recorded_at();
        first_position = records.last_position().next();
        let body = Arc::new(EncodedBody::from_bytes(bytes.to_vec(), records.len())?);
        runs.push(RecordRun { records, body });
    }
    let is_whole = used == list.len() && rest.is_empty();
    if is_whole && first_position.previous() == header.last_position() {
        Ok(runs)
    } else {
        Err(FrameError::Unreadable("runs that do not add up to their frame"))
    }
}
