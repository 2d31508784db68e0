//! What changed between two states of a space.

mod change;

use spacefold_event_core::{RecordedHash, Value};

pub use self::change::{Change, ConflictHashes, DocumentContent, RenderOutcome, SpaceHeader};
use crate::{
    shared_map::Difference,
    space_state::{Conflict, Document, References, Render, SpaceState},
};

/// The changes that lead from one state of a space to another; `None` for a space that does not
/// exist there.
///
/// Sorted by kind, in the order of the contract, then by key; minimal: equal states give none.
/// Applied to `before` they give `after` in name, status, metadata, documents (id, path, hash,
/// attributes), variables, references, renders (status, hash, error), sync status, conflicts
/// (hashes) and stale set. A space that comes to be is a [`Change::SpaceCreated`] with its name,
/// status and metadata, and then whatever else it has; a space that ceases to be is a
/// [`Change::SpaceDeleted`] and nothing else.
///
/// # Cost
/// States of one origin, one of which was folded on from the other, cost in proportion to what the
/// events between them changed, however large the space is. Others cost a walk over both.
#[must_use]
pub fn diff(before: Option<&SpaceState>, after: Option<&SpaceState>) -> Vec<Change> {
    let mut changes = Vec::new();
    match (before, after) {
        (None, None) => {}
        (Some(before), None) => changes.push(Change::SpaceDeleted { before: header(before) }),
        (None, Some(after)) => {
            changes.push(Change::SpaceCreated { after: header(after) });
            contents(&SpaceState::new(after.space_id()), after, &mut changes);
        }
        (Some(before), Some(after)) => {
            headers(before, after, &mut changes);
            contents(before, after, &mut changes);
        }
    }
    changes
}

fn header(state: &SpaceState) -> SpaceHeader {
    SpaceHeader {
        name: state.name().map(str::to_owned),
        status: state.status(),
        metadata: state.metadata().clone(),
    }
}

fn headers(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    if before.status() != after.status() {
        changes.push(Change::StatusChanged { before: before.status(), after: after.status() });
    }
    if before.name() != after.name() {
        changes.push(Change::Renamed {
            before: before.name().map(str::to_owned),
            after: after.name().map(str::to_owned),
        });
    }
    if before.metadata() != after.metadata() {
        changes.push(Change::MetadataChanged {
            before: before.metadata().clone(),
            after: after.metadata().clone(),
        });
    }
}

