//! Content stores on disk images that a power cut could have left.
//!
//! As [`images`](crate::images) does with logs: a process that puts, syncs, collects and opens again is
//! recorded, sometimes with a sync that fails. On every image the store must open, nothing of it may
//! be damaged, all content that was acknowledged before the moment must be there, what it is said to
//! contain must be there, and a collection must leave nothing but what is needed.

pub mod followed;
mod subject;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use spacefold_content::{ContentOptions, ContentReport, MIN_PACK_BYTES, PackStore, verify};
use spacefold_disk::sim::Kept;
use spacefold_event_core::{ContentHash, ContentStore as _};
use tempfile::TempDir;

pub use self::subject::run as subject;
use self::subject::{Told, content};
use crate::{
    child::ChildOptions,
    entry::Entry,
    folders,
    images::{
        disk::{Disk, write_image},
        moments, writer,
    },
    preload::{Preload, Program, Recording},
};

/// Images of one recording.
const IMAGES: u32 = 25;
/// The name of the store in the folder that is recorded.
const STORE: &str = "store";
/// One recording in so many has a sync that fails.
const FAILING: u32 = 3;

/// Which images are made.
#[derive(Clone, Debug)]
pub struct PacksOptions {
    /// The binary that has the process as a command.
    pub torture: PathBuf,
    /// Where stores are made.
    pub folder: PathBuf,
    /// Images.
    pub images: u32,
    /// The seed of it all.
    pub seed: u64,
    /// Whether the disk acknowledges syncs before it has written anything.
    pub early_syncs: bool,
    /// Violations after which the run ends.
    pub stop_after: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct PacksReport {
    /// Processes that were recorded.
    pub recordings: u32,
    /// Recordings of which an image with everything kept was compared with the folder.
    pub proven: u32,
    /// Images that were checked, by what was kept.
    pub images: BTreeMap<String, u32>,
    /// Contents that had to be in an image, over all of them.
    pub acknowledged: u64,
    /// Collections that were recorded.
    pub collections: u64,
    /// Syncs that failed.
    pub failed: u64,
    /// What was wrong.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl PacksReport {
    /// Images that were checked.
    #[must_use]
    pub fn image_count(&self) -> u32 {
        self.images.values().sum()
    }
}

impl fmt::Display for PacksReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} images of content stores from {} recordings ({} compared byte by byte), {} contents \
             had to be there, {} collections, {} failed syncs, {} violations, {:.1} s",
            self.image_count(),
            self.recordings,
            self.proven,
            self.acknowledged,
            self.collections,
            self.failed,
            self.violations.len(),
            self.took.as_secs_f64()
        )
    }
}

/// Packs as small as they can be, so that they are sealed and collected.
pub(crate) fn content_options() -> ContentOptions {
    ContentOptions::default().pack_bytes(MIN_PACK_BYTES)
}

/// Records processes, makes images, and checks them.
///
/// # Errors
/// When processes or folders cannot be made, or a recording is not complete; what is wrong with a
/// store is part of the report.
pub fn run(options: &PacksOptions) -> io::Result<PacksReport> {
    let began = Instant::now();
    let preload = Preload::beside(&options.torture)?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut run = Run { options, preload, report: PacksReport::default() };
    while run.report.image_count() < options.images
        && run.report.violations.len() < options.stop_after
    {
        run.recording(&mut fastrand::Rng::with_seed(rng.u64(..)))?;
    }
    run.report.took = began.elapsed();
    Ok(run.report)
}

struct Run<'o> {
    options: &'o PacksOptions,
    preload: Preload,
    report: PacksReport,
}

