#![doc = include_str!("../README.md")]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "spacefold runs on 64-bit Linux: stores rest on locks of open files, on folders held open by \
     descriptor, and on what fsync promises there (docs/upgrading.md, Platforms)"
);

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
