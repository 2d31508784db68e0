//! The operations, as one table: each is a command, a method of the service and one of a batch, and
//! what a server or a command line offers. The first paragraph of its documentation is what people
//! read there, without links.

/// Hands the table to a macro: of each operation the name of its methods, the name of its command, and its
/// fields, each with the type of the argument that it is made of and, where that does not become
/// the field by `into`, with how it does. A field without an argument is `None` in what the methods make.
macro_rules! operations {
    ($make:ident) => {
        $make! {
            /// Creates a space, or creates it again after it was deleted: `space.created`.
            create_space => CreateSpace {
                /// Its name.
                name: String = impl Into<String>,
            };
            /// Merges changes into the metadata of a space: `space.updated`.
            update_space => UpdateSpace {
                /// Top-level keys to replace; null removes; a string `name` also renames.
                changes: Object = Object,
            };
            /// Renames a space: `space.updated` with the name.
            rename_space => RenameSpace {
                /// Its new name.
                name: String = impl Into<String>,
            };
            /// Makes a space active, which may have been archived: `space.activated`.
            activate_space => ActivateSpace;
            /// Archives a space: `space.archived`. Until it is activated again, only renders and
            /// synchronisations that were under way change it.
            archive_space => ArchiveSpace;
            /// Deletes a space and all that it holds: `space.deleted` with the name that it had. Its
            /// history stays.
            delete_space => DeleteSpace;
            /// Adds a document without content, at a path where none is: `document.added`.
            add_document => AddDocument {
                /// Its id.
                document_id: String = impl Into<String>,
                /// Its path.
                path: String = impl Into<String>,
            };
            /// Merges changes into the attributes of a document: `document.updated`.
            update_document => UpdateDocument {
                /// Which document.
                document_id: String = impl Into<String>,
                /// Top-level keys to replace; null removes.
                changes: Object = Object,
            };
            /// Moves a document to a path where none is: `document.moved` with the path that it had.
            ///
            /// In a batch that also moves on who is in its way, there may be one more: see
            /// [`Batch`](crate::Batch).
            move_document => MoveDocument {
                /// Which document.
                document_id: String = impl Into<String>,
                /// Its new path.
                new_path: String = impl Into<String>,
            };
            /// Removes a document, with its references and render state: `document.removed` with the path
            /// that it had.
            remove_document => RemoveDocument {
                /// Which document.
                document_id: String = impl Into<String>,
            };
            /// Gives a document the content with this hash, whose bytes are kept elsewhere:
            /// `document.content_changed` with the hash that it had.
            ///
            /// Nothing is emitted when that is its hash already.
            set_content_hash => SetContentHash {
                /// Which document.
                document_id: String = impl Into<String>,
                /// The hash of its new content.
                hash: String = impl Into<String>,
            };
            /// Sets a variable to a JSON value: `variable.set`.
            set_variable => SetVariable {
                /// Its name.
                name: String = impl Into<String>,
                /// Its value.
                value: Value = impl Into<Value>,
            };
            /// Deletes a variable: `variable.deleted`.
            delete_variable => DeleteVariable {
                /// Its name.
                name: String = impl Into<String>,
            };
            /// Adds a reference to a document: `reference.added`.
            add_reference => AddReference {
                /// The document that refers.
                document_id: String = impl Into<String>,
                /// What it refers to.
                target: String = impl Into<String>,
                /// In which way it refers.
                kind: Presence = impl Into<Presence>,
            };
            /// Makes these the references of a document, by the fewest events that do.
            ///
            /// What is named and there already is left alone, and nothing is emitted when that is all. A
            /// reference is a target, or a target and a kind. Those that are new become a
            /// `reference.added` each. No event takes a single reference away: when others have to go, a
            /// `reference.cleared` comes first, and all that are named are added again, in one append. To
            /// leave none there is [`Command::ClearReferences`](crate::Command::ClearReferences).
            set_references => SetReferences {
                /// The document that refers.
                document_id: String = impl Into<String>,
                /// All that it refers to; what is named twice counts once.
                references: Vec<Reference> = impl IntoIterator<Item = impl Into<Reference>>
                    => references.into_iter().map(Into::into).collect(),
            };
            /// Clears the references of a document, or all of the space's: `reference.cleared`.
            clear_references => ClearReferences {
                /// Whose; without it, all.
                document_id: Presence = impl Into<Presence>,
            };
            /// Says that the render of a document, or without one of the space, began: `render.started`.
            start_render => StartRender {
                /// Of which document; without it, of the space.
                document_id: Presence = impl Into<Presence>,
            };
            /// Says that the running render of a document, or without one of the space, ended well:
            /// `render.completed`.
            complete_render => CompleteRender {
                /// Of which document; without it, of the space.
                document_id: Presence = impl Into<Presence>,
                /// The hash of what was rendered.
                output_hash: Presence = impl Into<Presence>,
                /// The render that this is about, by the position of its start; without it, the one that runs.
                started: Option<Position>,
            };
            /// Says that the running render of a document, or without one of the space, failed:
            /// `render.failed`.
            fail_render => FailRender {
                /// Of which document; without it, of the space.
                document_id: Presence = impl Into<Presence>,
                /// What went wrong.
                error: Presence = impl Into<Presence>,
                /// The render that this is about, by the position of its start; without it, the one that runs.
                started: Option<Position>,
            };
            /// Ends the running render of a document, or without one of the space, whose process is gone,
            /// and says that another one began in its place: `render.failed` and `render.started`.
            ///
            /// [`SpaceService::take_over`](crate::SpaceService::take_over) gives a guard.
            take_over_render => TakeOverRender {
                /// Of which document; without it, of the space.
                document_id: Presence = impl Into<Presence>,
                /// The render that is given up, by the position of its start: of several who want to take
                /// it over, one does.
                started: Position = Position,
            };
            /// Says that a synchronisation began: `sync.started`. It closes all open conflicts.
            start_sync => StartSync {
                /// Which way.
                direction: Presence = impl Into<Presence>,
            };
            /// Says that another synchronisation began in place of the running one, whose process is gone:
            /// `sync.started`. It closes all open conflicts.
            ///
            /// `started` is what [`OpenProblems`](spacefold_projection::OpenProblems) lists and a refusal
            /// to start another one says: of several who find the same one given up one takes it over, and
            /// the others are refused by [`Refusal::SyncSuperseded`](crate::Refusal::SyncSuperseded). Who
            /// may be taken over, says with its commands which one it is: [`Command::CompleteSync`](crate::Command::CompleteSync),
            /// [`Command::RecordConflict`](crate::Command::RecordConflict).
            take_over_sync => TakeOverSync {
                /// Which way.
                direction: Presence = impl Into<Presence>,
                /// The synchronisation that is given up, by the position of its start: of several who want to
                /// take it over, one does.
                started: Position = Position,
            };
            /// Says that the running synchronisation ended: `sync.completed`. Open conflicts stay open.
            complete_sync => CompleteSync {
                /// The synchronisation that this is about, by the position of its start; without it, the one
                /// that runs.
                started: Option<Position>,
            };
            /// Records that the running synchronisation found a document that differs at the other side:
            /// `sync.conflict`.
            record_conflict => RecordConflict {
                /// Which document; it may be unknown here.
                document_id: String = impl Into<String>,
                /// The content hash here.
                local_hash: Presence = impl Into<Presence>,
                /// The content hash there.
                remote_hash: Presence = impl Into<Presence>,
                /// The synchronisation that found it, by the position of its start; without it, the one that
                /// runs.
                started: Option<Position>,
            };
            /// Closes the open conflict of a document by the hash of the content that it is to have, the
            /// local one, the remote one or another: `document.content_changed`.
            ///
            /// It is emitted even when that is its hash already, since the event is what closes the
            /// conflict. Removing the document and the start of another synchronisation close it too.
            resolve_conflict => ResolveConflict {
                /// Which document.
                document_id: String = impl Into<String>,
                /// The hash of the content chosen.
                hash: String = impl Into<String>,
            };
            /// Marks documents stale, what was derived from them being out of date: `cache.invalidated`.
            invalidate_cache => InvalidateCache {
                /// Which documents.
                document_ids: Vec<String> = impl IntoIterator<Item = impl AsRef<str>>
                    => document_ids.into_iter().map(|id| id.as_ref().to_owned()).collect(),
                /// Why.
                reason: Presence = impl Into<Presence>,
            };
            /// Records an event of the application's own, such as `com.example.comment.added`: no state
            /// takes it in. It may be the first event of a space.
            ///
            /// It is refused on a deleted space, and under a name that no such type can have: see
            /// [`SpaceEvent::application`](spacefold_event_core::SpaceEvent::application).
            record => Record {
                /// The name of its type.
                type_name: String = impl Into<String>,
                /// What it says, a JSON object.
                payload: Object = Object,
            };
        }
    };
}

pub(crate) use operations;
