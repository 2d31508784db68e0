//! The store, opened: events in, states out.
//!
//! An append goes on in `embedded_log.rs` of the store.

mod admin;
mod commanding;
mod content;
mod opening;
mod subscribing;
mod watching;

pub use self::{
    admin::{Admin, HistoryCacheHandle},
    watching::{StoreHealth, StoreStats},
};

use std::{fmt, io::BufRead, ops::Deref, sync::Arc};

use spacefold_bus::EventBus;
use spacefold_content::PackStore;
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, LogWriter, Position, Receipt, SpaceEvent,
    StorageError, Timestamp,
    closing::{CloseOnce, is_in_callback},
};
use spacefold_projection::SnapshotError;
use spacefold_service::SpaceService;
use spacefold_store::EmbeddedLog;

use crate::{
    engine::Engine,
    import::{self, ImportError, ImportHooks, ImportOptions, ImportReport},
    spaces_reader::SpacesReader,
};

/// An open store with the states of its spaces. Clones are cheap and share one store.
///
/// All calls may be made from any thread. The store is closed by [`Spacefold::close`] or when the
/// last clone is dropped.
///
/// # What a snapshot of now is of
/// States are folded behind the durable head, and snapshots are answered from what is folded, so
/// that they take the same short time whatever the size of the space and however busy the writers.
/// Each clone is a session of its own, in the sense of Terry et al., *Session guarantees for weakly
/// consistent replicated data* (1994):
///
/// - *read your writes*: a snapshot has every event whose append through this clone was answered
///   as durable, whatever the [service](Spacefold::service) has recorded so or has looked at to
///   refuse a command, and, after a condition that failed, whatever it failed for;
/// - *monotonic reads*: a later snapshot is of the same position or a later one;
/// - what others have appended is there soon, as soon as it is folded. To see at least a position
///   that one knows of from elsewhere, ask for it: [`snapshot_after`](SpacesReader::snapshot_after).
///
/// [`snapshot_all`](SpacesReader::snapshot_all) is of one position.
///
/// # Reading
/// What only reads is at the [`SpacesReader`] that a store dereferences to, and works for one that
/// another process has, too: see [`Spacefold::follow`].
pub struct Spacefold {
    inner: Arc<SpacefoldInner>,
    reader: SpacesReader,
}

impl Clone for Spacefold {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), reader: self.reader.another() }
    }
}

impl Deref for Spacefold {
    type Target = SpacesReader;

    fn deref(&self) -> &SpacesReader {
        &self.reader
    }
}

struct SpacefoldInner {
    // Dropped first: its handlers may still use what follows.
    bus: EventBus,
    service: SpaceService,
    engine: Arc<Engine>,
    log: EmbeddedLog,
    content: Arc<PackStore>,
    /// When it was opened, and the last event that it had then.
    opened: (Timestamp, Position),
    closing: CloseOnce<Result<(), StorageError>>,
}

impl Spacefold {
    /// The log of the store: everything that [`LogReader`](crate::log::LogReader) and [`LogWriter`]
    /// offer, and what only this one can.
    #[must_use]
    pub fn log(&self) -> &EmbeddedLog {
        &self.inner.log
    }

