//! `spacefold export`

use clap::Args;
use spacefold::{EventType, Position};

use super::selection::{self, SelectionArgs};
use crate::{error::Failure, progress, session::CliSession};

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The first position, inclusive.
    #[arg(long, value_name = "N")]
    from: Option<u64>,

    /// The last position, inclusive.
    #[arg(long, value_name = "N")]
    to: Option<u64>,

    /// Only events of the 21 core types, for programs that know no others.
    #[arg(long, conflicts_with = "types")]
    core_only: bool,

    #[command(flatten)]
    selection: SelectionArgs,
}

impl Export {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_log()?;
        if let Some(from) = self.from {
            selection::check_position(&*store, Position::new(from))?;
        }
        let mut filter = self.selection.filter(&*store)?;
        if self.core_only {
            filter = filter.types(EventType::CORE);
        }
        let from = Position::new(self.from.unwrap_or(1));
        let to = Position::new(self.to.unwrap_or(u64::MAX)).min(store.durable_head()?);
        let progress = progress::events("exporting", to.since(from));
        selection::print(&*store, (from, to), &filter, &mut session.output, &progress)?;
        session.output.flush()?;
        store.close()
    }
}
