//! What the calls share: what is watched, the log, and the fault.

use std::{
    cell::Cell,
    env, fs,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    entry::{self, Entry},
    fault::{Call, Fault, How},
    real::{errno, set_errno},
};

thread_local! {
    /// Whether this thread is in the recorder, whose own calls are not recorded.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What one process has of the recorder.
struct Recorder {
    root: PathBuf,
    marks: Option<PathBuf>,
    fault: Option<Fault>,
    /// Marks that are still to come before the process dies.
    marks_left: Option<AtomicU64>,
    with_bytes: bool,
    log: Mutex<Option<File>>,
    syncs: AtomicU64,
}

/// A call that is being looked at. Until it is dropped, calls of this thread are not.
pub(crate) struct Session {
    recorder: &'static Recorder,
}

/// The lock under which changes are made and written down.
pub(crate) type Log<'a> = MutexGuard<'a, Option<File>>;

/// A file or folder below the root.
pub(crate) struct Target {
    pub(crate) path: String,
    pub(crate) file: u64,
}

/// Begins to look at a call, unless nothing is watched or the recorder makes the call itself.
pub(crate) fn enter() -> Option<Session> {
    static RECORDER: OnceLock<Option<Recorder>> = OnceLock::new();
    if INSIDE.replace(true) {
        return None;
    }
    let recorder = RECORDER.get_or_init(Recorder::from_environment).as_ref();
    if recorder.is_none() {
        INSIDE.set(false);
    }
    recorder.map(|recorder| Session { recorder })
}

impl Drop for Session {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

impl Recorder {
    fn from_environment() -> Option<Self> {
        let root = PathBuf::from(env::var_os(entry::ROOT)?);
        let log = env::var_os(entry::LOG).map(|path| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.unwrap_or_else(|_| stop("the log cannot be opened"))
        });
        let fault = env::var(entry::FAULT).ok().map(|text| {
            Fault::parse(&text).unwrap_or_else(|| stop("the fault to be planted is not understood"))
        });
        let marks = env::var_os(entry::MARKS).map(PathBuf::from);
        let marks_left = env::var(entry::DIE_AFTER).ok().and_then(|text| text.parse().ok());
        let with_bytes = env::var_os(entry::BYTES).is_none_or(|value| value != "0");
        Some(Self {
            root,
            marks,
            fault,
            marks_left: marks_left.map(AtomicU64::new),
            with_bytes,
            log: Mutex::new(log),
            syncs: AtomicU64::new(0),
        })
    }
}

/// Ends the process: a recording with something missing is worse than none.
pub(crate) fn stop(what: &str) -> ! {
    let _ = writeln!(std::io::stderr(), "recorder: {what}");
    process::abort();
}

impl Session {
    /// Takes the lock under which changes are made.
    pub(crate) fn log(&self) -> Log<'static> {
        self.recorder.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an entry down. The error number stays as it is.
    pub(crate) fn note(&self, log: &mut Log<'_>, entry: &Entry) {
        let errno = errno();
        if let Some(file) = log.as_mut() {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            if file.write_all(&bytes).is_err() {
                stop("the log cannot be written");
            }
        }
        set_errno(errno);
    }

    /// Whether `fd` is the file that marks are written to.
    pub(crate) fn is_marks(&self, fd: i32) -> bool {
        let found = || fs::read_link(format!("/proc/self/fd/{fd}")).ok();
        self.recorder.marks.is_some() && self.recorder.marks == found()
    }

    /// Counts a mark; whether it was the one to die after.
    pub(crate) fn is_last_mark(&self) -> bool {
        let left = self.recorder.marks_left.as_ref();
        left.is_some_and(|left| left.fetch_sub(1, Ordering::Relaxed) <= 1)
    }

    pub(crate) fn keeps_bytes(&self) -> bool {
        self.recorder.with_bytes
    }

    /// A number that no other sync has, of this process or another.
    pub(crate) fn next_sync(&self) -> u64 {
        u64::from(process::id()) << 32 | self.recorder.syncs.fetch_add(1, Ordering::Relaxed)
    }

    /// What becomes of a call, if not what was asked for. An error is written down and set.
    pub(crate) fn fault(
        &self,
        log: &mut Log<'_>,
        call: Call,
        file: u64,
        path: &str,
    ) -> Option<How> {
        let how = self.recorder.fault.as_ref()?.hits(call, path)?;
        let (path, call) = (path.to_owned(), call.name().to_owned());
        self.note(log, &Entry::Fault { file, path, call });
        if let How::Errno(number) = how {
            set_errno(number);
        }
        Some(how)
    }

    /// The file or folder that is open as `fd`, if it is below the root.
    pub(crate) fn target(&self, fd: i32) -> Option<Target> {
        let link = format!("/proc/self/fd/{fd}");
        let path = self.below_root(&fs::read_link(&link).ok()?)?;
        let found = fs::metadata(&link).ok()?;
        Some(Target { path, file: found.ino() })
    }

    /// The path below the root that `path` means, seen from the folder that is open as `folder`.
    pub(crate) fn path_at(&self, folder: i32, path: &Path) -> Option<String> {
        if path.is_absolute() {
            return self.below_root(&through_descriptor(path).unwrap_or_else(|| path.to_owned()));
        }
        let folder = match folder {
            libc::AT_FDCWD => env::current_dir().ok()?,
            folder => fs::read_link(format!("/proc/self/fd/{folder}")).ok()?,
        };
        self.below_root(&folder.join(path))
    }

    /// Where a path below the root is.
    pub(crate) fn full_path(&self, path: &str) -> PathBuf {
        self.recorder.root.join(path)
    }

    fn below_root(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.recorder.root).ok()?;
        Some(below.to_string_lossy().into_owned())
    }
}

/// Where a path leads that begins with an open folder of this process.
fn through_descriptor(path: &Path) -> Option<PathBuf> {
    let within = path.strip_prefix("/proc/self/fd").ok()?;
    let mut names = within.components();
    let folder = fs::read_link(Path::new("/proc/self/fd").join(names.next()?)).ok()?;
    let rest = names.as_path();
    Some(if rest.as_os_str().is_empty() { folder } else { folder.join(rest) })
}

/// The inode at a path.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|found| found.ino())
}
