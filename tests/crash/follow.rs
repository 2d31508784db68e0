//! Followers beside writers that are killed, cut from power and failed: whatever they have shown is there
//! afterwards, at the same position, and they take nothing for damage.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use spacefold_event_core::{EventId, LogReader, Position, ReadError, ReadRequest};
use spacefold_store::{EmbeddedLog, Follower, FollowerOptions, OpenError};

/// How long one wait for new events lasts, at the most.
const WAIT: Duration = Duration::from_millis(20);
/// How often a follower is opened anew, by looks.
const LOOKS: u32 = 60;

/// A follower of a store that is written, killed and opened again, in a thread of its own.
#[derive(Debug)]
pub struct Onlooker {
    store: PathBuf,
    rng: fastrand::Rng,
    seen: Arc<Mutex<Seen>>,
    signs: Arc<Signs>,
    thread: Option<JoinHandle<()>>,
}

/// What a follower is told.
#[derive(Debug, Default)]
struct Signs {
    is_over: AtomicBool,
    is_cut: AtomicBool,
}

/// What a follower has seen.
#[derive(Debug, Default)]
struct Seen {
    shown: Vec<EventId>,
    wrong: Option<String>,
    counts: LookCounts,
}

/// How much followers have looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookCounts {
    /// Looks, and waits that were over.
    pub looks: u64,
    /// Followers that were opened.
    pub openings: u64,
    /// Events that were shown.
    pub shown: u64,
}

impl fmt::Display for LookCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looks, openings, shown } = self;
        write!(f, "{openings} followers looked {looks} times and showed {shown} events")
    }
}

impl LookCounts {
    /// Adds what another one has.
    pub fn add(&mut self, other: Self) {
        self.looks += other.looks;
        self.openings += other.openings;
        self.shown += other.shown;
    }
}

impl Onlooker {
    /// Begins to follow the store that is, or will be, at a path.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(store: &Path, seed: u64) -> std::io::Result<Self> {
        let mut onlooker = Self {
            store: store.to_owned(),
            rng: fastrand::Rng::with_seed(seed),
            seen: Arc::default(),
            signs: Arc::default(),
            thread: None,
        };
        onlooker.resume()?;
        Ok(onlooker)
    }

    /// Goes on, once the power is back.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn resume(&mut self) -> std::io::Result<()> {
        self.stop();
        self.signs = Arc::default();
        let looking = Looking {
            store: self.store.clone(),
            seen: Arc::clone(&self.seen),
            signs: Arc::clone(&self.signs),
            rng: self.rng.fork(),
        };
        self.thread = Some(thread::Builder::new().spawn(move || looking.run())?);
        Ok(())
    }

    /// The power is about to be cut: what is shown from now on need not be there, and anything may fail.
    pub fn expect_cut(&self) {
        // Once it is set, nobody is in the middle of noting what he has seen.
        let _seen = locked(&self.seen);
        self.signs.is_cut.store(true, Ordering::Relaxed);
    }

    /// Looks no more for now: nothing of the store is open then.
    pub fn pause(&mut self) {
        self.stop();
    }

    /// Makes sure that nothing was wrong, and that a log has what was shown until now.
    ///
    /// # Errors
    /// What is wrong.
    pub fn compare(&self, log: &dyn LogReader) -> Result<(), String> {
        let shown = {
            let seen = locked(&self.seen);
            if let Some(wrong) = &seen.wrong {
                return Err(wrong.clone());
            }
            seen.shown.clone()
        };
        let found = read_from(log, Position::new(1)).map_err(|error| error.to_string())?;
        compare(&shown, &found)
    }

    fn has_shown_nothing(&self) -> bool {
        locked(&self.seen).shown.is_empty()
    }

    /// Ends it: what it has looked at.
    pub fn end(mut self) -> LookCounts {
        self.stop();
        locked(&self.seen).counts
    }

    fn stop(&mut self) {
        self.signs.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that has panicked has said so, and has no thread any more.
            let _ = thread.join();
        }
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Looking {
    store: PathBuf,
    seen: Arc<Mutex<Seen>>,
    signs: Arc<Signs>,
    rng: fastrand::Rng,
}

impl Looking {
    fn run(mut self) {
        while !self.is_over() {
            let followed = self.follow_one();
            if let Err(wrong) = followed {
                if self.is_cut() {
                    return;
                }
                locked(&self.seen).wrong.get_or_insert(format!("a follower: {wrong}"));
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.signs.is_over.load(Ordering::Relaxed) || self.is_cut()
    }

    fn is_cut(&self) -> bool {
        self.signs.is_cut.load(Ordering::Relaxed)
    }

    /// Follows for some looks.
    fn follow_one(&mut self) -> Result<(), String> {
        let follower = match Follower::open(&self.store, &FollowerOptions::default()) {
            // It is yet to be made.
            Err(OpenError::NoStore { .. }) if locked(&self.seen).shown.is_empty() => {
                thread::sleep(Duration::from_millis(1));
                return Ok(());
            }
            follower => follower.map_err(|error| format!("opening: {error}"))?,
        };
        let said = |error: ReadError| error.to_string();
        let found = read_from(&follower, Position::new(1)).map_err(said)?;
        {
            let mut seen = locked(&self.seen);
            if self.is_cut() {
                return Ok(());
            }
            seen.counts.openings += 1;
            let common = found.len().min(seen.shown.len());
            compare(seen.shown.get(..common).unwrap_or_default(), &found)?;
        }
        for _ in 0..self.rng.u32(1..LOOKS) {
            if self.is_over() {
                break;
            }
            let next = locked(&self.seen).shown.len() as u64 + 1;
            let head = follower.wait_durable(Position::new(next), WAIT).map_err(said)?;
            let found = match head.get() >= next {
                true => read_from(&follower, Position::new(next)).map_err(said)?,
                false => Vec::new(),
            };
            let mut seen = locked(&self.seen);
            if self.is_cut() {
                break;
            }
            seen.counts.looks += 1;
            seen.counts.shown += found.len() as u64;
            seen.shown.extend(found);
        }
        Ok(())
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_from(log: &dyn LogReader, from: Position) -> Result<Vec<EventId>, ReadError> {
    let mut found = Vec::new();
    for page in log.pages(ReadRequest::from(from)) {
        found.extend(page?.envelopes().map(|event| event.event_id));
    }
    Ok(found)
}

fn compare(shown: &[EventId], found: &[EventId]) -> Result<(), String> {
    if found.starts_with(shown) {
        return Ok(());
    }
    let differs = found.iter().zip(shown).position(|(found, shown)| found != shown);
    let (found, shown) = (found.len(), shown.len());
    Err(format!(
        "a follower has shown {shown} events, {found} are found; they differ at {differs:?}"
    ))
}

/// Makes sure that a store has what followers have shown.
///
/// # Errors
/// What is wrong.
pub fn check_followed(store: &Path, onlookers: &[Onlooker]) -> Result<(), String> {
    if onlookers.is_empty() {
        return Ok(());
    }
    let log = match EmbeddedLog::open_existing(store) {
        // It was being made.
        Err(OpenError::NoStore { .. }) if onlookers.iter().all(Onlooker::has_shown_nothing) => {
            return Ok(());
        }
        log => log.map_err(|error| error.to_string())?,
    };
    onlookers.iter().try_for_each(|onlooker| onlooker.compare(&log))?;
    log.close().map_err(|error| error.to_string())
}
