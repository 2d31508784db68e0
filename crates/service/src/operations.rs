//! The operations, as one table: each is a method of the service and of a batch.

use spacefold_event_core::{Object, Position, Presence, Value};
use spacefold_state::Reference;

use crate::{
    command::Command,
    command_error::CommandError,
    outcome::Outcome,
    space_service::{Batch, SpaceService},
};

/// Makes the two methods of each operation: its name, its arguments, and the command that they make.
macro_rules! operations {
    ($(
        $(#[$doc:meta])*
        $name:ident( $($argument:ident : $type:ty),* ) => $command:expr;
    )*) => {
        /// One method per operation on a space.
        ///
        /// # Durability
        /// As an append to the log: when a method answers, its event is on disk, unless the log is
        /// opened otherwise.
        ///
        /// # Errors
        /// Each gives [`CommandError::Refused`] when the operation does not fit the state of the
        /// space, and the other variants of [`CommandError`] when it could not be decided or
        /// recorded.
        impl SpaceService {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`CommandError`]; see there what is known to be stored.
                pub fn $name(
                    &self,
                    space_id: &str,
                    $($argument: $type),*
                ) -> Result<Outcome, CommandError> {
                    self.execute(space_id, $command)
                }
            )*
        }

        /// One method per operation: it adds the command to the batch.
        impl Batch {
            $(
                $(#[$doc])*
                pub fn $name(self, $($argument: $type),*) -> Self {
                    self.then($command)
                }
            )*
        }
    };
}

