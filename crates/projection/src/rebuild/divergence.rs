//! Where persisted states and a fold part.

use std::collections::BTreeSet;

use serde::Serialize;
use spacefold_event_core::{LogReader, Position, ReadError};
use spacefold_state::{Document, SpaceState};

use crate::replay::replay_space;

/// Where what is persisted and the fold part first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// Of the states of the spaces: the first space, by its id, of which they differ. Of other
    /// projections: the space of the event at the position.
    pub space_id: String,
    /// Of the states of the spaces: the first position from which on the fold has another state there
    /// than the persisted one, that of the event which gave a part that differs its last value.
    /// [`Position::START`] for a persisted space of which the log has no event.
    ///
    /// Of other projections: the first event that did not do the same to the rows; when all did, the
    /// one that gave a row that differs its last value. [`Position::START`] for a row that no event
    /// made.
    pub position: Position,
}

/// At an event.
pub(super) fn at(log: &dyn LogReader, position: Position) -> Result<Divergence, ReadError> {
    let page = log.page_at(position)?;
    let event = page.as_ref().and_then(|page| page.envelopes().next());
    let space_id = event.map(|event| event.space_id.to_owned()).unwrap_or_default();
    Ok(Divergence { space_id, position })
}

/// Where the two states of a space part, which differ.
pub(super) fn of_space(
    log: &dyn LogReader,
    head: Position,
    space_id: &str,
    old: Option<&SpaceState>,
    new: Option<&SpaceState>,
) -> Result<Divergence, ReadError> {
    let position = match (old, new) {
        (_, None) => Position::START,
        (None, Some(_)) => first_position(log, head, space_id)?,
        (Some(old), Some(new)) => parting(log, head, old, new)?,
    };
    Ok(Divergence { space_id: space_id.to_owned(), position })
}

fn first_position(
    log: &dyn LogReader,
    head: Position,
    space_id: &str,
) -> Result<Position, ReadError> {
    let mut first = Position::START;
    replay_space(log, &mut SpaceState::new(space_id), head, |_, event, _| {
        if first == Position::START {
            first = event.position;
        }
    })?;
    Ok(first)
}

/// Replays a space's history: where the old state stopped following it, or else where a part that
/// differs got its last value.
fn parting(
    log: &dyn LogReader,
    head: Position,
    old: &SpaceState,
    new: &SpaceState,
) -> Result<Position, ReadError> {
    let mut parts: Vec<TrackedPart> =
        differing(old, new).into_iter().map(TrackedPart::new).collect();
    let mut stopped_at_old = false;
    let mut after_old = None;
    replay_space(log, &mut SpaceState::new(new.space_id()), head, |state, event, _| {
        if stopped_at_old && after_old.is_none() {
            after_old = Some(event.position);
        }
        if state.revision() == old.revision() && state == old {
            stopped_at_old = true;
        }
        for tracked in &mut parts {
            tracked.follow(state, new, event.position);
        }
    })?;
    let last_set = parts.iter().filter_map(|tracked| tracked.set_at).min();
    Ok(after_old.or(last_set).unwrap_or(Position::START))
}

/// A part of a state that can differ by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StatePart {
    Name,
    Status,
    Revision,
    CreatedAt,
    UpdatedAt,
    Metadata,
    DocumentPath(String),
    DocumentHash(String),
    DocumentAttributes(String),
    DocumentAdded(String),
    DocumentUpdated(String),
    Variable(String),
    References(String),
    Render(Option<String>),
    SyncStatus,
    SyncCompleted,
    Conflict(String),
    Stale(String),
    Anomalies,
}

impl StatePart {
    /// Whether two states agree in this part.
    fn agrees(&self, a: &SpaceState, b: &SpaceState) -> bool {
        match self {
            Self::Name => a.name() == b.name(),
            Self::Status => a.status() == b.status(),
            Self::Revision => a.revision() == b.revision(),
            Self::CreatedAt => a.created_at() == b.created_at(),
            Self::UpdatedAt => a.updated_at() == b.updated_at(),
            Self::Metadata => a.metadata() == b.metadata(),
            Self::DocumentPath(id) => of_document(a, b, id, Document::path),
            Self::DocumentHash(id) => of_document(a, b, id, Document::content_hash),
            Self::DocumentAttributes(id) => of_document(a, b, id, Document::attributes),
            Self::DocumentAdded(id) => of_document(a, b, id, Document::added_position),
            Self::DocumentUpdated(id) => of_document(a, b, id, Document::updated_position),
            Self::Variable(name) => a.variable(name) == b.variable(name),
            Self::References(id) => a.references_of(id).eq(b.references_of(id)),
            Self::Render(id) => a.render(id.as_deref()) == b.render(id.as_deref()),
            Self::SyncStatus => a.sync().status == b.sync().status,
            Self::SyncCompleted => a.sync().last_completed == b.sync().last_completed,
            Self::Conflict(id) => a.conflict(id) == b.conflict(id),
            Self::Stale(id) => a.is_stale(id) == b.is_stale(id),
            Self::Anomalies => a.anomalies() == b.anomalies(),
        }
    }
}

fn of_document<'a, T: PartialEq>(
    a: &'a SpaceState,
    b: &'a SpaceState,
    id: &str,
    field: impl Fn(&'a Document) -> T,
) -> bool {
    a.document(id).map(&field) == b.document(id).map(&field)
}

/// A part that differs, and since when the fold has had its new value without a break.
struct TrackedPart {
    part: StatePart,
    set_at: Option<Position>,
}

impl TrackedPart {
    const fn new(part: StatePart) -> Self {
        Self { part, set_at: None }
    }

    fn follow(&mut self, state: &SpaceState, new: &SpaceState, position: Position) {
        if !self.part.agrees(state, new) {
            self.set_at = None;
        } else if self.set_at.is_none() {
            self.set_at = Some(position);
        }
    }
}

/// Every part in which two states differ.
fn differing(old: &SpaceState, new: &SpaceState) -> Vec<StatePart> {
    let mut parts = vec![
        StatePart::Name,
        StatePart::Status,
        StatePart::Revision,
        StatePart::CreatedAt,
        StatePart::UpdatedAt,
        StatePart::Metadata,
        StatePart::SyncStatus,
        StatePart::SyncCompleted,
        StatePart::Anomalies,
    ];
    let mut documents = BTreeSet::new();
    let mut variables = BTreeSet::new();
    let mut conflicts = BTreeSet::new();
    let mut renders = BTreeSet::new();
    for state in [old, new] {
        documents.extend(state.documents().into_iter().map(|(id, _)| id));
        documents.extend(state.references().into_iter().map(|(id, _)| id));
        documents.extend(state.stale_documents());
        variables.extend(state.variables().into_iter().map(|(name, _)| name));
        conflicts.extend(state.conflicts().into_iter().map(|(id, _)| id));
        renders.extend(state.renders().into_iter().map(|(id, _)| id));
    }
    for id in documents {
        let id = || id.to_owned();
        parts.extend([
            StatePart::DocumentPath(id()),
            StatePart::DocumentHash(id()),
            StatePart::DocumentAttributes(id()),
            StatePart::DocumentAdded(id()),
            StatePart::DocumentUpdated(id()),
            StatePart::References(id()),
            StatePart::Stale(id()),
        ]);
    }
    parts.extend(variables.into_iter().map(|name| StatePart::Variable(name.to_owned())));
    parts.extend(conflicts.into_iter().map(|id| StatePart::Conflict(id.to_owned())));
    parts.extend(renders.into_iter().map(|id| StatePart::Render(id.map(str::to_owned))));
    parts.retain(|part| !part.agrees(old, new));
    parts
}
