//! What must hold for commands to happen.

use spacefold_event_core::{
    AppendCondition, EventFilter, EventLog, FailedCondition, Position, ReadError,
};
use spacefold_state::SpaceState;

use crate::known_states::KnownState;

/// What a command is to find as it was: see
/// [`SpaceService::if_unchanged_since`](crate::SpaceService::if_unchanged_since).
///
/// ```
/// use spacefold::command::Scope;
/// assert_eq!(Scope::document("intro"), Scope::Document("intro".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// The space: it has had no event of any kind.
    Space,
    /// A document of the space: it is there, and its
    /// [`updated_position`](spacefold_state::Document::updated_position) is no newer. It was not
    /// added, updated, moved or removed, and its content is the same; its references, renders and
    /// marks do not count.
    Document(String),
}

impl Scope {
    /// The document with this id.
    #[must_use]
    pub fn document(document_id: impl Into<String>) -> Self {
        Self::Document(document_id.into())
    }
}

/// A part of the condition of a command that does not hold, with what was found instead: see
/// [`Refusal::ConditionFailed`](crate::Refusal::ConditionFailed).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailedPrecondition {
    /// A part of what [`SpaceService::only_if`](crate::SpaceService::only_if) was given.
    #[error("{0}")]
    Append(FailedCondition),
    /// The space has changed.
    #[error("the space has changed since position {since}: an event of it is at position {found}")]
    SpaceChanged {
        /// Since when it was to be unchanged.
        since: Position,
        /// Where the first event after that is.
        found: Position,
    },
    /// The document has changed, or is not there.
    #[error("document {document_id:?} {}", changed(*since, *found))]
    DocumentChanged {
        /// The document.
        document_id: String,
        /// Since when it was to be unchanged.
        since: Position,
        /// Where the newest of its events is; `None` when the space has no such document.
        found: Option<Position>,
    },
    /// The log has no event at the position yet, so that nothing can have been read there: it is of
    /// another log, or of this one before it was restored.
    #[error("the log ends at position {head}, before position {since}")]
    NotReached {
        /// Since when something was to be unchanged.
        since: Position,
        /// Where the log ends.
        head: Position,
    },
}

fn changed(since: Position, found: Option<Position>) -> String {
    match found {
        Some(found) => format!("has changed since position {since}, at position {found}"),
        None => format!("is not there: it was to be unchanged since position {since}"),
    }
}

pub(crate) fn joined(failed: &[FailedPrecondition]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What must hold for the commands of a service, beside the rules of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    only_if: AppendCondition,
    unchanged: Vec<(Scope, Position)>,
}

impl Conditions {
    pub(crate) const fn is_none(&self) -> bool {
        self.only_if.is_none() && self.unchanged.is_empty()
    }

    pub(crate) fn and_only_if(mut self, condition: AppendCondition) -> Self {
        self.only_if = self.only_if.and(condition);
        self
    }

    pub(crate) fn and_unchanged_since(mut self, scope: Scope, since: Position) -> Self {
        self.unchanged.push((scope, since));
        self
    }

    /// All that the log can hold commands on a space to; for the rest they are decided at a revision.
    pub(crate) fn of_append(&self, space_id: &str) -> AppendCondition {
        let unchanged = self.unchanged.iter().filter(|(scope, _)| *scope == Scope::Space);
        unchanged.fold(self.only_if.clone(), |condition, (_, since)| {
            condition.and(space_unchanged(space_id, *since))
        })
    }

    /// The parts that do not hold for what the log has taken, whatever the state of the space is.
    pub(crate) fn failed_in_log(
        &self,
        log: &dyn EventLog,
        space_id: &str,
    ) -> Result<Vec<FailedPrecondition>, ReadError> {
        if self.is_none() {
            return Ok(Vec::new());
        }
        let failed = log.failed_parts(&self.only_if)?.into_iter();
        let mut failed: Vec<_> = failed.map(FailedPrecondition::Append).collect();
        for (_, since) in self.unchanged.iter().filter(|(scope, _)| *scope == Scope::Space) {
            let (since, parts) = (*since, log.failed_parts(&space_unchanged(space_id, *since))?);
            failed.extend(parts.into_iter().filter_map(|part| match part {
                FailedCondition::EventMatches { position: found, .. } => {
                    Some(FailedPrecondition::SpaceChanged { since, found })
                }
                _ => None,
            }));
        }
        Ok(failed)
    }

    /// The parts that do not hold in what is known of the space.
    pub(crate) fn failed_in_state(
        &self,
        log: &dyn EventLog,
        known: &KnownState,
    ) -> Vec<FailedPrecondition> {
        if self.unchanged.is_empty() {
            return Vec::new();
        }
        let head = log.head().max(known.position);
        let failed = self.unchanged.iter().filter_map(|(scope, since)| match (scope, *since) {
            (_, since) if since > head => Some(FailedPrecondition::NotReached { since, head }),
            (Scope::Document(id), since) => document_changed(&known.state, id, since),
            (Scope::Space, _) => None,
        });
        failed.collect()
    }
}

fn space_unchanged(space_id: &str, since: Position) -> AppendCondition {
    AppendCondition::no_event_matching(EventFilter::all().spaces([space_id]), since)
}

fn document_changed(
    state: &SpaceState,
    document_id: &str,
    since: Position,
) -> Option<FailedPrecondition> {
    let found = state.document(document_id).map(|document| document.updated_position());
    let is_changed = found.is_none_or(|found| found > since);
    let document_id = document_id.to_owned();
    is_changed.then_some(FailedPrecondition::DocumentChanged { document_id, since, found })
}
