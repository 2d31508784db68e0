//! Checking a log beside whoever has its store open: by reading all that is shown of it.

use spacefold_event_core::{
    LogReader, Position, ReadError, ReadRequest, StorageError, StorageErrorKind,
};

use super::{Problem, VerifyDepth, VerifyReport, part_problem};
use crate::{error::OpenError, follower::Follower};

/// Checks a log that another process may have open, as far as it is shown: every event, with the
/// checksums and the chain of what it is read from; if it is to be quick, what the files say of
/// themselves, and the frames that are in no segment. Sled's copy is not looked at, which only the process
/// may open that has the store.
///
/// # Errors
/// [`ReadError`] when the log was closed or the machine lacks something; damage is no error but part
/// of the report. What is behind a damaged event is not checked.
///
/// # Cost
/// Reads and decodes every event; if it is quick, reads what is in no segment, and the index of each.
pub fn verify_beside(log: &Follower, depth: VerifyDepth) -> Result<VerifyReport, ReadError> {
    let mut report = VerifyReport::default();
    if let Err(error) = log.look_anew() {
        report.problems.push(part_problem(error).map_err(unchecked)?);
        return Ok(report);
    }
    let head = log.durable_head();
    if depth == VerifyDepth::Quick {
        report.events = head.get();
        return Ok(report);
    }
    let mut next = Position::START.next();
    for page in log.pages(ReadRequest::from(next).to(head)) {
        let read = page.and_then(|page| {
            page.events().try_for_each(|event| event.map(drop))?;
            Ok(page.next())
        });
        match read {
            Ok(after) => next = after,
            Err(error) => {
                report.problems.push(problem(error, next)?);
                break;
            }
        }
    }
    report.events = head.get().min(next.previous().get());
    Ok(report)
}

/// What tells of no damage.
fn unchecked(error: OpenError) -> ReadError {
    match error {
        OpenError::Storage(error) => error.into(),
        error => StorageError::new("checking the store", error).into(),
    }
}

/// What is damaged from a position on; an error that tells of no damage as it is.
fn problem(error: ReadError, next: Position) -> Result<Problem, ReadError> {
    let position = match &error {
        ReadError::Corrupt { position, .. } | ReadError::NothingGiven { position, .. } => *position,
        ReadError::Storage(why) if why.kind() == StorageErrorKind::Other => next,
        _ => return Err(error),
    };
    Ok(Problem {
        position: Some(position),
        file: None,
        offset: None,
        kind: "journal",
        detail: error.to_string(),
        healed: false,
    })
}
