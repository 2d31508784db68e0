//! Disk images that a power cut could have left, whatever order the disk wrote in.
//!
//! A writer is recorded. At some moment of the recording, what was synced is on the disk, and of the
//! rest anything: see [`Kept`]. The store must open on every such image, with everything that
//! was acknowledged before the moment, and nothing torn. Opening it is recorded as well, and cut.
//!
//! What it takes from the file system: a page is written in one of the states that it had, or a
//! mixture of those by sectors of 512 bytes; a file may have any length that it had; changes to names
//! happen in their order, or in their order in each folder; a sync of a file does not cover its name.

pub mod disk;
mod known;
mod source;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use spacefold_disk::sim::Kept;
use tempfile::TempDir;

use crate::{
    check::{Checked, check},
    entry::Entry,
    folders,
    images::{
        disk::{Disk, write_image},
        known::Known,
        source::{STORE, Scene},
    },
    preload::{Preload, Program, Recording},
};

pub(crate) use self::source::{moments, writer};

/// Images of one recording of a small store.
const SMALL_IMAGES: u32 = 25;
/// Images of one recording of a large one, which take longer.
const SEALING_IMAGES: u32 = 15;
/// Small recordings for each large one, and each with a sync that fails.
const SMALL_RECORDINGS: u32 = 7;
/// Images of one opening that was recorded.
const OPENING_IMAGES: u32 = 4;

/// Which images are made.
#[derive(Clone, Debug)]
pub struct ImagesOptions {
    /// The binary that has the writer as a command.
    pub torture: PathBuf,
    /// Where stores are made.
    pub folder: PathBuf,
    /// Images of writers.
    pub images: u32,
    /// Images of an opening of such an image.
    pub pairs: u32,
    /// The seed of it all.
    pub seed: u64,
    /// Violations after which the run ends.
    pub stop_after: usize,
    /// Whether images that show one are kept.
    pub keep: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct ImagesReport {
    /// Writers and openings that were recorded.
    pub recordings: u32,
    /// Recordings of which an image with everything kept was compared with the folder.
    pub proven: u32,
    /// Images of writers that were checked, by what was kept.
    pub images: BTreeMap<String, u32>,
    /// Images of openings of such images that were checked.
    pub pairs: u32,
    /// Images in which the store was not created yet.
    pub empty: u32,
    /// Images with segments.
    pub sealed: u32,
    /// Appends that had to be in an image, over all of them.
    pub acknowledged: u64,
    /// Appends that were there though nobody was told.
    pub unacknowledged: usize,
    /// How often a store made sled's copy anew.
    pub healed: u64,
    /// What was wrong, with the image that shows it.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl ImagesReport {
    /// Images of writers that were checked.
    #[must_use]
    pub fn image_count(&self) -> u32 {
        self.images.values().sum()
    }
}

impl fmt::Display for ImagesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: Vec<_> = self.images.iter().map(|(kept, n)| format!("{n} {kept}")).collect();
        write!(
            f,
            "{} images ({}; {} without a store yet, {} with segments), {} more of their openings, from {} recordings \
             ({} compared byte by byte), {} appends had to be there, {} more were there whole, \
             sled's copy made anew {} times, {} violations, {:.1} s",
            self.image_count(),
            kept.join(", "),
            self.empty,
            self.sealed,
            self.pairs,
            self.recordings,
            self.proven,
            self.acknowledged,
            self.unacknowledged,
            self.healed,
            self.violations.len(),
            self.took.as_secs_f64(),
        )
    }
}

/// Records writers, makes images, and checks them.
///
/// # Errors
/// When processes or folders cannot be made, or a recording is not complete; what is wrong with a
/// store is part of the report.
pub fn run(options: &ImagesOptions) -> io::Result<ImagesReport> {
    let began = Instant::now();
    let preload = Preload::beside(&options.torture)?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut run = Run { options, preload, report: ImagesReport::default() };
    for number in 1_u32.. {
        if run.images_left() == 0 || run.is_over() {
            break;
        }
        let (scene, images) = match number % (SMALL_RECORDINGS + 2) {
            0 => (Scene::Sealing, SEALING_IMAGES),
            1 => (Scene::FailedSync, SMALL_IMAGES),
            _ => (Scene::Small, SMALL_IMAGES),
        };
        let images = images.min(run.images_left());
        run.scene(scene, images, &mut fastrand::Rng::with_seed(rng.u64(..)))?;
    }
    run.report.took = began.elapsed();
    Ok(run.report)
}

struct Run<'o> {
    options: &'o ImagesOptions,
    preload: Preload,
    report: ImagesReport,
}

/// An image: everything that it takes to make it once more.
struct Image<'d> {
    disk: &'d Disk,
    kept: Kept,
    seed: u64,
    known: &'d Known,
    /// What it is an image of, in words.
    what: String,
}

