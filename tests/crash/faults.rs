//! Calls to the operating system that fail: the n-th of a kind, for every n until a run has fewer.
//!
//! A process makes a store, or opens one whose last writer was killed; it appends, goes on appending
//! after an error, reads everything, and closes. The call that fails is one of those. An append is
//! acknowledged or fails with a typed error; after that all are refused, and reading goes on; no
//! sync is tried again. Opened once more, the store has everything that was acknowledged.

mod outcome;
pub mod subject;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use crate::{
    child::ChildOptions,
    faults::outcome::{Run, judge, judge_store},
    folders,
    history::History,
    message::{Message, read_messages},
    preload::{Preload, Program, Recording},
    workload::Profile,
};

/// A kind of call, and how it fails; with a `+`, every later one does too.
const CASES: [(&str, &str); 22] = [
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("write", "ENOSPC+"),
    ("write", "short"),
    ("write", "EINTR"),
    ("sync", "EIO"),
    ("sync", "EIO+"),
    ("sync", "ENOSPC"),
    ("sync", "EINTR"),
    ("read", "EIO"),
    ("read", "short"),
    ("read", "EINTR"),
    ("open", "EIO"),
    ("open", "ENOSPC"),
    ("rename", "EIO"),
    ("rename", "ENOSPC"),
    ("remove", "EIO"),
    ("create-folder", "EIO"),
    ("create-folder", "ENOSPC"),
    ("truncate", "EIO"),
    ("truncate", "ENOSPC"),
    ("truncate", "EINTR"),
];
/// Calls of a kind that are made to fail one by one before some are passed over.
const ONE_BY_ONE: u64 = 3;
/// The writer of what the store holds before.
const EARLIER: u32 = 0;
/// The writer whose calls fail.
const SUBJECT: u32 = 1;

/// Which calls fail.
#[derive(Clone, Debug)]
pub struct FaultsOptions {
    /// The binary that has the writer as a command.
    pub torture: PathBuf,
    /// Where stores are made.
    pub folder: PathBuf,
    /// Appends of a run.
    pub appends: u32,
    /// Whether every call of a kind is made to fail, or fewer and fewer of the later ones.
    pub every_call: bool,
    /// The seed of the workload, and of which calls are passed over.
    pub seed: u64,
    /// Violations after which it ends.
    pub stop_after: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct FaultsReport {
    /// Runs in which a call failed.
    pub runs: u32,
    /// Runs that noticed nothing of it.
    pub unnoticed: u32,
    /// Runs in which the store did not open.
    pub unopened: u32,
    /// Runs in which an append failed.
    pub failed: u32,
    /// Appends that were acknowledged.
    pub acknowledged: usize,
    /// What was wrong.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for FaultsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs with a call that failed ({} noticed nothing, {} did not open, in {} appends \
             failed), {} appends acknowledged, {} violations, {:.1} s",
            self.runs,
            self.unnoticed,
            self.unopened,
            self.failed,
            self.acknowledged,
            self.violations.len(),
            self.took.as_secs_f64(),
        )
    }
}

/// Makes calls fail, one a run.
///
/// # Errors
/// When processes or folders cannot be made; what is wrong with a store is part of the report.
pub fn run(options: &FaultsOptions) -> io::Result<FaultsReport> {
    let began = Instant::now();
    let preload = Preload::beside(&options.torture)?;
    let folder =
        tempfile::Builder::new().prefix("spacefold-faults-").tempdir_in(&options.folder)?;
    let earlier = Earlier::make(&preload, &folder.path().join("earlier"), options.seed)?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut report = FaultsReport::default();
    for (call, how) in CASES {
        for start in [None, Some(&earlier)] {
            let mut number = 1;
            loop {
                let later = if how.ends_with('+') { "+" } else { "" };
                let fault = format!("{call}:{number}{later}:{}:", how.trim_end_matches('+'));
                let one = One { options, preload: &preload, start, fault: &fault };
                if !one.run(&folder.path().join("run"), &mut report)? {
                    break;
                }
                if report.violations.len() >= options.stop_after {
                    report.took = began.elapsed();
                    return Ok(report);
                }
                number += match options.every_call || number < ONE_BY_ONE {
                    true => 1,
                    false => rng.u64(1..=number),
                };
            }
        }
    }
    report.took = began.elapsed();
    Ok(report)
}

