//! `torture`: kills, cuts and fails stores, and checks what is left of them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it found is its output")]

use std::{
    env, io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{self, ExitCode},
};

use clap::{Args, Parser, Subcommand};
use spacefold_crash_tests::{
    child::{self, ChildOptions},
    faults::{self, FaultsOptions, subject},
    full_disk::{self, FullDiskOptions},
    images::{self, ImagesOptions},
    kill::{self, KillOptions},
    packs::{
        self, PacksOptions,
        followed::{self, FollowedPacksOptions},
    },
    places::{self, PlacesOptions},
    power::{self, FileSystem, PowerOptions, failed_syncs},
};

/// Set in a process whose mounts are its own.
const OWN_MOUNTS: &str = "SPACEFOLD_TORTURE_OWN_MOUNTS";
/// Set where a harness that cannot run is a failure.
const REQUIRE_POWER_CUTS: &str = "SPACEFOLD_REQUIRE_POWER_CUTS";

/// Followers of a store that is killed under them, and of one whose disk is cut from power or fails.
const KILL_FOLLOWERS: u32 = 3;
const POWER_FOLLOWERS: u32 = 1;

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills writers at random moments.
    Kill(Run),
    /// Kills writers that others follow.
    Follow(Run),
    /// Cuts disks from power under writers; needs root.
    Power {
        #[command(flatten)]
        run: Run,
        /// What the disks are formatted with.
        #[arg(long, value_enum, default_value = "ext4")]
        fs: FileSystem,
    },
    /// Lets syncs fail, so that the page cache lies, then cuts the power; needs root.
    FailedSyncs(Run),
    /// Makes disk images that a power cut could have left.
    Images(Run),
    /// Makes disk images of content stores.
    Packs {
        #[command(flatten)]
        run: Run,
        /// Makes them of a disk that acknowledges syncs before it has written anything, which must
        /// be found out.
        #[arg(long)]
        early_syncs: bool,
    },
    /// Kills owners of content stores that others follow.
    FollowPacks {
        #[command(flatten)]
        run: Run,
        /// Has followers expect what collections leave out, too, which they must miss.
        #[arg(long)]
        expect_dropped: bool,
    },
    /// Makes disk images of stores with durable subscriptions.
    Places {
        #[command(flatten)]
        run: Run,
        /// As of `packs`.
        #[arg(long)]
        early_syncs: bool,
    },
    /// Makes calls to the operating system fail.
    Faults(Run),
    /// Fills disks, and frees them again; needs root for all but file size limits.
    FullDisk(Run),
    /// The writer whose calls fail.
    #[command(hide = true)]
    Subject(ChildOptions),
    /// What works on a content store under the recorder.
    #[command(hide = true)]
    PacksSubject(ChildOptions),
    /// What acknowledges events under the recorder.
    #[command(hide = true)]
    PlacesSubject(ChildOptions),
    /// The writer that the others kill.
    #[command(hide = true)]
    Child(ChildOptions),
}

/// How much, and what is expected.
#[derive(Args)]
struct Run {
    /// How many rounds.
    #[arg(long, env = "SPACEFOLD_TORTURE_ROUNDS")]
    rounds: Option<u32>,
    /// What everything random is drawn from; drawn itself when it is not given.
    #[arg(long, env = "SPACEFOLD_TORTURE_SEED")]
    seed: Option<u64>,
    /// Where stores are made: in memory when it is not given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// For a disk that lies (`SPACEFOLD_TORTURE_LIE`): finding nothing is the failure.
    #[arg(long)]
    must_fail: bool,
}

impl Run {
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| fastrand::u64(..))
    }

    fn folder(&self) -> PathBuf {
        let memory = PathBuf::from("/dev/shm");
        let default = || if memory.is_dir() { memory } else { env::temp_dir() };
        self.dir.clone().unwrap_or_else(default)
    }

    /// Violations after which a run ends.
    fn stop_after(&self) -> usize {
        if self.must_fail { 1 } else { 5 }
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Kill(run) => kill("kill", &run, 300, 0),
        Command::Follow(run) => kill("follow", &run, 60, KILL_FOLLOWERS),
        Command::Power { run, fs } => power(&run, fs),
        Command::FailedSyncs(run) => failed_syncs(&run),
        Command::Images(run) => images(&run),
        Command::Packs { run, early_syncs } => packs(&run, early_syncs),
        Command::FollowPacks { run, expect_dropped } => follow_packs(&run, expect_dropped),
        Command::Places { run, early_syncs } => places(&run, early_syncs),
        Command::Faults(run) => faults(&run),
        Command::FullDisk(run) => full_disk(&run),
        Command::Subject(options) => subject::run(&options).map(ExitCode::from),
        Command::PacksSubject(options) => packs::subject(&options).map(ExitCode::from),
        Command::PlacesSubject(options) => places::subject(&options).map(ExitCode::from),
        Command::Child(options) => child::run(&options).map(ExitCode::from),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("torture: {error}");
        ExitCode::from(2)
    })
}

fn kill(harness: &str, run: &Run, rounds: u32, followers: u32) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("{harness}: seed {seed}");
    let report = kill::run(&KillOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        rounds: run.rounds.unwrap_or(rounds),
        seed,
        stop_after: run.stop_after(),
        keep: !run.must_fail,
        followers,
    })?;
    Ok(close(harness, seed, run.must_fail, &report.violations, &report))
}

