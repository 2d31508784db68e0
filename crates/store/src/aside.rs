//! Setting aside: what is not to be read any more is renamed beside its place, and stays until
//! somebody deletes it. It may turn out to be what was needed.

use std::{path::Path, sync::Arc};

use spacefold_disk::{Access, Folder as DiskFolder};
use spacefold_event_core::StorageError;

/// What a file or folder is renamed to: `<name>.set-aside-<n>`, n counting up over those that are
/// there.
pub(crate) fn free_name(above: &dyn DiskFolder, name: &str) -> Result<String, StorageError> {
    let prefix = format!("{name}.set-aside-");
    let names = above.names()?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
    Ok(format!("{prefix}{}", numbers.max().unwrap_or(0).saturating_add(1)))
}

/// Files of one folder that are set aside together, in a folder beside it that is made for the
/// first of them.
#[derive(Debug)]
pub(crate) struct SetAside {
    /// What the folder is in.
    above: Arc<dyn DiskFolder>,
    name: &'static str,
    place: Option<(String, Arc<dyn DiskFolder>)>,
}

impl SetAside {
    pub(crate) fn of(above: &Arc<dyn DiskFolder>, name: &'static str) -> Self {
        Self { above: Arc::clone(above), name, place: None }
    }

    /// Copies a file that another one is about to be renamed over: it stays where it is until then.
    pub(crate) fn keep(&mut self, file: &str) -> Result<(), StorageError> {
        let bytes = self.folder()?.open(file, Access::Read)?.read_all()?;
        let (_, place) = self.place()?;
        let kept = place.create(file)?;
        kept.write_all_at(&bytes, 0)?;
        kept.sync_all()?;
        self.settle(file)
    }

    /// Sets aside a file that nothing takes the place of.
    pub(crate) fn take(&mut self, file: &str) -> Result<(), StorageError> {
        let folder = self.folder()?;
        let from = Path::new(self.name).join(file);
        let (place, _) = self.place()?;
        let to = Path::new(place).join(file);
        self.above.rename(&from, &to)?;
        self.settle(file)?;
        folder.sync()
    }

    fn folder(&self) -> Result<Arc<dyn DiskFolder>, StorageError> {
        self.above.folder(self.name.as_ref())?.ok_or_else(|| {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            let path = self.above.path().join(self.name);
            StorageError::new(format!("opening {}", path.display()), gone)
        })
    }

    /// Where files are put.
    fn place(&mut self) -> Result<&(String, Arc<dyn DiskFolder>), StorageError> {
        if self.place.is_none() {
            let name = free_name(self.above.as_ref(), self.name)?;
            let made = self.above.create_folder(name.as_ref(), self.above.mode())?;
            self.above.sync()?;
            self.place = Some((name, made));
        }
        self.place.as_ref().ok_or_else(|| StorageError::new("setting a file aside", "no folder"))
    }

    fn settle(&self, file: &str) -> Result<(), StorageError> {
        let path = self.above.path().join(self.name).join(file);
        let Some((_, place)) = &self.place else { return Ok(()) };
        let to = place.path().display();
        tracing::warn!(file = %path.display(), %to, "set a file aside");
        place.sync()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use spacefold_disk::{Disk as _, RealDisk};

    use super::*;

    #[test]
    fn files_set_aside_together_are_in_one_folder_and_earlier_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let above = RealDisk.folder(root.path()).unwrap().unwrap();
        let folder = root.path().join("sealed");
        fs::create_dir(&folder).unwrap();
        fs::write(root.path().join("sealed.set-aside-no-number"), "").unwrap();
        for round in 1..=3 {
            fs::write(folder.join("a"), format!("a{round}")).unwrap();
            fs::write(folder.join("b"), format!("b{round}")).unwrap();
            let mut aside = SetAside::of(&above, "sealed");
            aside.keep("a").unwrap();
            aside.take("b").unwrap();
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
        drop(SetAside::of(&above, "sealed"));
        assert!(!root.path().join("sealed.set-aside-4").exists());
        assert!(SetAside::of(&above, "sealed").take("c").is_err());
    }
}
