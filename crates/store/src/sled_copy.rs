//! The readable copy of the log, in sled: the one file of the project that names it.
//!
//! One tree, `log`, holds blocks: key = first position (u64) and part (u16), big-endian, so that
//! keys sort as positions do; the parts of a block in order are its bytes.
//!
//! What this file assumes of sled 0.34.7, and does about it:
//! - Nothing here is the only copy of anything. sled may lose, reorder or silently forget what
//!   it holds; callers check what they read, and rebuild.
//! - sled panics on damage. Every call goes through `attempt`: the panic becomes
//!   [`SledError::Broken`] and prints nothing, and the copy is not touched again.
//! - After a panic in one of sled's own threads, waiting for sled may never end, in the whole
//!   process: [`SledError::ProcessRestartRequired`]. Opening, flushing and closing are watched
//!   from outside, so that they end nevertheless.
//! - `flush` does not reach the disk on Linux: [`SledCopy::sync`] adds an `fdatasync` on a file
//!   descriptor that was open before the first write, and so hears of every write error.
//! - A page over a quarter of a segment moves to a file of its own that is never synced. A leaf
//!   holds up to 16 values and one before it splits, and takes up to 3 from a neighbour that
//!   shrank: 20 values of [`MAX_VALUE_BYTES`] fit. `blobs/` stays empty.
//! - An iterator repeats an error for ever: each loop ends at the first one.
//! - A leaf that has more than 16 values is split, and all of them are written again; what that leaves
//!   behind is collected by writing yet more again. Of 24 KB values put in order it wrote 3.7 times
//!   their bytes, and kept twice as many. Leaves of keys without values are split for nothing: with
//!   [`SledCopy::keep_places`] for 90 values at a time it wrote 1.2 times the bytes, for 36 1.5 times.

mod access;
mod calls;
mod files;
mod folders;
mod keys;
mod room;

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use sled::{Db, IVec, Tree};
use spacefold_disk::{Access, File as DiskFile, Folder as DiskFolder};

#[cfg(test)]
use spacefold_disk::{Disk as _, RealDisk};
use spacefold_event_core::{
    Position, StorageError, Timestamp,
    lock::{Lock, SharedLock},
};

pub(crate) use self::folders::SledFolders;
use self::{
    calls::{CallInterrupted, has_io_thread_panicked, install_hook, note_io_thread_panic},
    files::{
        follow_mode, held_path, make_folders, open_unlocked, remove_unfinished_snapshots, sync_path,
    },
    keys::{block_key, parse_block_key},
};

use crate::{
    head::sessions::StoreSession,
    lineage::{self, Lineage},
    log_copy::{LogCopy, PartBytes, SledError, StoredBlock},
};

/// Bytes of one value in sled; longer parts are divided.
pub(crate) const MAX_VALUE_BYTES: usize = 26_000;
/// How often a block is touched once more. sled lets pages go only when it has noted 64
/// uses of any of a 256th of them: a log of 10 M events that is read once was in memory to 500 MB.
const TOUCHES: usize = 6;

/// Fixed for the life of a sled folder: another value is refused by sled.
const SEGMENT_BYTES: usize = 2 << 20;
/// The most values that one leaf holds at any moment.
const MAX_LEAF_VALUES: usize = 20;
/// What a leaf needs beside its values, at most: keys, lengths, headers.
const LEAF_OVERHEAD_BYTES: usize = MAX_LEAF_VALUES * 64 + 2 * 1_024;
const _: () =
    assert!(MAX_LEAF_VALUES * MAX_VALUE_BYTES + LEAF_OVERHEAD_BYTES < SEGMENT_BYTES / 4 - 52);

const CACHE_BYTES: u64 = 64 << 20;

