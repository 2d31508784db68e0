//! Stores on a disk that is full, or in a process that may write no larger files.
//!
//! Nothing that was acknowledged is lost, an append fails with a typed error, and once there is room
//! again the store opens and takes appends. Disks are small file systems in memory, which only root
//! may mount; what cannot run is counted as skipped.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use spacefold_store::StoreOptions;
use tempfile::TempDir;

use crate::{
    check::check,
    child::ChildOptions,
    faults::subject::stage,
    history::History,
    message::{Message, Outcome, read_messages},
    workload::Profile,
};

/// Bytes of a disk.
const DISK_BYTES: u64 = 96 << 20;
/// Bytes that are left on a disk when a store is opened there.
const LEFT: [u64; 6] = [4 << 10, 64 << 10, 512 << 10, 1 << 20, 3 << 20, 6 << 20];
/// Bytes of a file that a process may write.
const FILE_LIMITS: [u64; 5] = [4 << 10, 64 << 10, 512 << 10, 3 << 20, 6 << 20];

/// What is tried.
#[derive(Clone, Debug)]
pub struct FullDiskOptions {
    /// The binary that has the writer as a command.
    pub torture: PathBuf,
    /// Where stores are made.
    pub folder: PathBuf,
    /// How often a disk is filled and freed again.
    pub cycles: u32,
    /// Whether a store must open and read on a disk without any room; else it is counted only.
    pub serves_when_full: bool,
    /// The seed of the workload.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct FullDiskReport {
    /// Scenes that came to their end.
    pub scenes: u32,
    /// Scenes that could not run, and why.
    pub skipped: Vec<String>,
    /// Writers that had no room for something.
    pub without_room: u32,
    /// Writers to whom a store that was there did not open.
    pub unopened: u32,
    /// Writers to whom not everything could be read.
    pub unread: u32,
    /// Appends that were acknowledged.
    pub acknowledged: usize,
    /// What was wrong.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for FullDiskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} scenes ({} skipped), {} writers without room ({} could not open what was there, {} could \
             not read it all), {} appends acknowledged, {} violations, {:.1} s",
            self.scenes,
            self.skipped.len(),
            self.without_room,
            self.unopened,
            self.unread,
            self.acknowledged,
            self.violations.len(),
            self.took.as_secs_f64(),
        )
    }
}

/// Fills disks, and frees them again.
///
/// # Errors
/// When processes or folders cannot be made; what is wrong with a store is part of the report.
pub fn run(options: &FullDiskOptions) -> io::Result<FullDiskReport> {
    let began = Instant::now();
    let mut report = FullDiskReport::default();
    for cycle in 0..options.cycles {
        let seed = options.seed.wrapping_add(u64::from(cycle));
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut stage = Stage { options, report: &mut report, seed };
        for is_new in [true, false] {
            let bytes = rng.choice(FILE_LIMITS).unwrap_or_default();
            stage.play(Scene::FileLimit { bytes, is_new })?;
            // Nothing at all, little, and enough for some appends.
            let (little, enough) = LEFT.split_at(LEFT.len() / 2);
            for left in [Some(&0), rng.choice(little), rng.choice(enough)] {
                let left = left.copied().unwrap_or_default();
                let profile = Profile::Large;
                stage.play(Scene::Ballast { left, is_new, profile })?;
            }
        }
        // Stores that are small, and so have little set aside.
        for left in [Some(0), rng.choice(LEFT)] {
            let left = left.unwrap_or_default();
            stage.play(Scene::Ballast { left, is_new: false, profile: Profile::Small })?;
        }
    }
    report.took = began.elapsed();
    Ok(report)
}

/// What happens to a store.
#[derive(Clone, Copy, Debug)]
enum Scene {
    /// A process may write no files larger than this; the store is there before, or not.
    FileLimit { bytes: u64, is_new: bool },
    /// Only so many bytes are left on the disk of a store with appends of a kind.
    Ballast { left: u64, is_new: bool, profile: Profile },
}

impl Scene {
    const fn is_new(self) -> bool {
        match self {
            Self::FileLimit { is_new, .. } | Self::Ballast { is_new, .. } => is_new,
        }
    }

    const fn profile(self) -> Profile {
        match self {
            Self::FileLimit { .. } => Profile::Large,
            Self::Ballast { profile, .. } => profile,
        }
    }
}

struct Stage<'a> {
    options: &'a FullDiskOptions,
    report: &'a mut FullDiskReport,
    seed: u64,
}

