//! Work that needs a process of its own: started with a hidden subcommand, answered with one line.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use spacefold_event_core::MAX_APPEND_EVENTS;

use crate::{
    fold::Summary,
    measure::{
        cpu_seconds, folder_bytes, memory_bytes, peak_memory_bytes, reset_peak_memory,
        written_bytes,
    },
    record::{Batch, Digest},
    settings::Settings,
    subject::{self, Kind, Store},
    workload::Workload,
};

/// What the line with the answer begins with.
const ANSWER: &str = "ANSWER ";
/// Commits of one event behind the bulk of a store that is going to be killed.
const TAIL_COMMITS: u64 = 200;
/// Events that a thread of a replay takes at once.
const CHUNK_EVENTS: u64 = 32_768;

/// What a child process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    work: Work,
    subject: Kind,
    folder: PathBuf,
    events: u64,
    spaces: u64,
    seed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Work {
    Load { known_documents: bool },
    LoadUntilKilled,
    Open,
    OpenSled,
    Replay { threads: usize },
    Rebuild,
    Commits,
}

/// What came of loading a store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// From the first append to the closed store.
    pub(crate) seconds: f64,
    /// Of it, closing.
    pub(crate) close_seconds: f64,
    /// CPU time of all threads meanwhile.
    pub(crate) cpu_seconds: f64,
    /// Bytes sent to the disk meanwhile.
    pub(crate) written_bytes: u64,
    /// Bytes allocated to the folder afterwards.
    pub(crate) disk_bytes: u64,
    /// The same for each folder in it.
    pub(crate) parts: Vec<(String, u64)>,
    /// The most memory of the process.
    pub(crate) peak_memory_bytes: u64,
    /// Its memory before the store was opened.
    pub(crate) memory_before_bytes: u64,
}

/// What came of opening a store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// From before the opening to the first event, decoded.
    pub(crate) seconds: f64,
    /// Events that are there.
    pub(crate) events: u64,
    /// The most memory of the process.
    pub(crate) peak_memory_bytes: u64,
}

/// What came of a replay.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replayed {
    /// Opening the store.
    pub(crate) open_seconds: f64,
    /// Reading and decoding.
    pub(crate) seconds: f64,
    /// CPU time of all threads while reading and decoding.
    pub(crate) cpu_seconds: f64,
    /// What was read.
    pub(crate) digest: Digest,
    /// The most memory of the process.
    pub(crate) peak_memory_bytes: u64,
}

/// What came of folding everything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rebuilt {
    /// How many events were folded.
    pub(crate) events: u64,
    /// From before the opening to the states.
    pub(crate) seconds: f64,
    /// CPU time of all threads meanwhile.
    pub(crate) cpu_seconds: f64,
    /// What the states come to.
    pub(crate) summary: Summary,
    /// The most memory of the process.
    pub(crate) peak_memory_bytes: u64,
}

impl Task {
    fn new(settings: &Settings, work: Work, subject: Kind, folder: &Path, events: u64) -> Self {
        let folder = folder.to_owned();
        Self { work, subject, folder, events, spaces: settings.spaces, seed: settings.seed }
    }

    /// Loads a store and closes it.
    pub(crate) fn load(settings: &Settings, subject: Kind, folder: &Path) -> Self {
        Self::new(settings, Work::Load { known_documents: false }, subject, folder, settings.events)
    }

    /// Loads a store with events most of which change a state, and closes it.
    pub(crate) fn load_to_fold(settings: &Settings, subject: Kind, folder: &Path) -> Self {
        Self::new(settings, Work::Load { known_documents: true }, subject, folder, settings.events)
    }

    /// Loads a store, says so, and goes on appending until killed.
    pub(crate) fn load_until_killed(settings: &Settings, subject: Kind, folder: &Path) -> Self {
        Self::new(settings, Work::LoadUntilKilled, subject, folder, settings.events)
    }

    /// Opens a store and reads its first event.
    pub(crate) fn open(settings: &Settings, subject: Kind, folder: &Path) -> Self {
        Self::new(settings, Work::Open, subject, folder, 0)
    }

