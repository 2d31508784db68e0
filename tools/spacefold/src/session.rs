//! What every command is given: where the store is, and where output goes.

use std::path::PathBuf;

use clap::Args;
use spacefold::{Folding, Options, Spacefold, log::StoreMode};
use spacefold_client::Client;

use crate::{
    door::{
        self,
        read_door::ReadDoor,
        read_store::{Needed, ReadStore, for_a_question},
        remote_door::RemoteDoor,
        write_door::WriteDoor,
    },
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
    /// The folder of the store, where no server was named.
    pub(crate) data: PathBuf,
    /// The server that was named.
    server: Option<Client>,
    pub(crate) json: bool,
    pub(crate) output: Output,
}

impl CliSession {
    pub(crate) fn new(data: PathBuf, server: Option<Client>, json: bool) -> Self {
        Self { data, server, json, output: Output::new() }
    }

    /// The server that was named.
    pub(crate) const fn server(&self) -> Option<&Client> {
        self.server.as_ref()
    }

    fn remote(&self) -> Option<RemoteDoor> {
        self.server.clone().map(RemoteDoor::by_url)
    }

    /// Opens the store that is in the folder.
    pub(crate) fn open_existing(&self) -> Result<Spacefold, Failure> {
        Self::guarded(&for_a_question(&self.data))
    }

    /// The store that is there, for a command that only reads.
    pub(crate) fn read_states(&self) -> Result<Box<dyn ReadDoor>, Failure> {
        self.read(Needed::States)
    }

    /// The store that is there, for a command that only reads the log as it is.
    pub(crate) fn read_log(&self) -> Result<Box<dyn ReadDoor>, Failure> {
        self.read(Needed::Log)
    }

    fn read(&self, needed: Needed) -> Result<Box<dyn ReadDoor>, Failure> {
        match self.remote() {
            Some(door) => Ok(Box::new(door)),
            None => door::reading(&self.data, needed),
        }
    }

    /// The store that is there, for a command that reads on as it is written: whoever wants to write it
    /// meanwhile is to get it.
    pub(crate) fn follow_log(&self) -> Result<Box<dyn ReadDoor>, Failure> {
        match self.remote() {
            Some(door) => Ok(Box::new(door)),
            None => Ok(Box::new(ReadStore::follow(&self.data, Needed::Log, None)?)),
        }
    }

    /// The store that is there, for a command that writes.
    pub(crate) fn write_existing(&self) -> Result<WriteDoor, Failure> {
        match self.remote() {
            Some(door) => Ok(WriteDoor::Remote(door)),
            None => door::writing(&self.data, &for_a_question(&self.data)),
        }
    }

    /// The store for a command that writes; it is made where there is none.
    pub(crate) fn write(&self, new: NewStore) -> Result<WriteDoor, Failure> {
        match self.remote() {
            Some(door) => Ok(WriteDoor::Remote(door)),
            None => door::writing(&self.data, &self.options(Folding::OnDemand, new)?),
        }
    }

    /// Opens the store that is there for a command that closes it on Ctrl-C by itself.
    pub(crate) fn open_unguarded(&self) -> Result<Spacefold, Failure> {
        let spaces = for_a_question(&self.data).open()?;
        error::warn_of_clock(spaces.log())?;
        Ok(spaces)
    }

    /// Opens the store in the folder, and makes one where there is none.
    pub(crate) fn open(&self, folding: Folding, new: NewStore) -> Result<Spacefold, Failure> {
        Self::guarded(&self.options(folding, new)?)
    }

    fn options(&self, folding: Folding, new: NewStore) -> Result<Options, Failure> {
        target::check_store(&self.data)?;
        let mode = new.mode.unwrap_or_default();
        Ok(Options::new(&self.data).folding(folding).mode(mode.folder()))
    }

    fn guarded(options: &Options) -> Result<Spacefold, Failure> {
        let spaces = options.open()?;
        let log = spaces.log().clone();
        interrupt::begin(spaces.log(), move || log.close())?;
        Ok(spaces)
    }
}
