//! What every command is given: where the store is, and where output goes.

use std::path::PathBuf;

use spacefold::{Folding, Options, Spacefold};

use crate::{
    error::{self, Failure},
    interrupt,
    output::Output,
    target,
};

pub(crate) struct Session {
    pub(crate) data: PathBuf,
    pub(crate) json: bool,
    pub(crate) output: Output,
}

impl Session {
    pub(crate) fn new(data: PathBuf, json: bool) -> Self {
        Self { data, json, output: Output::new() }
    }

    /// Opens the store that is there.
    pub(crate) fn open_existing(&self) -> Result<Spacefold, Failure> {
        let options = Options::new(&self.data).existing_only();
        Self::guarded(options.folding(Folding::OnDemand))
    }

    /// Opens the store, and makes one where there is none.
    pub(crate) fn open(&self, folding: Folding) -> Result<Spacefold, Failure> {
        target::check_store(&self.data)?;
        Self::guarded(Options::new(&self.data).folding(folding))
    }

    fn guarded(options: Options) -> Result<Spacefold, Failure> {
        let spaces = options.open()?;
        interrupt::guard(spaces.log());
        if let Some(ahead) = spaces.log().ahead_of_clock()?.filter(spacefold::AheadOfClock::is_long)
        {
            error::warn_of_clock(&ahead);
        }
        Ok(spaces)
    }
}
