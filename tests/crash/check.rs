//! Opens a store and compares all that it answers with what is known to be stored.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use spacefold_event_core::{
    AppendError, AppendRequest, LogReader, LogWriter, Position, ReadError, Revision, StorageError,
};
use spacefold_projection::{DerivedState, LiveStates, SnapshotError};
use spacefold_store::{
    EmbeddedLog, OpenError, Problem, StoreOptions, VerifyOptions, VerifyReport, verify,
};

use crate::{
    history::History,
    message::{Acknowledged, Place},
    walk::{Contents, WalkError, walk},
};

/// Spaces that are read one by one in a check, at the most; every check takes others.
const SPACES_READ: usize = 12;

/// What a check found in a store that is as it should be.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// The position of the last event, before the check appended its own.
    pub head: Position,
    /// Appends that were stored though nobody was told.
    pub unacknowledged: usize,
    /// How often the store has made sled's copy anew.
    pub healed: u64,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It does not open.
    #[error("the store does not open: {0}")]
    Open(#[source] Box<OpenError>),
    /// An append that was acknowledged, or read before, is not there.
    #[error("{key} was stored from position {} on: it is gone", place.first)]
    Lost {
        /// Which.
        key: crate::workload::AppendKey,
        /// Where it was.
        place: Place,
    },
    /// An append is elsewhere than its receipt says.
    #[error("{key} was stored at {was:?}: it is at {is:?}")]
    Moved {
        /// Which.
        key: crate::workload::AppendKey,
        /// Where it was.
        was: Place,
        /// Where it is.
        is: Place,
    },
    /// The events are not what was appended.
    #[error(transparent)]
    Events(#[from] WalkError),
    /// A space reads otherwise than the log.
    #[error("space {space:?} reads otherwise than the log: {what}")]
    Space {
        /// Which.
        space: String,
        /// How.
        what: String,
    },
    /// The states are not what the events fold to.
    #[error("the states are not what the events fold to: {0}")]
    States(String),
    /// Something does not read.
    #[error("the store does not read: {0}")]
    Read(#[from] ReadError),
    /// An append to the opened store fails, or is put in a wrong place.
    #[error("appending to the opened store: {0}")]
    Append(String),
    /// The store does not close.
    #[error("the store does not close: {0}")]
    Close(#[source] StorageError),
    /// The check finds damage.
    #[error("verify finds damage: {0}")]
    Verify(String),
}

impl From<OpenError> for Violation {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<SnapshotError> for Violation {
    fn from(error: SnapshotError) -> Self {
        Self::States(error.to_string())
    }
}

impl From<AppendError> for Violation {
    fn from(error: AppendError) -> Self {
        Self::Append(error.to_string())
    }
}

/// Opens a store, checks everything in it, appends to it, closes it, and verifies it. What was
/// found there, and what was appended, is noted in the history.
///
/// # Errors
/// [`Violation`] for the first thing that is wrong.
pub fn check(
    path: &Path,
    options: &StoreOptions,
    history: &mut History,
) -> Result<Checked, Violation> {
    let log = EmbeddedLog::open_with(path, options)?;
    let contents = walk(&log, history)?;
    let unacknowledged = compare(&contents, history)?;
    check_spaces(&log, &contents, history)?;
    check_states(&log, &contents)?;
    check_retries(&log, &contents, history)?;
    let checked = Checked { head: contents.head(), unacknowledged, healed: log.info().healed };
    append_one(&log, &contents, history)?;
    log.close().map_err(Violation::Close)?;
    drop(log);
    let report = verify(path, VerifyOptions::default())?;
    if !report.is_ok() {
        return Err(Violation::Verify(problems(&report)));
    }
    Ok(checked)
}

/// Verifies a store that has not been opened since it died: its journal has no damage, only a tail
/// that may be cut. Of sled's copy nothing is asked, and one slot of HEAD may be torn.
///
/// # Errors
/// [`Violation`] for damage to the journal.
pub fn verify_unopened(path: &Path) -> Result<(), Violation> {
    let mut report = match verify(path, VerifyOptions::default()) {
        Err(OpenError::NoStore { .. }) => return Ok(()),
        report => report?,
    };
    report.problems.retain(|problem| problem.kind == "journal");
    if report.is_ok() { Ok(()) } else { Err(Violation::Verify(problems(&report))) }
}

fn problems(report: &VerifyReport) -> String {
    let line = |problem: &Problem| format!("{} ({:?})", problem.detail, problem);
    report.problems.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Compares the appends that are there with those that are known to be; how many are not.
fn compare(contents: &Contents, history: &mut History) -> Result<usize, Violation> {
    let found: BTreeMap<_, _> =
        contents.appends.iter().map(|append| (append.key, append.place)).collect();
    for Acknowledged { key, place } in history.stored() {
        match found.get(&key) {
            None => return Err(Violation::Lost { key, place }),
            Some(is) if *is != place => return Err(Violation::Moved { key, was: place, is: *is }),
            Some(_) => {}
        }
    }
    let unknown = found.len() - history.stored().len();
    contents.appends.iter().for_each(|append| history.note(*append));
    Ok(unknown)
}

/// The spaces have the revisions that their events say, and read as the log does.
fn check_spaces(
    log: &EmbeddedLog,
    contents: &Contents,
    history: &History,
) -> Result<(), Violation> {
    let revision = |positions: &Vec<Position>| {
        Revision::new(u64::try_from(positions.len()).unwrap_or(u64::MAX))
    };
    let expected: Vec<_> =
        contents.spaces.iter().map(|(space, at)| (space.clone(), revision(at))).collect();
    let found = log.spaces()?;
    if found != expected {
        let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        let (space, what) = match wrong {
            Some(((space, revision), (other, expected))) => {
                (space.clone(), format!("at {revision}, expected {other} at {expected}"))
            }
            None => (String::new(), format!("{} instead of {}", found.len(), expected.len())),
        };
        return Err(Violation::Space { space, what });
    }
    let step = contents.spaces.len().div_ceil(SPACES_READ).max(1);
    let skip = usize::try_from(history.checks()).unwrap_or(0) % step;
    for (space, positions) in contents.spaces.iter().skip(skip).step_by(step) {
        check_space(log, space, positions)?;
    }
    Ok(())
}

fn check_space(log: &EmbeddedLog, space: &str, positions: &[Position]) -> Result<(), Violation> {
    let wrong = |what: String| Violation::Space { space: space.to_owned(), what };
    if log.revision(space)?.get() != u64::try_from(positions.len()).unwrap_or(u64::MAX) {
        return Err(wrong("its revision".to_owned()));
    }
    let mut found = Vec::with_capacity(positions.len());
    loop {
        let from = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let page = log.read_space(space, Revision::new(from).next(), 1_000)?;
        if page.is_empty() {
            break;
        }
        found.extend(page.envelopes().map(|envelope| envelope.position));
    }
    if found == positions {
        Ok(())
    } else {
        Err(wrong(format!("{} events at other positions", found.len())))
    }
}

/// The states, those that were persisted and folded on among them, are what the events fold to.
fn check_states(log: &EmbeddedLog, contents: &Contents) -> Result<(), Violation> {
    let states =
        LiveStates::new(Arc::new(log.clone()), DerivedState::in_folder(log.derived_folder()));
    let found = states.snapshot_all()?;
    let expected = contents.states.sorted();
    if found.len() != expected.len() {
        let (found, expected) = (found.len(), expected.len());
        return Err(Violation::States(format!("{found} spaces instead of {expected}")));
    }
    for (found, expected) in found.iter().zip(expected) {
        if **found.state() != **expected {
            return Err(Violation::States(format!("space {:?} differs", expected.space_id())));
        }
    }
    Ok(())
}

/// Appends that are stored are recognised: the newest, and an older one.
fn check_retries(
    log: &EmbeddedLog,
    contents: &Contents,
    history: &History,
) -> Result<(), Violation> {
    let appends = &contents.appends;
    let some = usize::try_from(history.checks()).unwrap_or(0) % appends.len().max(1);
    for Acknowledged { key, place } in appends.last().into_iter().chain(appends.get(some)) {
        let receipt = log.append(&AppendRequest::new(&history.workload().events(*key)))?;
        let is = Place { first: receipt.first_position(), count: receipt.count() };
        if is != *place {
            return Err(Violation::Moved { key: *key, was: *place, is });
        }
    }
    if log.head() != contents.head() {
        return Err(Violation::Append("a retry was appended again".to_owned()));
    }
    Ok(())
}

/// The store takes appends, at the position that is next.
fn append_one(
    log: &EmbeddedLog,
    contents: &Contents,
    history: &mut History,
) -> Result<(), Violation> {
    let key = history.next_check();
    let receipt = log.append(&AppendRequest::new(&history.workload().events(key)))?;
    let place = Place { first: receipt.first_position(), count: receipt.count() };
    if place.first != contents.head().next() {
        return Err(Violation::Append(format!("it went to position {}", place.first)));
    }
    history.note(Acknowledged { key, place });
    Ok(())
}
