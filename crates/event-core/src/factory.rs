//! One constructor per event type.

use crate::{
    event::SpaceEvent,
    payload::{Payload, Presence},
    value::{Object, Value},
};

/// Makes a constructor for each event type: its name, its arguments, and the payload they fill.
macro_rules! factories {
    ($(
        $(#[$doc:meta])*
        $name:ident( $($argument:ident : $type:ty),* ) => $variant:ident { $($field:ident),* };
    )*) => {
        /// One constructor per event type, with a fresh id and the present time.
        ///
        /// Where an argument is optional, `None` writes null; [`Presence::Absent`] leaves the key
        /// out.
        ///
        /// ```
        /// use spacefold::{SpaceEvent, event::Presence};
        /// SpaceEvent::document_content_changed("handbook", "intro", None, "8fb0cc…");
        /// SpaceEvent::document_content_changed("handbook", "intro", "8fb0cc…", "5d4140…");
        /// let hash = spacefold::content::ContentHash::of(b"# Hello");
        /// SpaceEvent::document_content_changed("handbook", "intro", None, hash);
        /// SpaceEvent::render_started("handbook", None);
        /// SpaceEvent::render_failed("handbook", Presence::Absent, "no template");
        /// SpaceEvent::cache_invalidated("handbook", ["intro", "start"], None);
        /// ```
        impl SpaceEvent {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(space_id: impl Into<String>, $($argument: $type),*) -> Self {
                    $( let $field = $argument.into(); )*
                    Self::new(space_id, Payload::$variant { $($field,)* extra: Object::new() })
                }
            )*
        }
    };
}

factories! {
    /// `space.created`
    space_created(name: impl Into<String>) => SpaceCreated { name };
    /// `space.updated`
    space_updated(changes: Object) => SpaceUpdated { changes };
    /// `space.deleted`
    space_deleted(name: impl Into<Presence>) => SpaceDeleted { name };
    /// `space.activated`
    space_activated() => SpaceActivated {};
    /// `space.archived`
    space_archived() => SpaceArchived {};
    /// `document.added`
    document_added(document_id: impl Into<String>, space_path: impl Into<String>)
        => DocumentAdded { document_id, space_path };
    /// `document.updated`
    document_updated(document_id: impl Into<String>, changes: Object)
        => DocumentUpdated { document_id, changes };
    /// `document.removed`
    document_removed(document_id: impl Into<String>, space_path: impl Into<Presence>)
        => DocumentRemoved { document_id, space_path };
    /// `document.moved`
    document_moved(
        document_id: impl Into<String>,
        old_path: impl Into<Presence>,
        new_path: impl Into<String>
    ) => DocumentMoved { document_id, old_path, new_path };
    /// `document.content_changed`
    document_content_changed(
        document_id: impl Into<String>,
        old_hash: impl Into<Presence>,
        new_hash: impl Into<String>
    ) => DocumentContentChanged { document_id, old_hash, new_hash };
    /// `variable.set`
    variable_set(name: impl Into<String>, value: impl Into<Value>) => VariableSet { name, value };
    /// `variable.deleted`
    variable_deleted(name: impl Into<String>) => VariableDeleted { name };
    /// `reference.added`
    reference_added(
        document_id: impl Into<String>,
        target: impl Into<String>,
        kind: impl Into<Presence>
    ) => ReferenceAdded { document_id, target, kind };
    /// `reference.cleared`; without a document, of all of the space's
    reference_cleared(document_id: impl Into<Presence>) => ReferenceCleared { document_id };
    /// `sync.started`
    sync_started(direction: impl Into<Presence>) => SyncStarted { direction };
    /// `sync.completed`
    sync_completed() => SyncCompleted {};
    /// `sync.conflict`
    sync_conflict(
        document_id: impl Into<String>,
        local_hash: impl Into<Presence>,
        remote_hash: impl Into<Presence>
    ) => SyncConflict { document_id, local_hash, remote_hash };
}

/// Those whose arguments are not those of the payload, one by one.
impl SpaceEvent {
    /// `cache.invalidated`
    #[must_use]
    pub fn cache_invalidated(
        space_id: impl Into<String>,
        document_ids: impl IntoIterator<Item = impl AsRef<str>>,
        reason: impl Into<Presence>,
    ) -> Self {
        let document_ids = document_ids.into_iter().map(|id| id.as_ref().to_owned());
        let payload = Payload::CacheInvalidated {
            document_ids: document_ids.collect(),
            reason: reason.into(),
            extra: Object::new(),
        };
        Self::new(space_id, payload)
    }

    /// `render.started`; without a document, of the space
    #[must_use]
    pub fn render_started(space_id: impl Into<String>, document_id: impl Into<Presence>) -> Self {
        let payload = Payload::RenderStarted {
            document_id: document_id.into(),
            output_hash: Presence::Absent,
            error: Presence::Absent,
            extra: Object::new(),
        };
        Self::new(space_id, payload)
    }

    /// `render.completed`; without a document, of the space
    #[must_use]
    pub fn render_completed(
        space_id: impl Into<String>,
        document_id: impl Into<Presence>,
        output_hash: impl Into<Presence>,
    ) -> Self {
        let payload = Payload::RenderCompleted {
            document_id: document_id.into(),
            output_hash: output_hash.into(),
            error: Presence::Absent,
            extra: Object::new(),
        };
        Self::new(space_id, payload)
    }

    /// `render.failed`; without a document, of the space
    #[must_use]
    pub fn render_failed(
        space_id: impl Into<String>,
        document_id: impl Into<Presence>,
        error: impl Into<Presence>,
    ) -> Self {
        let payload = Payload::RenderFailed {
            document_id: document_id.into(),
            output_hash: Presence::Absent,
            error: error.into(),
            extra: Object::new(),
        };
        Self::new(space_id, payload)
    }
}
