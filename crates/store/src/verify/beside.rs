//! Checking a log beside whoever has its store open: by reading all that is shown of it.

use spacefold_event_core::{LogReader, Position, ReadError, ReadRequest, StorageErrorKind};

use super::{Problem, VerifyReport};

/// Checks every event of a log that another process may have open, as far as it is shown, with the
/// checksums and the chain of what it is read from. Sled's copy is not looked at, which only the
/// process may open that has the store.
///
/// # Errors
/// [`ReadError`] when the log was closed or the machine lacks something; damage is no error but part
/// of the report. What is behind a damaged event is not checked.
///
/// # Cost
/// Reads and decodes every event.
pub fn verify_beside(log: &dyn LogReader) -> Result<VerifyReport, ReadError> {
    let mut report = VerifyReport::default();
    let head = log.durable_head();
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
