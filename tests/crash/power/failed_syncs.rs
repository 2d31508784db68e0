//! Disks on which a sync fails once: the page cache then has what the disk has not.
//!
//! The image of the disk is made immutable for a moment, so that every write to it fails, and the
//! kernel marks the pages clean all the same. Then it may be written again, the store is opened in
//! the same boot, appended to, and the power is cut.
//!
//! A full file system in the place of the immutable image would be no test: of a write that fails in
//! the middle, the loop device says that it went well.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::fs::{OFlags, syncfs};

use super::{
    Fault, FileSystem, PowerOptions,
    disk::{Disk, tool},
};
use crate::{
    check::check,
    child::ChildOptions,
    follow::{LookCounts, Onlooker, check_followed},
    history::History,
    message::{Failed, Message, Outcome},
    moment::Moment,
    workload::Profile,
    writer::{Silence, Writer},
};

/// Bytes that are read of a file at a time; direct reads are aligned to it.
const PAGE: usize = 4_096;
/// Appends that a writer makes before the disk refuses, at the most, and some more.
const MOST_APPENDS: u32 = 400;

/// What came of it.
#[derive(Debug, Default)]
pub struct FailedSyncsReport {
    /// Rounds that ended with a check.
    pub rounds: u32,
    /// Rounds that ended before, since the file system had stopped itself.
    pub stopped: u32,
    /// Rounds in which an append had an unknown outcome.
    pub unknown: u32,
    /// Rounds after which the page cache had something else of the store than the disk.
    pub lies: u32,
    /// Appends that were acknowledged.
    pub acknowledged: u64,
    /// Appends that were stored though nobody was told.
    pub unacknowledged: usize,
    /// What followers have looked at.
    pub followed: LookCounts,
    /// What was wrong, with the image that shows it.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for FailedSyncsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} of them ended early by the file system, in {} an append of unknown outcome, in {} a page cache that lied; {} \
             appends acknowledged, {} more stored whole, {}, {} violations, {:.1} s",
            self.rounds,
            self.stopped,
            self.unknown,
            self.lies,
            self.acknowledged,
            self.unacknowledged,
            self.followed,
            self.violations.len(),
            self.took.as_secs_f64(),
        )
    }
}

/// Lets syncs fail, round by round, each on a disk of its own.
///
/// # Errors
/// When disks or processes cannot be made; what is wrong with a store is part of the report.
pub fn run(options: &PowerOptions) -> io::Result<FailedSyncsReport> {
    let began = Instant::now();
    let mut report = FailedSyncsReport::default();
    let mut rng = fastrand::Rng::with_seed(options.seed);
    while report.rounds < options.cuts && report.violations.len() < options.stop_after {
        let folder =
            tempfile::Builder::new().prefix("spacefold-power-").tempdir_in(&options.folder)?;
        let seed = rng.u64(..);
        let mut round = Round::new(options, folder.path(), seed)?;
        let ran = round.run(&mut rng, &mut report);
        for onlooker in round.onlookers.drain(..) {
            report.followed.add(onlooker.end());
        }
        match ran {
            Ok(()) => {}
            // It stopped itself a moment after it was probed.
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                report.stopped += 1;
            }
            Err(Fault::Io(error)) => return Err(error),
            Err(Fault::Violation(what)) => {
                let kept = if options.keep { round.keep()? } else { String::new() };
                let number = report.rounds;
                report.violations.push(format!("round {number}: {what} (workload {seed}){kept}"));
            }
        }
        report.rounds += 1;
    }
    report.took = began.elapsed();
    Ok(report)
}

/// A store on a disk that refuses for a moment.
struct Round<'o> {
    options: &'o PowerOptions,
    /// They have the disk open.
    onlookers: Vec<Onlooker>,
    /// Dropped before the disk that its image is on.
    disk: Disk,
    _outer: Disk,
    store: PathBuf,
    /// The image as the cut left it.
    copy: PathBuf,
    seed: u64,
    history: History,
    next_writer: u32,
}

impl<'o> Round<'o> {
    fn new(options: &'o PowerOptions, folder: &Path, seed: u64) -> io::Result<Self> {
        // Not every file system minds that a file is immutable once it is open.
        let outer = Disk::new(folder, FileSystem::Ext4)?;
        let disk = Disk::new(outer.root(), options.system)?;
        let (store, history) = (disk.root().join("store"), History::new(seed));
        let copy = folder.join("copy");
        let followers = (0..options.followers).map(u64::from);
        let start = |number| Onlooker::start(&store, seed.wrapping_add(number));
        let onlookers = followers.map(start).collect::<io::Result<_>>()?;
        let (_outer, next_writer) = (outer, 0);
        Ok(Self { options, onlookers, disk, _outer, store, copy, seed, history, next_writer })
    }

    fn run(
        &mut self,
        rng: &mut fastrand::Rng,
        report: &mut FailedSyncsReport,
    ) -> Result<(), Fault> {
        self.fail_syncs(rng, report)?;
        let refused = self.next_writer;
        report.lies += u32::from(self.page_cache_lies()?);
        if File::create(self.disk.root().join("probe")).is_err() {
            // It could not write its own journal, and takes nothing any more.
            report.stopped += 1;
            return Ok(());
        }
        self.append_and_cut(rng, report)?;
        self.copy_image()?;
        check_followed(&self.store, &self.onlookers).map_err(Fault::Violation)?;
        let options = self.draw(rng).store_options();
        let checked = check(&self.store, &options, &mut self.history).map_err(|violation| {
            let what = format!("{violation}; writers below {refused} met the disk that refused");
            Fault::Violation(what)
        })?;
        report.unacknowledged += checked.unacknowledged;
        Ok(())
    }

