//! Which documents each space has, and which spaces are deleted, by the rules of the fold of
//! [`SpaceState`](crate::SpaceState): a projection that keeps it beside its own rows ignores what
//! that fold ignores.

use spacefold_event_core::{EventType, RecordedEventRef};

use crate::table::{OwnedRow, RowKey, Table, TableError};

/// First byte of the row of a known document.
const DOCUMENT: u8 = b'd';
/// First byte of the row of a deleted space.
const DELETED: u8 = b'x';

/// The key of a known document.
pub(super) fn document(space_id: &str, document_id: &str) -> RowKey {
    documents(space_id).text(document_id)
}

/// What the keys of all known documents of a space begin with.
pub(super) fn documents(space_id: &str) -> RowKey {
    RowKey::new(DOCUMENT).text(space_id)
}

/// Whether an event finds its space deleted, and so does nothing; one that creates the space anew
/// does, and from then on the space is not deleted.
pub(super) fn is_ignored(
    event: &RecordedEventRef<'_>,
    table: &mut Table<'_>,
) -> Result<bool, TableError> {
    let deleted = deleted(event.space_id);
    if table.get(&deleted)?.is_none() {
        return Ok(false);
    }
    if event.event_type == EventType::SpaceCreated {
        table.remove(&deleted)?;
        return Ok(false);
    }
    Ok(true)
}

/// Notes that a space is deleted.
pub(super) fn delete(space_id: &str, table: &mut Table<'_>) -> Result<(), TableError> {
    table.put(deleted(space_id), b"")
}

/// Removes every row whose key begins with `prefix`, and answers them.
pub(super) fn take_all(
    prefix: &RowKey,
    table: &mut Table<'_>,
) -> Result<Vec<OwnedRow>, TableError> {
    let rows = table.scan(prefix)?.collect::<Result<Vec<_>, _>>()?;
    for (key, _) in &rows {
        table.remove(key)?;
    }
    Ok(rows)
}

/// Removes a row, if it is there: a row that is not there costs nothing then.
pub(super) fn take(key: &RowKey, table: &mut Table<'_>) -> Result<(), TableError> {
    match table.get(key)? {
        Some(_) => table.remove(key),
        None => Ok(()),
    }
}

fn deleted(space_id: &str) -> RowKey {
    RowKey::new(DELETED).text(space_id)
}