impl Stage<'_> {
    fn play(&mut self, scene: Scene) -> io::Result<()> {
        let folder =
            tempfile::Builder::new().prefix("spacefold-full-").tempdir_in(&self.options.folder)?;
        let disk = match scene {
            Scene::FileLimit { .. } => None,
            Scene::Ballast { .. } => match Disk::mount(folder.path())? {
                Some(disk) => Some(disk),
                None => {
                    self.report.skipped.push(format!("{scene:?}: no disk can be mounted"));
                    return Ok(());
                }
            },
        };
        let played = self.act(scene, &folder);
        drop(disk);
        self.report.scenes += 1;
        match played {
            Err(Fault::Io(error)) => Err(error),
            Err(Fault::Violation(what)) => {
                self.report.violations.push(format!("{scene:?} (seed {}): {what}", self.seed));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn act(&mut self, scene: Scene, folder: &TempDir) -> Result<(), Fault> {
        let store = folder.path().join("store");
        let ballast = folder.path().join("ballast");
        let mut history = History::new(self.seed);
        if !scene.is_new() {
            let told = self.write(scene, &store, 0, 12)?;
            told.expect_room()?;
            note(&told, &mut history);
        }
        if let Scene::Ballast { left, .. } = scene {
            leave(&ballast, left)?;
        }
        // The first fills what is left, the second comes to a store that found no room before.
        for writer in 1..=2 {
            let told = self.write(scene, &store, writer, 60)?;
            self.judge(scene, &told).map_err(|fault| match fault {
                Fault::Violation(what) => Fault::Violation(format!("writer {writer}: {what}")),
                fault @ Fault::Io(_) => fault,
            })?;
            note(&told, &mut history);
        }
        if matches!(scene, Scene::Ballast { .. }) {
            fs::remove_file(&ballast)?;
        }
        check(&store, &StoreOptions::default(), &mut history)
            .map(drop)
            .map_err(|violation| Fault::Violation(format!("with room again: {violation}")))
    }

    /// Whether a writer without room fails as it should.
    fn judge(&mut self, scene: Scene, told: &Told) -> Result<(), Fault> {
        if told.status.code().is_none_or(|code| code > 1) {
            let last = told.messages.last();
            return wrong(format!("the writer ended with {} after {last:?}", told.status));
        }
        let has_failed =
            |message: &Message| matches!(message, Message::Failed(_) | Message::Broken(_));
        if !told.messages.iter().any(has_failed) {
            return Ok(());
        }
        self.report.without_room += 1;
        let mut is_refused = false;
        for message in &told.messages {
            match message {
                Message::Failed(failed) if failed.outcome == Outcome::Nothing => {
                    return wrong(format!("{} fails with {}", failed.key, failed.why));
                }
                Message::Failed(_) => is_refused = true,
                Message::Acknowledged(later) if is_refused => {
                    return wrong(format!("{} was taken after one that failed", later.key));
                }
                Message::Broken(why) if why.starts_with(stage::READ) => {
                    self.report.unread += 1;
                    if self.options.serves_when_full {
                        return wrong(format!("reading does not go on: {why}"));
                    }
                }
                Message::Broken(why) if why.starts_with(stage::OPEN) => {
                    self.report.unopened += u32::from(!scene.is_new());
                    let must_open = matches!(scene, Scene::Ballast { is_new: false, .. });
                    if must_open && self.options.serves_when_full {
                        return wrong(format!("the store does not open: {why}"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, scene: Scene, store: &Path, writer: u32, appends: u32) -> io::Result<Told> {
        let limit = match scene {
            // The first writer has room.
            Scene::FileLimit { bytes, .. } if writer > 0 => Some(bytes),
            Scene::FileLimit { .. } | Scene::Ballast { .. } => None,
        };
        let options = ChildOptions {
            store: store.to_owned(),
            seed: self.seed,
            first_writer: writer,
            threads: 1,
            appends,
            under_way: 1,
            profile: scene.profile(),
            openings: 1,
            fold_every: None,
            die_after: None,
            receipts: None,
            journal_file_bytes: None,
            reserve_bytes: None,
            lie: None,
        };
        let Output { status, stdout, .. } = subject(&self.options.torture, limit)
            .args(options.arguments())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()?;
        let messages =
            read_messages(&String::from_utf8_lossy(&stdout)).map_err(io::Error::other)?;
        let is_acknowledged = |message: &&Message| matches!(message, Message::Acknowledged(_));
        self.report.acknowledged += messages.iter().filter(is_acknowledged).count();
        Ok(Told { status, messages })
    }
}

/// The program that goes on after errors, where a file may have only so many bytes; a write past that
/// is an error, not a signal.
fn subject(torture: &Path, limit: Option<u64>) -> Command {
    let mut command = match limit {
        None => Command::new(torture),
        Some(bytes) => {
            let mut shell = Command::new("sh");
            let blocks = bytes / 512;
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
            shell.args(["-c", &script, "sh"]).arg(torture);
            shell
        }
    };
    command.arg("subject");
    command
}

/// What a writer told.
struct Told {
    status: ExitStatus,
    messages: Vec<Message>,
}

impl Told {
    fn expect_room(&self) -> Result<(), Fault> {
        match self.messages.last() {
            Some(Message::Closed) => Ok(()),
            last => wrong(format!("with enough room: {last:?}")),
        }
    }
}

/// Why a scene ends early.
enum Fault {
    Io(io::Error),
    Violation(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn wrong<T>(what: String) -> Result<T, Fault> {
    Err(Fault::Violation(what))
}

fn note(told: &Told, history: &mut History) {
    for message in &told.messages {
        match message {
            Message::Acknowledged(acknowledged) => history.note(*acknowledged),
            Message::Failed(failed) => history.note_failed(failed.key),
            _ => {}
        }
    }
}

/// Fills a disk until only so many bytes are left.
fn leave(ballast: &Path, left: u64) -> io::Result<()> {
    let mut file = File::create(ballast)?;
    let page = [1; 4_096];
    let mut len = 0_u64;
    while file.write_all(&page).is_ok() {
        len += 4_096;
    }
    file.set_len(len.saturating_sub(left))
}

/// A small file system in memory; unmounted when it is dropped.
struct Disk {
    root: PathBuf,
}

impl Disk {
    /// Mounts one; `None` when that is not allowed here.
    fn mount(root: &Path) -> io::Result<Option<Self>> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "spacefold"])
            .arg(root)
            .stderr(Stdio::null())
            .status();
        match mounted {
            Ok(status) if status.success() => Ok(Some(Self { root: root.to_owned() })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Detached at once, and gone with the last file that is open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.root).status();
    }
}