    /// Opens the sled folder of a store of spacefold's with nothing around it.
    pub(crate) fn open_sled(settings: &Settings, folder: &Path) -> Self {
        Self::new(settings, Work::OpenSled, Kind::Sled, folder, 0)
    }

    /// Reads and decodes a whole store.
    pub(crate) fn replay(
        settings: &Settings,
        subject: Kind,
        folder: &Path,
        threads: usize,
    ) -> Self {
        Self::new(settings, Work::Replay { threads }, subject, folder, 0)
    }

    /// Folds the states of a whole store.
    pub(crate) fn rebuild(settings: &Settings, subject: Kind, folder: &Path) -> Self {
        Self::new(settings, Work::Rebuild, subject, folder, 0)
    }

    /// Commits so often, one event at a time.
    pub(crate) fn commits(settings: &Settings, subject: Kind, folder: &Path, count: u64) -> Self {
        Self::new(settings, Work::Commits, subject, folder, count)
    }

    /// The arguments that make this program do it.
    pub(crate) fn arguments(&self) -> [String; 2] {
        ["child".to_owned(), serde_json::to_string(self).unwrap_or_default()]
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command)
    }
}

/// Does a task in a process of its own.
pub(crate) fn run<T: DeserializeOwned>(task: &Task) -> Result<T> {
    let output = task.command()?.stderr(Stdio::piped()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{task:?}: {}: {errors}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = text.lines().find_map(|line| line.strip_prefix(ANSWER));
    let answer = answer.with_context(|| format!("{task:?} answered nothing: {errors}"))?;
    Ok(serde_json::from_str(answer)?)
}

/// Starts a task, waits until it says that it is ready, and kills its process.
pub(crate) fn run_and_kill(task: &Task) -> Result<()> {
    let mut child = task.command()?.spawn()?;
    let output = child.stdout.take().context("no output")?;
    let ready = BufReader::new(output).lines().find(|line| match line {
        Ok(line) => line.starts_with(ANSWER),
        Err(_) => true,
    });
    child.kill()?;
    child.wait()?;
    ready.with_context(|| format!("{task:?} ended before it was ready"))??;
    Ok(())
}

/// Bytes of the rivals' records of a loaded store.
pub(crate) fn raw_bytes(settings: &Settings) -> Result<u64> {
    let mut workload = Workload::new(settings.seed, settings.spaces);
    let mut batch = Batch::default();
    let mut bytes = 0;
    for count in appends(settings.events) {
        batch.clear();
        batch.encode(workload.take(count))?;
        bytes += batch.total_bytes() as u64;
    }
    Ok(bytes)
}

/// The sizes of the appends that load so many events.
fn appends(events: u64) -> impl Iterator<Item = usize> {
    let full = MAX_APPEND_EVENTS as u64;
    let rest = usize::try_from(events % full).unwrap_or(0);
    (0..events / full).map(|_| MAX_APPEND_EVENTS).chain((rest > 0).then_some(rest))
}

/// Does a task in this process: the hidden subcommand.
pub(crate) fn work(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    match task.work {
        Work::Load { known_documents } => {
            let make = if known_documents { Workload::of_known_documents } else { Workload::new };
            answer(&load(&task, make(task.seed, task.spaces))?)
        }
        Work::LoadUntilKilled => load_until_killed(&task),
        Work::Open => answer(&open(&task)?),
        Work::OpenSled => answer(&open_sled(&task)?),
        Work::Replay { threads } => answer(&replay(&task, threads)?),
        Work::Rebuild => answer(&rebuild(&task)?),
        Work::Commits => commits(&task),
    }
}

fn answer(answer: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{ANSWER}{}", serde_json::to_string(answer)?)?;
    Ok(output.flush()?)
}

fn load(task: &Task, mut workload: Workload) -> Result<Load> {
    let memory_before_bytes = memory_bytes()?;
    reset_peak_memory()?;
    let (written_before, cpu_before) = (written_bytes()?, cpu_seconds());
    let mut store = Store::open(task.subject, &task.folder)?;
    let begun = Instant::now();
    for count in appends(task.events) {
        store.append(workload.take(count))?;
    }
    let appended = begun.elapsed().as_secs_f64();
    store.close()?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(&task.folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            parts.push((name, folder_bytes(&path)?.allocated));
        }
    }
    Ok(Load {
        seconds,
        close_seconds: seconds - appended,
        cpu_seconds: cpu_seconds() - cpu_before,
        written_bytes: written_bytes()?.saturating_sub(written_before),
        disk_bytes: folder_bytes(&task.folder)?.allocated,
        parts,
        peak_memory_bytes: peak_memory_bytes()?,
        memory_before_bytes,
    })
}

