//! `spacefold verify`

mod content;

use std::{error::Error, path::Path};

use clap::Args;
use serde::Serialize;
use spacefold::{
    CachePlace, Folding, OpenError, Options, Position, Spacefold,
    admin::{
        OnDamage, Problem, RebuildMode, RebuildOptions, Verdict, VerifyDepth, VerifyOptions,
        VerifyReport,
    },
    content::verify_content,
    log::StorageErrorKind,
    state::SpaceStates,
};

use self::content::CheckedContent;
use crate::{
    error::{Failure, Status},
    output::{CellTable, grouped, number, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Leave out what takes as long as reading everything.
    #[arg(long)]
    quick: bool,

    /// Mend one copy from the other.
    #[arg(long)]
    heal: bool,
}

#[derive(Serialize)]
struct PrintedReport {
    ok: bool,
    events: u64,
    blocks: u64,
    problems: Vec<PrintedProblem>,
}

#[derive(Serialize)]
pub(super) struct PrintedProblem {
    position: Option<u64>,
    file: Option<String>,
    offset: Option<u64>,
    kind: String,
    detail: String,
    healed: bool,
}

impl Verify {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let (mut printed, content) = match self.check_store(&session.data)? {
            Some(printed) => self.check_closed(printed, session)?,
            None => self.check_beside(session)?,
        };
        printed.ok = printed.is_ok();
        if session.json {
            session.output.json(&printed)?;
        } else {
            print(&printed, &content, session)?;
        }
        session.output.flush()?;
        match printed.state() {
            CheckState::Sound => Ok(()),
            CheckState::Damaged => Err(self.damaged(&printed, session)),
            CheckState::NeedsRecovery => Err(needs_recovery(session)),
            CheckState::Unchecked(kind) => Err(unchecked(kind, session)),
        }
    }

    const fn depth(&self) -> VerifyDepth {
        if self.quick { VerifyDepth::Quick } else { VerifyDepth::Full }
    }

    /// Checks what there is beside the log, in a store that nobody has.
    fn check_closed(
        &self,
        mut printed: PrintedReport,
        session: &CliSession,
    ) -> Result<(PrintedReport, CheckedContent), Failure> {
        let log_is_sound = printed.is_ok();
        let content = if self.quick {
            CheckedContent::default()
        } else {
            let names = || content::names_in_closed(&session.data);
            let names = log_is_sound.then_some(names);
            let report = verify_content(&session.data);
            content::check(&session.data, report, names, &mut printed.problems)?
        };
        // Opening a store mends what it can: not what is only to be reported.
        let is_checked = !matches!(printed.state(), CheckState::Unchecked(_));
        if !self.quick && (printed.is_ok() || self.heal) && is_checked {
            self.check_projections(session, &mut printed.problems)?;
        }
        Ok((printed, content))
    }

    /// Checks a store beside the process that has it: log and content, as far as they are shown.
    fn check_beside(
        &self,
        session: &CliSession,
    ) -> Result<(PrintedReport, CheckedContent), Failure> {
        let store =
            Options::new(&session.data).folding(Folding::OnDemand).cache(CachePlace::Memory);
        let store = match store.follow() {
            Ok(store) => store,
            Err(error) => {
                let problem = PrintedProblem::of(&error).ok_or(error)?;
                return Ok((PrintedReport::of_problem(problem), CheckedContent::default()));
            }
        };
        let report = store.verify(self.depth())?;
        let events = store.durable_head().get();
        let mut printed = PrintedReport { events, ..PrintedReport::from(report) };
        let content = if self.quick {
            CheckedContent::default()
        } else {
            let names = || content::names_in(store.log(), store.info().store_id);
            let names = printed.is_ok().then_some(names);
            content::check(&session.data, store.verify_content(), names, &mut printed.problems)?
        };
        store.close();
        Ok((printed, content))
    }

    fn damaged(&self, printed: &PrintedReport, session: &CliSession) -> Failure {
        let unhealed = printed.problems.iter().filter(|problem| !problem.healed);
        Failure::new(
            Status::Damaged,
            format_args!("problems found that are not healed: {}", unhealed.count()),
            session.data.display(),
            if self.heal {
                "copy the folder before you go on, and restore what is lost from a backup"
            } else {
                "`spacefold verify --heal` mends one copy from the other"
            },
        )
    }

    /// Checks a store that nobody has; `None` where another process has it, or may have it: beside it
    /// nothing can be mended. Where nothing may be written, what is not checked for that is a problem.
    fn check_store(&self, path: &Path) -> Result<Option<PrintedReport>, Failure> {
        let options = VerifyOptions {
            depth: self.depth(),
            damage: if self.heal { OnDamage::Heal } else { OnDamage::Report },
        };
        match spacefold::admin::verify(path, options) {
            Ok(report) => Ok(Some(PrintedReport::from(report))),
            Err(OpenError::AlreadyOpen { .. } | OpenError::NoLocks { .. }) if !self.heal => {
                Ok(None)
            }
            Err(error) => match PrintedProblem::of(&error) {
                Some(problem) => Ok(Some(PrintedReport::of_problem(problem))),
                None => Err(error.into()),
            },
        }
    }

    /// Compares the stored states with the fold of the events.
    fn check_projections(
        &self,
        session: &CliSession,
        problems: &mut Vec<PrintedProblem>,
    ) -> Result<(), Failure> {
        let store = match session.open_existing() {
            Ok(store) => store,
            Err(error) if problems.is_empty() => return Err(error),
            // What keeps it from opening is among the problems.
            Err(_) => return Ok(()),
        };
        let found = self.compare(&store, problems);
        store.close()?;
        found
    }

    fn compare(
        &self,
        store: &Spacefold,
        problems: &mut Vec<PrintedProblem>,
    ) -> Result<(), Failure> {
        // One that was never folded has nothing to be compared.
        let infos = store.projections().infos()?.into_iter();
        let folded = infos.filter(|info| info.position > Position::START);
        let mut names: Vec<String> = folded.map(|info| info.name.to_owned()).collect();
        if !names.iter().any(|name| name == SpaceStates::NAME) {
            names.push(SpaceStates::NAME.to_owned());
        }
        let outcomes = match store.admin().rebuild(&names, &RebuildOptions::new(RebuildMode::Check))
        {
            Ok(outcomes) => outcomes,
            Err(error) => {
                problems.push(PrintedProblem {
                    position: None,
                    file: None,
                    offset: None,
                    kind: machine_kind(&error).unwrap_or("projection-unreadable").to_owned(),
                    detail: error.to_string(),
                    healed: false,
                });
                return Ok(());
            }
        };
        for outcome in outcomes {
            if !matches!(outcome.verdict, Verdict::Diverged) {
                continue;
            }
            let name = outcome.name.to_owned();
            let first = outcome.first_divergence.as_ref();
            let space =
                first.map_or_else(String::new, |first| format!(" at space {:?}", first.space_id));
            let healed = self.heal
                && store
                    .admin()
                    .rebuild(
                        std::slice::from_ref(&name),
                        &RebuildOptions::new(RebuildMode::Replace),
                    )
                    .is_ok();
            problems.push(PrintedProblem {
                position: first.map(|first| first.position.get()),
                file: None,
                offset: None,
                kind: "projection-diverged".to_owned(),
                detail: format!("projection {name:?} parts from the fold of the events{space}"),
                healed,
            });
        }
        Ok(())
    }
}

