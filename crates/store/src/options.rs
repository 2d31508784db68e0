//! What an open store does differently from the default.

use std::time::Duration;

use spacefold_event_core::{Schemas, StoreMode};

/// The default of [`StoreOptions::journal_file_bytes`].
const JOURNAL_FILE_BYTES: u64 = 16 << 20;
/// The least that a journal file has.
const MIN_JOURNAL_FILE_BYTES: u64 = 128 << 10;
/// The default of [`StoreOptions::id_filter_bytes`]: with pages and the newest ids 64 MiB.
const ID_FILTER_BYTES: u64 = 40 << 20;
/// The default of [`StoreOptions::reserve_bytes`].
const RESERVE_BYTES: u64 = 8 << 20;
/// How often the operating system would write back by itself, more or less.
const OS_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// When what has been appended is made durable.
///
/// In every mode events become visible to readers only once they are durable, and in order: a
/// crash never takes back what somebody has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before the append is answered: nothing acknowledged is ever lost.
    #[default]
    Sync,
    /// This long after it was written, at the latest; the append is answered before. A power cut
    /// loses at most what was appended in that time and while the sync went on, acknowledged appends
    /// included. A kill of the process loses none of them: what was answered was written.
    Interval(Duration),
    /// In the background, every second or so: as [`Durability::Interval`] with one second. What is
    /// not synced is 16 MiB at the most.
    Os,
}

impl Durability {
    /// How long what has been written may wait for its sync; `None` when it may not.
    pub(crate) const fn sync_within(self) -> Option<Duration> {
        match self {
            Self::Sync => None,
            Self::Interval(interval) => Some(interval),
            Self::Os => Some(OS_SYNC_INTERVAL),
        }
    }
}

/// What an open store does differently from the default.
///
/// ```
/// use std::time::Duration;
/// use spacefold::{Durability, log::{EmbeddedLog, StoreOptions}};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let options = StoreOptions::default()
///     .durability(Durability::Interval(Duration::from_millis(20)))
///     .id_filter_bytes(16 << 20);
/// let log = EmbeddedLog::open_with(&data, &options)?;
/// # log.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub(crate) durability: Durability,
    pub(crate) id_filter_bytes: u64,
    pub(crate) journal_file_bytes: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) begins_with_copy: bool,
    pub(crate) mode: StoreMode,
    pub(crate) copy_on_demand: bool,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) schemas: &'static Schemas,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            id_filter_bytes: ID_FILTER_BYTES,
            journal_file_bytes: JOURNAL_FILE_BYTES,
            reserve_bytes: RESERVE_BYTES,
            begins_with_copy: false,
            mode: StoreMode::PRIVATE,
            copy_on_demand: false,
            max_bytes: None,
            schemas: Schemas::today(),
        }
    }
}

impl StoreOptions {
    /// The schemas of another program, which the store is written and read by: for tests of stores
    /// that older or newer programs write.
    #[doc(hidden)]
    #[must_use]
    pub const fn schemas(mut self, schemas: &'static Schemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// Makes the copy in sled with the store, however small that is: for tests of what becomes of it.
    #[doc(hidden)]
    #[must_use]
    pub const fn begin_with_copy(mut self) -> Self {
        self.begins_with_copy = true;
        self
    }

    /// When appends are made durable: before they are answered, by default.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The bytes of memory for the filters that say of most new event ids that the log does not have
    /// them; 40 MiB by default, which is enough for 32 million ids that do not rise. Filters past it
    /// are read from the disk as they are asked for. Ids that rise, as UUIDv7 do, take none.
    #[must_use]
    pub const fn id_filter_bytes(mut self, bytes: u64) -> Self {
        self.id_filter_bytes = bytes;
        self
    }

    /// The bytes of a journal file, at least 128 KiB; 16 MiB by default. Up to eight of them are
    /// on disk, filled with zeros ahead of use; a store that is new begins with 256 KiB. An append
    /// that is larger makes its file larger.
    #[must_use]
    pub const fn journal_file_bytes(mut self, bytes: u64) -> Self {
        self.journal_file_bytes =
            if bytes < MIN_JOURNAL_FILE_BYTES { MIN_JOURNAL_FILE_BYTES } else { bytes };
        self
    }

    /// The bytes of disk that are set aside, and given back when the disk is so full that the store
    /// could not be opened otherwise; 8 MiB by default, 0 for none. A store of up to a thousand events
    /// sets fewer aside: a quarter of its journal's bytes, and 160 KiB at the least.
    #[must_use]
    pub const fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// Takes appends only while the store takes fewer bytes than this: journal, segments, sled's copy
    /// and, in a store that is opened with it, the content. What is derived does not count, as it can be
    /// deleted. An append past it is refused with
    /// [`AppendError::PastQuota`](spacefold_event_core::AppendError::PastQuota); reading goes on, and
    /// appends do once [the limit is raised](crate::EmbeddedLog::quota).
    ///
    /// It is no exact limit: files are made ahead of use, and what is in the journal is written once or
    /// twice more. Leave as much room on the disk as eight [journal files](Self::journal_file_bytes),
    /// 64 MiB and what is derived take.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Opens sled's copy of the log once an event is appended, or something is not to be had without
    /// it, rather than behind whatever is done first: for programs that open a store for one question.
    /// A store that was closed cleanly, and has told what it was asked without its copy, is closed
    /// without it too.
    #[must_use]
    pub const fn copy_on_demand(mut self) -> Self {
        self.copy_on_demand = true;
        self
    }

    /// Who may read and change the files of a store that is made: its owner alone by default. In a
    /// store that is there, modes stay, and what is new follows that of its folder.
    #[must_use]
    pub const fn mode(mut self, mode: StoreMode) -> Self {
        self.mode = mode;
        self
    }
}
