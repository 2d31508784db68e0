//! How a store is opened.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::Duration,
};

use spacefold_bus::BusOptions;
use spacefold_content::ContentOptions;
use spacefold_event_core::StoreMode;
use spacefold_projection::{HistoryCacheOptions, LIVE_STATES_MEMORY_BYTES};
use spacefold_store::StoreOptions;

/// When the states of the spaces are folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folding {
    /// By a thread that follows the durable head, so that a snapshot finds them ready.
    #[default]
    Live,
    /// When they are asked for: for programs that open a store for one question.
    OnDemand,
}

/// How often the hash of all states is put into the log, for copies, backups and rebuilds to be
/// checked against it: [`verify`](crate::admin::verify) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateCommitments {
    /// When this many events have been folded since the last one, and making it takes no more than a
    /// fiftieth of the time since.
    Every(NonZeroU64),
    /// Never.
    Off,
}

impl StateCommitments {
    /// The default: one for some 128 full blocks.
    pub const DEFAULT_EVENTS: NonZeroU64 = NonZeroU64::new(65_536).unwrap();
}

impl Default for StateCommitments {
    fn default() -> Self {
        Self::Every(Self::DEFAULT_EVENTS)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Create,
    Refuse,
}

/// Where a store is.
#[derive(Clone, Debug)]
pub(crate) enum StorePlace {
    Folder(PathBuf),
    Memory,
}

/// Where a store that is [followed](crate::FollowedStore) keeps what is folded of it, so that the
/// next follower need not fold it again. It may be deleted at any time: it is checked against the
/// log before it counts, and rebuilt if it is damaged, gone or of another log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CachePlace {
    /// In `spacefold/<store id>/<timeline>` of the user's cache, which is `$XDG_CACHE_HOME`, or
    /// `$HOME/.cache`. In memory where there is neither, where it cannot be written, and for all but
    /// the first of several who follow one store at a time. Of each store the caches of the 4 timelines
    /// that were used last are kept, and those of the 64 stores that were used last.
    #[default]
    User,
    /// The same in this folder, instead of the user's cache.
    Folder(PathBuf),
    /// In memory, gone with the follower: for questions that need no states.
    Memory,
}

/// How a store is to be opened.
///
/// ```
/// use spacefold::{Folding, OpenError, Options};
/// # let path = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let refused = Options::new(&path).existing_only().open();
/// assert!(matches!(refused, Err(OpenError::NoStore { .. })));
/// let spaces = Options::new(&path).folding(Folding::OnDemand).open()?;
/// spaces.close()?;
/// # std::fs::remove_dir_all(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) place: StorePlace,
    pub(crate) missing: Missing,
    pub(crate) mode: Option<StoreMode>,
    pub(crate) folding: Folding,
    pub(crate) store: StoreOptions,
    pub(crate) content: ContentOptions,
    pub(crate) bus: BusOptions,
    pub(crate) history_cache: HistoryCacheOptions,
    pub(crate) commitments: StateCommitments,
    pub(crate) sync_places_within: Option<Duration>,
    pub(crate) states_memory_bytes: u64,
    pub(crate) cache: CachePlace,
    pub(crate) max_bytes: Option<u64>,
}

