//! What the system says of this process and of a folder.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Waits until the background threads of this process have nothing to do, or half a second.
pub(crate) fn wait_until_idle() {
    const WINDOW: Duration = Duration::from_millis(4);
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline {
        let before = cpu_seconds();
        std::thread::sleep(WINDOW);
        if cpu_seconds() - before < WINDOW.as_secs_f64() / 10.0 {
            break;
        }
    }
}

/// Bytes that this process has caused to be written to the disk.
pub(crate) fn written_bytes() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io").context("reading /proc/self/io")?;
    let field = |name| number_after(&io, name).unwrap_or(0);
    Ok(field("write_bytes:").saturating_sub(field("cancelled_write_bytes:")))
}

/// The most memory this process has had since [`reset_peak_memory`], in bytes.
pub(crate) fn peak_memory_bytes() -> Result<u64> {
    memory("VmHWM:")
}

/// The memory this process has now, in bytes.
pub(crate) fn memory_bytes() -> Result<u64> {
    memory("VmRSS:")
}

/// Forgets the peak of this process.
pub(crate) fn reset_peak_memory() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("writing /proc/self/clear_refs")
}

fn memory(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    Ok(number_after(&status, name).with_context(|| format!("no {name}"))? * 1024)
}

/// The number in the line that begins with a name.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes of a folder: what its files hold, and what they take on the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FolderBytes {
    /// The lengths of the files.
    pub(crate) lengths: u64,
    /// The blocks that are allocated to them.
    pub(crate) allocated: u64,
}

/// The bytes of all files below a folder, or of one file.
pub(crate) fn folder_bytes(path: &Path) -> Result<FolderBytes> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(FolderBytes { lengths: metadata.len(), allocated: metadata.blocks() * 512 });
    }
    let mut sum = FolderBytes::default();
    for entry in fs::read_dir(path)? {
        let bytes = folder_bytes(&entry?.path())?;
        sum.lengths += bytes.lengths;
        sum.allocated += bytes.allocated;
    }
    Ok(sum)
}

/// Copies a folder with all that is below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Waits until everything on the folder's file system is on the disk.
pub(crate) fn settle(folder: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(folder)?)?)
}

/// Removes a folder if it is there.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("removing {}", folder.display())),
    }
}
