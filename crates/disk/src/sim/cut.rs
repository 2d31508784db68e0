//! What may be on the disk when the power fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    pages::{FilePages, PAGE_BYTES, PageBytes, PageStates, SECTOR_BYTES},
    tree::{NameChange, Node, NodeId, ROOT, Tree},
};

use spacefold_event_core::bytes::to_u64;

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

/// A file or folder as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// A folder.
    Folder(BTreeMap<String, Image>),
    /// A file.
    File {
        /// Its length.
        bytes: u64,
        /// Its pages, without those of nothing but zeros.
        pages: Vec<(u64, std::sync::Arc<[u8; PAGE_BYTES]>)>,
    },
}

/// The names in folders.
type FolderNames = HashMap<NodeId, BTreeMap<String, NodeId>>;

/// What may be on the disk of a tree: one image of many, drawn from `rng`.
pub fn image(tree: &Tree, kept: Kept, rng: &mut fastrand::Rng) -> BTreeMap<String, Image> {
    let times: BTreeSet<u64> = match kept {
        Kept::AllButOne | Kept::OnlyOne => tree.files().flat_map(FilePages::unsynced).collect(),
        _ => BTreeSet::new(),
    };
    let mut cut = CutPlan {
        kept,
        until: rng.u64(0..=tree.time()),
        // Without a write to lose or to keep, nothing or everything is kept.
        one: rng.choice(times),
        chance: rng.f64(),
        rng,
    };
    let names = cut.names(tree);
    cut.folder(tree, &names, ROOT)
}

/// Decides what is kept.
struct CutPlan<'r> {
    kept: Kept,
    /// Of a prefix: the last time.
    until: u64,
    /// The one write.
    one: Option<u64>,
    /// How likely it is that a page is kept in its newest state.
    chance: f64,
    rng: &'r mut fastrand::Rng,
}

impl CutPlan<'_> {
    /// The names in every folder.
    fn names(&mut self, tree: &Tree) -> FolderNames {
        let changes = tree.changes();
        let durable = tree.durable_changes();
        let kept = match self.kept {
            Kept::Nothing | Kept::OnlyOne => durable,
            Kept::Everything | Kept::AllButOne => changes.len(),
            Kept::Prefix => {
                durable.max(changes.partition_point(|change| change.time <= self.until))
            }
            Kept::Subset | Kept::Torn if self.rng.bool() => return self.unordered_names(tree),
            Kept::Subset | Kept::Torn => self.rng.usize(durable..=changes.len()),
        };
        let mut names = FolderNames::new();
        changes.iter().take(kept).for_each(|change| apply(&mut names, change));
        names
    }

    /// The names where the file system keeps the order of changes in a folder, but not between
    /// folders.
    fn unordered_names(&mut self, tree: &Tree) -> FolderNames {
        let mut until: HashMap<NodeId, u64> = HashMap::new();
        let mut names = FolderNames::new();
        for change in tree.changes() {
            let is_kept = change.folders().all(|folder| {
                // Often nothing or everything of a folder: of many changes few are the last.
                let any = match self.rng.u8(0..4) {
                    0 => 0,
                    1 => tree.time(),
                    _ => self.rng.u64(0..=tree.time()),
                };
                let until = until.entry(folder).or_insert(any);
                change.time <= *until || tree.is_synced(folder, change.time)
            });
            if is_kept {
                apply(&mut names, change);
            }
        }
        names
    }

    fn folder(
        &mut self,
        tree: &Tree,
        names: &FolderNames,
        folder: NodeId,
    ) -> BTreeMap<String, Image> {
        let mut images = BTreeMap::new();
        for (name, node) in names.get(&folder).into_iter().flatten() {
            let image = match tree.node(*node) {
                Some(Node::File(pages)) => self.file(pages),
                Some(Node::Folder(_)) => Image::Folder(self.folder(tree, names, *node)),
                None => continue,
            };
            images.insert(name.clone(), image);
        }
        images
    }

    fn file(&mut self, pages: &FilePages) -> Image {
        let (len_time, bytes) = self.len(pages);
        let ends = |(number, _): &(u64, _)| number * to_u64(PAGE_BYTES) < bytes;
        let pages = pages.image(len_time, &mut |page| self.page(page));
        Image::File { bytes, pages: pages.into_iter().filter(ends).collect() }
    }

    /// The length of a file, and when it was given that.
    fn len(&mut self, pages: &FilePages) -> (u64, u64) {
        let lens = pages.lens();
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
    fn page(&mut self, page: &PageStates) -> Vec<PageBytes> {
        if self.kept == Kept::Torn {
            return (0..PAGE_BYTES / SECTOR_BYTES).map(|_| self.state(page)).collect();
        }
        vec![self.state(page)]
    }

    fn state(&mut self, page: &PageStates) -> PageBytes {
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

fn apply(names: &mut FolderNames, change: &NameChange) {
    if let Some((folder, name)) = &change.removed {
        names.entry(*folder).or_default().remove(name);
    }
    if let Some((folder, name, node)) = &change.added {
        names.entry(*folder).or_default().insert(name.clone(), *node);
    }
}
