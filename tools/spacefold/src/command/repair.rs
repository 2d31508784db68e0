//! `spacefold repair`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use spacefold::{
    OpenError,
    admin::{RemakeError, RepairedStore},
};
use spacefold_archive::{ArchiveError, repair_from_backup};

use super::{
    backup::{failure, is_url, open},
    salvage::failed,
};
use crate::{
    error::{Failure, Status},
    output::{CellTable, grouped, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// The folder of the store, which no process may have open.
    #[arg(value_name = "DIR")]
    store: PathBuf,

    /// Take what the store lacks from this folder, with a copy of it in whatever condition, or from this
    /// repository of its backups: where the chain proves that it fits.
    #[arg(long, value_name = "OTHER")]
    from: Option<PathBuf>,
}

#[derive(Serialize)]
struct PrintedRepair<'r> {
    log_mended: bool,
    head: u64,
    set_aside: &'r [String],
    projections: &'r [String],
    content: PrintedMended,
}

#[derive(Serialize)]
struct PrintedMended {
    mended: u64,
    lacking: u64,
}

impl Repair {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repaired = match &self.from {
            Some(place) if is_repository(place) => {
                match repair_from_backup(&open(place)?, &self.store, None) {
                    Err(ArchiveError::Repair(error)) => return Err(self.cannot(error)),
                    repaired => repaired.map_err(failure)?,
                }
            }
            from => {
                let repaired = spacefold::admin::repair(&self.store, from.as_deref());
                repaired.map_err(|error| self.cannot(error))?
            }
        };
        if session.json {
            session.output.json(&PrintedRepair::of(&repaired))?;
        } else {
            self.print(&repaired, session)?;
        }
        session.output.flush()?;
        match repaired.content_lacking {
            0 => Ok(()),
            lacking => Err(Failure::new(
                Status::Damaged,
                format_args!("{lacking} contents that events name are damaged or lost"),
                self.store.display(),
                "`--from OTHER` takes them from another copy of the store",
            )),
        }
    }

    fn print(&self, repaired: &RepairedStore, session: &mut CliSession) -> Result<(), Failure> {
        let log = &repaired.log;
        let what = if log.log_mended { "mended" } else { "sound" };
        let events = grouped(log.head.get());
        session.output.line(&format!("the log is {what}: {events} events"))?;
        let mut table = CellTable::new();
        let mut say = |what: &str, value: String| table.row([text(what), text(value)]);
        say("rebuilt", format!("sled's copy, indexes, {}", repaired.projections.join(", ")));
        if repaired.content_mended > 0 {
            say("content", format!("{} taken over", grouped(repaired.content_mended)));
        }
        for name in &log.set_aside {
            say("set aside", self.store.join(name).display().to_string());
        }
        session.output.table(&table)
    }

    /// Why the store could not be mended.
    fn cannot(&self, error: RemakeError) -> Failure {
        match error {
            RemakeError::Open(
                damage @ (OpenError::JournalDamaged { .. } | OpenError::PartsDiffer { .. }),
            ) => Failure::new(
                Status::Damaged,
                damage,
                self.store.display(),
                "nothing was changed; `repair --from OTHER` takes what is lacking from another copy of \
                 the store, `salvage` takes what is whole into a new one",
            ),
            RemakeError::Open(error) => error.into(),
            RemakeError::NothingThere { path } => Failure::new(
                Status::Failed,
                "there is nothing of this store in the other folder",
                path.display(),
                "name the folder of a copy of this store; nothing was changed",
            ),
            error => failed(&error, self.store.display()),
        }
    }
}

/// Whether backups are at a place, and no copy of a store.
fn is_repository(place: &Path) -> bool {
    is_url(place) || place.join("repository.json").is_file()
}

impl<'r> PrintedRepair<'r> {
    fn of(repaired: &'r RepairedStore) -> Self {
        Self {
            log_mended: repaired.log.log_mended,
            head: repaired.log.head.get(),
            set_aside: &repaired.log.set_aside,
            projections: &repaired.projections,
            content: PrintedMended {
                mended: repaired.content_mended,
                lacking: repaired.content_lacking,
            },
        }
    }
}