/// What a check comes to as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckState {
    Sound,
    /// Something is damaged, whatever else there is.
    Damaged,
    /// Something could not be checked, for this reason.
    Unchecked(StorageErrorKind),
    /// The store was not closed, and nothing is damaged.
    NeedsRecovery,
}

/// What of a store is told when it was not closed.
const NEEDS_RECOVERY: &str = "needs-recovery";

/// The reasons of the machine for which a part may go unchecked.
const UNCHECKED: [StorageErrorKind; 7] = [
    StorageErrorKind::NoRoom,
    StorageErrorKind::FileTooLarge,
    StorageErrorKind::ReadOnly,
    StorageErrorKind::NotPermitted,
    StorageErrorKind::NoMemory,
    StorageErrorKind::TooManyFiles,
    StorageErrorKind::FolderGone,
];

/// The reason of the machine that is behind an error, as one word.
pub(super) fn machine_kind(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let kind = StorageErrorKind::behind(error).filter(|kind| UNCHECKED.contains(kind))?;
    Some(kind.name())
}

fn needs_recovery(session: &CliSession) -> Failure {
    Failure::new(
        Status::Failed,
        "the store was not closed and has not been opened since: it needs recovery",
        session.data.display(),
        "any command that opens the store recovers it, and so does `spacefold verify --heal`; nothing \
         acknowledged is lost",
    )
}

fn unchecked(kind: StorageErrorKind, session: &CliSession) -> Failure {
    let what = match kind {
        StorageErrorKind::NoRoom => "the disk is full",
        StorageErrorKind::FileTooLarge => "this process may not write files as large",
        StorageErrorKind::ReadOnly => "the file system or the folder takes no changes",
        StorageErrorKind::NotPermitted => "this process may not read all of it",
        StorageErrorKind::NoMemory => "this process gets no more memory or threads",
        StorageErrorKind::TooManyFiles => "this process may not open more files",
        _ => "the folder is gone",
    };
    Failure::new(
        Status::Failed,
        format_args!("not everything could be checked: {what}; no damage was found"),
        session.data.display(),
        kind.advice().unwrap_or("run the command again"),
    )
}

