//! Waiting for another process to change a file.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc, time::Duration};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::inotify::{self, CreateFlags, Reader, WatchFlags},
    io::{Errno, write},
};

use crate::disk::Folder;

/// Bytes that news is read into at a time.
const NEWS_BYTES: usize = 1_024;

/// Tells when files of a folder are written to by whomever. Only a help: on some file systems, those
/// of other machines among them, it never does, and so a waiting thread looks by itself now and then.
///
/// Each file is watched for one change, and not at all until [`ChangeWatch::arm`] is called again: a
/// process that writes all the time pays for the changes that are waited for.
#[derive(Debug)]
pub struct ChangeWatch {
    folder: Arc<dyn Folder>,
    news: OwnedFd,
    /// Ends a wait.
    waker: OwnedFd,
}

impl ChangeWatch {
    /// A watch over files of a folder; `None` where the system has none to give, or the folder is
    /// none of the system's.
    #[must_use]
    pub fn over(folder: &Arc<dyn Folder>) -> Option<Self> {
        folder.held_path()?;
        let news = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        Some(Self { folder: Arc::clone(folder), news, waker })
    }

    /// Watches files for the next change of each; whether any of them can be. What has changed before
    /// is for the caller to look at after this.
    ///
    /// Cost: a system call for each.
    pub fn arm(&self, names: &[&str]) -> bool {
        let Some(folder) = self.folder.held_path() else { return false };
        let flags = WatchFlags::MODIFY | WatchFlags::ONESHOT;
        let watch = |name: &&str| inotify::add_watch(&self.news, folder.join(name), flags).is_ok();
        names.iter().filter(|name| watch(name)).count() > 0
    }

    /// Waits until something has changed since it was armed, or the time is over; whether something
    /// has.
    pub fn wait(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).ok();
        let mut waited = [&self.news, &self.waker].map(|fd| PollFd::new(fd, PollFlags::IN));
        // A signal ends it early: whoever waits looks then, and waits on.
        match poll(&mut waited, timeout.as_ref()) {
            Ok(0) | Err(_) => false,
            Ok(_) => self.take_news().unwrap_or(false),
        }
    }

    /// Ends the wait under way, and all that are to come.
    pub fn wake(&self) {
        // Any number will do. Where there is no room for another one, it was woken before.
        let _ = write(&self.waker, &[1; 8]);
    }

    /// Lets go of what was told; whether anything was.
    fn take_news(&self) -> io::Result<bool> {
        let mut room = [MaybeUninit::uninit(); NEWS_BYTES];
        let mut news = Reader::new(&self.news, &mut room);
        let mut is_any = false;
        loop {
            match news.next() {
                Ok(_) => is_any = true,
                Err(Errno::AGAIN) => return Ok(is_any),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt as _, thread};

    use super::*;
    use crate::{
        disk::{Access, Disk as _},
        memory::MemoryDisk,
        real::RealDisk,
    };

    const NOT_AT_ALL: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_change_is_told_once_for_each_time_that_it_is_armed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RealDisk.folder(scratch.path()).unwrap().unwrap();
        let watch = ChangeWatch::over(&folder).unwrap();
        assert!(!watch.arm(&["live"]), "there is none yet");
        fs::write(scratch.path().join("live"), "1").unwrap();
        assert!(watch.arm(&["missing", "live"]));
        assert!(!watch.wait(NOT_AT_ALL));
        let file = fs::OpenOptions::new().write(true).open(scratch.path().join("live")).unwrap();
        for _ in 0..3 {
            file.write_all_at(b"2", 0).unwrap();
        }
        assert!(watch.wait(LONG));
        assert!(!watch.wait(NOT_AT_ALL), "it is armed for one change");
        file.write_all_at(b"3", 0).unwrap();
        assert!(!watch.wait(NOT_AT_ALL));
        assert!(watch.arm(&["live"]));
        folder.open("live", Access::ReadWrite).unwrap().write_all_at(b"4", 0).unwrap();
        assert!(watch.wait(LONG));
    }

    #[test]
    fn a_wait_that_is_woken_is_over_and_so_is_every_later_one() {
        let scratch = tempfile::tempdir().unwrap();
        let watch = ChangeWatch::over(&RealDisk.folder(scratch.path()).unwrap().unwrap()).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| watch.wait(Duration::from_secs(3_600)));
            watch.wake();
            assert!(!waiting.join().unwrap());
        });
        assert!(!watch.wait(Duration::from_secs(3_600)));
    }

    #[test]
    fn a_folder_that_is_none_of_the_systems_has_no_watch() {
        assert!(ChangeWatch::over(&MemoryDisk::new().root()).is_none());
    }
}
