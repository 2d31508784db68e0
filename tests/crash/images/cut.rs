//! Disk images: what may be on the disk when the power fails.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use crate::images::{
    content::{Content, PAGE_BYTES, Page, PageBytes, SECTOR_BYTES},
    disk::{Disk, NameChange, Node, NodeId, ROOT},
};

/// What is on the disk of all that no sync has brought there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// What was done up to some time.
    Prefix,
    /// Any pages, each in any of its states; any lengths.
    Subset,
    /// Any sectors.
    Torn,
    /// Everything but one write, and what came after it to the same pages.
    AllButOne,
    /// One write.
    OnlyOne,
}

impl Kept {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Everything,
        Self::Prefix,
        Self::Subset,
        Self::Torn,
        Self::AllButOne,
        Self::OnlyOne,
    ];
}

/// The names in folders.
type Names = HashMap<NodeId, BTreeMap<String, NodeId>>;

/// Writes an image of what may be on the disk into a folder, which must be empty.
///
/// # Errors
/// When it cannot be written.
pub fn write_image(
    disk: &Disk,
    kept: Kept,
    rng: &mut fastrand::Rng,
    folder: &Path,
) -> io::Result<()> {
    let times: BTreeSet<u64> = match kept {
        Kept::AllButOne | Kept::OnlyOne => disk.files().flat_map(Content::unsynced).collect(),
        _ => BTreeSet::new(),
    };
    let mut cut = Cut {
        kept,
        until: rng.u64(0..=disk.time()),
        // Without a write to lose or to keep, nothing or everything is kept.
        one: rng.choice(times),
        chance: rng.f64(),
        rng,
    };
    let names = cut.names(disk);
    cut.write_folder(disk, &names, ROOT, folder)
}

/// Decides what is kept.
struct Cut<'r> {
    kept: Kept,
    /// Of a prefix: the last time.
    until: u64,
    /// The one write.
    one: Option<u64>,
    /// How likely it is that a page is kept in its newest state.
    chance: f64,
    rng: &'r mut fastrand::Rng,
}

impl Cut<'_> {
    /// The names in every folder.
    fn names(&mut self, disk: &Disk) -> Names {
        let changes = disk.changes();
        let durable = disk.durable_changes();
        let kept = match self.kept {
            Kept::Nothing | Kept::OnlyOne => durable,
            Kept::Everything | Kept::AllButOne => changes.len(),
            Kept::Prefix => {
                durable.max(changes.partition_point(|change| change.time <= self.until))
            }
            Kept::Subset | Kept::Torn if self.rng.bool() => return self.unordered_names(disk),
            Kept::Subset | Kept::Torn => self.rng.usize(durable..=changes.len()),
        };
        let mut names = Names::new();
        changes.iter().take(kept).for_each(|change| apply(&mut names, change));
        names
    }

    /// The names where the file system keeps the order of changes in a folder, but not between folders.
    fn unordered_names(&mut self, disk: &Disk) -> Names {
        let mut until: HashMap<NodeId, u64> = HashMap::new();
        let mut names = Names::new();
        for change in disk.changes() {
            let is_kept = change.folders().all(|folder| {
                let any = self.rng.u64(0..=disk.time());
                let until = until.entry(folder).or_insert(any);
                change.time <= *until || disk.is_synced(folder, change.time)
            });
            if is_kept {
                apply(&mut names, change);
            }
        }
        names
    }

    fn write_folder(
        &mut self,
        disk: &Disk,
        names: &Names,
        folder: NodeId,
        path: &Path,
    ) -> io::Result<()> {
        for (name, node) in names.get(&folder).into_iter().flatten() {
            let path = path.join(name);
            match disk.node(*node) {
                Some(Node::File(content)) => self.write_file(content, &path)?,
                Some(Node::Folder(_)) => {
                    fs::create_dir(&path)?;
                    self.write_folder(disk, names, *node, &path)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn write_file(&mut self, content: &Content, path: &Path) -> io::Result<()> {
        let (len_time, len) = self.len(content);
        let file = File::create(path)?;
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        let flush = |(number, bytes): &(u64, Vec<u8>)| {
            let start = number * to_u64(PAGE_BYTES);
            let left = usize::try_from(len.saturating_sub(start)).unwrap_or(usize::MAX);
            file.write_all_at(bytes.get(..left.min(bytes.len())).unwrap_or(&[]), start)
        };
        for (number, bytes) in content.image(len_time, &mut |page| self.page(page)) {
            if number != run.0 + to_u64(run.1.len() / PAGE_BYTES) {
                flush(&run)?;
                run = (number, Vec::new());
            }
            run.1.extend_from_slice(&*bytes);
        }
        flush(&run)?;
        file.set_len(len)
    }

    /// The length of a file, and when it was given that.
    fn len(&mut self, content: &Content) -> (u64, u64) {
        let lens = content.lens();
        let any = |rng: &mut fastrand::Rng| rng.choice(&lens).or(lens.first());
        let len = match (self.kept, self.rng.u8(0..4)) {
            (Kept::Nothing, _) => lens.first(),
            (Kept::Everything, _) => lens.last(),
            (Kept::Prefix, _) => lens.iter().rfind(|(time, _)| *time <= self.until),
            (_, 0) => lens.first(),
            (_, 1 | 2) => lens.last(),
            _ => any(self.rng),
        };
        len.copied().unwrap_or_default()
    }

    /// The state of a page, or one for each of its sectors.
    fn page(&mut self, page: &Page) -> Vec<PageBytes> {
        if self.kept == Kept::Torn {
            return (0..PAGE_BYTES / SECTOR_BYTES).map(|_| self.state(page)).collect();
        }
        vec![self.state(page)]
    }

    fn state(&mut self, page: &Page) -> PageBytes {
        let first = || page.states().next();
        let newest = || page.states().next_back();
        let any = |rng: &mut fastrand::Rng| rng.choice(page.states().collect::<Vec<_>>());
        let state = match (self.kept, self.one) {
            (Kept::Nothing, _) => first(),
            (Kept::Everything, _) => newest(),
            (Kept::Prefix, _) => page.states().take_while(|(time, _)| *time <= self.until).last(),
            (Kept::Subset | Kept::Torn, _) => match self.rng.f64() {
                chance if chance < self.chance => newest(),
                _ => any(self.rng),
            },
            (Kept::AllButOne, Some(one)) if page.states().any(|(time, _)| time == one) => {
                page.states().take_while(|(time, _)| *time != one).last()
            }
            (Kept::AllButOne, _) => newest(),
            (Kept::OnlyOne, one) => {
                page.states().find(|(time, _)| Some(*time) == one).or_else(first)
            }
        };
        state.and_then(|(_, bytes)| bytes.clone())
    }
}

fn apply(names: &mut Names, change: &NameChange) {
    if let Some((folder, name)) = &change.removed {
        names.entry(*folder).or_default().remove(name);
    }
    if let Some((folder, name, node)) = &change.added {
        names.entry(*folder).or_default().insert(name.clone(), *node);
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