fn contents(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    let parting = before.parting(after);
    documents(&parting.documents, changes);
    variables(&parting.variables, changes);
    references(&parting.references, changes);
    let space_render =
        Difference { key: "", before: before.render(None), after: after.render(None) };
    changes.extend(render(None, &space_render));
    for difference in &parting.renders {
        changes.extend(render(Some(difference.key), difference));
    }
    let (sync_before, sync_after) = (before.sync().status, after.sync().status);
    if sync_before != sync_after {
        changes.push(Change::SyncChanged { before: sync_before, after: sync_after });
    }
    conflicts(&parting.conflicts, changes);
    stale(&parting.stale, changes);
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn owned_hash(hash: Option<RecordedHash<&str>>) -> Option<RecordedHash> {
    hash.map(|hash| hash.to_owned_hash())
}

fn content(document: &Document) -> DocumentContent {
    DocumentContent {
        path: document.path().to_owned(),
        content_hash: owned_hash(document.content_hash()),
        attributes: document.attributes().clone(),
    }
}

fn documents(differences: &[Difference<'_, Document>], changes: &mut Vec<Change>) {
    let mut removed = Vec::new();
    let mut moved = Vec::new();
    let mut content_changes = Vec::new();
    let mut attribute_changes = Vec::new();
    for difference in differences {
        let document_id = difference.key.to_owned();
        match (difference.before, difference.after) {
            (None, None) => {}
            (None, Some(document)) => {
                changes.push(Change::DocumentAdded { document_id, after: content(document) });
            }
            (Some(document), None) => {
                removed.push(Change::DocumentRemoved { document_id, before: content(document) });
            }
            (Some(old), Some(new)) => {
                if old.path() != new.path() {
                    moved.push(Change::DocumentMoved {
                        document_id: document_id.clone(),
                        before: old.path().to_owned(),
                        after: new.path().to_owned(),
                    });
                }
                if old.content_hash() != new.content_hash() {
                    content_changes.push(Change::ContentChanged {
                        document_id: document_id.clone(),
                        before: owned_hash(old.content_hash()),
                        after: owned_hash(new.content_hash()),
                    });
                }
                if old.attributes() != new.attributes() {
                    attribute_changes.push(Change::AttributesChanged {
                        before: old.attributes().clone(),
                        after: new.attributes().clone(),
                        document_id,
                    });
                }
            }
        }
    }
    for mut kind in [removed, moved, content_changes, attribute_changes] {
        changes.append(&mut kind);
    }
}

fn variables(differences: &[Difference<'_, Value>], changes: &mut Vec<Change>) {
    let mut deleted = Vec::new();
    for difference in differences {
        let name = difference.key.to_owned();
        match (difference.before, difference.after) {
            (before, Some(after)) => changes.push(Change::VariableSet {
                name,
                before: before.cloned(),
                after: after.clone(),
            }),
            (Some(before), None) => {
                deleted.push(Change::VariableDeleted { name, before: before.clone() });
            }
            (None, None) => {}
        }
    }
    changes.append(&mut deleted);
}

fn references(differences: &[Difference<'_, References>], changes: &mut Vec<Change>) {
    let mut removed = Vec::new();
    for difference in differences {
        let (gone, new) = References::parting(difference.before, difference.after);
        changes.extend(new.into_iter().map(|reference| Change::ReferenceAdded {
            document_id: difference.key.to_owned(),
            reference: reference.clone(),
        }));
        removed.extend(gone.into_iter().map(|reference| Change::ReferenceRemoved {
            document_id: difference.key.to_owned(),
            reference: reference.clone(),
        }));
    }
    changes.append(&mut removed);
}

fn render(document_id: Option<&str>, difference: &Difference<'_, Render>) -> Option<Change> {
    let outcome = |render: &Render| RenderOutcome {
        status: render.status(),
        output_hash: owned(render.output_hash()),
        error: owned(render.error()),
    };
    let (before, after) = (difference.before.map(outcome), difference.after.map(outcome));
    let document_id = document_id.map(str::to_owned);
    (before != after).then_some(Change::RenderChanged { document_id, before, after })
}

fn conflicts(differences: &[Difference<'_, Conflict>], changes: &mut Vec<Change>) {
    let hashes = |conflict: &Conflict| ConflictHashes {
        local_hash: owned_hash(conflict.local_hash()),
        remote_hash: owned_hash(conflict.remote_hash()),
    };
    let mut closed = Vec::new();
    for difference in differences {
        let document_id = difference.key.to_owned();
        match (difference.before.map(hashes), difference.after.map(hashes)) {
            (before, Some(after)) if before.as_ref() != Some(&after) => {
                changes.push(Change::ConflictOpened { document_id, before, after });
            }
            (Some(before), None) => closed.push(Change::ConflictClosed { document_id, before }),
            _ => {}
        }
    }
    changes.append(&mut closed);
}

fn stale(differences: &[Difference<'_, ()>], changes: &mut Vec<Change>) {
    let id = |difference: &Difference<'_, ()>| difference.key.to_owned();
    let marked = differences.iter().filter(|difference| difference.after.is_some());
    changes.extend(marked.map(|difference| Change::MarkedStale { document_id: id(difference) }));
    let unmarked = differences.iter().filter(|difference| difference.after.is_none());
    changes
        .extend(unmarked.map(|difference| Change::UnmarkedStale { document_id: id(difference) }));
}

#[cfg(test)]
mod tests;