impl Run<'_> {
    fn images_left(&self) -> u32 {
        self.options.images.saturating_sub(self.report.image_count())
    }

    fn is_over(&self) -> bool {
        self.report.violations.len() >= self.options.stop_after
    }

    fn temporary(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("spacefold-images-").tempdir_in(&self.options.folder)
    }

    /// Records a scene, and checks images of it and of their openings.
    fn scene(&mut self, scene: Scene, images: u32, rng: &mut fastrand::Rng) -> io::Result<()> {
        let seed = rng.u64(..);
        let folder = self.temporary()?;
        let recording = Recording::new(folder.path())?;
        let mut disk = Disk::of_folder(&recording.root)?;
        scene.record(&self.preload, &recording, seed, rng)?;
        let entries = recording.entries()?;
        self.report.recordings += 1;
        let mut known = Known::new(seed);
        let mut done = 0;
        let count = usize::try_from(images).unwrap_or(usize::MAX);
        for moment in moments(&entries, count, rng) {
            self.play(entries.get(done..moment), &mut disk, &mut known)?;
            done = moment;
            let what = format!("{scene:?} of workload {seed}, after {moment} entries");
            let image = self.draw(&disk, &known, what, rng);
            self.check_image(&image)?;
            let pairs = u64::from(self.options.pairs) * u64::from(self.report.image_count());
            if pairs > u64::from(self.report.pairs) * u64::from(self.options.images) {
                self.opening(&image, seed, rng)?;
            }
            if self.is_over() {
                return Ok(());
            }
        }
        self.play(entries.get(done..), &mut disk, &mut known)?;
        self.prove(&disk, &recording)
    }

    /// Lets what was recorded happen.
    fn play(
        &mut self,
        entries: Option<&[Entry]>,
        disk: &mut Disk,
        known: &mut Known,
    ) -> io::Result<()> {
        for entry in entries.unwrap_or(&[]) {
            disk.take(entry).map_err(io::Error::other)?;
            if let Err(what) = known.take(entry) {
                self.report.violations.push(what);
            }
        }
        Ok(())
    }

    fn draw<'d>(
        &self,
        disk: &'d Disk,
        known: &'d Known,
        what: String,
        rng: &mut fastrand::Rng,
    ) -> Image<'d> {
        let kept = rng.choice(Kept::ALL).unwrap_or(Kept::Nothing);
        Image { disk, kept, seed: rng.u64(..), known, what }
    }

    /// A recording leads to the very bytes of the folder, or it misses something.
    fn prove(&mut self, disk: &Disk, recording: &Recording) -> io::Result<()> {
        let folder = self.temporary()?;
        write_image(disk, Kept::Everything, &mut fastrand::Rng::with_seed(0), folder.path())?;
        folders::compare(&recording.root, folder.path())?;
        self.report.proven += 1;
        Ok(())
    }

    /// Checks an image of a writer.
    fn check_image(&mut self, image: &Image<'_>) -> io::Result<()> {
        let checked = self.check(image)?;
        *self.report.images.entry(format!("{:?}", image.kept)).or_default() += 1;
        self.report.acknowledged +=
            u64::try_from(image.known.history.stored().len()).unwrap_or(u64::MAX);
        if let Some(checked) = checked {
            self.report.unacknowledged += checked.unacknowledged;
            self.report.healed += checked.healed;
        }
        Ok(())
    }

    /// Checks an image; `None` when something is wrong with it.
    fn check(&mut self, image: &Image<'_>) -> io::Result<Option<Checked>> {
        let folder = self.temporary()?;
        image.write(folder.path())?;
        let store = folder.path().join(STORE);
        self.report.empty += u32::from(!store.exists());
        self.report.sealed += u32::from(has_files(&store.join("sealed")));
        let options = writer(&store, 0, 0).store_options();
        let wrong = match check(&store, &options, &mut image.known.history.clone()) {
            Ok(checked) if checked.head >= image.known.head => return Ok(Some(checked)),
            Ok(checked) => {
                let head = image.known.head;
                format!("the log was durable up to {head}: it ends at {}", checked.head)
            }
            Err(violation) => violation.to_string(),
        };
        let Image { what, kept, seed, .. } = image;
        let mut seen = format!("{what}, {kept:?} kept (seed {seed}): {wrong}");
        if self.options.keep {
            // The image as it was, not what was made of it.
            let folder = self.temporary()?.keep();
            image.write(&folder)?;
            seen.push_str(&format!("; the image is in {}", folder.display()));
        }
        self.report.violations.push(seen);
        Ok(None)
    }

    /// Records the opening of an image, with a few appends behind it, and checks images of that.
    fn opening(&mut self, image: &Image<'_>, seed: u64, rng: &mut fastrand::Rng) -> io::Result<()> {
        let folder = self.temporary()?;
        let recording = Recording::new(folder.path())?;
        image.write(&recording.root)?;
        let mut disk = Disk::of_folder(&recording.root)?;
        let options = writer(&recording.root.join(STORE), seed, OPENING_WRITER);
        self.preload.run(Program::Writer, &recording, &options, None)?;
        let entries = recording.entries()?;
        self.report.recordings += 1;
        let mut known = image.known.clone();
        let mut done = 0;
        let count = usize::try_from(OPENING_IMAGES).unwrap_or(usize::MAX);
        for moment in moments(&entries, count, rng) {
            self.play(entries.get(done..moment), &mut disk, &mut known)?;
            done = moment;
            let what = format!(
                "{}, {:?} kept (seed {}), opened, after {moment} entries",
                image.what, image.kept, image.seed
            );
            let second = self.draw(&disk, &known, what, rng);
            self.check(&second)?;
            self.report.pairs += 1;
        }
        self.play(entries.get(done..), &mut disk, &mut known)?;
        self.prove(&disk, &recording)
    }
}

/// Whether there are files in a folder.
fn has_files(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
}

/// The writer of what is appended after an opening.
const OPENING_WRITER: u32 = 1_000;

impl Image<'_> {
    fn write(&self, folder: &Path) -> io::Result<()> {
        write_image(self.disk, self.kept, &mut fastrand::Rng::with_seed(self.seed), folder)
    }
}

#[cfg(test)]
mod tests;
