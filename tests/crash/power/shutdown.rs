//! The call that stops a file system as a power cut would.
#![expect(unsafe_code, reason = "the call has no safe wrapper; why it is sound stands beside it")]

use std::{fs::File, io, path::Path};

use rustix::ioctl::{Opcode, Setter, ioctl};

/// `FS_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`, the same for ext4 and XFS.
const SHUTDOWN: Opcode = 0x8004_587D;
/// Write nothing more, not even the journal.
const NO_LOG_FLUSH: u32 = 2;

/// Stops the file system that is mounted at a path: what it has not written by now it never writes.
///
/// # Errors
/// When the file system does not know the call, or the caller may not make it.
pub(super) fn shutdown(mounted: &Path) -> io::Result<()> {
    let root = File::open(mounted)?;
    // SAFETY: the call reads one `u32` from the address it is given, which is what this setter
    // passes for as long as the call takes, and writes nothing to the caller's memory. A file
    // system that does not know it answers ENOTTY.
    unsafe {
        let stop = Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH);
        ioctl(&root, stop)?;
    }
    Ok(())
}
