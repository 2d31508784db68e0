//! Runs cases in worker processes, several at a time: a hang or an abort costs one of them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use crate::{
    case::{Case, Outcome},
    parts,
    report::Report,
    stores::{Store, scratch},
};
use serde::{Deserialize, Serialize};

/// How long a case may take before it counts as a hang: a thousand times what it takes.
const WATCHDOG: Duration = Duration::from_secs(60);
/// After so many cases a worker is replaced: what sled leaks when it panics goes with it.
const CASES_OF_A_WORKER: usize = 400;
/// How often a case goes on in another process before it counts as one that never ends well.
const MAX_RESTARTS: usize = 3;
const WORKERS: usize = 2;

/// What a worker does, as data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Work {
    /// A store is harmed.
    Harm(Case),
    /// Parts of a store are exchanged.
    Parts(parts::Case),
}

impl Work {
    /// What cases of its kind are counted under.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Harm(case) => {
                let action = format!("{:?}", case.action).to_lowercase();
                format!("{:?}: {action} after {}", case.kind, case.harm.kind())
            }
            Self::Parts(case) => match &case.exchanges[..] {
                [(part, source)] => format!("{part:?} {source:?}").to_lowercase(),
                exchanges => format!("{} parts", exchanges.len()),
            },
        }
    }
}

/// What is asked of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// The folder of the store's images.
    pub store: PathBuf,
    /// What is to be done.
    pub work: Work,
    /// Whether to go on with what an earlier process left.
    pub again: bool,
}

/// Runs every case with the worker program, each on its store.
///
/// # Panics
/// When a worker cannot be started.
#[must_use]
pub fn run(program: &Path, cases: &[(&Store, Case)]) -> Report {
    let work =
        |(store, case): &(&Store, Case)| (store.folder().to_owned(), Work::Harm(case.clone()));
    run_all(program, &cases.iter().map(work).collect::<Vec<_>>())
}

/// Runs everything with the worker program, each on the store in its folder.
///
/// # Panics
/// When a worker cannot be started.
#[must_use]
pub fn run_all(program: &Path, cases: &[(PathBuf, Work)]) -> Report {
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let folder = scratch();
                let mut worker = None;
                let mut done = 0;
                while let Some((store, work)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if done % CASES_OF_A_WORKER == 0 {
                        worker = None;
                    }
                    done += 1;
                    let outcome = run_one(program, folder.path(), &mut worker, store, work);
                    report.lock().unwrap_or_else(PoisonError::into_inner).add(work, &outcome);
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn run_one(
    program: &Path,
    scratch: &Path,
    worker: &mut Option<Worker>,
    store: &Path,
    work: &Work,
) -> Outcome {
    for attempt in 0..=MAX_RESTARTS {
        let again = attempt > 0;
        let task = Task { store: store.to_owned(), work: work.clone(), again };
        let running = worker.get_or_insert_with(|| Worker::start(program, scratch));
        let answer = running.ask(&task);
        match answer {
            Ok(outcome) if outcome.restart => *worker = None,
            Ok(mut outcome) => {
                if again {
                    outcome.what += ", after a restart";
                }
                return outcome;
            }
            Err(what) => {
                *worker = None;
                return Outcome { violations: vec![what.to_owned()], ..Outcome::default() };
            }
        }
    }
    let what = "it asks for another process every time".to_owned();
    Outcome { violations: vec![what], ..Outcome::default() }
}

/// A worker process.
struct Worker {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

impl Worker {
    fn start(program: &Path, scratch: &Path) -> Self {
        let mut child = Command::new(program)
            .arg("cases")
            .arg(scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, answers }
    }

    fn ask(&mut self, task: &Task) -> Result<Outcome, &'static str> {
        let line = serde_json::to_string(task).unwrap();
        if writeln!(self.stdin, "{line}").is_err() {
            return Err("the process was gone");
        }
        match self.answers.recv_timeout(WATCHDOG) {
            Ok(line) => Ok(serde_json::from_str(&line).unwrap()),
            Err(RecvTimeoutError::Timeout) => Err("it hangs"),
            Err(RecvTimeoutError::Disconnected) => Err("it took the process down"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
