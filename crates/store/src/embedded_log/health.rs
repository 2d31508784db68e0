//! How an open store is, and what it takes: for those who watch over it.

use spacefold_disk::Folder;
use spacefold_event_core::{Position, StorageErrorKind, Timestamp, bytes::to_u64};

use super::EmbeddedLog;
use crate::{error::StorePart, folder::StoreFolder, shared::SharedStore};

/// How deep a folder of a store is looked into.
const DEPTH: usize = 4;

/// Whether a log takes appends, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogHealth {
    /// Whether an append would be taken, as far as the log itself is concerned.
    pub accepts_appends: bool,
    /// What kind of failure keeps it from taking appends; `None` where none does.
    pub failure_kind: Option<StorageErrorKind>,
    /// What happened; `None` where nothing did.
    pub failure: Option<String>,
    /// Since when it takes no appends; `None` while it does.
    pub failed_since: Option<Timestamp>,
    /// Bytes that the store takes and may take, where that is [limited](crate::StoreOptions::max_bytes).
    pub quota: Option<(u64, u64)>,
    /// The position of the last event that it has taken.
    pub head: Position,
    /// The position of the last event that is durable.
    pub durable_head: Position,
    /// The position of the last event in a segment.
    pub sealed_through: Position,
    /// Events that are durable and in no segment.
    pub seal_lag: u64,
    /// Bytes of events that are in no block yet, in memory: appends wait for the sealer at 64 MiB.
    pub unsealed_bytes: u64,
    /// How often a copy was found wrong and made anew from the other.
    pub healed: u64,
}

/// Bytes of the files of a store, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreBytes {
    /// Of the journal, most of which are zeros ahead of use in a small store.
    pub journal: u64,
    /// Of segments.
    pub sealed: u64,
    /// Of sled's copy, which can be deleted while the store is closed.
    pub sled: u64,
    /// Of content.
    pub content: u64,
    /// Of what is derived, which can be deleted while the store is closed.
    pub derived: u64,
    /// Of what is set aside for a full disk.
    pub reserve: u64,
    /// Of what was set aside when something was mended: nothing reads it.
    pub set_aside: u64,
}

impl StoreBytes {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { journal, sealed, sled, content, derived, reserve, set_aside } = *self;
        journal + sealed + sled + content + derived + reserve + set_aside
    }

    pub(crate) fn of(folder: &StoreFolder) -> Self {
        let root = folder.held();
        let mut bytes = Self {
            journal: folder.bytes_of(StorePart::Journal),
            sealed: folder.bytes_of(StorePart::Segments),
            sled: folder.bytes_of(StorePart::Sled),
            ..Self::default()
        };
        for name in root.names().unwrap_or_default() {
            let of_it = || bytes_below(root.as_ref(), &name, DEPTH);
            match name.as_str() {
                "content" => bytes.content = of_it(),
                "derived" => bytes.derived = of_it(),
                "reserve" => bytes.reserve = of_it(),
                name if name.contains(".set-aside-") => bytes.set_aside += of_it(),
                _ => {}
            }
        }
        bytes
    }
}

/// The bytes of a file, or of all files below a folder. What cannot be looked at counts for nothing.
fn bytes_below(folder: &dyn Folder, name: &str, depth: usize) -> u64 {
    if let Ok(Some(inner)) = folder.folder(name.as_ref()) {
        let names = inner.names().unwrap_or_default();
        let of = |name: &String| bytes_below(inner.as_ref(), name, depth.saturating_sub(1));
        return if depth == 0 { 0 } else { names.iter().map(of).sum() };
    }
    let file = folder.find(name, spacefold_disk::Access::Read);
    file.ok().flatten().and_then(|file| file.bytes().ok()).unwrap_or(0)
}

impl EmbeddedLog {
    /// Whether the log takes appends, since when it does not and why, and how far it has come.
    ///
    /// # Cost
    /// Some locks, each for a look: cheap enough for a probe every second. Waits for nothing but a HEAD
    /// that is being written.
    #[must_use]
    pub fn health(&self) -> LogHealth {
        let shared = &self.inner.shared;
        let failure = shared.progress.failure();
        let quota = shared.quota.max().map(|max| (shared.quota.used(), max));
        let is_closed = shared.check_open().is_err();
        let (durable_head, sealed_through) = (shared.progress.durable_head(), sealed_of(shared));
        LogHealth {
            accepts_appends: failure.is_none() && !is_closed && shared.quota.check().is_ok(),
            failure_kind: failure.as_ref().map(|failure| failure.kind),
            failure: failure.map(|failure| failure.reason),
            failed_since: shared.progress.failed_at(),
            quota,
            head: shared.progress.head(),
            durable_head,
            sealed_through,
            seal_lag: durable_head.since(sealed_through),
            unsealed_bytes: to_u64(shared.progress.tail_bytes()),
            healed: shared.lock_head_file().head().healed,
        }
    }

    /// The bytes of the files of the store, by what they are. Cost: looks at every file of the folder.
    #[must_use]
    pub fn file_bytes(&self) -> StoreBytes {
        StoreBytes::of(&self.inner.shared.folder)
    }
}

fn sealed_of(shared: &SharedStore) -> Position {
    shared.lock_head_file().head().sealed_through
}
