//! What is to be looked after, across all spaces.

use std::fmt;

use spacefold_event_core::{
    EventType, EventTypes, Payload, Position, RecordedEventRef, Timestamp,
    bytes::{ByteReader, put_optional_text, put_u64},
};

use super::known_documents::{delete, document, documents, is_ignored, take, take_all};
use crate::{
    projection::{ApplyError, Projection},
    projections::{CatchUpError, ProjectionHandle},
    table::{RowKey, RowKeyReader, Table, TableError, TableView},
};

/// First byte of the row of a problem: its key goes on with the space, the kind, and the document.
const PROBLEM: u8 = b'p';
/// First byte of the row of a space in which a conflict was opened since a synchronisation last began.
/// Without it none is open, which most events need not look for then.
const CONFLICTED: u8 = b'c';

/// The projection that knows what is to be looked after: failed renders, open sync conflicts, stale
/// documents, and renders and synchronisations that run, of all spaces, and since when.
///
/// A problem is open exactly while the state of its space has it. So is a render that is well under
/// way: the log cannot tell it from one whose process is gone, and a fold that asked the clock would
/// fold the same events to different rows. It is listed with its start, and whoever reads the list
/// decides how old is too old. A render that is given up is ended or taken over by a command.
#[derive(Clone, Copy, Debug)]
pub struct OpenProblems;

/// Something that is to be looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenProblem {
    /// The space.
    pub space_id: String,
    /// The document; `None` for a render of the space itself, and for a synchronisation.
    pub document_id: Option<String>,
    /// The position since which it has been open without a break. Of a render or synchronisation that
    /// runs, where its start stands: one that was started while another ran is another problem.
    pub since: Position,
    /// When the event there was recorded.
    pub since_time: Timestamp,
    /// The position of the event that reported it last.
    pub reported: Position,
    /// Who recorded that event, if it says so: of a render that runs, who started it.
    pub source: Option<String>,
    /// What it is.
    pub detail: ProblemDetail,
}

/// What a problem is, as it was reported last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemDetail {
    /// The last render failed.
    FailedRender {
        /// What went wrong.
        error: Option<String>,
    },
    /// A document differs here and at the other side.
    SyncConflict {
        /// The content hash here.
        local_hash: Option<String>,
        /// The content hash there.
        remote_hash: Option<String>,
    },
    /// A document is marked stale: what was derived from it is out of date.
    StaleDocument {
        /// Why.
        reason: Option<String>,
    },
    /// A render was started and has not ended.
    RunningRender,
    /// A synchronisation was started and has not ended.
    RunningSync {
        /// Which way.
        direction: Option<String>,
    },
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The last render failed.
    FailedRender,
    /// A document differs here and at the other side.
    SyncConflict,
    /// A document is marked stale: what was derived from it is out of date.
    StaleDocument,
    /// A render was started and has not ended.
    RunningRender,
    /// A synchronisation was started and has not ended.
    RunningSync,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::FailedRender,
        Self::SyncConflict,
        Self::StaleDocument,
        Self::RunningRender,
        Self::RunningSync,
    ];

    /// The name in the text formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailedRender => "failed_render",
            Self::SyncConflict => "sync_conflict",
            Self::StaleDocument => "stale_document",
            Self::RunningRender => "running_render",
            Self::RunningSync => "running_sync",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::FailedRender => 1,
            Self::SyncConflict => 2,
            Self::StaleDocument => 3,
            Self::RunningRender => 4,
            Self::RunningSync => 5,
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl OpenProblem {
    /// Of what kind it is.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.detail.kind()
    }
}

impl ProblemDetail {
    /// Of what kind it is.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        match self {
            Self::FailedRender { .. } => ProblemKind::FailedRender,
            Self::SyncConflict { .. } => ProblemKind::SyncConflict,
            Self::StaleDocument { .. } => ProblemKind::StaleDocument,
            Self::RunningRender => ProblemKind::RunningRender,
            Self::RunningSync { .. } => ProblemKind::RunningSync,
        }
    }
}

/// Which problems one is interested in: all, unless told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProblemFilter {
    /// Only those of this space.
    pub space_id: Option<String>,
    /// Only those of this kind.
    pub kind: Option<ProblemKind>,
}

impl OpenProblems {
    /// The name of the projection.
    pub const NAME: &'static str = "open-problems";