fn power(run: &Run, system: FileSystem) -> io::Result<ExitCode> {
    let Some(options) = power_options("power", run, system, 60)? else {
        return Ok(skipped());
    };
    let report = power::run(&options)?;
    Ok(close("power", options.seed, run.must_fail, &report.violations, &report))
}

fn failed_syncs(run: &Run) -> io::Result<ExitCode> {
    let Some(options) = power_options("failed-syncs", run, FileSystem::Ext4, 20)? else {
        return Ok(skipped());
    };
    let report = failed_syncs::run(&options)?;
    Ok(close("failed-syncs", options.seed, run.must_fail, &report.violations, &report))
}

/// How disks are to be cut; `None` when they cannot be cut here.
fn power_options(
    harness: &str,
    run: &Run,
    system: FileSystem,
    default_cuts: u32,
) -> io::Result<Option<PowerOptions>> {
    if env::var_os(OWN_MOUNTS).is_none() && rustix::process::geteuid().is_root() {
        // With mounts of its own, nothing stays mounted whatever becomes of this process.
        let error = process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--"])
            .arg(env::current_exe()?)
            .args(env::args_os().skip(1))
            .env(OWN_MOUNTS, "1")
            .exec();
        eprintln!("{harness}: mounts are shared with other processes: {error}");
    }
    let (seed, cuts) = (run.seed(), run.rounds.unwrap_or(default_cuts));
    if let Some(why) = power::unavailable(&run.folder(), system) {
        eprintln!("{harness}: SKIPPED all {cuts} cuts of {}: {why}", system.name());
        return Ok(None);
    }
    println!("{harness}: seed {seed}, {}", system.name());
    Ok(Some(PowerOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        cuts,
        seed,
        system,
        stop_after: run.stop_after(),
        keep: !run.must_fail,
        followers: POWER_FOLLOWERS,
    }))
}

/// Where it has to run, a harness that cannot has failed.
fn skipped() -> ExitCode {
    let required = [REQUIRE_POWER_CUTS, "CI"].into_iter().any(|name| env::var_os(name).is_some());
    if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn images(run: &Run) -> io::Result<ExitCode> {
    let (seed, images) = (run.seed(), run.rounds.unwrap_or(1_000));
    println!("images: seed {seed}");
    let report = images::run(&ImagesOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        images,
        pairs: images / 5,
        seed,
        stop_after: run.stop_after(),
        keep: !run.must_fail,
    })?;
    Ok(close("images", seed, run.must_fail, &report.violations, &report))
}

fn packs(run: &Run, early_syncs: bool) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("packs: seed {seed}");
    let report = packs::run(&PacksOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        images: run.rounds.unwrap_or(300),
        seed,
        early_syncs,
        stop_after: run.stop_after(),
    })?;
    Ok(close("packs", seed, run.must_fail, &report.violations, &report))
}

fn follow_packs(run: &Run, expects_dropped: bool) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("follow-packs: seed {seed}");
    let report = followed::run(&FollowedPacksOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        rounds: run.rounds.unwrap_or(60),
        seed,
        followers: KILL_FOLLOWERS,
        expects_dropped,
        stop_after: run.stop_after(),
    })?;
    Ok(close("follow-packs", seed, run.must_fail, &report.violations, &report))
}

fn places(run: &Run, early_syncs: bool) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("places: seed {seed}");
    let report = places::run(&PlacesOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        images: run.rounds.unwrap_or(100),
        seed,
        early_syncs,
        stop_after: run.stop_after(),
    })?;
    Ok(close("places", seed, run.must_fail, &report.violations, &report))
}

/// Without a number of rounds, some calls of each kind fail; else all, in runs of so many appends.
fn faults(run: &Run) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("faults: seed {seed}");
    let report = faults::run(&FaultsOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        appends: run.rounds.unwrap_or(100),
        every_call: run.rounds.is_some(),
        seed,
        stop_after: run.stop_after(),
    })?;
    Ok(close("faults", seed, run.must_fail, &report.violations, &report))
}

fn full_disk(run: &Run) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("full-disk: seed {seed}");
    let report = full_disk::run(&FullDiskOptions {
        torture: env::current_exe()?,
        folder: run.folder(),
        cycles: run.rounds.unwrap_or(1),
        serves_when_full: false,
        seed,
    })?;
    for skipped in &report.skipped {
        eprintln!("full-disk: SKIPPED {skipped}");
    }
    Ok(close("full-disk", seed, run.must_fail, &report.violations, &report))
}

/// Prints what was found and the closing line; what the process answers.
fn close(
    harness: &str,
    seed: u64,
    must_fail: bool,
    violations: &[String],
    report: &dyn std::fmt::Display,
) -> ExitCode {
    for violation in violations {
        println!("{harness}: VIOLATION {violation}");
    }
    let passed = violations.is_empty() != must_fail;
    let verdict = match (passed, must_fail) {
        (true, false) => "passed",
        (false, false) => "FAILED",
        (true, true) => "passed: the planted fault was found",
        (false, true) => "FAILED: the planted fault was not found",
    };
    println!("{harness}: {verdict}; seed {seed}; {report}");
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
