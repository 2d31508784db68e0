//! A disk of its own: an image behind a loop device, with a file system that can be cut off.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use super::shutdown::shutdown;

/// Bytes of the image, which takes only what is written of it.
const IMAGE_BYTES: u64 = 512 << 20;
/// How often unmounting is tried: a process that was killed may still be on its way out.
const UNMOUNT_TRIES: u32 = 500;

/// What a disk is formatted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// The name that the tools know.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn format(self, image: &Path) -> io::Result<()> {
        match self {
            Self::Ext4 => {
                tool(Command::new("mkfs.ext4").args(["-q", "-F"]).args(["-b", "4096"]).arg(image))
            }
            Self::Xfs => tool(Command::new("mkfs.xfs").args(["-q", "-f"]).arg(image)),
        }
    }
}

/// A mounted disk; it is unmounted when it is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    image: PathBuf,
    root: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes a disk in a folder, formats and mounts it.
    ///
    /// # Errors
    /// When a tool is missing or refuses.
    pub(super) fn new(folder: &Path, system: FileSystem) -> io::Result<Self> {
        let (image, root) = (folder.join("image"), folder.join("disk"));
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        system.format(&image)?;
        fs::create_dir(&root)?;
        let mut disk = Self { image, root, mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The image behind it.
    pub(super) fn image(&self) -> &Path {
        &self.image
    }

    /// Cuts the power: nothing is written any more.
    ///
    /// # Errors
    /// When the file system cannot be shut down.
    pub(super) fn cut(&self) -> io::Result<()> {
        shutdown(&self.root)
    }

    /// Comes back after a cut, with what was on the disk. Nothing on it may be open.
    ///
    /// # Errors
    /// When it cannot be unmounted or mounted.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> io::Result<()> {
        // The loop device goes with the mount.
        tool(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.root]))?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            match tool(Command::new("umount").arg(&self.root)) {
                Ok(()) => break,
                Err(error) if tries == UNMOUNT_TRIES => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
            tries += 1;
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What stays busy goes when the mount namespace of this process does.
        if self.mounted && self.unmount().is_err() {
            let _ = tool(Command::new("umount").arg("--lazy").arg(&self.root));
        }
    }
}

/// Runs a tool; its error output becomes the error.
pub(super) fn tool(command: &mut Command) -> io::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{name}: {}", why.trim())))
}
