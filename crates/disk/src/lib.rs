//! What spacefold asks of a disk, and nothing else: folders that are held open, files that are read
//! and written at offsets, syncs, the replacement of a whole file, and the lock of a folder.
//!
//! - [`Disk`], [`Folder`] and [`File`] are the seam. Everything durable goes through them, so that every test
//!   of a format can run on a disk that forgets, tears, reorders and fails.
//! - [`RealDisk`] is the operating system's. A folder is a descriptor: a store whose folder was
//!   renamed writes on in its own folder, never in a new one that was made at its old path.
//! - [`MemoryDisk`] is gone with the process; [`ReadOnlyDisk`] is another disk that nothing is changed on.
//! - [`ChangeWatch`] tells when another process has written to a file.
//! - `SimDisk` (feature `sim`) is a disk in memory that says what may be left of it when the power
//!   fails, deterministic by seed; `LyingDisk` is one over any other that says what is not so.
//!
//! [`Gap`] is the rule of every file of frames that grows at its end: which bytes that do not read are a
//! torn tail, and which are damage.
//!
//! Knows nothing of events: of `event-core` it uses the storage error and the mode of a store.

mod change_watch;
mod disk;
mod doing;
mod framed;
mod gate;
mod layer;
mod lazy;
mod lock;
#[cfg(any(feature = "sim", test))]
mod lying;
mod memory;
mod naming;
mod quota;
mod read_only;
mod real;
mod replace;
#[cfg(any(feature = "sim", test))]
pub mod sim;

pub use self::{
    change_watch::ChangeWatch,
    disk::{Access, Disk, File, FileId, FileStamp, Folder, Found},
    doing::Doing,
    framed::{Gap, next_frame},
    gate::FolderGate,
    lazy::LazyFolder,
    lock::{FolderLock, LockError},
    memory::MemoryDisk,
    quota::{PastQuota, SpaceQuota},
    read_only::ReadOnlyDisk,
    real::RealDisk,
    replace::{NewFile, ReplaceError},
};
#[cfg(any(feature = "sim", test))]
pub use self::{
    lying::{Lie, LyingDisk},
    sim::SimDisk,
};

#[cfg(test)]
mod tests;