impl PrintedProblem {
    /// The reason of the machine that it is, if it is one.
    fn unchecked(&self) -> Option<StorageErrorKind> {
        UNCHECKED.into_iter().find(|kind| kind.name() == self.kind)
    }

    fn is_damage(&self) -> bool {
        self.unchecked().is_none() && self.kind != NEEDS_RECOVERY
    }
}

impl PrintedReport {
    /// Of a store that was looked at no further.
    fn of_problem(problem: PrintedProblem) -> Self {
        Self { ok: false, events: 0, blocks: 0, problems: vec![problem] }
    }

    fn state(&self) -> CheckState {
        let unhealed = || self.problems.iter().filter(|problem| !problem.healed);
        if unhealed().any(PrintedProblem::is_damage) {
            return CheckState::Damaged;
        }
        match unhealed().find_map(PrintedProblem::unchecked) {
            Some(kind) => CheckState::Unchecked(kind),
            None if unhealed().next().is_some() => CheckState::NeedsRecovery,
            None => CheckState::Sound,
        }
    }

    fn is_ok(&self) -> bool {
        self.problems.iter().all(|problem| problem.healed)
    }
}

impl From<VerifyReport> for PrintedReport {
    fn from(report: VerifyReport) -> Self {
        let mut printed = Self {
            ok: false,
            events: report.events,
            blocks: report.blocks,
            problems: report.problems.into_iter().map(PrintedProblem::from).collect(),
        };
        let is_told = printed.problems.iter().any(|problem| problem.kind == NEEDS_RECOVERY);
        if report.needs_recovery && !is_told {
            printed.problems.push(PrintedProblem {
                position: None,
                file: None,
                offset: None,
                kind: NEEDS_RECOVERY.to_owned(),
                detail: "the store was not closed and has not been opened since".to_owned(),
                healed: false,
            });
        }
        printed.ok = printed.is_ok();
        printed
    }
}

impl From<Problem> for PrintedProblem {
    fn from(problem: Problem) -> Self {
        Self {
            position: problem.position.map(|position| position.get()),
            file: problem.file.map(|file| file.display().to_string()),
            offset: problem.offset,
            kind: problem.kind.to_owned(),
            detail: problem.detail,
            healed: problem.healed,
        }
    }
}

impl PrintedProblem {
    /// What keeps a store from opening, as a problem of it, where it is one.
    fn of(error: &OpenError) -> Option<Self> {
        let mut problem = Self {
            position: None,
            file: None,
            offset: None,
            kind: "storage".to_owned(),
            detail: error.to_string(),
            healed: false,
        };
        match error {
            OpenError::JournalDamaged { position, file, offset, what } => {
                problem.position = Some(position.get());
                problem.file = Some(file.display().to_string());
                problem.offset = Some(*offset);
                problem.kind = "journal-damaged".to_owned();
                problem.detail.clone_from(what);
            }
            OpenError::PartsDiffer { path, part, what } => {
                problem.file = Some(path.join(part.name()).display().to_string());
                problem.kind = "parts-differ".to_owned();
                problem.detail.clone_from(what);
            }
            OpenError::Storage(error) => problem.kind = error.kind().name().to_owned(),
            _ => return None,
        }
        Some(problem)
    }
}

fn print(
    printed: &PrintedReport,
    content: &CheckedContent,
    session: &mut CliSession,
) -> Result<(), Failure> {
    let verdict = match printed.state() {
        CheckState::Sound => "sound",
        CheckState::Damaged => "damaged",
        CheckState::NeedsRecovery => "needs recovery",
        CheckState::Unchecked(_) => "not checked to the end",
    };
    let (events, blocks) = (grouped(printed.events), grouped(printed.blocks));
    session.output.line(&format!("{verdict}: {events} events in {blocks} blocks"))?;
    content.print(&mut session.output)?;
    if printed.problems.is_empty() {
        return Ok(());
    }
    let titles = ["position", "kind", "healed", "where", "what"];
    let mut table = CellTable::new().head(titles);
    for problem in &printed.problems {
        let place = match (&problem.file, problem.offset) {
            (Some(file), Some(offset)) => format!("{file}, byte {offset}"),
            (Some(file), None) => file.clone(),
            (None, _) => "-".to_owned(),
        };
        table.row([
            problem.position.map_or_else(|| text("-"), number),
            text(&problem.kind),
            text(if problem.healed { "yes" } else { "no" }),
            text(place),
            text(&problem.detail),
        ]);
    }
    session.output.table(&table)
}