/// The readable copy of the log: blocks by first position.
pub(crate) struct SledCopy {
    /// What messages call its folder.
    path: PathBuf,
    /// The folder, by a path that leads to it whatever becomes of its name.
    folder: PathBuf,
    held: Arc<dyn DiskFolder>,
    /// `None` only while the copy is dropped.
    handles: Option<Handles>,
    db_file: File,
    /// Why nothing goes to sled any more: it panicked.
    broken: OnceLock<String>,
    /// A failed sync is never tried again: the second would answer for pages that are lost.
    sync_failed: AtomicBool,
    /// Held by whoever writes blocks: two writers at one leaf cost retries.
    log_writer: Lock<()>,
    /// Held alone while whole blocks are taken away, so that no reader sees half of one.
    log_shape: SharedLock<()>,
    lineage: Lock<NotedLineage>,
    #[cfg(test)]
    refused: OnceLock<ErrorKind>,
}

/// What the file says that tells whose copy this is; it is opened when it is written first.
#[derive(Default)]
struct NotedLineage {
    file: Option<Arc<dyn DiskFile>>,
    /// The newest session, and the two positions.
    noted: Option<(Option<StoreSession>, Position, Position)>,
}

impl SledCopy {
    /// Opens the copy in the folder of this name in another; creates an empty one when it is absent
    /// or empty.
    ///
    /// `Ok` says nothing about what is in it: sled opens damaged folders with less, or nothing.
    ///
    /// # Durability
    /// The folder and its files are synced, and so survive a power cut once this returns.
    ///
    /// # Errors
    /// [`SledError`]; the folder may have been changed by sled.
    pub(crate) fn open(above: &Arc<dyn DiskFolder>, name: &str) -> Result<Self, SledError> {
        let path = above.path().join(name);
        if has_io_thread_panicked() {
            return Err(SledError::ProcessRestartRequired);
        }
        // sled panics on one.
        if Timestamp::now().as_micros() < 0 {
            let doing = format!("open {}", path.display());
            return Err(StorageError::new(doing, "the system's clock is before 1970").into());
        }
        install_hook();
        room::check()?;
        let in_folder = |cause| SledFailure::Sled(sled::Error::Io(cause)).into_error("open", &path);
        let is_new = make_folders(&held_path(above), name, above.mode()).map_err(in_folder)?;
        let none = || in_folder(ErrorKind::NotADirectory.into());
        let held = above.folder(name.as_ref())?.ok_or_else(none)?;
        let folder = held_path(&held);
        remove_unfinished_snapshots(&folder).map_err(in_folder)?;
        let Some(db_file) = open_unlocked(&folder.join("db")).map_err(in_folder)? else {
            let doing = format!("open {}", path.display());
            return Err(StorageError::new(doing, "it is open already").into());
        };

        let config = sled::Config::new()
            .path(&folder)
            .flush_every_ms(None)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .use_compression(false);
        let of_the_call = Arc::clone(&held);
        let opened = watched(
            || {},
            move || {
                let db = config.open()?;
                let log = db.open_tree("log")?;
                drop(of_the_call);
                Ok(Handles { log, db })
            },
        );
        let handles = opened.map_err(|failure| failure.into_error("open", &path))?;

        // From here on dropping it closes sled as it must be: after a failed sync sled panics.
        let copy = Self {
            path: path.clone(),
            folder: folder.clone(),
            held,
            handles: Some(handles),
            db_file,
            broken: OnceLock::new(),
            sync_failed: AtomicBool::new(false),
            log_writer: Lock::new(()),
            log_shape: SharedLock::new(()),
            lineage: Lock::default(),
            #[cfg(test)]
            refused: OnceLock::new(),
        };
        follow_mode(&folder).map_err(in_folder)?;
        for name in ["conf", "db", "blobs", ""] {
            sync_path(&folder.join(name)).map_err(in_folder)?;
        }
        if is_new {
            above.sync()?;
        }
        Ok(copy)
    }

    /// Opens the copy at a path.
    #[cfg(test)]
    pub(crate) fn open_at(path: &Path) -> Result<Self, SledError> {
        let above = RealDisk.folder(path.parent().unwrap())?.unwrap();
        Self::open(&above, path.file_name().unwrap().to_str().unwrap())
    }

