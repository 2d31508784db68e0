//! How commands fail: what the user reads, and the exit code.

use std::{
    env,
    error::Error,
    fmt,
    io::{self, Write as _},
    process::{self, ExitCode},
};

use clap::Parser;
use spacefold::{
    AppendError, OpenError, Position, ReadError, SnapshotError, StorageError, SubscribeError,
    Timestamp,
    admin::{AheadOfClock, RebuildError},
    content::ContentError,
    event::printable,
    log::{LogReader, StorageErrorKind},
    projection::CatchUpError,
    subscribe::ReceiveError,
};
use spacefold_archive::ArchiveError;
use spacefold_client::Endpoint;

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Failed,
    Usage,
    Damaged,
    Unknown,
    Interrupted,
}

impl Status {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Damaged => 3,
            Self::Unknown => 4,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our output has enough of it.
    ClosedPipe,
    /// Something to tell.
    Told(Box<Told>),
}

/// `error: what (place)` and `hint: hint`.
#[derive(Debug)]
pub(crate) struct Told {
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
        Self::Told(Box::new(Told {
            status,
            what: what.to_string(),
            place: place.to_string(),
            hint: hint.to_string(),
        }))
    }

    /// A failure that the machine may be behind, such as a full disk: the hint is then what to do
    /// about that.
    pub(crate) fn caused(
        error: &(dyn Error + 'static),
        place: impl fmt::Display,
        hint: &'static str,
    ) -> Self {
        Self::new(Status::Failed, error, place, hint_about(error, hint))
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(
            Status::Interrupted,
            "interrupted",
            "Ctrl-C",
            "everything that was acknowledged is stored; run the command again to go on",
        )
    }

    pub(crate) fn unknown_space(space_id: &str, place: &str) -> Self {
        Self::new(
            Status::Unknown,
            format_args!("there is no space {space_id:?}"),
            place,
            "`spacefold spaces` lists the spaces",
        )
    }

    /// A space that has no event up to a position.
    pub(crate) fn unknown_space_at(space_id: &str, position: Position) -> Self {
        Self::new(
            Status::Unknown,
            format_args!("there is no space {space_id:?} at position {position}"),
            "as of the position or time asked for",
            format_args!("`spacefold spaces --at {position}` lists the spaces that are there"),
        )
    }

    /// Why there is no state as of a position.
    pub(crate) fn of_state_at(error: SnapshotError, position: Position) -> Self {
        match error {
            SnapshotError::UnknownSpace { space_id } => Self::unknown_space_at(&space_id, position),
            error => error.into(),
        }
    }

    pub(crate) fn beyond_head(asked: Position, head: Position) -> Self {
        Self::new(
            Status::Unknown,
            format_args!("position {asked} is beyond the head of the log"),
            format_args!("the head is {head}"),
            format_args!("name a position from 0 to {head}"),
        )
    }

    /// A command that takes the folder of a store, and was given a server.
    pub(crate) fn through_no_server(command: &str, endpoint: &Endpoint) -> Self {
        Self::new(
            Status::Usage,
            format_args!("`spacefold {command}` goes through no server"),
            endpoint,
            "run it where the store is, with --data DIR",
        )
    }

    /// A failure of our standard output.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::new(
            Status::Failed,
            format_args!("the output cannot be written: {error}"),
            "standard output",
            hint_about(error, "make room where it goes, and run the command again"),
        )
    }

    /// Tells the user, and answers the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Told(told) => {
                told.print();
                ExitCode::from(told.status.code())
            }
        }
    }
}

/// What to do about an error: about what the machine lacks, if that is behind it.
pub(crate) fn hint_about(error: &(dyn Error + 'static), otherwise: &'static str) -> &'static str {
    StorageErrorKind::behind(error).and_then(StorageErrorKind::advice).unwrap_or(otherwise)
}

impl Told {
    fn print(&self) {
        tell(&[&format!("error: {} ({})", self.what, self.place), &format!("hint: {}", self.hint)]);
    }
}

/// Warns where the times of new events say nothing.
pub(crate) fn warn_of_clock(log: &dyn LogReader) -> Result<(), Failure> {
    let Some(ahead) = AheadOfClock::of(log)?.filter(AheadOfClock::is_long) else { return Ok(()) };
    tell(&[
        &format!("warning: {ahead}"),
        "hint: check the system's clock: until it gets there, new events are recorded at the time of \
         the newest one, and --as-of does not tell them apart",
    ]);
    Ok(())
}

/// Warns where an archiver that runs on could make no backup.
pub(crate) fn warn_of_backup(error: &ArchiveError, newest: Option<Timestamp>) {
    let newest = newest.map_or_else(|| "none".to_owned(), |at| format!("made at {at}"));
    tell(&[
        &format!("warning: no backup was made: {error} (the newest: {newest})"),
        &format!("hint: {}", hint_about(error, "it is tried again")),
    ]);
}

/// Warns of something that a command goes on without.
pub(crate) fn warn(what: &str, hint: &str) {
    tell(&[&format!("warning: {what}"), &format!("hint: {hint}")]);
}

/// Warns of what keeps a follower of an archive from going on, for now.
pub(crate) fn warn_of_archive(error: &ArchiveError) {
    tell(&[
        &format!("warning: no backup was taken over: {error}"),
        &format!("hint: {}", hint_about(error, "it is tried again")),
    ]);
}

