//! The content that belongs to a store, and which of it the events name.

use std::{fs, path::Path, sync::Arc};

use rapidhash::RapidHashSet;
use spacefold_content::{
    ContentFollower, ContentOptions, ContentReport, OpenContentError, PackStore, PreparedContent,
    StoreId,
};
use spacefold_disk::{Disk, MemoryDisk, ReadOnlyDisk, RealDisk};
use spacefold_event_core::{
    ContentError, ContentHash, EventFilter, EventType, LogReader, Position, ReadError, ReadRequest,
    StorageError,
};
use spacefold_projection::SnapshotError;
use spacefold_state::Snapshot;
use spacefold_store::{EmbeddedLog, OpenError};

use crate::options::StorePlace;

/// The folder of the content in that of a store.
pub(crate) const CONTENT_FOLDER: &str = "content";

/// What messages call a store in memory, and where its content is on its disk.
pub(crate) const IN_MEMORY: &str = "/in-memory";

/// Why the bytes of a document are not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentAtError {
    /// The space, the position, or the log.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The space has no such document there.
    #[error("space {space_id:?} has no document {document_id:?} at position {position}")]
    UnknownDocument {
        /// The space.
        space_id: String,
        /// The document asked for.
        document_id: String,
        /// The position asked for.
        position: Position,
    },
    /// The document has no content there.
    #[error("document {document_id:?} has no content at position {position}")]
    NoContent {
        /// The document.
        document_id: String,
        /// The position asked for.
        position: Position,
    },
    /// The document's content hash is not of this program's making: where the content is, only
    /// whoever wrote the event knows.
    #[error("document {document_id:?} has content {hash:?}, which is no BLAKE3 hash")]
    ForeignHash {
        /// The document.
        document_id: String,
        /// Its content hash.
        hash: String,
    },
    /// The content is not here, damaged, or cannot be read.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// Why garbage was not collected. Nothing that an event names is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The log cannot be read, so that nobody knows what is needed.
    #[error("what the events need cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The content store failed.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// The hash of the content that a document has in a snapshot.
pub(crate) fn hash_in(
    snapshot: &Snapshot,
    document_id: &str,
) -> Result<ContentHash, ContentAtError> {
    let position = snapshot.position();
    let document = snapshot.document(document_id).ok_or_else(|| {
        let space_id = snapshot.space_id().to_owned();
        ContentAtError::UnknownDocument { space_id, document_id: document_id.to_owned(), position }
    })?;
    let hash = document.content_hash().ok_or_else(|| ContentAtError::NoContent {
        document_id: document_id.to_owned(),
        position,
    })?;
    hash.content_hash().ok_or_else(|| ContentAtError::ForeignHash {
        document_id: document_id.to_owned(),
        hash: hash.to_string(),
    })
}

/// Checks every byte of the content in the store at `path`, which must not be open. Which events
/// name what is damaged or missing is for the caller to find.
///
/// # Errors
/// [`OpenError`] when it is in use or the disk refuses; damage is no error but part of the report.
pub fn verify_content(path: &Path) -> Result<ContentReport, OpenError> {
    spacefold_content::verify(&path.join(CONTENT_FOLDER)).map_err(|error| open_error(error, path))
}

/// Locks and reads the content of the store at `place`: before the log is opened, so that neither of
/// them is changed when the other one does not open.
pub(crate) fn prepare(place: &StorePlace) -> Result<PreparedContent, OpenError> {
    let (path, prepared) = match place {
        StorePlace::Folder(path) => {
            (path.as_path(), PackStore::prepare(&path.join(CONTENT_FOLDER)))
        }
        StorePlace::Memory => {
            let (disk, path) = (Arc::new(MemoryDisk::new()), Path::new(IN_MEMORY));
            (path, PackStore::prepare_on(disk, path))
        }
    };
    prepared.map_err(|error| open_error(error, path))
}

/// Opens the content that was prepared, bound to the store with this log.
pub(crate) fn open(
    prepared: PreparedContent,
    options: ContentOptions,
    log: &EmbeddedLog,
) -> Result<PackStore, OpenError> {
    let store = StoreId::from_bytes(log.store_id());
    prepared.open(options, store).map_err(|error| open_error(error, &log.path()))
}

/// The content of the store at `path`, open elsewhere or not.
pub(crate) fn follow(path: &Path) -> Result<ContentFollower, StorageError> {
    ContentFollower::at(read_only(), &path.join(CONTENT_FOLDER))
}

/// As [`verify_content`], beside the process that has the store open.
pub(crate) fn verify_beside(path: &Path) -> Result<ContentReport, OpenError> {
    spacefold_content::verify_beside(read_only(), &path.join(CONTENT_FOLDER))
        .map_err(|error| open_error(error, path))
}

/// The operating system's disk, on which nothing is changed.
pub(crate) fn read_only() -> Arc<dyn Disk> {
    Arc::new(ReadOnlyDisk::over(Arc::new(RealDisk)))
}

pub(crate) fn open_error(error: OpenContentError, store: &Path) -> OpenError {
    match error {
        OpenContentError::AlreadyOpen { .. } => {
            // Whoever has the content has the store, or is about to have it.
            let text = fs::read_to_string(store.join("LOCK")).unwrap_or_default();
            OpenError::AlreadyOpen { path: store.to_owned(), pid: text.trim().parse().ok() }
        }
        OpenContentError::UnknownFormat { path, found, known } => {
            OpenError::UnknownFormat { path, found: found.into(), known: known.into() }
        }
        OpenContentError::NoLocks { path, cause } => OpenError::NoLocks { path, cause },
        OpenContentError::Storage(error) => OpenError::Storage(error),
        other => OpenError::NotAStore { path: store.to_owned(), what: other.to_string() },
    }
}

/// Calls `visit` with every content that an event up to the durable head names, and the position of
/// that event, in the order of the log: contents of documents, before and after a change, both
/// sides of conflicts, and what was rendered.
///
/// As long as every position is retained, this is what the snapshot of some position needs.
///
/// # Errors
/// [`ReadError`]; nothing is changed by it.
pub fn visit_named_content(
    log: &dyn LogReader,
    visit: &mut dyn FnMut(Position, ContentHash),
) -> Result<(), ReadError> {
    let types = EventType::CORE.into_iter().filter(|event_type| event_type.may_name_content());
    let filter = EventFilter::all().types(types);
    for page in log.pages(ReadRequest::from(Position::START.next()).matching(filter)) {
        let page = page?;
        for envelope in page.envelopes() {
            let position = envelope.position;
            let event = envelope.decode()?;
            // A hash that is not of this program's making names nothing that is kept here.
            let named = event.payload.content_hashes().filter_map(|text| text.parse().ok());
            named.for_each(|hash| visit(position, hash));
        }
    }
    Ok(())
}

/// Every content that an event up to the durable head names.
pub(crate) fn named(log: &dyn LogReader) -> Result<RapidHashSet<ContentHash>, ReadError> {
    let mut named = RapidHashSet::default();
    visit_named_content(log, &mut |_, hash| {
        named.insert(hash);
    })?;
    Ok(named)
}
