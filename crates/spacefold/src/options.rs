//! How a store is opened.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use spacefold_bus::BusOptions;
use spacefold_content::ContentOptions;
use spacefold_projection::PastOptions;
use spacefold_store::{EmbeddedLog, OpenError, StoreOptions};

use crate::{Spacefold, contents};

/// When the states of the spaces are folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folding {
    /// By a thread that follows the durable head, so that a snapshot finds them ready.
    #[default]
    Live,
    /// When someone asks for them: for programs that open a store for one question.
    OnDemand,
}

/// How often the hash of all states is put into the log, for copies, backups and rebuilds to be
/// checked against it: [`verify`](crate::verify) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commitments {
    /// When so many events have been folded since the last one, and making it takes no more than a
    /// fiftieth of the time since.
    EveryEvents(NonZeroU64),
    /// Never.
    Off,
}

impl Commitments {
    /// The default: one for some 128 full blocks.
    pub const DEFAULT_EVENTS: NonZeroU64 = NonZeroU64::new(65_536).unwrap();
}

impl Default for Commitments {
    fn default() -> Self {
        Self::EveryEvents(Self::DEFAULT_EVENTS)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Create,
    Refuse,
}

/// How a store is to be opened.
///
/// ```
/// use spacefold::{Folding, OpenError, Options};
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data");
/// let refused = Options::new(&path).existing_only().open();
/// assert!(matches!(refused, Err(OpenError::NoStore { .. })));
/// let spaces = Options::new(&path).folding(Folding::OnDemand).open()?;
/// spaces.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    path: PathBuf,
    missing: Missing,
    pub(crate) folding: Folding,
    store: StoreOptions,
    content: ContentOptions,
    pub(crate) bus: BusOptions,
    pub(crate) past: PastOptions,
    pub(crate) commitments: Commitments,
}

impl Options {
    /// Opens the store in the folder `path`, and creates it when the folder is absent or empty.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            missing: Missing::Create,
            folding: Folding::default(),
            store: StoreOptions::default(),
            content: ContentOptions::default(),
            bus: BusOptions::default(),
            past: PastOptions::default(),
            commitments: Commitments::default(),
        }
    }

    /// Creates nothing: where there is no store, opening fails.
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

    /// Has the log say this often what states it leads to; only while they are folded live.
    #[must_use]
    pub const fn commitments(mut self, commitments: Commitments) -> Self {
        self.commitments = commitments;
        self
    }

    /// Answers states of the past with these options: what is kept on disk for them, and in
    /// memory.
    #[must_use]
    pub const fn past(mut self, options: PastOptions) -> Self {
        self.past = options;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(&self) -> Result<Spacefold, OpenError> {
        let content = contents::prepare(&self.path)?;
        let log = match self.missing {
            Missing::Create => EmbeddedLog::open_with(&self.path, &self.store)?,
            Missing::Refuse => EmbeddedLog::open_existing_with(&self.path, &self.store)?,
        };
        let content = contents::open(content, self.content, &log)?;
        Spacefold::over(log, content, self)
    }
}
