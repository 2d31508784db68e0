//! The operating system's disk: where an append ends in a write and a sync.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::fs::{FileExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno as Nix,
    fcntl::{FcntlArg, fcntl},
    libc::{self, F_RDLCK, F_UNLCK, F_WRLCK},
};
use rustix::{
    fs::{
        Advice, AtFlags, CWD, Dir, Mode, OFlags, fadvise, fcntl_getfl, fcntl_setfl, fstat, fsync,
        linkat, mkdirat, openat, renameat, statat, unlinkat,
    },
    io::{Errno, retry_on_intr},
};
use spacefold_event_core::{StorageError, StorageErrorKind, StoreMode, bytes::to_u64};

use crate::{
    disk::{Access, Disk, File, FileId, FileStamp, Folder, Found},
    doing::Doing,
};

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The bits of a mode that say who may do what.
const PERMISSIONS: u32 = 0o777;
/// What buffers, offsets and lengths are multiples of when a file is written past the page cache.
const ALIGNMENT: usize = 4_096;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Bytes of one write past it.
const BUFFER_BYTES: usize = 1 << 20;

impl Disk for RealDisk {
    fn look(&self, path: &Path) -> Result<Option<Found>, StorageError> {
        let found = |found: &fs::Metadata| if found.is_dir() { Found::Folder } else { Found::File };
        let missed = match fs::metadata(path) {
            Ok(metadata) => return Ok(Some(found(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => fs::symlink_metadata(path),
            Err(error) => Err(error),
        };
        match missed {
            Ok(link) if link.is_symlink() => Ok(Some(Found::DeadLink)),
            // It was made in between.
            Ok(metadata) => Ok(Some(found(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("looking at {}", path.display())),
        }
    }

    /// One after the other, each of them durable before the next: what an attempt that was stopped
    /// has left is at most one whose name may not be.
    fn create_folders(&self, path: &Path) -> Result<(), StorageError> {
        let there = |folder: &&Path| folder.as_os_str().is_empty() || folder.is_dir();
        let mut missing: Vec<&Path> = path.ancestors().take_while(|it| !there(it)).collect();
        let lowest = path.ancestors().find(there).filter(|it| !it.as_os_str().is_empty());
        if let Some(lowest) = lowest {
            match sync_name(lowest) {
                // A folder in which nothing can be looked at has been made by somebody else.
                Err(error) if error.kind() == StorageErrorKind::NotPermitted => {}
                synced => synced?,
            }
        }
        while let Some(next) = missing.pop() {
            match fs::create_dir(next) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && next.is_dir() => Ok(()),
                made => made,
            }
            .doing(|| format!("creating {}", next.display()))?;
            sync_name(next)?;
        }
        Ok(())
    }

    fn folder(&self, path: &Path) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let doing = || format!("opening {}", path.display());
        let opened = folder_found(open_at(CWD, path, FOLDER_FLAGS, Mode::empty()), doing)?;
        opened.map(|handle| RealFolder::shared(handle, path.to_owned())).transpose()
    }
}

/// Makes the name of a folder durable.
fn sync_name(folder: &Path) -> Result<(), StorageError> {
    // The path of a relative folder ends in an empty one, which is the present folder.
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    let synced = fs::File::open(above).and_then(|above| above.sync_all());
    synced.doing(|| format!("syncing the folder {}", above.display()))
}

/// A descriptor of a folder.
#[derive(Debug)]
struct RealFolder {
    handle: OwnedFd,
    path: PathBuf,
    /// Where that is, wherever the process goes.
    absolute: PathBuf,
    /// What is made in the folder gets this mode: that of the folder itself.
    mode: StoreMode,
}

impl RealFolder {
    fn shared(handle: OwnedFd, path: PathBuf) -> Result<Arc<dyn Folder>, StorageError> {
        let folder = fs::File::from(handle);
        let found = folder.metadata().doing(|| format!("looking at {}", path.display()))?;
        Ok(Self::of(folder, path, StoreMode::new(found.mode())))
    }

    fn of(handle: fs::File, path: PathBuf, mode: StoreMode) -> Arc<dyn Folder> {
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Arc::new(Self { handle: handle.into(), path, absolute, mode })
    }

    /// What a failure with a name in this folder says.
    fn said(&self, doing: &str, name: impl AsRef<Path>) -> String {
        format!("{doing} {}", self.path.join(name).display())
    }
}

impl Folder for RealFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn held_path(&self) -> Option<PathBuf> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()));
        // Where /proc is not there the name has to do.
        Some(if path.exists() { path } else { self.absolute.clone() })
    }

    fn id(&self) -> Result<FileId, StorageError> {
        let found = fstat(&self.handle).map_err(io::Error::from);
        let found = found.doing(|| format!("looking at {}", self.path.display()))?;
        Ok(FileId { device: found.st_dev, number: found.st_ino })
    }

    fn mode(&self) -> StoreMode {
        self.mode
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        let doing = || format!("listing {}", self.path.display());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(io::Error::from).doing(doing)? {
            let entry = entry.map_err(io::Error::from).doing(doing)?;
            let name = entry.file_name().to_str().ok();
            names.extend(name.filter(|name| !matches!(*name, "." | "..")).map(str::to_owned));
        }
        Ok(names)
    }

    fn find(&self, name: &str, access: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        let flags = OFlags::CLOEXEC
            | match access {
                Access::Read => OFlags::RDONLY,
                Access::ReadWrite => OFlags::RDWR,
            };
        let opened = match open_at(&self.handle, name.as_ref(), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(io::Error::from).doing(|| self.said("opening", name))?,
        };
        Ok(Some(RealFile::shared(opened.into(), self.path.join(name))))
    }

    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError> {
        let doing = || self.said("creating", name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(self.mode.file());
        let made = open_at(&self.handle, name.as_ref(), flags, mode).map_err(io::Error::from);
        let file = fs::File::from(made.doing(doing)?);
        if file.metadata().doing(doing)?.mode() & PERMISSIONS != self.mode.file() {
            tolerate(file.set_permissions(Permissions::from_mode(self.mode.file())))
                .doing(doing)?;
        }
        Ok(RealFile::shared(file, self.path.join(later)))
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let opened = open_at(&self.handle, name.as_ref(), FOLDER_FLAGS, Mode::empty());
        let opened = folder_found(opened, || self.said("opening", name))?;
        opened.map(|handle| Self::shared(handle, self.path.join(name))).transpose()
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let opened = open_at(&self.handle, name.as_ref(), FOLDER_FLAGS, Mode::empty());
        let opened = folder_found(opened, || self.said("opening", name))?;
        Ok(opened.map(|handle| Self::of(handle.into(), self.path.join(name), self.mode)))
    }

    fn create_folder(
        &self,
        name: &OsStr,
        mode: StoreMode,
    ) -> Result<Arc<dyn Folder>, StorageError> {
        let doing = || self.said("creating", name);
        let bits = Mode::from_raw_mode(mode.folder());
        mkdirat(&self.handle, name, bits).map_err(io::Error::from).doing(doing)?;
        let opened = open_at(&self.handle, name.as_ref(), FOLDER_FLAGS, Mode::empty());
        let folder = fs::File::from(opened.map_err(io::Error::from).doing(doing)?);
        let found = folder.metadata().doing(doing)?.mode();
        if found & PERMISSIONS != mode.folder() {
            // One that hands its group on (setgid) goes on doing so.
            let wanted = found & !PERMISSIONS & 0o7777 | mode.folder();
            tolerate(folder.set_permissions(Permissions::from_mode(wanted))).doing(doing)?;
        }
        Ok(Self::of(folder, self.path.join(name), mode))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        let renamed = renameat(&self.handle, from, &self.handle, to).map_err(io::Error::from);
        renamed.doing(|| format!("{} to {}", self.said("renaming", from), to.display()))
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<bool, StorageError> {
        // A link is refused where the name is taken, on every file system that has links.
        let linked = linkat(&self.handle, from, &self.handle, to, AtFlags::empty());
        match linked {
            Err(Errno::EXIST) => return Ok(false),
            linked => linked
                .map_err(io::Error::from)
                .doing(|| format!("{} to {to}", self.said("renaming", from)))?,
        }
        match unlinkat(&self.handle, from, AtFlags::empty()) {
            // Who tidies up may have been faster: it has the new name, and that alone.
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(error) => Err(io::Error::from(error)).doing(|| self.said("removing", from)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let removed = unlinkat(&self.handle, name, AtFlags::empty()).map_err(io::Error::from);
        removed.doing(|| self.said("removing", name))
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        let path = self.held_path().unwrap_or_else(|| self.absolute.clone()).join(name);
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.doing(|| self.said("removing", name)),
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        let synced = retry_on_intr(|| fsync(&self.handle)).map_err(io::Error::from);
        synced.doing(|| format!("syncing the folder {}", self.path.display()))
    }

    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError> {
        match retry_on_intr(|| statat(&self.handle, name, AtFlags::empty())) {
            Ok(found) => {
                let changed_at = found.st_ctime.checked_mul(NANOS_PER_SECOND);
                let changed_at = changed_at.and_then(|at| at.checked_add(found.st_ctime_nsec));
                let bytes = u64::try_from(found.st_size).ok();
                let stamp = changed_at.zip(bytes);
                Ok(stamp.map(|(changed_at, bytes)| FileStamp {
                    number: found.st_ino,
                    bytes,
                    changed_at,
                }))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(io::Error::from(error)).doing(|| self.said("looking at", name)),
        }
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        let path = self.absolute.join(name);
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(id_of(&found))),
            Err(error) if is_absent(&error) || is_stale(&error) => Ok(None),
            Err(error) => Err(error).doing(|| format!("looking at {}", path.display())),
        }
    }
}

/// Opens a file or folder; a signal that comes meanwhile is no error.
fn open_at(
    folder: impl AsFd,
    name: &Path,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| openat(&folder, name, flags, mode))
}

/// A folder that was opened; `None` when none is there.
fn folder_found(
    opened: rustix::io::Result<OwnedFd>,
    doing: impl FnOnce() -> String,
) -> Result<Option<OwnedFd>, StorageError> {
    match opened.map_err(io::Error::from) {
        Err(error) if is_absent(&error) => Ok(None),
        opened => opened.map(Some).doing(doing),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether a file of another machine is there no more.
fn is_stale(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::STALE)
}

/// There are file systems that know no modes, and files of another user in a folder of a group.
fn tolerate(set: io::Result<()>) -> io::Result<()> {
    let is_unable = |error: &io::Error| {
        matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported)
    };
    set.or_else(|error| if is_unable(&error) { Ok(()) } else { Err(error) })
}

fn id_of(found: &fs::Metadata) -> FileId {
    FileId { device: found.dev(), number: found.ino() }
}

/// A descriptor of a file.
#[derive(Debug)]
struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl RealFile {
    fn shared(file: fs::File, path: PathBuf) -> Arc<dyn File> {
        Arc::new(Self { file, path })
    }

    fn said(&self, doing: &str) -> String {
        format!("{doing} {}", self.path.display())
    }

    /// Writes parts, and zeros up to the next multiple of the alignment, past the page cache;
    /// whether the file system can. When it cannot, some of them may have been written.
    fn write_direct(&self, parts: &[&[u8]]) -> io::Result<bool> {
        let flags = fcntl_getfl(&self.file)?;
        match fcntl_setfl(&self.file, flags | OFlags::DIRECT).map_err(io::Error::from) {
            Err(error) if is_unable_to_skip_cache(&error) => return Ok(false),
            set => set?,
        }
        let written = self.write_aligned(parts);
        fcntl_setfl(&self.file, flags)?;
        match written {
            Err(error) if is_unable_to_skip_cache(&error) => Ok(false),
            written => written.map(|()| true),
        }
    }

    fn write_aligned(&self, parts: &[&[u8]]) -> io::Result<()> {
        let mut room = vec![0; BUFFER_BYTES + ALIGNMENT];
        let start = room.as_ptr().align_offset(ALIGNMENT);
        let Some(buffer) = room.get_mut(start..start.saturating_add(BUFFER_BYTES)) else {
            return Err(ErrorKind::Unsupported.into());
        };
        let (mut filled, mut offset) = (0, 0);
        for part in parts {
            let mut left = *part;
            while !left.is_empty() {
                let (now, later) = left.split_at(left.len().min(buffer.len() - filled));
                let end = filled + now.len();
                buffer.get_mut(filled..end).unwrap_or_default().copy_from_slice(now);
                (filled, left) = (end, later);
                if filled == buffer.len() {
                    self.file.write_all_at(buffer, offset)?;
                    (filled, offset) = (0, offset + to_u64(buffer.len()));
                }
            }
        }
        if filled == 0 {
            return Ok(());
        }
        let padded = filled.next_multiple_of(ALIGNMENT);
        buffer.get_mut(filled..padded).unwrap_or_default().fill(0);
        self.file.write_all_at(buffer.get(..padded).unwrap_or_default(), offset)
    }
}

/// Whether the file system says that it does not write past the page cache.
fn is_unable_to_skip_cache(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
}

impl File for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn id(&self) -> Result<FileId, StorageError> {
        let found = self.file.metadata().doing(|| self.said("looking at"))?;
        Ok(id_of(&found))
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        let found = self.file.metadata().doing(|| self.said("asking for the length of"))?;
        Ok(found.len())
    }

    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        match self.file.read_exact_at(buffer, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error).doing(|| format!("{} at byte {offset}", self.said("reading"))),
        }
    }

    fn will_be_read_in_order(&self) {
        // What the kernel makes of it is its own affair.
        fadvise(&self.file, 0, None, Advice::Sequential).unwrap_or_default();
    }

    fn write_whole(&self, parts: &[&[u8]]) -> Result<(), StorageError> {
        let is_written = self.write_direct(parts).doing(|| self.said("writing"))?;
        let mut len = 0;
        for part in parts {
            if !is_written {
                self.write_all_at(part, len)?;
            }
            len += to_u64(part.len());
        }
        self.set_len(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let written = self.file.write_all_at(bytes, offset);
        written.doing(|| format!("{} at byte {offset}", self.said("writing")))
    }

    fn set_len(&self, bytes: u64) -> Result<(), StorageError> {
        let set = self.file.set_len(bytes);
        set.doing(|| format!("{} at byte {bytes}", self.said("cutting")))
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        self.file.sync_data().doing(|| self.said("syncing"))
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.file.sync_all().doing(|| self.said("syncing"))
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.lock(FcntlArg::F_OFD_SETLK(&whole_file(F_WRLCK))) {
            Ok(()) => Ok(true),
            Err(Nix::EAGAIN | Nix::EACCES) => Ok(false),
            // It is open to be read only.
            Err(Nix::EBADF) => self.try_lock_against_writers(),
            Err(error) => Err(error.into()),
        }
    }

    fn is_locked(&self) -> io::Result<bool> {
        let mut found = whole_file(F_WRLCK);
        self.lock(FcntlArg::F_OFD_GETLK(&mut found))?;
        Ok(i32::from(found.l_type) != F_UNLCK)
    }

    fn unlock(&self) {
        // Should this fail, closing the file follows.
        let _ = self.lock(FcntlArg::F_OFD_SETLK(&whole_file(F_UNLCK)));
    }
}

