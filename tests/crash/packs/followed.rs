//! Followers of content stores whose owners put, collect, open again and are killed: content that was
//! acknowledged, and that no collection was told to leave out, is given, whatever becomes of its pack.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use spacefold_content::ContentFollower;
use spacefold_disk::{ReadOnlyDisk, RealDisk};
use spacefold_event_core::{ContentHash, ContentStore as _};

use super::{
    check,
    subject::{Told, content},
};
use crate::child::ChildOptions;

/// How often a follower is opened anew, by reads.
const READS: u32 = 40;
/// How long an owner lives, at the most.
const MOST_LIFE: Duration = Duration::from_millis(200);

/// How stores are followed.
#[derive(Clone, Debug)]
pub struct FollowedPacksOptions {
    /// The binary that has the owner as a command.
    pub torture: PathBuf,
    /// Where stores are made.
    pub folder: PathBuf,
    /// Rounds: an owner that is killed, then a check, each of a store of its own.
    pub rounds: u32,
    /// The seed of it all.
    pub seed: u64,
    /// How many followers look at each store all the while.
    pub followers: u32,
    /// Whether followers expect what collections leave out, too.
    pub expects_dropped: bool,
    /// Violations after which the run ends.
    pub stop_after: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct FollowedPacksReport {
    /// Owners that were killed.
    pub rounds: u32,
    /// Collections that they had begun.
    pub collections: u64,
    /// Followers that were opened.
    pub openings: u64,
    /// Contents that followers have read whole.
    pub reads: u64,
    /// Contents that were left out while they were read.
    pub dropped: u64,
    /// What was wrong.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for FollowedPacksReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} owners of content stores killed, {} collections, {} followers read {} contents, {} \
             of those asked for were dropped meanwhile, {} violations, {:.1} s",
            self.rounds,
            self.collections,
            self.openings,
            self.reads,
            self.dropped,
            self.violations.len(),
            self.took.as_secs_f64()
        )
    }
}

/// Kills owners of stores that are followed, round by round.
///
/// # Errors
/// When processes or folders cannot be made; what is wrong with a store is part of the report.
pub fn run(options: &FollowedPacksOptions) -> io::Result<FollowedPacksReport> {
    let began = Instant::now();
    let mut report = FollowedPacksReport::default();
    let mut rng = fastrand::Rng::with_seed(options.seed);
    while report.rounds < options.rounds && report.violations.len() < options.stop_after {
        round(options, &mut rng, &mut report)?;
        report.rounds += 1;
    }
    report.took = began.elapsed();
    Ok(report)
}

fn round(
    options: &FollowedPacksOptions,
    rng: &mut fastrand::Rng,
    report: &mut FollowedPacksReport,
) -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix("spacefold-packs-").tempdir_in(&options.folder)?;
    let (store, marks) = (folder.path().join("store"), folder.path().join("marks"));
    fs::write(&marks, "")?;
    let seed = rng.u64(..);
    let onlookers: Vec<Onlooker> = (0..options.followers)
        .map(|_| {
            let known = Known { marks: marks.clone(), read: 0, ..Known::default() };
            let known = Known { expects_dropped: options.expects_dropped, ..known };
            Onlooker::start(Looking { store: store.clone(), seed, known, rng: rng.fork() })
        })
        .collect::<io::Result<_>>()?;
    let owner = ChildOptions {
        appends: rng.u32(5..40),
        openings: u32::MAX,
        receipts: Some(marks.clone()),
        ..ChildOptions::draw(&store, seed, 0, rng)
    };
    let mut owner = Command::new(&options.torture)
        .arg("packs-subject")
        .args(owner.arguments())
        .stdin(Stdio::null())
        .spawn()?;
    thread::sleep(MOST_LIFE.mul_f64(rng.f64()));
    owner.kill()?;
    owner.wait()?;
    let mut known = Known { marks, ..Known::default() };
    known.read_on()?;
    report.collections += known.collections;
    let mut wrong = known.broken.take().map_or(Ok(()), Err);
    if store.is_dir() {
        wrong = wrong.and_then(|()| check(&store, seed, &known.numbers));
    }
    for onlooker in onlookers {
        let (counts, looked) = onlooker.end();
        report.openings += counts.openings;
        report.reads += counts.reads;
        report.dropped += counts.dropped;
        wrong = wrong.and(looked);
    }
    if let Err(what) = wrong {
        report.violations.push(format!("round {}, contents of {seed}: {what}", report.rounds));
    }
    Ok(())
}