    /// Appends events, all or none, at consecutive positions, and waits until they are durable.
    ///
    /// # Durability
    /// When it answers, the events are on disk, unless the store was opened with another
    /// [`Durability`](crate::Durability).
    ///
    /// # Errors
    /// [`AppendError`]; after every variant but [`AppendError::OutcomeUnknown`], nothing of this
    /// append is stored.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let receipt = spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// assert!(receipt.is_durable());
    /// assert_eq!(spaces.snapshot("handbook")?.name(), Some("Handbook"));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append(&self, events: impl AsRef<[SpaceEvent]>) -> Result<Receipt, AppendError> {
        self.append_if(events, AppendCondition::none())
    }

    /// Appends events as [`Spacefold::append`] does, if a condition holds.
    ///
    /// # Durability
    /// As [`Spacefold::append`].
    ///
    /// # Errors
    /// [`AppendError::ConditionFailed`] if it does not hold; otherwise as [`Spacefold::append`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{AppendCondition, AppendError, SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let condition = AppendCondition::no_space("handbook");
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// assert!(spaces.append_if([created], condition.clone())?.is_durable());
    /// let again = SpaceEvent::space_created("handbook", "Another");
    /// let refused = spaces.append_if([again], condition);
    /// assert!(matches!(refused, Err(AppendError::ConditionFailed { .. })));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_if(
        &self,
        events: impl AsRef<[SpaceEvent]>,
        condition: AppendCondition,
    ) -> Result<Receipt, AppendError> {
        let appended = self.log().append(&AppendRequest::new(events.as_ref()).on(condition));
        match &appended {
            Ok(receipt) if receipt.is_durable() => self.raise_floor(receipt.last_position()),
            // The next read is to see what was in the way.
            Err(AppendError::ConditionFailed { .. }) => self.raise_floor(self.durable_head()),
            _ => {}
        }
        appended
    }

    /// Stores the folded states, so that the next opening need not fold them again, and syncs the
    /// places of durable subscriptions and buses, as [`Feed::sync`](crate::subscribe::Feed::sync) does.
    ///
    /// # Errors
    /// [`SnapshotError`]; what was stored before stays good.
    pub fn save(&self) -> Result<(), SnapshotError> {
        self.inner.engine.save_states()?;
        Ok(self.inner.engine.feed.sync()?)
    }

    /// Imports events in the interchange form, one JSON object a line.
    ///
    /// Events that are stored already are skipped, so that an import can be repeated; a line with the
    /// id of another event is refused. The events keep their order; those of a few thousand lines are
    /// appended together.
    ///
    /// # Durability
    /// When it answers, with success or an error, every event that the report counts as appended
    /// is on disk.
    ///
    /// # Errors
    /// [`ImportError`] with the number of the line and a report; every event before that line is
    /// stored.
    ///
    /// # Cost
    /// One pass over the input, a look for each id, and a read of what is stored of it; memory does not
    /// grow with either, unless ids are [derived](crate::admin::MissingIds::Derive).
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Spacefold, admin::ImportOptions};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let input = r#"{"event_type": "space.created", "space_id": "a", "payload": {"name": "A"}}
    /// {"event_type": "space.create"}
    /// "#;
    /// let error = spaces
    ///     .import(input.as_bytes(), &ImportOptions::default(), &mut ())
    ///     .unwrap_err();
    /// assert!(error.to_string().starts_with("unknown event type \"space.create\""));
    /// assert_eq!(error.line(), Some(2));
    /// assert_eq!(error.report().appended, 1);
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn import(
        &self,
        input: impl BufRead,
        options: &ImportOptions,
        hooks: &mut dyn ImportHooks,
    ) -> Result<ImportReport, ImportError> {
        let imported = import::import(self.log(), input, options, hooks);
        self.raise_floor(self.durable_head());
        imported
    }

    /// Stores the folded states and closes the store, for all clones. When it answers the store is
    /// closed, whichever handle closed it first: nothing is read or appended through any handle, and it can be
    /// opened again. Every call that waits ends, with an error that says so.
    ///
    /// It may be called from anywhere and by many at once. It waits for the handlers and projections
    /// that are running, which may append until they are done; so hold no lock that one of them takes.
    /// Called from within one of them, or from what they wait for, it waits for none: they find the
    /// store closed, and end. Of a durable bus an event is handled again whose handlers were not done,
    /// and of a projection that was not done its last events are folded again.
    ///
    /// Commands that were [submitted](SpaceService::submit) and are not with the log yet are refused as
    /// closed: wait for them first.
    ///
    /// Handlers and projections that hold a clone of this store keep it open until this is called.
    ///
    /// # Durability
    /// Everything acknowledged is on disk before and after. It syncs, and blocks until that is done;
    /// so does dropping the last clone of a store that was not closed.
    ///
    /// # Errors
    /// [`StorageError`] when the store did not close cleanly: the next opening recovers it.
    pub fn close(&self) -> Result<(), StorageError> {
        self.inner.close()
    }
}

impl SpacefoldInner {
    fn close(&self) -> Result<(), StorageError> {
        self.engine.stop();
        if is_in_callback() {
            // Whoever closes already may be waiting for this thread.
            self.bus.close();
        }
        self.closing.run(|| self.close_stopped()).unwrap_or(Ok(()))
    }

    fn close_stopped(&self) -> Result<(), StorageError> {
        // Handlers and projections first, which may append and read until they are done.
        self.engine.end_callbacks();
        self.bus.close();
        self.engine.save_last();
        if let Err(error) = self.engine.feed.close_places() {
            tracing::warn!(%error, "places of subscriptions could not be synced");
        }
        let closed = self.content.close().and(self.log.close());
        self.engine.join();
        closed
    }
}

impl Drop for SpacefoldInner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }
}

impl fmt::Debug for Spacefold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spacefold")
            .field("durable_head", &self.durable_head())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
