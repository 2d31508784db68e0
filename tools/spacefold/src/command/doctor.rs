//! `spacefold doctor`

mod backups;
mod disk;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use spacefold::{CachePlace, Folding, FollowedStore, OpenError, Options, Timestamp};

use crate::{
    error::{Failure, Status},
    output::{CellTable, bytes, grouped, text},
    session::CliSession,
};

/// Events that a subscription or a projection may be behind before it is remarked on.
const MUCH_BEHIND: u64 = 100_000;
/// The newest event may be ahead of the clock by this many microseconds.
const FAR_AHEAD: i64 = 60 * 1_000_000;
/// The latest that a clock may say without being wrong: before this program was written.
const EARLIEST_NOW: i64 = 1_767_225_600_000_000;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The folder of the store, which a process may have open; the one that --data names, unless told.
    #[arg(value_name = "DIR")]
    store: Option<PathBuf>,

    /// Look at the repository of its backups too: how old the newest backup and the newest drill are.
    #[arg(long, value_name = "FROM")]
    backups: Option<PathBuf>,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum FindingVerdict {
    Good,
    /// Worth knowing, and not wrong.
    Note,
    Wrong,
    Damaged,
}

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: FindingVerdict,
    what: String,
    /// What to do; `null` where nothing is wrong.
    advice: Option<&'static str>,
}

#[derive(Serialize)]
struct PrintedDoctor {
    ok: bool,
    version: &'static str,
    findings: Vec<Finding>,
}

/// What was found, in the order of looking.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, check: &'static str, what: impl fmt::Display) {
        self.add(check, FindingVerdict::Good, what, None);
    }

    fn note(&mut self, check: &'static str, what: impl fmt::Display, advice: &'static str) {
        self.add(check, FindingVerdict::Note, what, Some(advice));
    }

    fn wrong(&mut self, check: &'static str, what: impl fmt::Display, advice: &'static str) {
        self.add(check, FindingVerdict::Wrong, what, Some(advice));
    }

    fn add(
        &mut self,
        check: &'static str,
        verdict: FindingVerdict,
        what: impl fmt::Display,
        advice: Option<&'static str>,
    ) {
        self.0.push(Finding { check, verdict, what: what.to_string(), advice });
    }
}

impl Doctor {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let path = self.store.clone().unwrap_or_else(|| session.data.clone());
        let mut found = Findings::default();
        look_at_clock(&mut found);
        if !path.is_dir() {
            return Err(OpenError::NoStore { path }.into());
        }
        disk::look(&path, &mut found)?;
        look_at_store(&path, &mut found)?;
        if let Some(backups) = &self.backups {
            backups::look(&path, backups, &mut found)?;
        }
        let Findings(findings) = found;
        let has = |verdict| findings.iter().any(|found| found.verdict == verdict);
        let (is_wrong, is_damaged) = (has(FindingVerdict::Wrong), has(FindingVerdict::Damaged));
        let ok = !is_wrong && !is_damaged;
        let printed = PrintedDoctor { ok, version: env!("CARGO_PKG_VERSION"), findings };
        if session.json {
            session.output.json(&printed)?;
        } else {
            print(&printed, session)?;
        }
        session.output.flush()?;
        let wrong = printed.findings.iter();
        let wrong = wrong
            .filter(|it| matches!(it.verdict, FindingVerdict::Wrong | FindingVerdict::Damaged));
        match (is_damaged, is_wrong) {
            (false, false) => Ok(()),
            (is_damaged, _) => Err(Failure::new(
                if is_damaged { Status::Damaged } else { Status::Failed },
                format_args!("{} things are wrong", wrong.count()),
                path.display(),
                "what to do about each is said beside it",
            )),
        }
    }
}

fn print(printed: &PrintedDoctor, session: &mut CliSession) -> Result<(), Failure> {
    let mut table = CellTable::new().head(["", "check", "found", "what to do"]);
    for found in &printed.findings {
        let verdict = match found.verdict {
            FindingVerdict::Good => "good",
            FindingVerdict::Note => "note",
            FindingVerdict::Wrong => "WRONG",
            FindingVerdict::Damaged => "DAMAGED",
        };
        let advice = found.advice.unwrap_or_default();
        table.row([text(verdict), text(found.check), text(&found.what), text(advice)]);
    }
    session.output.table(&table)
}

