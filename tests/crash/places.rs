//! Places of durable subscriptions on disk images that a power cut or a kill could have left.
//!
//! As [`images`](crate::images) does with logs: a process that appends, receives and acknowledges is
//! recorded. On every image, from half of which sled's copy is lost, each subscription must be where it
//! was acknowledged last, or before by what was acknowledged since the last sync that had to be: never
//! ahead of that, and with the result that was kept with just this place.

mod subject;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use spacefold::{Folding, Options, Spacefold, Subscription, log::StoreOptions};
use spacefold_disk::sim::Kept;
use tempfile::TempDir;

pub use self::subject::run as subject;
use self::subject::{MANY_APPENDS, NAMES, SYNCED_WITHIN, Told, result_at};
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
/// By how much a sync may be late where the machine has other things to do.
const LATE: Duration = Duration::from_secs(1);

/// Which images are made.
#[derive(Clone, Debug)]
pub struct PlacesOptions {
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
pub struct PlacesReport {
    /// Processes that were recorded.
    pub recordings: u32,
    /// Images that were checked, by what was kept.
    pub images: BTreeMap<String, u32>,
    /// Images from which sled's copy was lost.
    pub without_sled: u32,
    /// Places that were where they had been acknowledged last.
    pub newest: u32,
    /// Places that had gone back.
    pub gone_back: u32,
    /// Places that could not go back further than what was due, by the time since.
    pub due: u32,
    /// What was wrong.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl PlacesReport {
    /// Images that were checked.
    #[must_use]
    pub fn image_count(&self) -> u32 {
        self.images.values().sum()
    }
}

impl fmt::Display for PlacesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} images of stores with places from {} recordings, {} of them without sled's copy: {} \
             places were the newest, {} had gone back, of {} a sync was due, {} violations, {:.1} s",
            self.image_count(),
            self.recordings,
            self.without_sled,
            self.newest,
            self.gone_back,
            self.due,
            self.violations.len(),
            self.took.as_secs_f64()
        )
    }
}

/// Records processes, makes images, and checks them.
///
/// # Errors
/// When processes or folders cannot be made, or a recording is not complete; what is wrong with a
/// store is part of the report.
pub fn run(options: &PlacesOptions) -> io::Result<PlacesReport> {
    let began = Instant::now();
    let preload = Preload::beside(&options.torture)?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut run = Run { options, preload, report: PlacesReport::default() };
    while run.report.image_count() < options.images
        && run.report.violations.len() < options.stop_after
    {
        run.recording(&mut fastrand::Rng::with_seed(rng.u64(..)))?;
    }
    run.report.took = began.elapsed();
    Ok(run.report)
}

/// Opens a store with small files, as the process does that is recorded.
fn open(store: &Path) -> Result<Spacefold, spacefold::OpenError> {
    Options::new(store)
        .folding(Folding::OnDemand)
        .store(StoreOptions::default().journal_file_bytes(64 << 10).reserve_bytes(64 << 10))
        .sync_places_within(SYNCED_WITHIN)
        .open()
}

struct Run<'o> {
    options: &'o PlacesOptions,
    preload: Preload,
    report: PlacesReport,
}

/// Where one subscription may be.
#[derive(Clone, Debug, Default)]
struct Known {
    /// It was on disk here.
    synced: u64,
    /// It was about to be acknowledged up to here.
    acknowledging: u64,
    /// What was acknowledged, and when; ascending.
    acknowledged: Vec<(u64, Duration)>,
}

/// What was told up to a moment.
#[derive(Clone, Debug, Default)]
struct KnownPlaces {
    by_name: BTreeMap<String, Known>,
    /// The newest time that was told, of this session.
    now: Duration,
}

impl KnownPlaces {
    fn hear(&mut self, told: Told) -> Result<(), String> {
        match told {
            Told::Began => {
                // Closing has synced all, and the clock begins anew.
                self.now = Duration::ZERO;
                for known in self.by_name.values_mut() {
                    known.acknowledged.clear();
                }
            }
            Told::Acknowledging(name, position) => {
                self.by_name.entry(name).or_default().acknowledging = position;
            }
            Told::Acknowledged(name, position, at) => {
                self.now = at;
                self.by_name.entry(name).or_default().acknowledged.push((position, at));
            }
            Told::Synced => {
                for known in self.by_name.values_mut() {
                    known.synced = known.acknowledging;
                }
            }
            Told::Broken(what) => return Err(what),
        }
        Ok(())
    }

    /// What the subscription of a name had to have on disk by the time that was told last.
    fn due(&self, name: &str) -> u64 {
        let is_due = |at: &Duration| *at + SYNCED_WITHIN + LATE < self.now;
        let known = self.by_name.get(name).map(|known| known.acknowledged.iter());
        let due = known.into_iter().flatten().filter(|(_, at)| is_due(at));
        due.map(|(to, _)| *to).max().unwrap_or(0)
    }

