//! Disks that are cut from power under a writer; what it had been told is there afterwards.
//!
//! A disk is an image behind a loop device. The cut is a call that file systems have for tests:
//! nothing is written from then on, neither from the page cache nor from the journal of the file
//! system. Needs root.

mod disk;
pub mod failed_syncs;
mod shutdown;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use spacefold_store::{EmbeddedLog, OpenError};
use tempfile::TempDir;

use self::disk::Disk;
pub use self::disk::FileSystem;
use crate::{
    check::{Violation, check, verify_unopened},
    child::ChildOptions,
    follow::{LookCounts, Onlooker, check_followed},
    history::History,
    message::Message,
    moment::Moment,
    writer::{Silence, Writer},
};

/// Cuts of one store, at the most.
const STORE_CUTS: u32 = 12;
/// Cuts of each disk while a store is being created.
const DISK_CREATIONS: u32 = 8;
/// Events of one store, at the most: checking takes time in proportion.
const STORE_EVENTS: u64 = 6_000;

/// How disks are cut.
#[derive(Clone, Debug)]
pub struct PowerOptions {
    /// The binary that has the writer as a command.
    pub torture: PathBuf,
    /// Where images are made.
    pub folder: PathBuf,
    /// How many cuts.
    pub cuts: u32,
    /// The seed of workloads and moments.
    pub seed: u64,
    /// What the disks are formatted with.
    pub system: FileSystem,
    /// Violations after which the run ends.
    pub stop_after: usize,
    /// Whether images that show a violation are kept.
    pub keep: bool,
    /// How many followers look at each store all the while.
    pub followers: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct PowerReport {
    /// Cuts that ended with a check, those of stores being created apart.
    pub cuts: u32,
    /// Disks they were made on.
    pub disks: u32,
    /// The cuts by the moment.
    pub moments: BTreeMap<&'static str, u32>,
    /// Stores that were being created, by whether they were there after the cut.
    pub absent: u32,
    /// See `absent`.
    pub complete: u32,
    /// Appends that were acknowledged.
    pub acknowledged: u64,
    /// Appends that were stored though nobody was told.
    pub unacknowledged: usize,
    /// How often a store made sled's copy anew.
    pub healed: u64,
    /// What followers have looked at.
    pub followed: LookCounts,
    /// What was wrong, with the image that shows it.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for PowerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moments: Vec<_> =
            self.moments.iter().map(|(moment, count)| format!("{count} {moment}")).collect();
        write!(
            f,
            "{} cuts of {} disks ({}), and {} of stores being created, of which {} were absent and {} \
             complete; \
             {} appends acknowledged, {} more stored whole, sled's copy made anew {} times, \
             {}, {} violations, {:.1} s",
            self.cuts,
            self.disks,
            moments.join(", "),
            self.absent + self.complete,
            self.absent,
            self.complete,
            self.acknowledged,
            self.unacknowledged,
            self.healed,
            self.followed,
            self.violations.len(),
            self.took.as_secs_f64(),
        )
    }
}

/// Why disks cannot be cut here, if they cannot: tries it once.
#[must_use]
pub fn unavailable(folder: &Path, system: FileSystem) -> Option<String> {
    let tried = TempDir::new_in(folder).and_then(|folder| {
        let mut disk = Disk::new(folder.path(), system)?;
        fs::write(disk.root().join("file"), "a file that nobody syncs")?;
        disk.cut()?;
        disk.restart()?;
        match fs::read(disk.root().join("file")) {
            Ok(bytes) if !bytes.is_empty() => Err(io::Error::other("a cut loses nothing here")),
            _ => Ok(()),
        }
    });
    tried.err().map(|error| error.to_string())
}

/// Cuts disks, one after the other.
///
/// # Errors
/// When disks or processes cannot be made; what is wrong with a store is part of the report.
pub fn run(options: &PowerOptions) -> io::Result<PowerReport> {
    let began = Instant::now();
    let mut report = PowerReport::default();
    let mut rng = fastrand::Rng::with_seed(options.seed);
    while report.cuts < options.cuts && report.violations.len() < options.stop_after {
        let folder =
            tempfile::Builder::new().prefix("spacefold-power-").tempdir_in(&options.folder)?;
        report.disks += 1;
        let disk = Disk::new(folder.path(), options.system)?;
        let mut bench = Bench { options, disk, report: &mut report, rng: &mut rng, stores: 0 };
        let lived = bench.live();
        drop(bench);
        match lived {
            Ok(()) => {}
            Err(Fault::Io(error)) => return Err(error),
            Err(Fault::Violation(what)) => {
                let kept = if options.keep {
                    format!("; the image is kept in {}", folder.keep().display())
                } else {
                    String::new()
                };
                report.violations.push(format!("cut {}: {what}{kept}", report.cuts));
            }
        }
    }
    report.took = began.elapsed();
    Ok(report)
}

/// Why a disk is used no longer.
enum Fault {
    Io(io::Error),
    Violation(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A disk with a store on it, and what the cuts of it come to.
struct Bench<'o> {
    options: &'o PowerOptions,
    disk: Disk,
    report: &'o mut PowerReport,
    rng: &'o mut fastrand::Rng,
    stores: u32,
}

/// A store that is cut off.
struct Victim {
    path: PathBuf,
    seed: u64,
    history: History,
    next_writer: u32,
    healed: u64,
    onlookers: Vec<Onlooker>,
}

impl Bench<'_> {
    /// Cuts stores off while they are being created, then one that is there.
    fn live(&mut self) -> Result<(), Fault> {
        for _ in 0..DISK_CREATIONS {
            self.create()?;
        }
        let mut victim = self.victim()?;
        let lived = self.live_with(&mut victim);
        self.end(victim);
        lived
    }

