//! What changed between two states of a space.

mod change;

use std::collections::BTreeSet;

pub use self::change::{Change, ConflictHashes, DocumentContent, RenderOutcome, SpaceHeader};
use crate::{Document, SpaceState};

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
/// Cost: a walk over both states.
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
    documents(before, after, changes);
    variables(before, after, changes);
    references(before, after, changes);
    renders(before, after, changes);
    let (sync_before, sync_after) = (before.sync().status, after.sync().status);
    if sync_before != sync_after {
        changes.push(Change::SyncChanged { before: sync_before, after: sync_after });
    }
    conflicts(before, after, changes);
    for document_id in after.stale_documents() {
        if !before.is_stale(document_id) {
            let document_id = document_id.to_owned();
            changes.push(Change::MarkedStale { document_id });
        }
    }
    for document_id in before.stale_documents() {
        if !after.is_stale(document_id) {
            let document_id = document_id.to_owned();
            changes.push(Change::UnmarkedStale { document_id });
        }
    }
}

fn content(document: &Document) -> DocumentContent {
    DocumentContent {
        path: document.path.clone(),
        content_hash: document.content_hash.clone(),
        attributes: document.attributes.clone(),
    }
}

fn documents(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    // By id, which is the key of the changes; a state lists its documents by path.
    let ids = |state: &SpaceState| -> Vec<String> {
        let mut ids: Vec<String> =
            state.documents().into_iter().map(|(id, _)| id.to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let ids_after = ids(after);
    for document_id in &ids_after {
        if let (None, Some(document)) = (before.document(document_id), after.document(document_id))
        {
            changes.push(Change::DocumentAdded {
                document_id: document_id.clone(),
                after: content(document),
            });
        }
    }
    for document_id in ids(before) {
        if let (Some(document), None) =
            (before.document(&document_id), after.document(&document_id))
        {
            let before = content(document);
            changes.push(Change::DocumentRemoved { document_id, before });
        }
    }
    let mut content_changes = Vec::new();
    let mut attribute_changes = Vec::new();
    for document_id in ids_after {
        let (Some(old), Some(new)) = (before.document(&document_id), after.document(&document_id))
        else {
            continue;
        };
        if old.path != new.path {
            changes.push(Change::DocumentMoved {
                document_id: document_id.clone(),
                before: old.path.clone(),
                after: new.path.clone(),
            });
        }
        if old.content_hash != new.content_hash {
            content_changes.push(Change::ContentChanged {
                document_id: document_id.clone(),
                before: old.content_hash.clone(),
                after: new.content_hash.clone(),
            });
        }
        if old.attributes != new.attributes {
            attribute_changes.push(Change::AttributesChanged {
                before: old.attributes.clone(),
                after: new.attributes.clone(),
                document_id,
            });
        }
    }
    changes.append(&mut content_changes);
    changes.append(&mut attribute_changes);
}

fn variables(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    for (name, value) in after.variables() {
        let old = before.variable(name);
        if old != Some(value) {
            changes.push(Change::VariableSet {
                name: name.to_owned(),
                before: old.cloned(),
                after: value.clone(),
            });
        }
    }
    for (name, value) in before.variables() {
        if after.variable(name).is_none() {
            changes.push(Change::VariableDeleted { name: name.to_owned(), before: value.clone() });
        }
    }
}

fn references(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    let (old, new) = (before.references(), after.references());
    let old_set: BTreeSet<_> = old.iter().copied().collect();
    let new_set: BTreeSet<_> = new.iter().copied().collect();
    for (document_id, reference) in new {
        if !old_set.contains(&(document_id, reference)) {
            changes.push(Change::ReferenceAdded {
                document_id: document_id.to_owned(),
                reference: reference.clone(),
            });
        }
    }
    for (document_id, reference) in old {
        if !new_set.contains(&(document_id, reference)) {
            changes.push(Change::ReferenceRemoved {
                document_id: document_id.to_owned(),
                reference: reference.clone(),
            });
        }
    }
}

fn renders(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    let keys = |state: &SpaceState| -> BTreeSet<Option<String>> {
        let renders = state.renders().into_iter();
        renders.map(|(id, _)| id.map(str::to_owned)).collect()
    };
    for document_id in &keys(before) | &keys(after) {
        let outcome = |state: &SpaceState| {
            state.render(document_id.as_deref()).map(|r| RenderOutcome {
                status: r.status,
                output_hash: r.output_hash.clone(),
                error: r.error.clone(),
            })
        };
        let (before, after) = (outcome(before), outcome(after));
        if before != after {
            changes.push(Change::RenderChanged { document_id, before, after });
        }
    }
}

fn conflicts(before: &SpaceState, after: &SpaceState, changes: &mut Vec<Change>) {
    let hashes = |state: &SpaceState, document_id: &str| {
        state.conflict(document_id).map(|conflict| ConflictHashes {
            local_hash: conflict.local_hash.clone(),
            remote_hash: conflict.remote_hash.clone(),
        })
    };
    for (document_id, _) in after.conflicts() {
        let old = hashes(before, document_id);
        if let Some(new) = hashes(after, document_id)
            && old.as_ref() != Some(&new)
        {
            changes.push(Change::ConflictOpened {
                document_id: document_id.to_owned(),
                before: old,
                after: new,
            });
        }
    }
    for (document_id, _) in before.conflicts() {
        if after.conflict(document_id).is_none()
            && let Some(old) = hashes(before, document_id)
        {
            changes
                .push(Change::ConflictClosed { document_id: document_id.to_owned(), before: old });
        }
    }
}

#[cfg(test)]
mod tests;