    /// Where the subscription of a name is at least, and at the most.
    fn bounds(&self, name: &str) -> (u64, u64) {
        let Some(known) = self.by_name.get(name) else { return (0, 0) };
        (known.synced.max(self.due(name)), known.acknowledging)
    }
}

impl Run<'_> {
    fn temporary(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("spacefold-places-").tempdir_in(&self.options.folder)
    }

    fn recording(&mut self, rng: &mut fastrand::Rng) -> io::Result<()> {
        let seed = rng.u64(..);
        let folder = self.temporary()?;
        let recording = Recording::new(folder.path())?;
        let mut disk = Disk::of_folder(&recording.root)?;
        // One in a few lasts so long that syncs are due.
        let appends = if rng.u8(0..8) == 0 { rng.u32(MANY_APPENDS..800) } else { rng.u32(5..80) };
        let options = ChildOptions {
            appends,
            openings: rng.u32(1..=3),
            ..writer(&recording.root.join(STORE), seed, 0)
        };
        self.preload.run(Program::Places, &recording, &options, None)?;
        self.report.recordings += 1;
        let entries = recording.entries()?;
        let left = self.options.images.saturating_sub(self.report.image_count()).min(IMAGES);
        let mut known = KnownPlaces::default();
        let mut done = 0;
        for moment in moments(&entries, usize::try_from(left).unwrap_or(1), rng) {
            self.play(entries.get(done..moment), &mut disk, &mut known)?;
            done = moment;
            let kept = rng.choice(Kept::ALL).unwrap_or(Kept::Nothing);
            let (image_seed, loses_sled) = (rng.u64(..), rng.bool());
            let image = self.temporary()?;
            write_image(&disk, kept, &mut fastrand::Rng::with_seed(image_seed), image.path())?;
            *self.report.images.entry(format!("{kept:?}")).or_default() += 1;
            self.report.without_sled += u32::from(loses_sled);
            if let Err(what) = self.check(&image.path().join(STORE), &known, loses_sled) {
                self.report.violations.push(format!(
                    "places of {seed}, after {moment} entries, {kept:?} kept (seed {image_seed}), \
                     sled lost: {loses_sled}: {what}"
                ));
            }
        }
        self.play(entries.get(done..), &mut disk, &mut known)?;
        let folder = self.temporary()?;
        write_image(&disk, Kept::Everything, &mut fastrand::Rng::with_seed(0), folder.path())?;
        folders::compare(&recording.root, folder.path())
    }

    /// Lets what was recorded happen.
    fn play(
        &mut self,
        entries: Option<&[Entry]>,
        disk: &mut Disk,
        known: &mut KnownPlaces,
    ) -> io::Result<()> {
        for entry in entries.unwrap_or(&[]) {
            if !(self.options.early_syncs && matches!(entry, Entry::SyncEnds { .. })) {
                disk.take(entry).map_err(io::Error::other)?;
            }
            let Entry::Mark { bytes } = entry else { continue };
            let told = Told::parse(&String::from_utf8_lossy(bytes));
            let told = told.ok_or_else(|| io::Error::other("a mark that says nothing"))?;
            if let Err(what) = known.hear(told) {
                self.report.violations.push(what);
            }
        }
        Ok(())
    }

    /// Checks an image.
    fn check(&mut self, store: &Path, known: &KnownPlaces, loses_sled: bool) -> Result<(), String> {
        if !spacefold::admin::is_store(store) {
            let is_told = known.by_name.values().any(|known| known.synced > 0);
            return if is_told { Err("the store is gone".to_owned()) } else { Ok(()) };
        }
        if loses_sled {
            let _ = fs::remove_dir_all(store.join("sled"));
        }
        let spaces = open(store).map_err(|error| format!("it does not open: {error}"))?;
        for name in NAMES {
            let (least, most) = known.bounds(name);
            self.report.due += u32::from(known.due(name) > 0);
            let subscriber = spaces
                .subscribe_durable(name, &Subscription::from_start())
                .map_err(|error| format!("{name} is refused: {error}"))?;
            let place = subscriber.acknowledged().get();
            if place < least || place > most || place > spaces.durable_head().get() {
                return Err(format!(
                    "{name} is at {place}: expected was {least} to {most}, the head is {}",
                    spaces.durable_head()
                ));
            }
            if place > 0 && subscriber.result() != result_at(name, place) {
                return Err(format!("{name} at {place} has the result of another place"));
            }
            if place == most {
                self.report.newest += 1;
            } else {
                self.report.gone_back += 1;
            }
        }
        spaces.close().map_err(|error| format!("it does not close: {error}"))
    }
}