/// Writes lines for people to standard error.
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
        let failed =
            |what: &dyn fmt::Display, place: &dyn fmt::Display, hint: &dyn fmt::Display| {
                Self::new(Status::Failed, what, place, hint)
            };
        match &error {
            OpenError::NoStore { path } => failed(
                &"there is no store in this folder",
                &path.display(),
                &"name the folder of a store with --data, or make one with `spacefold import FILE` or \
                 `spacefold service create-space`",
            ),
            OpenError::NotAStore { path, what } => failed(
                &format_args!("this is not a store: {what}"),
                &path.display(),
                &"name the folder of a store with --data",
            ),
            OpenError::AlreadyOpen { path, pid } => {
                let holder = match pid {
                    Some(pid) if *pid == process::id() => "this process".to_owned(),
                    Some(pid) => format!("process {pid}"),
                    None => "another process".to_owned(),
                };
                failed(
                    &format_args!("the store is in use by {holder}"),
                    &path.display(),
                    &"one process owns a store at a time: end that one first, or let it answer",
                )
            }
            OpenError::UnknownFormat { path, found, known } => failed(
                &format_args!("the store has format {found}, known is format {known}"),
                &path.display(),
                &"use the version of spacefold that wrote it, or a newer one",
            ),
            OpenError::JournalDamaged { position, file, offset, what } => failed(
                &format_args!("the journal is damaged from position {position} on: {what}"),
                &format_args!("{}, byte {offset}", file.display()),
                &"`spacefold verify` says what is damaged, `verify --heal` mends what it can",
            ),
            OpenError::NoLocks { path, .. } => failed(
                &error,
                &path.display(),
                &"move the store to a file system that has locks, such as a local disk",
            ),
            OpenError::ClockBefore1970 { now } => failed(
                &format_args!("the system's clock is at {now}, before 1970"),
                &"opening the store",
                &"set the clock, then run the command again; nothing was changed",
            ),
            OpenError::PartsDiffer { path, part, what } => failed(
                &format_args!("{part} does not fit the rest of the store: {what}"),
                &path.display(),
                &"put back the part of this store and of this time; nothing was changed",
            ),
            OpenError::ProcessRestartRequired { .. } => {
                failed(&error, &"opening the store", &"run the command again")
            }
            _ => Self::caused(
                &error,
                "opening the store",
                "check the disk and the permissions of the folder, then run the command again",
            ),
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::UnknownSpace { space_id } => {
                Self::unknown_space(&space_id, "as of the position or time asked for")
            }
            SnapshotError::BeyondHead { asked, head } => Self::beyond_head(asked, head),
            SnapshotError::Read(error) => error.into(),
            error => Self::caused(&error, "folding the states of the spaces", VERIFY),
        }
    }
}

/// What to do about damaged content.
pub(crate) const CONTENT_DAMAGED: &str = "`spacefold verify` says what is damaged; \
    `spacefold content put` of the same content mends it";

const VERIFY: &str = "`spacefold verify` says whether the store is damaged";

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            // Only the handler of Ctrl-C closes a store that is being read.
            ReadError::Closed => Self::interrupted(),
            error => Self::caused(&error, "reading the log", VERIFY),
        }
    }
}

impl From<CatchUpError> for Failure {
    fn from(error: CatchUpError) -> Self {
        match error {
            CatchUpError::Read(error) => error.into(),
            CatchUpError::Paused(_) => Self::new(
                Status::Failed,
                &error,
                "folding a projection",
                "`spacefold verify` says whether that event is damaged",
            ),
            error => Self::caused(&error, "folding a projection", VERIFY),
        }
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::UnknownProjection { name, known } => Self::new(
                Status::Usage,
                format_args!("there is no projection {name:?}"),
                format_args!("known: {}", known.join(", ")),
                "name known projections, or none to rebuild all",
            ),
            RebuildError::Cancelled | RebuildError::Read(ReadError::Closed) => Self::new(
                Status::Interrupted,
                "interrupted",
                "Ctrl-C",
                "the old projections are there, whole; run the command again to go on",
            ),
            error => Self::caused(&error, "folding the events", VERIFY),
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::BeyondHead { asked, head } => Self::beyond_head(asked, head),
            SubscribeError::Read(error) => error.into(),
            error => Self::caused(&error, "subscribing to events", VERIFY),
        }
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Read(error) => error.into(),
            _ => Self::interrupted(),
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Closed => Self::interrupted(),
            error => Self::caused(&error, "appending to the log", VERIFY),
        }
    }
}

impl From<ContentError> for Failure {
    fn from(error: ContentError) -> Self {
        let (status, hint) = match &error {
            ContentError::Closed => return Self::interrupted(),
            ContentError::Missing { .. } => {
                (Status::Unknown, "store it with `spacefold content put FILE`")
            }
            ContentError::Damaged { .. } => (Status::Damaged, CONTENT_DAMAGED),
            error => (Status::Failed, hint_about(error, VERIFY)),
        };
        Self::new(status, &error, "the content of the store", hint)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::caused(
            &error,
            "closing the store",
            "nothing acknowledged is lost; the next opening recovers it",
        )
    }
}