    /// Cuts off a store that is there.
    fn live_with(&mut self, victim: &mut Victim) -> Result<(), Fault> {
        for _ in 0..STORE_CUTS {
            if self.report.cuts == self.options.cuts {
                break;
            }
            let mut child = self.draw(victim);
            let moment = loop {
                match Moment::draw(child.profile, self.rng) {
                    Moment::Itself(_) => {}
                    moment => break moment,
                }
            };
            if matches!(moment, Moment::Closing(_)) {
                child.appends = self.rng.u32(0..10);
            }
            self.cut_one(victim, &child, moment)?;
            *self.report.moments.entry(moment.name()).or_default() += 1;
            self.report.cuts += 1;
            if self.check(victim)? > STORE_EVENTS {
                break;
            }
        }
        Ok(())
    }

    /// A store that is not there yet.
    fn victim(&mut self) -> io::Result<Victim> {
        self.stores += 1;
        let (path, seed) = (self.disk.root().join(self.stores.to_string()), self.rng.u64(..));
        let followers = (0..self.options.followers).map(u64::from);
        let start = |number| Onlooker::start(&path, seed.wrapping_add(number));
        let onlookers = followers.map(start).collect::<io::Result<_>>()?;
        Ok(Victim { path, seed, history: History::new(seed), next_writer: 0, healed: 0, onlookers })
    }

    /// Lets go of a store: nothing of it is open any more.
    fn end(&mut self, victim: Victim) {
        for onlooker in victim.onlookers {
            self.report.followed.add(onlooker.end());
        }
    }

    /// Cuts a store off while it is being created: afterwards it is absent, or complete.
    fn create(&mut self) -> Result<(), Fault> {
        let mut victim = self.victim()?;
        let child = self.draw(&victim);
        let delay = Duration::from_micros(self.rng.u64(0..4_000).saturating_sub(1_000));
        let created = self
            .cut_one(&mut victim, &child, Moment::Opening(delay))
            .and_then(|()| self.look_at_created(&victim))
            .and_then(|()| self.check(&mut victim));
        self.end(victim);
        created.map(drop)
    }

    /// Counts a store that was being created.
    fn look_at_created(&mut self, victim: &Victim) -> Result<(), Fault> {
        match EmbeddedLog::open_existing(&victim.path) {
            Ok(_) => self.report.complete += 1,
            Err(OpenError::NoStore { .. }) if !victim.path.exists() => self.report.absent += 1,
            Err(error) => {
                let what = format!("created neither wholly nor not at all: {error}");
                return Err(Fault::Violation(what));
            }
        }
        Ok(())
    }

    fn draw(&mut self, victim: &Victim) -> ChildOptions {
        ChildOptions::draw(&victim.path, victim.seed, victim.next_writer, self.rng)
    }

    /// Starts a writer, cuts the power at a moment, and brings the disk back.
    fn cut_one(
        &mut self,
        victim: &mut Victim,
        child: &ChildOptions,
        moment: Moment,
    ) -> Result<(), Fault> {
        victim.next_writer += child.threads;
        let writer = Writer::start(&self.options.torture, child)?;
        let mut heard = Vec::new();
        let waited = moment.wait_for(&writer, &mut heard);
        victim.onlookers.iter().for_each(Onlooker::expect_cut);
        self.disk.cut()?;
        let before_the_cut = heard.len();
        heard.extend(writer.kill()?);
        victim.onlookers.iter_mut().for_each(Onlooker::pause);
        self.disk.restart()?;
        victim.onlookers.iter_mut().try_for_each(Onlooker::resume)?;
        if waited == Err(Silence::Stuck) {
            return Err(Fault::Violation("the writer is stuck".to_owned()));
        }
        for (index, message) in heard.iter().enumerate() {
            self.hear(victim, message, index < before_the_cut)?;
        }
        Ok(())
    }

    /// Takes a message in; after the cut, appends may fail.
    fn hear(
        &mut self,
        victim: &mut Victim,
        message: &Message,
        is_before_the_cut: bool,
    ) -> Result<(), Fault> {
        match message {
            // The system call that cuts the power does not stop a sync that is under way: it may
            // answer that all is well though ext4 never wrote the new length of the file. A machine
            // without power tells nobody of such a sync: what is told later need not be there.
            Message::Acknowledged(acknowledged) if is_before_the_cut => {
                self.report.acknowledged += 1;
                victim.history.note(*acknowledged);
                Ok(())
            }
            Message::Failed(_) | Message::Broken(_) if is_before_the_cut => {
                Err(Fault::Violation(format!("before the cut: {message}")))
            }
            _ => Ok(()),
        }
    }

    /// Checks the store; the position of its last event.
    fn check(&mut self, victim: &mut Victim) -> Result<u64, Fault> {
        let seed = victim.seed;
        let broken =
            |violation: Violation| Fault::Violation(format!("{violation} (workload {seed})"));
        if self.rng.u8(0..4) == 0 {
            verify_unopened(&victim.path).map_err(broken)?;
        }
        check_followed(&victim.path, &victim.onlookers)
            .map_err(|what| Fault::Violation(format!("{what} (workload {seed})")))?;
        let options = self.draw(victim).store_options();
        let checked = check(&victim.path, &options, &mut victim.history).map_err(broken)?;
        self.report.unacknowledged += checked.unacknowledged;
        self.report.healed += checked.healed - victim.healed;
        victim.healed = checked.healed;
        Ok(checked.head.get())
    }
}