    /// Removes what is stored under `first`, part 0 first: from then on it is no block. Places that
    /// are kept for so many parts stay.
    fn remove_block_if_any(&self, first: Position, parts: usize) -> Result<(), SledError> {
        let keys = block_key(first, 0)..=block_key(first, u16::MAX);
        let is_free = self.attempt("look for a block", |handles| {
            let mut places = 0;
            for entry in handles.log.range(keys.clone()) {
                let (_, value) = entry?;
                places += 1;
                if !value.is_empty() || places > parts {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if is_free {
            return Ok(());
        }
        let _alone = self.log_shape.write();
        self.attempt("remove a block", |handles| {
            for entry in handles.log.range(keys) {
                handles.log.remove(entry?.0)?;
            }
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), SledError> {
        let handles = self.usable()?;
        let db = handles.db.clone();
        // An asynchronous write that fails wakes nobody who waits for it; a second flush sees
        // the error, answers at once, and wakes them.
        let wake = || {
            if handles.db.context.global_error().is_err() {
                let _ = attempt(|| Ok(handles.db.flush()?));
            }
        };
        let flushed = watched(wake, move || {
            db.flush()?;
            Ok(())
        });
        flushed.map_err(|failure| self.note("flush", failure))
    }

    /// Calls into sled, unless that has become pointless.
    fn attempt<T>(
        &self,
        doing: &'static str,
        call: impl FnOnce(&Handles) -> Result<T, SledFailure>,
    ) -> Result<T, SledError> {
        #[cfg(test)]
        if let Some(why) = self.refused.get() {
            let refused = io::Error::from(*why);
            return Err(StorageError::new(self.doing("refused by a test"), refused).into());
        }
        let handles = self.usable()?;
        attempt(|| call(handles)).map_err(|failure| self.note(doing, failure))
    }

    fn usable(&self) -> Result<&Handles, SledError> {
        if has_io_thread_panicked() {
            return Err(SledError::ProcessRestartRequired);
        }
        if let Some(why) = self.broken.get() {
            return Err(SledError::Broken(why.clone()));
        }
        Ok(self.handles.as_ref().expect("the handles are taken by drop only"))
    }

    /// Remembers a panic: nobody knows what state it left sled in.
    fn note(&self, doing: &'static str, failure: SledFailure) -> SledError {
        let panicked = matches!(
            failure,
            SledFailure::Interrupted(CallInterrupted::Panicked(_) | CallInterrupted::Abandoned)
        );
        let error = failure.into_error(doing, &self.path);
        if panicked {
            let _ = self.broken.set(error.to_string());
        }
        error
    }

    fn doing(&self, doing: &str) -> String {
        format!("{doing} in {}", self.path.display())
    }
}

impl LogCopy for SledCopy {
    fn note_lineage(&self, lineage: &Lineage) -> Result<(), SledError> {
        let mut state = self.lineage.lock();
        let newest = lineage.sessions.newest();
        let blocks = lineage.last_block_after;
        let is_noted = state.noted.is_some_and(|(session, position, last_block_after)| {
            session == newest && position >= lineage.position && last_block_after == blocks
        });
        if is_noted {
            return Ok(());
        }
        let file = match &mut state.file {
            Some(file) => file,
            none => {
                // Of real bytes from the start: what is written later takes no space.
                let there = self.held.find(lineage::FILE_NAME, Access::ReadWrite)?;
                let file = there.map_or_else(|| self.held.create(lineage::FILE_NAME), Ok)?;
                none.insert(file)
            }
        };
        file.write_all_at(&lineage.encode(), 0)?;
        state.noted = Some((newest, lineage.position, blocks));
        Ok(())
    }

    fn keep_places(
        &self,
        blocks: &mut dyn Iterator<Item = (Position, usize)>,
    ) -> Result<(), SledError> {
        let _writer = self.log_writer.lock();
        self.attempt("keep places for blocks", |handles| {
            for (first, bytes) in blocks {
                for (part, _) in (0..=u16::MAX).zip(0..bytes.div_ceil(MAX_VALUE_BYTES)) {
                    let key = block_key(first, part);
                    if !handles.log.contains_key(key)? {
                        handles.log.insert(key, &[])?;
                    }
                }
            }
            Ok(())
        })
    }

    fn put_block(&self, first: Position, bytes: &[u8]) -> Result<(), SledError> {
        let parts: Vec<(u16, &[u8])> = (0..=u16::MAX).zip(bytes.chunks(MAX_VALUE_BYTES)).collect();
        assert!(
            !parts.is_empty() && bytes.len().div_ceil(MAX_VALUE_BYTES) == parts.len(),
            "a block has bytes, and is bounded to far fewer parts"
        );
        let _writer = self.log_writer.lock();
        self.remove_block_if_any(first, parts.len())?;
        self.attempt("write a block", |handles| {
            for (part, value) in parts.iter().rev() {
                handles.log.insert(block_key(first, *part), *value)?;
            }
            Ok(())
        })
    }

    fn block_at_or_before(&self, position: Position) -> Result<Option<StoredBlock>, SledError> {
        let _whole = self.log_shape.read();
        self.attempt("read a block", |handles| {
            let found = last_whole(handles.log.range(..=block_key(position, u16::MAX)).rev())?;
            if let Some(found) = &found {
                touch(&handles.log, &block_key(found.first, 0))?;
            }
            Ok(found)
        })
    }

    fn first_positions(&self) -> Result<Vec<Position>, SledError> {
        let _whole = self.log_shape.read();
        self.attempt("list the blocks", |handles| {
            let mut positions = Vec::new();
            for entry in handles.log.iter() {
                let (key, value) = entry?;
                let (first, part) = parse_key(&key)?;
                if part == 0 && !value.is_empty() {
                    positions.push(first);
                }
            }
            Ok(positions)
        })
    }

    fn sync(&self) -> Result<(), SledError> {
        if self.sync_failed.load(Ordering::Acquire) {
            let cause = "an earlier sync failed; open the copy again";
            return Err(StorageError::new(self.doing("sync"), cause).into());
        }
        let synced = self.flush().and_then(|()| {
            let synced = self.db_file.sync_data();
            synced.map_err(|cause| StorageError::new(self.doing("sync"), cause).into())
        });
        if synced.is_err() {
            self.sync_failed.store(true, Ordering::Release);
        }
        synced
    }

    fn has_external_values(&self) -> bool {
        fs::read_dir(self.folder.join("blobs")).is_ok_and(|mut files| files.next().is_some())
    }

    #[cfg(test)]
    fn refuse_now(&self, why: ErrorKind) {
        let _ = self.refused.set(why);
    }
}

impl Drop for SledCopy {
    fn drop(&mut self) {
        // Flushed first: sled flushes once more as it closes, and then nobody could wake it.
        let _ = self.flush();
        let is_usable = self.usable().is_ok();
        let Some(handles) = self.handles.take() else {
            return;
        };
        if is_usable {
            let _ = calls::watched(|| {}, move || drop(handles));
            let _ = follow_mode(&self.folder);
        } else {
            // After a panic, closing may wait for ever for what was under way. The lock on the
            // file stays with the leak; whoever goes on sets the folder aside. So does the folder:
            // another one must not come to its path.
            mem::forget((handles, Arc::clone(&self.held)));
        }
    }
}

/// Dropped in this order: trees before the database.
struct Handles {
    log: Tree,
    db: Db,
}

/// The last block whose part 0 is there, out of entries in descending order. An entry without a value
/// only keeps a place. Parts without their
/// part 0 are of a put that was cut off; parts behind a gap are left out, which the block's own
/// check finds.
fn last_whole(
    entries: impl Iterator<Item = sled::Result<(IVec, IVec)>>,
) -> Result<Option<StoredBlock>, SledFailure> {
    let mut rest: Vec<IVec> = Vec::new();
    let mut before = None;
    for entry in entries {
        let (key, value) = entry?;
        if value.is_empty() {
            continue;
        }
        let (first, part) = parse_key(&key)?;
        if before != Some((first, part)) {
            rest.clear();
        }
        if part == 0 {
            let rest = rest.into_iter().rev().map(|part| Box::new(part) as PartBytes).collect();
            return Ok(Some(StoredBlock { first, head: Box::new(value), rest }));
        }
        rest.push(value);
        before = Some((first, part - 1));
    }
    Ok(None)
}

/// Uses an entry some more times: sled lets go of nothing before it has noted enough uses.
fn touch(tree: &Tree, key: &[u8]) -> Result<(), SledFailure> {
    for _ in 0..TOUCHES {
        tree.contains_key(key)?;
    }
    Ok(())
}

fn parse_key(key: &[u8]) -> Result<(Position, u16), SledFailure> {
    let wrong = || SledFailure::Wrong(format!("{} bytes are no key of a block", key.len()));
    parse_block_key(key).ok_or_else(wrong)
}

/// Calls into sled: a panic is an error, and prints nothing.
fn attempt<T>(call: impl FnOnce() -> Result<T, SledFailure>) -> Result<T, SledFailure> {
    calls::attempt(call)?
}

/// Calls into sled where it may never return.
fn watched<T: Send + 'static>(
    wake: impl Fn(),
    call: impl FnOnce() -> Result<T, SledFailure> + Send + 'static,
) -> Result<T, SledFailure> {
    calls::watched(wake, call)?
}

/// How a call into sled failed.
enum SledFailure {
    /// sled answered an error.
    Sled(sled::Error),
    /// sled answered what cannot be.
    Wrong(String),
    /// sled panicked, or may never answer.
    Interrupted(CallInterrupted),
}

impl From<CallInterrupted> for SledFailure {
    fn from(interrupted: CallInterrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl From<sled::Error> for SledFailure {
    fn from(error: sled::Error) -> Self {
        Self::Sled(error)
    }
}

impl SledFailure {
    fn into_error(self, doing: &str, path: &Path) -> SledError {
        let doing = format!("{doing} in {}", path.display());
        let error = match self {
            _ if has_io_thread_panicked() => return SledError::ProcessRestartRequired,
            Self::Interrupted(CallInterrupted::Abandoned) => {
                return SledError::ProcessRestartRequired;
            }
            Self::Interrupted(CallInterrupted::Panicked(message)) if is_out_of_memory(&message) => {
                // Nothing is wrong with what it holds.
                let cause = io::Error::new(ErrorKind::OutOfMemory, message);
                return StorageError::new(doing, cause).into();
            }
            Self::Interrupted(CallInterrupted::Panicked(message)) => {
                return SledError::Broken(format!("{doing}: sled panicked: {message}"));
            }
            Self::Interrupted(CallInterrupted::NoThread(cause)) => {
                return StorageError::new(doing, cause).into();
            }
            Self::Wrong(what) => return SledError::Broken(format!("{doing}: {what}")),
            Self::Sled(error) => error,
        };
        match error {
            sled::Error::Io(cause) if is_of_the_content(cause.kind()) => {
                SledError::Broken(format!("{doing}: {cause}"))
            }
            sled::Error::Io(cause) => StorageError::new(doing, cause).into(),
            // The one thing that tells when the application has replaced our panic hook.
            sled::Error::ReportableBug(what) if what.starts_with("IO thread") => {
                note_io_thread_panic();
                SledError::ProcessRestartRequired
            }
            other => SledError::Broken(format!("{doing}: {other}")),
        }
    }
}

/// Whether a panic of sled says that it got no memory: it takes what it asks for in ways that do
/// not end the process.
fn is_out_of_memory(message: &str) -> bool {
    let sayings = ["failed to allocate", "converting zero into `Owned`"];
    sayings.iter().any(|words| message.contains(words))
}

/// Whether an I/O error comes from what the folder holds and not from the disk.
fn is_of_the_content(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AlreadyExists
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::NotFound
            | ErrorKind::UnexpectedEof
    )
}

#[cfg(test)]
mod tests;