    /// Copies the image as the cut left it.
    fn copy_image(&self) -> io::Result<()> {
        tool(Command::new("cp").arg("--sparse=always").args([self.disk.image(), &self.copy]))
    }

    /// Keeps the copy of a disk that shows a violation, and says where it is.
    fn keep(&self) -> io::Result<String> {
        if !self.copy.exists() {
            return Ok(String::new());
        }
        let kept = self.options.folder.join(format!("spacefold-power-kept-{}", self.seed));
        fs::rename(&self.copy, &kept)?;
        Ok(format!("; the image is kept in {}", kept.display()))
    }

    fn draw(&mut self, rng: &mut fastrand::Rng) -> ChildOptions {
        let child = ChildOptions::draw(&self.store, self.seed, self.next_writer, rng);
        self.next_writer += child.threads;
        child
    }

    /// A writer appends; in the middle of it the disk refuses what is written, for a moment.
    fn fail_syncs(
        &mut self,
        rng: &mut fastrand::Rng,
        report: &mut FailedSyncsReport,
    ) -> Result<(), Fault> {
        let mut child = self.draw(rng);
        child.profile = rng.choice([Profile::Small, Profile::Mixed]).unwrap_or(Profile::Small);
        child.appends = rng.u32(20..MOST_APPENDS);
        let writer = Writer::start(&self.options.torture, &child)?;
        let mut heard = Vec::new();
        let some = Moment::Appending(rng.u64(0..40), Duration::ZERO);
        let waited = some.wait_for(&writer, &mut heard);
        writer.pause()?;
        // All that is there now is on the disk; from here on it takes nothing.
        syncfs(File::open(self.disk.root())?).map_err(io::Error::from)?;
        self.image_is("+i")?;
        writer.resume()?;
        let mut silence = waited.err();
        while silence.is_none() {
            match writer.listen() {
                Ok(failed @ Message::Failed(_)) => {
                    heard.push(failed);
                    break;
                }
                Ok(message) => heard.push(message),
                Err(end) => silence = Some(end),
            }
        }
        heard.extend(writer.kill()?);
        self.image_is("-i")?;
        if silence == Some(Silence::Stuck) {
            return Err(Fault::Violation("the writer is stuck".to_owned()));
        }
        let unknown = |message: &Message| {
            matches!(message, Message::Failed(Failed { outcome: Outcome::Unknown, .. }))
        };
        report.unknown += u32::from(heard.iter().any(unknown));
        self.note(&heard, report);
        Ok(())
    }

    /// Opens the store in the same boot, appends, and cuts the power.
    fn append_and_cut(
        &mut self,
        rng: &mut fastrand::Rng,
        report: &mut FailedSyncsReport,
    ) -> Result<(), Fault> {
        let mut child = self.draw(rng);
        child.appends = rng.u32(1..60);
        let writer = Writer::start(&self.options.torture, &child)?;
        let mut heard = Vec::new();
        let moment = Moment::Appending(rng.u64(1..30), Duration::from_micros(rng.u64(0..3_000)));
        let waited = moment.wait_for(&writer, &mut heard);
        self.onlookers.iter().for_each(Onlooker::expect_cut);
        self.disk.cut()?;
        let broken = heard.iter().find(|m| matches!(m, Message::Broken(_) | Message::Failed(_)));
        let broken = broken.map(ToString::to_string);
        heard.extend(writer.kill()?);
        self.onlookers.iter_mut().for_each(Onlooker::pause);
        self.disk.restart()?;
        self.onlookers.iter_mut().try_for_each(Onlooker::resume)?;
        if let Some(what) = broken {
            return Err(Fault::Violation(format!("the disk takes everything again, but: {what}")));
        }
        if waited == Err(Silence::Stuck) {
            return Err(Fault::Violation("the writer is stuck".to_owned()));
        }
        self.note(&heard, report);
        Ok(())
    }

    fn note(&mut self, heard: &[Message], report: &mut FailedSyncsReport) {
        for message in heard {
            if let Message::Acknowledged(acknowledged) = message {
                report.acknowledged += 1;
                self.history.note(*acknowledged);
            }
        }
    }

    /// Makes the image immutable, or not.
    fn image_is(&self, immutable: &str) -> io::Result<()> {
        tool(Command::new("chattr").arg(immutable).arg(self.disk.image()))
    }

    /// Whether a file of the store reads otherwise from the page cache than from the disk.
    fn page_cache_lies(&self) -> io::Result<bool> {
        let mut files = Vec::new();
        if self.store.is_dir() {
            list_files(&self.store, &mut files)?;
        }
        for file in files {
            if fs::read(&file)? != read_direct(&file)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The regular files below a folder.
fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Reads a file past the page cache.
fn read_direct(path: &Path) -> io::Result<Vec<u8>> {
    let direct = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(direct).open(path)?;
    let mut bytes = Vec::new();
    let mut room = vec![0; 2 * PAGE];
    let skip = room.as_ptr().align_offset(PAGE);
    loop {
        let offset = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        let page = room.get_mut(skip..skip + PAGE).ok_or_else(|| io::Error::other("no page"))?;
        let read = file.read_at(page, offset)?;
        bytes.extend_from_slice(page.get(..read).unwrap_or(&[]));
        if read < PAGE {
            return Ok(bytes);
        }
    }
}
