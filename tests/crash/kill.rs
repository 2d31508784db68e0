//! Writers that are killed at random moments; what they had been told is there afterwards, and what
//! followers beside them have shown.
//!
//! A kill loses nothing that was written: the page cache survives it. So this tests that recovery
//! finds everything, and that an append is whole or absent; not that anything is on the disk.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    check::{check, verify_unopened},
    child::ChildOptions,
    follow::{LookCounts, Onlooker, check_followed},
    history::History,
    message::Message,
    moment::Moment,
    writer::{Silence, Writer},
};

/// Rounds on one store, at the most.
const STORE_ROUNDS: u32 = 20;
/// Events of one store, at the most: checking takes time in proportion.
const STORE_EVENTS: u64 = 6_000;

/// How stores are killed.
#[derive(Clone, Debug)]
pub struct KillOptions {
    /// The binary that has the writer as a command.
    pub torture: PathBuf,
    /// Where stores are made.
    pub folder: PathBuf,
    /// Rounds: writers killed one after the other, then a check.
    pub rounds: u32,
    /// The seed of workloads and moments.
    pub seed: u64,
    /// Violations after which the run ends.
    pub stop_after: usize,
    /// Whether stores that show a violation are kept.
    pub keep: bool,
    /// How many followers look at each store all the while.
    pub followers: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct KillReport {
    /// Rounds that ended with a check.
    pub rounds: u32,
    /// Stores they were made on.
    pub stores: u32,
    /// Writers that died, by the moment.
    pub kills: BTreeMap<&'static str, u32>,
    /// Appends that were acknowledged.
    pub acknowledged: u64,
    /// Appends that were stored though nobody was told.
    pub unacknowledged: usize,
    /// How often a store made sled's copy anew.
    pub healed: u64,
    /// What followers have looked at.
    pub followed: LookCounts,
    /// What was wrong, with the store that shows it.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for KillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<_> =
            self.kills.iter().map(|(moment, count)| format!("{count} {moment}")).collect();
        write!(
            f,
            "{} rounds on {} stores, {} writers killed ({}), {} appends acknowledged, {} more \
             stored whole, sled's copy made anew {} times, {}, {} violations, {:.1} s",
            self.rounds,
            self.stores,
            self.kills.values().sum::<u32>(),
            kills.join(", "),
            self.acknowledged,
            self.unacknowledged,
            self.healed,
            self.followed,
            self.violations.len(),
            self.took.as_secs_f64(),
        )
    }
}

/// Kills writers, round by round.
///
/// # Errors
/// When processes or folders cannot be made; what is wrong with a store is part of the report.
pub fn run(options: &KillOptions) -> io::Result<KillReport> {
    let began = Instant::now();
    let mut report = KillReport::default();
    let mut rng = fastrand::Rng::with_seed(options.seed);
    while report.rounds < options.rounds && report.violations.len() < options.stop_after {
        let folder =
            tempfile::Builder::new().prefix("spacefold-kill-").tempdir_in(&options.folder)?;
        report.stores += 1;
        let mut victim = Victim::new(options, folder.path(), rng.u64(..));
        victim.be_followed()?;
        let lived = victim.live(&mut rng, &mut report);
        for onlooker in victim.onlookers {
            report.followed.add(onlooker.end());
        }
        if let Err(fault) = lived {
            match fault {
                Fault::Io(error) => return Err(error),
                Fault::Violation(what) => {
                    let kept = if options.keep { kept(folder) } else { String::new() };
                    report.violations.push(format!("round {}: {what}{kept}", report.rounds));
                }
            }
        }
    }
    report.took = began.elapsed();
    Ok(report)
}

/// Keeps the folder of a store that shows a violation, and says where it is.
fn kept(folder: TempDir) -> String {
    format!("; the store is kept in {}", folder.keep().display())
}

/// Why a store lives no longer.
enum Fault {
    Io(io::Error),
    Violation(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A store whose writers are killed.
struct Victim<'o> {
    options: &'o KillOptions,
    store: PathBuf,
    seed: u64,
    history: History,
    next_writer: u32,
    onlookers: Vec<Onlooker>,
}

impl<'o> Victim<'o> {
    fn new(options: &'o KillOptions, folder: &Path, seed: u64) -> Self {
        let (store, history) = (folder.join("store"), History::new(seed));
        Self { options, store, seed, history, next_writer: 0, onlookers: Vec::new() }
    }

    /// Has followers look at the store from now on.
    fn be_followed(&mut self) -> io::Result<()> {
        for number in 0..self.options.followers {
            let seed = self.seed.wrapping_add(number.into());
            self.onlookers.push(Onlooker::start(&self.store, seed)?);
        }
        Ok(())
    }

    /// Rounds until the store is large.
    fn live(&mut self, rng: &mut fastrand::Rng, report: &mut KillReport) -> Result<(), Fault> {
        let mut healed = 0;
        for _ in 0..STORE_ROUNDS {
            if report.rounds >= self.options.rounds {
                break;
            }
            // Now and then a writer dies on what the one before it left, before anybody checks.
            for _ in 0..rng.choice([1, 1, 1, 2, 3]).unwrap_or(1) {
                self.kill_one(rng, report)?;
            }
            report.rounds += 1;
            check_followed(&self.store, &self.onlookers)
                .map_err(|what| Fault::Violation(format!("{what} (workload {})", self.seed)))?;
            let broken = |violation: crate::check::Violation| {
                Fault::Violation(format!("{violation} (workload {})", self.seed))
            };
            if rng.u8(0..4) == 0 {
                verify_unopened(&self.store).map_err(broken)?;
            }
            let store_options = self.draw(rng).store_options();
            let checked = check(&self.store, &store_options, &mut self.history).map_err(broken)?;
            report.unacknowledged += checked.unacknowledged;
            report.healed += checked.healed - healed;
            healed = checked.healed;
            if checked.head.get() > STORE_EVENTS {
                break;
            }
        }
        Ok(())
    }

    fn draw(&self, rng: &mut fastrand::Rng) -> ChildOptions {
        ChildOptions::draw(&self.store, self.seed, self.next_writer, rng)
    }

    /// Starts a writer, and kills it at a random moment.
    fn kill_one(&mut self, rng: &mut fastrand::Rng, report: &mut KillReport) -> Result<(), Fault> {
        let mut child = self.draw(rng);
        let moment = Moment::draw(child.profile, rng);
        match moment {
            Moment::Itself(count) => child.die_after = Some(count),
            Moment::Closing(_) => child.appends = rng.u32(0..10),
            _ => {}
        }
        self.next_writer += child.threads;
        let writer = Writer::start(&self.options.torture, &child)?;
        let mut heard = Vec::new();
        if moment.wait_for(&writer, &mut heard) == Err(Silence::Stuck) {
            return Err(Fault::Violation("the writer is stuck".to_owned()));
        }
        heard.extend(writer.kill()?);
        for message in heard {
            self.hear(&message, report)?;
        }
        *report.kills.entry(moment.name()).or_default() += 1;
        Ok(())
    }

    fn hear(&mut self, message: &Message, report: &mut KillReport) -> Result<(), Fault> {
        match message {
            Message::Acknowledged(acknowledged) => {
                report.acknowledged += 1;
                self.history.note(*acknowledged);
            }
            Message::Failed(failed) => {
                let what = format!("{} failed: {}", failed.key, failed.why);
                return Err(Fault::Violation(what));
            }
            Message::Broken(why) => {
                return Err(Fault::Violation(format!("the writer fails: {why}")));
            }
            _ => {}
        }
        Ok(())
    }
}