    /// The problems that are open and pass, by space, kind and document, the space itself first.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn problems(
        view: &TableView<'_>,
        filter: &ProblemFilter,
    ) -> Result<Vec<OpenProblem>, TableError> {
        let prefix = match &filter.space_id {
            Some(space_id) => problems(space_id),
            None => RowKey::new(PROBLEM),
        };
        let mut found = Vec::new();
        for row in view.scan(prefix)? {
            let (key, value) = row?;
            let problem = decode(&key, &value).ok_or_else(damaged)?;
            if filter.kind.is_none_or(|kind| kind == problem.kind()) {
                found.push(problem);
            }
        }
        found.sort_by(|a, b| {
            let spaces = a.space_id.cmp(&b.space_id);
            let kinds = spaces.then_with(|| a.kind().cmp(&b.kind()));
            kinds.then_with(|| a.document_id.cmp(&b.document_id))
        });
        Ok(found)
    }
}

impl ProjectionHandle<OpenProblems> {
    /// As [`OpenProblems::problems`].
    ///
    /// # Errors
    /// [`CatchUpError::Table`].
    pub fn problems(&self, filter: &ProblemFilter) -> Result<Vec<OpenProblem>, CatchUpError> {
        self.read(|view| OpenProblems::problems(view, filter))
    }
}

impl Projection for OpenProblems {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn event_types(&self) -> EventTypes {
        [
            EventType::SpaceCreated,
            EventType::SpaceDeleted,
            EventType::DocumentAdded,
            EventType::DocumentRemoved,
            EventType::DocumentContentChanged,
            EventType::RenderStarted,
            EventType::RenderCompleted,
            EventType::RenderFailed,
            EventType::SyncStarted,
            EventType::SyncCompleted,
            EventType::SyncConflict,
            EventType::CacheInvalidated,
        ]
        .into_iter()
        .collect()
    }

    fn apply(&self, event: &RecordedEventRef<'_>, table: &mut Table<'_>) -> Result<(), ApplyError> {
        if !is_ignored(event, table)? {
            apply(event, table)?;
        }
        Ok(())
    }
}