impl Options {
    /// Opens the store in the folder `path`, and creates it when the folder is absent or empty.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self::at(StorePlace::Folder(path.as_ref().to_owned()))
    }

    /// Makes an empty store in memory: see [`Spacefold::in_memory`](crate::Spacefold::in_memory).
    /// [`Options::mode`] says nothing there, and with [`Options::existing_only`] there is no store to
    /// open.
    ///
    /// ```
    /// use spacefold::{Folding, Options};
    /// let spaces = Options::in_memory().folding(Folding::OnDemand).open()?;
    /// assert!(spaces.spaces()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn in_memory() -> Self {
        Self::at(StorePlace::Memory)
    }

    fn at(place: StorePlace) -> Self {
        Self {
            place,
            missing: Missing::Create,
            mode: None,
            folding: Folding::default(),
            store: StoreOptions::default(),
            content: ContentOptions::default(),
            bus: BusOptions::default(),
            history_cache: HistoryCacheOptions::default(),
            commitments: StateCommitments::default(),
            sync_places_within: None,
            states_memory_bytes: LIVE_STATES_MEMORY_BYTES,
            cache: CachePlace::default(),
            max_bytes: None,
        }
    }

    /// Creates nothing: opening fails if there is no store.
    #[must_use]
    pub const fn existing_only(mut self) -> Self {
        self.missing = Missing::Refuse;
        self
    }

    /// Folds the states at this time.
    #[must_use]
    pub const fn folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    /// Gives a store that is made these permission bits: its folders have them, its files the same
    /// without the right to run them; the owner always has every right. `0o700` by default, the
    /// owner alone. In an existing store modes stay, and new files follow the mode of its folder.
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use spacefold::Options;
    /// # let path = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// let spaces = Options::new(&path).mode(0o750).open()?;
    /// let mode = |name: &str| Ok::<_, std::io::Error>(path.join(name).metadata()?.permissions().mode());
    /// assert_eq!((mode("journal")? & 0o777, mode("HEAD")? & 0o777), (0o750, 0o640));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn mode(mut self, bits: u32) -> Self {
        self.mode = Some(StoreMode::new(bits));
        self
    }

    /// Opens the log of the store with these options: when appends become durable, the sizes of
    /// files.
    #[must_use]
    pub fn store(mut self, options: StoreOptions) -> Self {
        self.store = options;
        self
    }

    /// Opens the content of the store with these options.
    #[must_use]
    pub const fn content(mut self, options: ContentOptions) -> Self {
        self.content = options;
        self
    }

    /// Lets the bus of the store work with these options.
    #[must_use]
    pub const fn bus(mut self, options: BusOptions) -> Self {
        self.bus = options;
        self
    }

    /// Syncs the places of durable subscriptions and buses within this time after they have moved,
    /// rather than within a second: what was acknowledged or handled in that time may be delivered
    /// again after a kill.
    #[must_use]
    pub const fn sync_places_within(mut self, within: Duration) -> Self {
        self.sync_places_within = Some(within);
        self
    }

    /// Has the log commit to its states this often; only while they are folded live.
    #[must_use]
    pub const fn commitments(mut self, commitments: StateCommitments) -> Self {
        self.commitments = commitments;
        self
    }

    /// Answers states of the past with these options of the history cache: what it keeps on disk, and in
    /// memory.
    #[must_use]
    pub const fn history_cache(mut self, options: HistoryCacheOptions) -> Self {
        self.history_cache = options;
        self
    }

    /// Keeps about this many bytes of folded states in memory; the others are loaded when they are
    /// asked for. The default is [`LIVE_STATES_MEMORY_BYTES`].
    #[must_use]
    pub const fn states_memory_bytes(mut self, bytes: u64) -> Self {
        self.states_memory_bytes = bytes;
        self
    }

    /// Takes appends and content only while the store takes fewer bytes than this, so that it is full
    /// before the disk is: journal, segments, sled's copy and content count, and not what is derived.
    /// What is refused fails with [`AppendError::PastQuota`](crate::AppendError::PastQuota) or
    /// [`ContentError::PastQuota`](crate::content::ContentError::PastQuota); reading goes on, and writing
    /// does once [the limit is raised](crate::Spacefold::set_max_bytes). As exact as
    /// [`StoreOptions::max_bytes`] says.
    ///
    /// ```
    /// use spacefold::{AppendError, Options, SpaceEvent};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// let spaces = Options::new(&data).max_bytes(0).open()?;
    /// let refused = spaces.append([SpaceEvent::space_created("handbook", "Handbook")]);
    /// assert!(matches!(refused, Err(AppendError::PastQuota { max: 0, .. })));
    /// assert!(!spaces.health().log.accepts_appends);
    /// spaces.set_max_bytes(None);
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Keeps what is folded of a store that is followed there: see [`Options::follow`].
    #[must_use]
    pub fn cache(mut self, place: CachePlace) -> Self {
        self.cache = place;
        self
    }
}