impl RealFile {
    /// Makes a call about the lock of this open file (OFD): it is no other one's, of this process
    /// neither, it goes with the last descriptor of this one, and it can be asked for.
    fn lock(&self, lock: FcntlArg<'_>) -> nix::Result<()> {
        fcntl(&self.file, lock).map(drop)
    }

    /// Takes a lock that lets others read, and gives it back when another process has one too: of
    /// those who come at the same time none may get it, and never two.
    fn try_lock_against_writers(&self) -> io::Result<bool> {
        match self.lock(FcntlArg::F_OFD_SETLK(&whole_file(F_RDLCK))) {
            Ok(()) => {}
            Err(Nix::EAGAIN | Nix::EACCES) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let is_alone = self.is_locked().map(|others| !others);
        if !matches!(is_alone, Ok(true)) {
            self.unlock();
        }
        is_alone
    }
}

/// A lock of a kind, over a whole file however long it becomes.
fn whole_file(kind: i32) -> libc::flock {
    let narrow = |number| i16::try_from(number).unwrap_or_default();
    let (l_type, l_whence) = (narrow(kind), narrow(libc::SEEK_SET));
    libc::flock { l_type, l_whence, l_start: 0, l_len: 0, l_pid: 0 }
}

#[cfg(test)]
mod tests;
