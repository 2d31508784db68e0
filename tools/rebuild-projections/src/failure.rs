//! How the tool fails: what the user reads, and the exit code.

use std::{
    env,
    error::Error,
    fmt,
    io::{self, Write},
    process::{self, ExitCode},
};

use clap::Parser;
use spacefold::{
    AheadOfClock, OpenError, ReadError, RebuildError, RegisterError, StorageError,
    StorageErrorKind, printable,
};

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Failed,
    Usage,
    Damaged,
    Interrupted,
}

impl Status {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Damaged => 3,
            Self::Interrupted => 130,
        }
    }
}

/// `error: what (place)` and `hint: hint`.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    what: String,
    place: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(
        status: Status,
        what: impl fmt::Display,
        place: impl fmt::Display,
        hint: impl fmt::Display,
    ) -> Self {
        Self { status, what: what.to_string(), place: place.to_string(), hint: hint.to_string() }
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(
            Status::Interrupted,
            "interrupted",
            "Ctrl-C",
            "the old projections are there, whole; run the command again to go on",
        )
    }

    /// Tells the user, and answers the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let Self { what, place, hint, .. } = self;
        tell(&[&format!("error: {what} ({place})"), &format!("hint: {hint}")]);
        ExitCode::from(self.status.code())
    }
}

const VERIFY: &str = "`spacefold verify` says whether the store is damaged";

/// What to do about an error: about what the machine lacks, if that is behind it.
pub(crate) fn hint_about(error: &(dyn Error + 'static), otherwise: &'static str) -> &'static str {
    StorageErrorKind::behind(error).and_then(StorageErrorKind::advice).unwrap_or(otherwise)
}

/// Warns where the times of new events say nothing.
pub(crate) fn warn_of_clock(ahead: &AheadOfClock) {
    tell(&[&format!("warning: {ahead}"), "hint: check the system's clock"]);
}

/// Writes lines for people to standard error, in which nothing that others wrote moves the cursor.
fn tell(lines: &[&str]) {
    let mut text = String::new();
    for line in lines {
        text.push_str(&printable(line));
        text.push('\n');
    }
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Reads the command line; where it is misused, says how, with what was given escaped, and ends the
/// process.
pub(crate) fn parse_arguments<A: Parser>() -> A {
    A::try_parse().unwrap_or_else(|error| {
        let given = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
        match A::try_parse_from(given.map(|argument| printable(&argument).into_owned())) {
            Err(escaped) => escaped.exit(),
            Ok(_) => {
                let text = error.render().to_string();
                tell(&text.lines().collect::<Vec<_>>());
                process::exit(error.exit_code())
            }
        }
    })
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (place, hint) = match &error {
            OpenError::NoStore { path } => (
                path.display().to_string(),
                "name the folder of a store with --data, or make one with `spacefold import FILE`",
            ),
            OpenError::NotAStore { path, .. } => {
                (path.display().to_string(), "name the folder of a store with --data")
            }
            OpenError::AlreadyOpen { path, .. } => (
                path.display().to_string(),
                "one process owns a store at a time: end that one first",
            ),
            OpenError::UnknownFormat { path, .. } => {
                (path.display().to_string(), "use the version that wrote it, or a newer one")
            }
            OpenError::ClockBefore1970 { .. } => {
                ("opening the store".to_owned(), "set the clock, then run the command again")
            }
            OpenError::PartsDiffer { path, .. } => (
                path.display().to_string(),
                "put back the part of this store and of this time; nothing was changed",
            ),
            OpenError::JournalDamaged { .. } => (
                "opening the store".to_owned(),
                "`spacefold verify` says what is damaged, `verify --heal` mends what it can",
            ),
            OpenError::NoLocks { path, .. } => (
                path.display().to_string(),
                "move the store to a file system that has locks, such as a local disk",
            ),
            _ => (
                "opening the store".to_owned(),
                hint_about(
                    &error,
                    "check the disk and the permissions of the folder, then run the command again",
                ),
            ),
        };
        Self::new(Status::Failed, &error, place, hint)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::new(
            Status::Failed,
            &error,
            "reading the log",
            "`spacefold verify` says whether the store is damaged",
        )
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        match &error {
            RebuildError::UnknownProjection { name, known } => Self::new(
                Status::Usage,
                format_args!("there is no projection {name:?}"),
                format_args!("known: {}", known.join(", ")),
                "name known projections, or none to rebuild all",
            ),
            RebuildError::Cancelled | RebuildError::Read(ReadError::Closed) => Self::interrupted(),
            _ => {
                Self::new(Status::Failed, &error, "folding the events", hint_about(&error, VERIFY))
            }
        }
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        Self::new(
            Status::Failed,
            &error,
            "reading what is persisted of the projections",
            hint_about(&error, VERIFY),
        )
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::new(
            Status::Failed,
            &error,
            "closing the store",
            hint_about(&error, "nothing acknowledged is lost; the next opening recovers it"),
        )
    }
}