/// What an owner has told, read on from its file.
#[derive(Debug, Default)]
struct Known {
    marks: PathBuf,
    /// Bytes of the file that were read.
    read: usize,
    /// The contents that are durable, and needed.
    numbers: BTreeSet<u64>,
    collections: u64,
    broken: Option<String>,
    expects_dropped: bool,
}

impl Known {
    fn read_on(&mut self) -> io::Result<()> {
        let text = fs::read_to_string(&self.marks)?;
        let new = text.get(self.read..).unwrap_or_default();
        // The last one may be half told.
        let whole = new.rfind('\n').map_or(0, |end| end + 1);
        for line in new.get(..whole).unwrap_or_default().lines() {
            match Told::parse(line) {
                Some(Told::Synced(numbers)) => self.numbers.extend(numbers),
                Some(Told::Dropping(numbers)) => {
                    self.collections += 1;
                    if !self.expects_dropped {
                        self.numbers.retain(|number| !numbers.contains(number));
                    }
                }
                Some(Told::Failed(what) | Told::Broken(what)) => self.broken = Some(what),
                None => return Err(io::Error::other(format!("a mark that says nothing: {line}"))),
            }
        }
        self.read += whole;
        Ok(())
    }
}

/// A follower of a content store, in a thread of its own.
struct Onlooker {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<(Counts, Result<(), String>)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    openings: u64,
    reads: u64,
    dropped: u64,
}

impl Onlooker {
    fn start(looking: Looking) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let sign = Arc::clone(&is_over);
        let thread = thread::Builder::new().spawn(move || looking.run(&sign))?;
        Ok(Self { is_over, thread })
    }

    fn end(self) -> (Counts, Result<(), String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let panicked = |_| (Counts::default(), Err("a follower panicked".to_owned()));
        self.thread.join().unwrap_or_else(panicked)
    }
}

struct Looking {
    store: PathBuf,
    seed: u64,
    known: Known,
    rng: fastrand::Rng,
}

impl Looking {
    fn run(mut self, is_over: &AtomicBool) -> (Counts, Result<(), String>) {
        let mut counts = Counts::default();
        let mut looked = Ok(());
        while looked.is_ok() && !is_over.load(Ordering::Relaxed) {
            looked = self.follow_one(is_over, &mut counts);
        }
        (counts, looked)
    }

    /// Follows for some reads.
    fn follow_one(&mut self, is_over: &AtomicBool, counts: &mut Counts) -> Result<(), String> {
        let follower = open(&self.store)?;
        counts.openings += 1;
        for _ in 0..self.rng.u32(1..READS) {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            self.known.read_on().map_err(|error| error.to_string())?;
            let numbers: Vec<u64> = self.known.numbers.iter().copied().collect();
            let Some(number) = self.rng.choice(numbers) else {
                // There is nothing yet.
                thread::sleep(Duration::from_millis(1));
                break;
            };
            let expected = content(self.seed, number);
            let wrong = match follower.get(&ContentHash::of(&expected), u64::MAX) {
                Ok(found) if found == expected => {
                    counts.reads += 1;
                    continue;
                }
                Ok(_) => "it is another".to_owned(),
                Err(error) => error.to_string(),
            };
            self.known.read_on().map_err(|error| error.to_string())?;
            if self.known.numbers.contains(&number) {
                return Err(format!("a follower: content {number}: {wrong}"));
            }
            counts.dropped += 1;
        }
        Ok(())
    }
}

fn open(store: &Path) -> Result<ContentFollower, String> {
    let disk = Arc::new(ReadOnlyDisk::over(Arc::new(RealDisk)));
    ContentFollower::at(disk, store).map_err(|error| format!("a follower does not open: {error}"))
}