fn apply(event: &RecordedEventRef<'_>, table: &mut Table<'_>) -> Result<(), TableError> {
    use ProblemKind::{RunningSync, StaleDocument, SyncConflict};

    let space = event.space_id;
    match &event.payload {
        Payload::SpaceDeleted { .. } => {
            take_all(&documents(space), table)?;
            take_all(&problems(space), table)?;
            take(&conflicted(space), table)?;
            delete(space, table)
        }
        Payload::DocumentAdded { document_id, .. } => {
            let key = document(space, document_id);
            if table.get(&key)?.is_none() {
                table.put(&key, b"")?;
            }
            Ok(())
        }
        Payload::DocumentRemoved { document_id, .. } => {
            let key = document(space, document_id);
            if table.get(&key)?.is_none() {
                return Ok(());
            }
            table.remove(&key)?;
            ProblemKind::ALL
                .into_iter()
                .try_for_each(|kind| take(&problem(space, kind, Some(document_id)), table))
        }
        Payload::DocumentContentChanged { document_id, .. } => {
            if table.get(conflicted(space))?.is_some() && knows(space, Some(document_id), table)? {
                take(&problem(space, SyncConflict, Some(document_id)), table)?;
            }
            Ok(())
        }
        Payload::RenderStarted { document_id, .. }
        | Payload::RenderCompleted { document_id, .. }
        | Payload::RenderFailed { document_id, .. } => {
            apply_render(event, document_id.as_deref(), table)
        }
        Payload::SyncStarted { direction, .. } => {
            if table.get(conflicted(space))?.is_some() {
                take_all(&of_kind(space, SyncConflict), table)?;
                table.remove(conflicted(space))?;
            }
            open(&problem(space, RunningSync, None), event, [direction.as_deref(), None], table)
        }
        Payload::SyncCompleted { .. } => take(&problem(space, RunningSync, None), table),
        Payload::SyncConflict { document_id, local_hash, remote_hash, .. } => {
            let hashes = [local_hash.as_deref(), remote_hash.as_deref()];
            if table.get(conflicted(space))?.is_none() {
                table.put(conflicted(space), b"")?;
            }
            report(&problem(space, SyncConflict, Some(document_id)), event, hashes, table)
        }
        Payload::CacheInvalidated { document_ids, reason, .. } => {
            let reason = reason.as_deref();
            for document_id in document_ids {
                let key = problem(space, StaleDocument, Some(document_id));
                if knows(space, Some(document_id), table)? {
                    report(&key, event, [reason, None], table)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a render event of a document, or of the space, does.
fn apply_render(
    event: &RecordedEventRef<'_>,
    document_id: Option<&str>,
    table: &mut Table<'_>,
) -> Result<(), TableError> {
    use ProblemKind::{FailedRender, RunningRender, StaleDocument};

    let space = event.space_id;
    if !knows(space, document_id, table)? {
        return Ok(());
    }
    let running = problem(space, RunningRender, document_id);
    let failed = problem(space, FailedRender, document_id);
    match &event.payload {
        Payload::RenderStarted { .. } => {
            take(&failed, table)?;
            open(&running, event, [None, None], table)
        }
        Payload::RenderFailed { error, .. } => {
            take(&running, table)?;
            report(&failed, event, [error.as_deref(), None], table)
        }
        _ => {
            take(&running, table)?;
            take(&failed, table)?;
            match document_id {
                Some(_) => take(&problem(space, StaleDocument, document_id), table),
                None => take_all(&of_kind(space, StaleDocument), table).map(drop),
            }
        }
    }
}

/// Whether the fold of the space's state knows the document; there is always the space itself.
fn knows(space_id: &str, document_id: Option<&str>, table: &Table<'_>) -> Result<bool, TableError> {
    match document_id {
        Some(document_id) => Ok(table.get(document(space_id, document_id))?.is_some()),
        None => Ok(true),
    }
}

/// Opens a problem, in place of one that may be open.
fn open(
    key: &RowKey,
    event: &RecordedEventRef<'_>,
    texts: [Option<&str>; 2],
    table: &mut Table<'_>,
) -> Result<(), TableError> {
    let (since, since_time) = (event.position, event.recorded_at);
    let row = Row { since, since_time, reported: since, source: event.source, texts };
    table.put(key, row.encode())
}

/// Opens a problem, or reports an open one again.
fn report(
    key: &RowKey,
    event: &RecordedEventRef<'_>,
    texts: [Option<&str>; 2],
    table: &mut Table<'_>,
) -> Result<(), TableError> {
    let is_open = table.get(key)?;
    let is_open = is_open.map(|row| Row::decode(&row).map(|row| (row.since, row.since_time)));
    let is_open = is_open.map(|row| row.ok_or_else(damaged)).transpose()?;
    let (since, since_time) = is_open.unwrap_or((event.position, event.recorded_at));
    let row = Row { since, since_time, reported: event.position, source: event.source, texts };
    table.put(key, row.encode())
}

struct Row<'a> {
    since: Position,
    since_time: Timestamp,
    reported: Position,
    source: Option<&'a str>,
    texts: [Option<&'a str>; 2],
}

impl<'a> Row<'a> {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, self.since.get());
        bytes.extend_from_slice(&self.since_time.as_micros().to_le_bytes());
        put_u64(&mut bytes, self.reported.get());
        put_optional_text(&mut bytes, self.source);
        self.texts.iter().for_each(|text| put_optional_text(&mut bytes, *text));
        bytes
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = ByteReader::new(bytes);
        let since = Position::new(reader.u64()?);
        let since_time = Timestamp::from_micros(reader.i64()?)?;
        let reported = Position::new(reader.u64()?);
        let source = reader.optional_text()?;
        let texts = [reader.optional_text()?, reader.optional_text()?];
        reader.end(Self { since, since_time, reported, source, texts })
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<OpenProblem> {
    let mut parts = RowKeyReader::new(key);
    let space_id = parts.text()?;
    let code = parts.byte()?;
    let kind = ProblemKind::ALL.into_iter().find(|kind| kind.code() == code)?;
    let document_id = match parts.byte()? {
        0 => None,
        _ => Some(parts.text()?),
    };
    let Row { since, since_time, reported, source, texts: [one, other] } = Row::decode(value)?;
    let source = source.map(str::to_owned);
    let (one, other) = (one.map(str::to_owned), other.map(str::to_owned));
    let detail = match kind {
        ProblemKind::FailedRender => ProblemDetail::FailedRender { error: one },
        ProblemKind::SyncConflict => {
            ProblemDetail::SyncConflict { local_hash: one, remote_hash: other }
        }
        ProblemKind::StaleDocument => ProblemDetail::StaleDocument { reason: one },
        ProblemKind::RunningRender => ProblemDetail::RunningRender,
        ProblemKind::RunningSync => ProblemDetail::RunningSync { direction: one },
    };
    Some(OpenProblem { space_id, document_id, since, since_time, reported, source, detail })
}

fn conflicted(space_id: &str) -> RowKey {
    RowKey::new(CONFLICTED).text(space_id)
}

fn problems(space_id: &str) -> RowKey {
    RowKey::new(PROBLEM).text(space_id)
}

fn of_kind(space_id: &str, kind: ProblemKind) -> RowKey {
    problems(space_id).byte(kind.code())
}

fn problem(space_id: &str, kind: ProblemKind, document_id: Option<&str>) -> RowKey {
    let key = of_kind(space_id, kind);
    match document_id {
        Some(document_id) => key.byte(1).text(document_id),
        None => key.byte(0),
    }
}

fn damaged() -> TableError {
    TableError::damaged("the row of a problem does not decode")
}

#[cfg(test)]
mod tests;
