//! `spacefold fork`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use spacefold::{
    admin::{ForkOptions, ForkedStore},
    event::id_text,
};

use super::salvage::{PrintedContent, failed, with_progress};
use crate::{
    error::{Failure, Status},
    output::{CellTable, grouped, text},
    session::{CliSession, NewStore},
};

#[derive(Debug, Args)]
pub(crate) struct ForkStore {
    /// The folder of the store, which another process may have open: nothing is changed in it.
    #[arg(value_name = "DIR")]
    from: PathBuf,

    /// Where the new store is made: a folder that is not there, or empty.
    #[arg(value_name = "NEW")]
    to: PathBuf,

    /// Give events that were recorded in the future the time that they say themselves, or that of the
    /// event before: for a store that a process wrote to whose clock was ahead.
    #[arg(long)]
    retime: bool,

    #[command(flatten)]
    new: NewStore,
}

#[derive(Serialize)]
struct PrintedForked {
    store_id: String,
    new_store_id: String,
    position: u64,
    events: u64,
    retimed: u64,
    content: PrintedContent,
}

impl ForkStore {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let mut options = ForkOptions::default().mode(self.new.folder_mode());
        if self.retime {
            options = options.retime();
        }
        let forked = with_progress("forking", |goes_on| {
            spacefold::admin::fork(&self.from, &self.to, options, goes_on)
        });
        let ForkedStore { log, content, .. } =
            forked.map_err(|error| failed(&error, self.from.display()))?;
        let printed = PrintedForked {
            store_id: id_text(log.store_id),
            new_store_id: id_text(log.new_store_id),
            position: log.events,
            events: log.events,
            retimed: log.retimed,
            content: PrintedContent::from(&content),
        };
        if session.json {
            session.output.json(&printed)?;
        } else {
            session.output.line(&format!("forked {} events", grouped(printed.events)))?;
            let mut table = CellTable::new();
            let mut say = |what: &str, value: String| table.row([text(what), text(value)]);
            say("of the store", printed.store_id.clone());
            say("new store", format!("{} in {}", printed.new_store_id, self.to.display()));
            if self.retime {
                say("recorded again", format!("{} events", grouped(printed.retimed)));
            }
            session.output.table(&table)?;
        }
        session.output.flush()?;
        match printed.content.lacking() {
            0 => Ok(()),
            lacking => Err(Failure::new(
                Status::Damaged,
                format_args!("{lacking} contents that events name are not in the store"),
                self.from.display(),
                "the new store has all events; `spacefold verify` of the old one says which contents \
                 are damaged or missing",
            )),
        }
    }
}
