//! `spacefold history`

use clap::Args;

use crate::{error::Failure, interrupt, session::CliSession};

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The id of the space.
    #[arg(value_name = "SPACE")]
    space_id: String,

    /// Only events about this document.
    #[arg(long, value_name = "ID")]
    document: Option<String>,
}

impl HistoryArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.open_existing()?;
        for page in store.history(&self.space_id, self.document.as_deref())? {
            interrupt::check()?;
            for event in page?.events() {
                session.output.json(&event?)?;
            }
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}