fn look_at_clock(found: &mut Findings) {
    let now = Timestamp::now();
    if now.as_micros() < EARLIEST_NOW {
        let advice = "set the system's clock before anything is written";
        found.wrong("clock", format_args!("it is at {now}"), advice);
    } else {
        found.good("clock", now);
    }
}

/// Looks at the store, reading only.
fn look_at_store(path: &Path, found: &mut Findings) -> Result<(), Failure> {
    let options = Options::new(path).folding(Folding::OnDemand).cache(CachePlace::Memory);
    let store = match options.follow() {
        Ok(store) => store,
        Err(
            error @ (OpenError::JournalDamaged { .. }
            | OpenError::PartsDiffer { .. }
            | OpenError::NotAStore { .. }),
        ) if spacefold::admin::is_store(path) => {
            let advice = "opening it mends what its own copies have; `spacefold verify` says what is \
                          damaged, `repair --from OTHER` mends it from another copy, `salvage` takes \
                          what is whole into a new store";
            found.add("store", FindingVerdict::Damaged, error, Some(advice));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let looked = look_into(&store, found);
    store.close();
    looked
}

fn look_into(store: &FollowedStore, found: &mut Findings) -> Result<(), Failure> {
    let info = store.info();
    let owner = store.log().owner().ok().flatten();
    let (head, format) = (grouped(info.durable_head.get()), info.format_version);
    found.good("store", format_args!("{}, {head} events, format {format}", info.store_id));
    let pid = owner.and_then(|owner| owner.pid).map(|pid| format!(", process {pid}"));
    match owner {
        Some(_) => found.good("open", format_args!("yes{}", pid.unwrap_or_default())),
        None if info.was_closed => found.good("open", "no; it was closed cleanly"),
        None => found.note(
            "open",
            "no; the process that had it was stopped before it closed it",
            "the next opening recovers it: nothing that was acknowledged is lost",
        ),
    }
    if info.healed > 0 {
        found.note(
            "healed",
            format_args!("a copy was found wrong {} times and rebuilt", info.healed),
            "look at the disk: SMART, the kernel's log, memory",
        );
    }
    if let Some(newest) = info.last_recorded_at {
        let ahead = newest.as_micros().saturating_sub(Timestamp::now().as_micros());
        if ahead > FAR_AHEAD {
            found.wrong(
                "times",
                format_args!("the newest event was recorded at {newest}, in the future"),
                "check the clock; where it was ahead once, `spacefold fork DIR NEW --retime` mends it",
            );
        }
    }
    let lag = info.durable_head.since(info.sealed_through);
    found.good("sealed", format_args!("all but the newest {} events", grouped(lag)));
    look_at_files(store, found);
    look_at_lag(store, found)
}

fn look_at_files(store: &FollowedStore, found: &mut Findings) {
    let files = store.log().file_bytes();
    let (all, content) = (bytes(files.total()), bytes(files.content));
    found.good("bytes", format_args!("{all}, of which {content} are content"));
    if files.set_aside > 0 {
        found.note(
            "set aside",
            format_args!("{} were set aside when something was mended", bytes(files.set_aside)),
            "once the store has proved to be good, delete what ends in .set-aside-<n>",
        );
    }
    if files.reserve == 0 {
        found.note(
            "reserve",
            "no room is set aside for a full disk",
            "it is set aside as the store is written to; where it never is, the disk is full or the \
             store was opened without one",
        );
    }
}

fn look_at_lag(store: &FollowedStore, found: &mut Findings) -> Result<(), Failure> {
    let head = store.durable_head();
    match store.durable_subscriptions() {
        Ok(subscriptions) => {
            for subscription in subscriptions {
                let lag = subscription.position.map_or(head.get(), |at| head.since(at));
                let what = format!("{:?} is {} events behind", subscription.name, grouped(lag));
                if lag > MUCH_BEHIND {
                    found.note("lag", what, "look whether its subscriber still runs");
                } else {
                    found.good("lag", what);
                }
            }
        }
        Err(error) => found.add(
            "subscriptions",
            FindingVerdict::Damaged,
            error,
            Some(
                "put subscriptions/places back, or remove it: every subscription begins again then",
            ),
        ),
    }
    Ok(())
}
