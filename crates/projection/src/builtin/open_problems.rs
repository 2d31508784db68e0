//! What is to be looked after, across all spaces.

use std::fmt;

use spacefold_event_core::{
    EventType, EventTypes, Payload, Position, RecordedEventRef, Timestamp,
    bytes::{ByteReader, put_optional_text, put_u64},
};
use spacefold_state::Effect;

use super::{take, take_all};
use crate::{
    apply_context::ApplyContext,
    apply_error::ApplyError,
    projection::Projection,
    projections::{CatchUpError, ProjectionHandle},
    table::{RowKey, RowKeyReader, Table, TableError, TableView},
};

/// First byte of a row: its key goes on with the space, the group of kinds, and the document.
///
/// A row is a problem. One of a group of documents without a document is none, and has no value: it
/// says that there has been a problem of the group since they were all closed last. Without it none is
/// open, which an event that closes all of them need not look for then.
const PROBLEM: u8 = b'p';

/// The projection that knows what is to be looked after: failed renders, open sync conflicts, stale
/// documents, and renders and synchronisations that run, of all spaces, and since when.
///
/// A problem is open exactly while the state of its space has it. So is a render that is well under
/// way: the log cannot tell it from one whose process is gone, and a fold that asked the clock would
/// fold the same events to different rows. It is listed with its start, and a reader of the list
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

    /// Kinds of which a document has one at most share a row.
    const fn group(self) -> Group {
        match self {
            Self::FailedRender | Self::RunningRender => Group::Render,
            Self::SyncConflict => Group::Conflict,
            Self::StaleDocument => Group::Stale,
            Self::RunningSync => Group::Sync,
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

#[derive(Clone, Copy)]
enum Group {
    Render = 1,
    Conflict = 2,
    Stale = 3,
    Sync = 4,
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
            if value.is_empty() {
                continue;
            }
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
        3
    }

    fn event_types(&self) -> EventTypes {
        [
            EventType::SpaceDeleted,
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

    fn uses_effects(&self) -> bool {
        true
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let effect = context.effect()?;
        if !effect.is_ignored() {
            apply(event, effect, table)?;
        }
        Ok(())
    }
}

/// What an event does that is not ignored.
fn apply(
    event: &RecordedEventRef<'_>,
    effect: &Effect,
    table: &mut Table<'_>,
) -> Result<(), TableError> {
    use ProblemKind::{FailedRender, RunningRender, RunningSync, StaleDocument, SyncConflict};

    let space = event.space_id;
    match &event.payload {
        Payload::SpaceDeleted { .. } => {
            take_all(&problems(space), table)?;
        }
        Payload::DocumentRemoved { document_id, .. } => {
            for group in [Group::Render, Group::Conflict, Group::Stale] {
                take(&problem(space, group, Some(document_id)), table)?;
            }
        }
        Payload::DocumentContentChanged { document_id, .. } => {
            take(&problem(space, Group::Conflict, Some(document_id)), table)?;
        }
        Payload::RenderStarted { document_id, .. } => {
            open(RunningRender, document_id.as_deref(), event, [None, None], table)?;
        }
        Payload::RenderFailed { document_id, error, .. } => {
            report(FailedRender, document_id.as_deref(), event, [error.as_deref(), None], table)?;
        }
        Payload::RenderCompleted { document_id, .. } => {
            let document_id = document_id.as_deref();
            take(&problem(space, Group::Render, document_id), table)?;
            match document_id {
                Some(_) => drop(take(&problem(space, Group::Stale, document_id), table)?),
                None => take_group(space, Group::Stale, table)?,
            }
        }
        Payload::SyncStarted { direction, .. } => {
            take_group(space, Group::Conflict, table)?;
            open(RunningSync, None, event, [direction.as_deref(), None], table)?;
        }
        Payload::SyncCompleted { .. } => {
            take(&problem(space, Group::Sync, None), table)?;
        }
        Payload::SyncConflict { document_id, local_hash, remote_hash, .. } => {
            let hashes = [local_hash.as_deref(), remote_hash.as_deref()];
            mark(space, Group::Conflict, table)?;
            report(SyncConflict, Some(document_id), event, hashes, table)?;
        }
        Payload::CacheInvalidated { document_ids, reason, .. } => {
            if !document_ids.is_empty() {
                mark(space, Group::Stale, table)?;
            }
            let taken = document_ids.iter().enumerate().filter(|(place, _)| effect.takes(*place));
            for (_, document_id) in taken {
                report(StaleDocument, Some(document_id), event, [reason.as_deref(), None], table)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Notes that there has been a problem of a group of documents since they were all closed last.
fn mark(space_id: &str, group: Group, table: &mut Table<'_>) -> Result<(), TableError> {
    let mark = problem(space_id, group, None);
    match table.get(&mark)? {
        Some(_) => Ok(()),
        None => table.put(mark, b""),
    }
}

/// Closes all problems of a group of documents.
fn take_group(space_id: &str, group: Group, table: &mut Table<'_>) -> Result<(), TableError> {
    if table.get(problem(space_id, group, None))?.is_some() {
        take_all(&of_group(space_id, group), table)?;
    }
    Ok(())
}

/// Opens a problem, in place of one of its group that may be open.
fn open(
    kind: ProblemKind,
    document_id: Option<&str>,
    event: &RecordedEventRef<'_>,
    texts: [Option<&str>; 2],
    table: &mut Table<'_>,
) -> Result<(), TableError> {
    let (since, since_time) = (event.position, event.recorded_at);
    let row = ProblemRow { kind, since, since_time, reported: since, source: event.source, texts };
    table.put(problem(event.space_id, kind.group(), document_id), row.encode())
}

/// Opens a problem, in place of another one of its group, or reports an open one again.
fn report(
    kind: ProblemKind,
    document_id: Option<&str>,
    event: &RecordedEventRef<'_>,
    texts: [Option<&str>; 2],
    table: &mut Table<'_>,
) -> Result<(), TableError> {
    let key = problem(event.space_id, kind.group(), document_id);
    let (mut since, mut since_time) = (event.position, event.recorded_at);
    if let Some(known) = table.get(&key)? {
        let known = ProblemRow::decode(&known).ok_or_else(damaged)?;
        if known.kind == kind {
            (since, since_time) = (known.since, known.since_time);
        }
    }
    let reported = event.position;
    let row = ProblemRow { kind, since, since_time, reported, source: event.source, texts };
    table.put(key, row.encode())
}

struct ProblemRow<'a> {
    kind: ProblemKind,
    since: Position,
    since_time: Timestamp,
    reported: Position,
    source: Option<&'a str>,
    texts: [Option<&'a str>; 2],
}

impl<'a> ProblemRow<'a> {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(self.kind.code());
        put_u64(&mut bytes, self.since.get());
        bytes.extend_from_slice(&self.since_time.as_micros().to_le_bytes());
        put_u64(&mut bytes, self.reported.get());
        put_optional_text(&mut bytes, self.source);
        self.texts.iter().for_each(|text| put_optional_text(&mut bytes, *text));
        bytes
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = ByteReader::new(bytes);
        let code = reader.u8()?;
        let kind = ProblemKind::ALL.into_iter().find(|kind| kind.code() == code)?;
        let since = Position::new(reader.u64()?);
        let since_time = Timestamp::from_micros(reader.i64()?)?;
        let reported = Position::new(reader.u64()?);
        let source = reader.optional_text()?;
        let texts = [reader.optional_text()?, reader.optional_text()?];
        reader.end(Self { kind, since, since_time, reported, source, texts })
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<OpenProblem> {
    let mut parts = RowKeyReader::new(key);
    let space_id = parts.text()?;
    let _group = parts.byte()?;
    let document_id = match parts.byte()? {
        0 => None,
        _ => Some(parts.text()?),
    };
    let ProblemRow { kind, since, since_time, reported, source, texts: [one, other] } =
        ProblemRow::decode(value)?;
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

fn problems(space_id: &str) -> RowKey {
    RowKey::new(PROBLEM).text(space_id)
}

fn of_group(space_id: &str, group: Group) -> RowKey {
    problems(space_id).byte(group as u8)
}

fn problem(space_id: &str, group: Group, document_id: Option<&str>) -> RowKey {
    let key = of_group(space_id, group);
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