/// A store whose last writer was killed, and what is known of it.
struct Earlier {
    root: PathBuf,
    history: History,
}

impl Earlier {
    fn make(preload: &Preload, folder: &Path, seed: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let recording = Recording::new(folder)?;
        let mut history = History::new(seed);
        let options = ChildOptions {
            profile: Profile::Bulk,
            appends: 6,
            openings: 2,
            die_after: Some(10),
            ..options(&recording, seed, EARLIER)
        };
        preload.run(Program::Writer, &recording, &options, None)?;
        let told = fs::read_to_string(&recording.marks)?;
        for message in read_messages(&told).map_err(io::Error::other)? {
            if let Message::Acknowledged(acknowledged) = message {
                history.note(acknowledged);
            }
        }
        Ok(Self { root: recording.root, history })
    }
}

fn options(recording: &Recording, seed: u64, writer: u32) -> ChildOptions {
    ChildOptions {
        store: recording.root.join("store"),
        seed,
        first_writer: writer,
        threads: 1,
        appends: 1,
        under_way: 1,
        profile: Profile::Small,
        openings: 1,
        fold_every: None,
        die_after: None,
        receipts: None,
        journal_file_bytes: Some(128 << 10),
        reserve_bytes: Some(64 << 10),
        lie: None,
    }
}

/// One run.
struct One<'a> {
    options: &'a FaultsOptions,
    preload: &'a Preload,
    start: Option<&'a Earlier>,
    fault: &'a str,
}

impl One<'_> {
    /// Whether the call that was to fail was made.
    fn run(&self, folder: &Path, report: &mut FaultsReport) -> io::Result<bool> {
        fs::create_dir(folder)?;
        let recording = Recording { keeps_bytes: false, ..Recording::new(folder)? };
        if let Some(earlier) = self.start {
            folders::copy(&earlier.root, &recording.root)?;
        }
        let seed = self.options.seed;
        let options =
            ChildOptions { appends: self.options.appends, ..options(&recording, seed, SUBJECT) };
        let status = self.preload.run(Program::Subject, &recording, &options, Some(self.fault))?;
        let was_hit = match self.judge(&recording, &options, status, report) {
            Ok(was_hit) => was_hit,
            Err(what) => {
                let fault = self.fault;
                let start = if self.start.is_some() { "a killed" } else { "no" };
                report.violations.push(format!("{fault} on {start} store (seed {seed}): {what}"));
                true
            }
        };
        fs::remove_dir_all(folder)?;
        Ok(was_hit)
    }

    fn judge(
        &self,
        recording: &Recording,
        options: &ChildOptions,
        status: ExitStatus,
        report: &mut FaultsReport,
    ) -> Result<bool, String> {
        let entries = recording.entries().map_err(|error| error.to_string())?;
        let run = Run::of(&entries)?;
        let is_transparent = ["short", "EINTR"].iter().any(|how| self.fault.contains(how));
        if status.code().is_none_or(|code| code > 1) {
            return Err(format!("it ended with {status} after {:?}", run.messages.last()));
        }
        if run.hits.is_empty() {
            return match run.went_well() {
                true => Ok(false),
                false => Err(format!("it fails by itself: {:?}", run.messages.last())),
            };
        }
        report.count(&run);
        judge(&run, is_transparent).map_err(|what| format!("{what} (hit {:?})", run.hits))?;
        let mut history = self
            .start
            .map_or_else(|| History::new(self.options.seed), |earlier| earlier.history.clone());
        judge_store(&options.store, &mut history, &run)
            .map_err(|what| format!("{what} (hit {:?})", run.hits))?;
        Ok(true)
    }
}

impl FaultsReport {
    fn count(&mut self, run: &Run) {
        self.runs += 1;
        self.unnoticed += u32::from(run.went_well());
        let has = |wanted: fn(&Message) -> bool| u32::from(run.messages.iter().any(wanted));
        self.unopened += 1 - has(|message| matches!(message, Message::Open(_)));
        self.failed += has(|message| matches!(message, Message::Failed(_)));
        let is_acknowledged = |message: &&Message| matches!(message, Message::Acknowledged(_));
        self.acknowledged += run.messages.iter().filter(is_acknowledged).count();
    }
}
