//! What commands on references come to.

use std::collections::BTreeSet;

use spacefold_event_core::{Presence, SpaceEvent};
use spacefold_state::{Reference, SpaceState};

use super::{check_filled, known_document};
use crate::refusal::Refusal;

pub(super) fn add_reference(
    state: &SpaceState,
    document_id: &str,
    target: &str,
    kind: &Presence,
) -> Result<Option<SpaceEvent>, Refusal> {
    check_filled("target", target)?;
    known_document(state, document_id)?;
    let is_known = state.has_reference(document_id, target, kind.as_deref());
    let event = || SpaceEvent::reference_added(state.space_id(), document_id, target, kind.clone());
    Ok((!is_known).then(event))
}

/// The fewest events that make these the references of a document: no event takes one reference away,
/// so where one has to go, all do, and those that stay are added again.
pub(super) fn set_references(
    state: &SpaceState,
    document_id: &str,
    references: &[Reference],
) -> Result<Vec<SpaceEvent>, Refusal> {
    references.iter().try_for_each(|reference| check_filled("target", &reference.target))?;
    known_document(state, document_id)?;
    let wanted: BTreeSet<&Reference> = references.iter().collect();
    let there: BTreeSet<&Reference> = state.references_of(document_id).collect();
    let mut events = Vec::new();
    let clears = !there.is_subset(&wanted);
    if clears {
        events.push(SpaceEvent::reference_cleared(state.space_id(), document_id));
    }
    let mut added = BTreeSet::new();
    for reference in references {
        if (clears || !there.contains(reference)) && added.insert(reference) {
            let kind = reference.kind.as_deref().map_or(Presence::Absent, Presence::from);
            let (space_id, target) = (state.space_id(), reference.target.as_str());
            events.push(SpaceEvent::reference_added(space_id, document_id, target, kind));
        }
    }
    Ok(events)
}

pub(super) fn clear_references(
    state: &SpaceState,
    document_id: &Presence,
) -> Result<Option<SpaceEvent>, Refusal> {
    let id = document_id.as_deref();
    if let Some(id) = id {
        known_document(state, id)?;
    }
    let has_any = state.has_references(id);
    Ok(has_any.then(|| SpaceEvent::reference_cleared(state.space_id(), document_id.clone())))
}