fn load_until_killed(task: &Task) -> Result<()> {
    let mut workload = Workload::new(task.seed, task.spaces);
    let mut store = Store::open(task.subject, &task.folder)?;
    for count in appends(task.events) {
        store.append(workload.take(count))?;
    }
    for _ in 0..TAIL_COMMITS {
        store.append(workload.take(1))?;
    }
    answer(&store.len())?;
    loop {
        store.append(workload.take(1))?;
    }
}

fn open(task: &Task) -> Result<Opened> {
    let begun = Instant::now();
    let store = Store::open(task.subject, &task.folder)?;
    let first = store.replay(1..2)?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(first.events == 1, "the first event is not there");
    let opened = Opened { seconds, events: store.len(), peak_memory_bytes: peak_memory_bytes()? };
    store.close()?;
    Ok(opened)
}

fn open_sled(task: &Task) -> Result<Opened> {
    let begun = Instant::now();
    let events = subject::open_sled_alone(&task.folder)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Opened { seconds, events, peak_memory_bytes: peak_memory_bytes()? })
}

fn replay(task: &Task, threads: usize) -> Result<Replayed> {
    let begun = Instant::now();
    let store = Store::open(task.subject, &task.folder)?;
    let open_seconds = begun.elapsed().as_secs_f64();
    let end = store.len() + 1;
    let chunk = if threads == 1 { end } else { CHUNK_EVENTS };
    let next = AtomicU64::new(1);
    let cpu_before = cpu_seconds();
    let begun = Instant::now();
    let digest = thread::scope(|scope| {
        let mut running = Vec::new();
        for _ in 0..threads {
            let (replayer, next) = (store.replayer()?, &next);
            running.push(scope.spawn(move || -> Result<Digest> {
                let mut digest = Digest::default();
                loop {
                    let start = next.fetch_add(chunk, Ordering::Relaxed);
                    if start >= end {
                        return Ok(digest);
                    }
                    digest.merge(replayer.replay(start..end.min(start + chunk))?);
                }
            }));
        }
        let mut digest = Digest::default();
        for thread in running {
            digest.merge(thread.join().map_err(|_| anyhow!("a reader panicked"))??);
        }
        anyhow::Ok(digest)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds() - cpu_before;
    let peak_memory_bytes = peak_memory_bytes()?;
    ensure!(digest.events == end - 1, "{} of {} events", digest.events, end - 1);
    store.close()?;
    Ok(Replayed { open_seconds, seconds, cpu_seconds, digest, peak_memory_bytes })
}

fn rebuild(task: &Task) -> Result<Rebuilt> {
    let cpu_before = cpu_seconds();
    let begun = Instant::now();
    let store = Store::open(task.subject, &task.folder)?;
    let states = store.fold()?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds() - cpu_before;
    let peak_memory_bytes = peak_memory_bytes()?;
    let summary = states.summary()?;
    let events = store.len();
    ensure!(summary.revisions == events, "{} of {events} events", summary.revisions);
    store.close()?;
    Ok(Rebuilt { events, seconds, cpu_seconds, summary, peak_memory_bytes })
}

fn commits(task: &Task) -> Result<()> {
    let mut workload = Workload::with_ready(task.seed, task.spaces, 1_024);
    let mut store = Store::open(task.subject, &task.folder)?;
    for _ in 0..task.events {
        store.append(workload.take(1))?;
    }
    store.close()
}