operations! {
    /// Creates a space, or creates it again after it was deleted.
    create_space(name: impl Into<String>) => Command::CreateSpace { name: name.into() };
    /// Merges changes into the metadata of a space: top-level keys are replaced, null removes, a
    /// string `name` also renames.
    update_space(changes: Object) => Command::UpdateSpace { changes };
    /// Renames a space.
    rename_space(name: impl Into<String>) => Command::RenameSpace { name: name.into() };
    /// Makes a space active, which may have been archived.
    activate_space() => Command::ActivateSpace;
    /// Archives a space: until it is activated again, only renders and synchronisations that were
    /// under way change it.
    archive_space() => Command::ArchiveSpace;
    /// Deletes a space and all that it holds; its history stays.
    delete_space() => Command::DeleteSpace;
    /// Adds a document without content, at a path where none is.
    add_document(document_id: impl Into<String>, path: impl Into<String>)
        => Command::AddDocument { document_id: document_id.into(), path: path.into() };
    /// Merges changes into the attributes of a document: top-level keys are replaced, null removes.
    update_document(document_id: impl Into<String>, changes: Object)
        => Command::UpdateDocument { document_id: document_id.into(), changes };
    /// Moves a document to a path where none is.
    move_document(document_id: impl Into<String>, new_path: impl Into<String>)
        => Command::MoveDocument { document_id: document_id.into(), new_path: new_path.into() };
    /// Removes a document, with its references and render state.
    remove_document(document_id: impl Into<String>)
        => Command::RemoveDocument { document_id: document_id.into() };
    /// Gives a document the content with this hash, whose bytes are kept elsewhere; nothing is
    /// emitted when that is its hash already.
    set_content_hash(document_id: impl Into<String>, hash: impl Into<String>)
        => Command::SetContentHash { document_id: document_id.into(), hash: hash.into() };
    /// Sets a variable to a JSON value.
    set_variable(name: impl Into<String>, value: impl Into<Value>)
        => Command::SetVariable { name: name.into(), value: value.into() };
    /// Deletes a variable.
    delete_variable(name: impl Into<String>) => Command::DeleteVariable { name: name.into() };
    /// Adds a reference to a document.
    add_reference(
        document_id: impl Into<String>,
        target: impl Into<String>,
        kind: impl Into<Presence>
    ) => Command::AddReference {
        document_id: document_id.into(),
        target: target.into(),
        kind: kind.into(),
    };
    /// Makes these the references of a document, by the fewest events that do: what is named and there
    /// already is left alone, and nothing is emitted when that is all. A reference is a target, or a
    /// target and a kind.
    ///
    /// No event takes a single reference away: when one has to go, all are cleared, and those named are
    /// added again, in one append. To leave none there is `clear_references`.
    set_references(
        document_id: impl Into<String>,
        references: impl IntoIterator<Item = impl Into<Reference>>
    ) => Command::SetReferences {
        document_id: document_id.into(),
        references: references.into_iter().map(Into::into).collect(),
    };
    /// Clears the references of a document; without one, all of the space's.
    clear_references(document_id: impl Into<Presence>)
        => Command::ClearReferences { document_id: document_id.into() };
    /// Says that the render of a document began; without one, of the space.
    start_render(document_id: impl Into<Presence>)
        => Command::StartRender { document_id: document_id.into() };
    /// Says that the running render of a document ended well; without one, of the space.
    complete_render(document_id: impl Into<Presence>, output_hash: impl Into<Presence>)
        => Command::CompleteRender {
            document_id: document_id.into(),
            output_hash: output_hash.into(),
            started: None,
        };
    /// Says that the running render of a document failed; without one, of the space.
    fail_render(document_id: impl Into<Presence>, error: impl Into<Presence>)
        => Command::FailRender {
            document_id: document_id.into(),
            error: error.into(),
            started: None,
        };
    /// Ends the render of a document that started there and whose process is gone, and says that
    /// another one began in its place; without a document, of the space. See
    /// [`SpaceService::take_over`], which gives a guard.
    take_over_render(document_id: impl Into<Presence>, started: Position)
        => Command::TakeOverRender { document_id: document_id.into(), started };
    /// Says that a synchronisation began; it closes all open conflicts.
    start_sync(direction: impl Into<Presence>)
        => Command::StartSync { direction: direction.into() };
    /// Says that another synchronisation began in place of the one that started there and whose process
    /// is gone; it closes all open conflicts. `started` is what
    /// [`OpenProblems`](spacefold_projection::OpenProblems) lists and a refusal to start another one
    /// says: of several who find the same one given up one takes it over, and the others are refused by
    /// [`Refusal::SyncSuperseded`](crate::Refusal::SyncSuperseded). Who may be taken over, says with its
    /// commands which one it is: [`Command::CompleteSync`], [`Command::RecordConflict`].
    take_over_sync(direction: impl Into<Presence>, started: Position)
        => Command::TakeOverSync { direction: direction.into(), started };
    /// Says that the running synchronisation ended; open conflicts stay open.
    complete_sync() => Command::CompleteSync { started: None };
    /// Records that the running synchronisation found a document, known here or not, that differs
    /// at the other side.
    record_conflict(
        document_id: impl Into<String>,
        local_hash: impl Into<Presence>,
        remote_hash: impl Into<Presence>
    ) => Command::RecordConflict {
        document_id: document_id.into(),
        local_hash: local_hash.into(),
        remote_hash: remote_hash.into(),
        started: None,
    };
    /// Closes the open conflict of a document by the hash of the content that it is to have: the
    /// local one, the remote one or another. It is emitted even when that is its hash already,
    /// since the event is what closes the conflict. Removing the document and the start of another
    /// synchronisation close it too.
    resolve_conflict(document_id: impl Into<String>, hash: impl Into<String>)
        => Command::ResolveConflict { document_id: document_id.into(), hash: hash.into() };
    /// Marks documents stale: what was derived from them is out of date.
    invalidate_cache(
        document_ids: impl IntoIterator<Item = impl AsRef<str>>,
        reason: impl Into<Presence>
    ) => Command::InvalidateCache {
        document_ids: document_ids.into_iter().map(|id| id.as_ref().to_owned()).collect(),
        reason: reason.into(),
    };
}
