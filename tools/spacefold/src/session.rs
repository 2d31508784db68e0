//! What every command is given: where the store is, and where output goes.

use std::path::PathBuf;

use clap::Args;
use spacefold::{Folding, Options, Spacefold, log::StoreMode};

use crate::{
    door::{Needed, ReadStore, for_a_question},
    error::{self, Failure},
    interrupt,
    output::Output,
    target,
};

/// What is said of a store that is made.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct NewStore {
    /// The mode of a store that is made, such as 0750 for a group that may read it; 0700 unless
    /// told. In a store that is there, modes stay.
    #[arg(long, value_name = "MODE")]
    mode: Option<StoreMode>,
}

impl NewStore {
    /// The mode of its folder.
    pub(crate) fn folder_mode(self) -> StoreMode {
        self.mode.unwrap_or_default()
    }
}

pub(crate) struct CliSession {
    pub(crate) data: PathBuf,
    pub(crate) json: bool,
    pub(crate) output: Output,
}

impl CliSession {
    pub(crate) fn new(data: PathBuf, json: bool) -> Self {
        Self { data, json, output: Output::new() }
    }

    /// Opens the store that is there, for a command that writes.
    pub(crate) fn open_existing(&self) -> Result<Spacefold, Failure> {
        Self::guarded(for_a_question(&self.data))
    }

    /// The store that is there, for a command that only reads.
    pub(crate) fn read_states(&self) -> Result<ReadStore, Failure> {
        ReadStore::at(&self.data, Needed::States)
    }

    /// The store that is there, for a command that only reads the log as it is.
    pub(crate) fn read_log(&self) -> Result<ReadStore, Failure> {
        ReadStore::at(&self.data, Needed::Log)
    }

    /// Opens the store that is there for a command that closes it on Ctrl-C by itself.
    pub(crate) fn open_unguarded(&self) -> Result<Spacefold, Failure> {
        let spaces = for_a_question(&self.data).open()?;
        error::warn_of_clock(spaces.log())?;
        Ok(spaces)
    }

    /// Opens the store, and makes one where there is none.
    pub(crate) fn open(&self, folding: Folding, new: NewStore) -> Result<Spacefold, Failure> {
        target::check_store(&self.data)?;
        let options = Options::new(&self.data).folding(folding);
        let mode = new.mode.unwrap_or_default();
        Self::guarded(options.mode(mode.folder()))
    }

    fn guarded(options: Options) -> Result<Spacefold, Failure> {
        let spaces = options.open()?;
        let log = spaces.log().clone();
        interrupt::begin(spaces.log(), move || log.close())?;
        Ok(spaces)
    }
}