impl Run<'_> {
    fn temporary(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("spacefold-packs-").tempdir_in(&self.options.folder)
    }

    fn recording(&mut self, rng: &mut fastrand::Rng) -> io::Result<()> {
        let seed = rng.u64(..);
        let folder = self.temporary()?;
        let recording = Recording::new(folder.path())?;
        let mut disk = Disk::of_folder(&recording.root)?;
        let options = ChildOptions {
            appends: rng.u32(5..40),
            openings: rng.u32(1..=3),
            ..writer(&recording.root.join(STORE), seed, 0)
        };
        let fails = self.report.recordings % FAILING == 1;
        let fault = fails.then(|| format!("sync:{}:EIO:store/", rng.u32(1..20)));
        self.preload.run(Program::Content, &recording, &options, fault.as_deref())?;
        self.report.recordings += 1;
        let entries = recording.entries()?;
        let left = self.options.images.saturating_sub(self.report.image_count()).min(IMAGES);
        let mut known = BTreeSet::new();
        let mut done = 0;
        for moment in moments(&entries, usize::try_from(left).unwrap_or(1), rng) {
            self.play(entries.get(done..moment), &mut disk, &mut known)?;
            done = moment;
            let kept = rng.choice(Kept::ALL).unwrap_or(Kept::Nothing);
            let image_seed = rng.u64(..);
            let image = self.temporary()?;
            write_image(&disk, kept, &mut fastrand::Rng::with_seed(image_seed), image.path())?;
            *self.report.images.entry(format!("{kept:?}")).or_default() += 1;
            self.report.acknowledged += u64::try_from(known.len()).unwrap_or(u64::MAX);
            if let Err(what) = check(&image.path().join(STORE), seed, &known) {
                self.report.violations.push(format!(
                    "contents of {seed}, after {moment} entries, {kept:?} kept (seed {image_seed}), \
                     fault {fault:?}: {what}"
                ));
            }
        }
        self.play(entries.get(done..), &mut disk, &mut known)?;
        let folder = self.temporary()?;
        write_image(&disk, Kept::Everything, &mut fastrand::Rng::with_seed(0), folder.path())?;
        folders::compare(&recording.root, folder.path())?;
        self.report.proven += 1;
        Ok(())
    }

    /// Lets what was recorded happen.
    fn play(
        &mut self,
        entries: Option<&[Entry]>,
        disk: &mut Disk,
        known: &mut BTreeSet<u64>,
    ) -> io::Result<()> {
        for entry in entries.unwrap_or(&[]) {
            if !(self.options.early_syncs && matches!(entry, Entry::SyncEnds { .. })) {
                disk.take(entry).map_err(io::Error::other)?;
            }
            let Entry::Mark { bytes } = entry else { continue };
            match Told::parse(&String::from_utf8_lossy(bytes)) {
                Some(Told::Synced(numbers)) => known.extend(numbers),
                Some(Told::Dropping(numbers)) => {
                    self.report.collections += 1;
                    known.retain(|number| !numbers.contains(number));
                }
                Some(Told::Failed(_)) => self.report.failed += 1,
                Some(Told::Broken(what)) => self.report.violations.push(what),
                None => return Err(io::Error::other("a mark that says nothing")),
            }
        }
        Ok(())
    }
}

/// Checks an image, then goes on with it.
fn check(store: &Path, seed: u64, known: &BTreeSet<u64>) -> Result<(), String> {
    verify_sound(store)?;
    read_all(store, seed, known)?;
    // Of what was dropped, some may be left: whatever is said to be there is.
    let last = known.last().copied().unwrap_or(0);
    let said = contained(store, seed, last)?;
    read_all(store, seed, &said)?;
    if let Some(number) = known.difference(&said).next() {
        return Err(format!("it does not contain content {number}, which it gives"));
    }
    // What is put behind it is there too.
    let more = last + 1_000_000;
    let opened = open(store)?;
    opened
        .put(&mut &*content(seed, more))
        .and_then(|_| opened.sync())
        .map_err(|error| format!("it takes nothing: {error}"))?;
    drop(opened);
    let mut all = known.clone();
    all.insert(more);
    read_all(store, seed, &all)?;
    collect(store, seed, &all)?;
    read_all(store, seed, &all)
}

fn verify_sound(store: &Path) -> Result<ContentReport, String> {
    let report = verify(store).map_err(|error| format!("verify: {error}"))?;
    match report.problems.first() {
        Some(problem) => Err(format!("verify finds damage: {problem:?}")),
        None => Ok(report),
    }
}

/// The contents up to a number that a store says it contains.
fn contained(store: &Path, seed: u64, last: u64) -> Result<BTreeSet<u64>, String> {
    let opened = open(store)?;
    let mut said = BTreeSet::new();
    for number in 0..=last {
        let hash = ContentHash::of(&content(seed, number));
        if opened.contains(&hash).map_err(|error| format!("content {number}: {error}"))? {
            said.insert(number);
        }
    }
    Ok(said)
}

/// Collects all but what is needed, of which nothing may be left then.
fn collect(store: &Path, seed: u64, needed: &BTreeSet<u64>) -> Result<(), String> {
    let needed: HashSet<ContentHash> =
        needed.iter().map(|number| ContentHash::of(&content(seed, *number))).collect();
    let opened = open(store)?;
    opened.collect_garbage(&needed).map_err(|error| format!("it does not collect: {error}"))?;
    drop(opened);
    let report = verify_sound(store)?;
    match report.incomplete.first() {
        Some(left) => Err(format!("a collection leaves what is not whole: {left:?}")),
        None => Ok(()),
    }
}

fn open(store: &Path) -> Result<PackStore, String> {
    PackStore::open_with(store, content_options())
        .map_err(|error| format!("it does not open: {error}"))
}

fn read_all(store: &Path, seed: u64, known: &BTreeSet<u64>) -> Result<(), String> {
    let opened = open(store)?;
    for number in known {
        let expected = content(seed, *number);
        let found = opened
            .get(&ContentHash::of(&expected), u64::MAX)
            .map_err(|error| format!("content {number}: {error}"))?;
        if found != expected {
            return Err(format!("content {number} is another"));
        }
    }
    Ok(())
}
