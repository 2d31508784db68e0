//! Setting aside: what is not to be read any more is renamed beside its place, and stays until
//! somebody deletes it. It may turn out to be what was needed.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use spacefold_event_core::{StorageError, StoreMode};

use super::{access::create_folder, sync_folder};
use crate::error::Doing;

/// Where a file or folder is renamed to: `<path>.set-aside-<n>`, n counting up over those that are
/// there.
pub(crate) fn place_beside(path: &Path) -> io::Result<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let prefix = format!("{}.set-aside-", name.to_string_lossy());
    let mut last = 0;
    for entry in fs::read_dir(parent)? {
        let entry = entry?.file_name();
        let number = entry.to_str().and_then(|entry| entry.strip_prefix(&prefix));
        last = number.and_then(|number| number.parse().ok()).unwrap_or(0_u64).max(last);
    }
    Ok(parent.join(format!("{prefix}{}", last.saturating_add(1))))
}

/// Files of one folder that are set aside together, in a folder beside it that is made for the
/// first of them.
#[derive(Debug)]
pub(crate) struct SetAside {
    folder: PathBuf,
    mode: StoreMode,
    place: Option<PathBuf>,
}

impl SetAside {
    pub(crate) const fn of(folder: PathBuf, mode: StoreMode) -> Self {
        Self { folder, mode, place: None }
    }

    /// Sets aside a file that another one is about to be renamed over: it stays where it is until
    /// then. Must not be used for files that are changed in place.
    pub(crate) fn keep(&mut self, path: &Path) -> Result<(), StorageError> {
        let target = self.target(path)?;
        let copy = || {
            fs::copy(path, &target)?;
            File::open(&target)?.sync_all()
        };
        // Not every file system has links.
        fs::hard_link(path, &target).or_else(|_| copy()).doing(|| doing(path))?;
        self.settle(path, &target)
    }

    /// Sets aside a file that nothing takes the place of.
    pub(crate) fn take(&mut self, path: &Path) -> Result<(), StorageError> {
        let target = self.target(path)?;
        fs::rename(path, &target).doing(|| doing(path))?;
        self.settle(path, &target)?;
        sync_folder(&self.folder)
    }

    /// Where a file is put.
    fn target(&mut self, path: &Path) -> Result<PathBuf, StorageError> {
        let name = path.file_name().unwrap_or_default();
        if let Some(place) = &self.place {
            return Ok(place.join(name));
        }
        let place = place_beside(&self.folder).doing(|| doing(path))?;
        create_folder(&place, self.mode).doing(|| doing(path))?;
        self.folder.parent().map_or(Ok(()), sync_folder)?;
        Ok(self.place.insert(place).join(name))
    }

    fn settle(&self, path: &Path, target: &Path) -> Result<(), StorageError> {
        tracing::warn!(file = %path.display(), to = %target.display(), "set a file aside");
        self.place.as_deref().map_or(Ok(()), sync_folder)
    }
}

fn doing(path: &Path) -> String {
    format!("setting {} aside", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_set_aside_together_are_in_one_folder_and_earlier_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sealed");
        fs::create_dir(&folder).unwrap();
        fs::write(root.path().join("sealed.set-aside-no-number"), "").unwrap();
        for round in 1..=3 {
            fs::write(folder.join("a"), format!("a{round}")).unwrap();
            fs::write(folder.join("b"), format!("b{round}")).unwrap();
            let mut aside = SetAside::of(folder.clone(), StoreMode::PRIVATE);
            aside.keep(&folder.join("a")).unwrap();
            aside.take(&folder.join("b")).unwrap();
            assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), format!("a{round}"));
            assert!(!folder.join("b").exists());
            fs::remove_file(folder.join("a")).unwrap();
            for earlier in 1..=round {
                let place = root.path().join(format!("sealed.set-aside-{earlier}"));
                let read = |name| fs::read_to_string(place.join(name)).unwrap();
                assert_eq!([read("a"), read("b")], [format!("a{earlier}"), format!("b{earlier}")]);
            }
        }
        // Nothing is made where nothing is set aside.
        drop(SetAside::of(folder.clone(), StoreMode::PRIVATE));
        assert!(!root.path().join("sealed.set-aside-4").exists());
        assert!(SetAside::of(folder.clone(), StoreMode::PRIVATE).take(&folder.join("c")).is_err());
    }
}
