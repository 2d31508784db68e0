//! Parts of a store's folder that are of another time, of a sibling or of another store.
//!
//! A *sibling* is a copy of the store that went on by itself: the same store id, the same ids of
//! events at the same positions, other payloads. Whatever is exchanged, a store gives exactly what
//! was acknowledged, or it is refused, and then nothing in its folder changes. Only where all of the
//! log is that of another whole store does that pass: nobody can tell it from a backup that was
//! put back.

pub mod answers;
pub mod making;
pub mod trial;

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::stores::{copy_folder, files};

const PAGE_BYTES: u64 = 4_096;

/// A part of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The file HEAD.
    Head,
    /// The slot of HEAD in its first page.
    FirstSlot,
    /// The slot in its second page.
    SecondSlot,
    /// The files of the journal.
    Journal,
    /// The segments.
    Segments,
    /// Sled's folder.
    Sled,
    /// The packs of the content.
    Packs,
    /// The manifest of the content.
    Manifest,
    /// The places of durable subscriptions.
    Places,
}

impl Part {
    /// All of them, in the order in which they are exchanged.
    pub const ALL: [Self; 9] = [
        Self::Head,
        Self::FirstSlot,
        Self::SecondSlot,
        Self::Journal,
        Self::Segments,
        Self::Sled,
        Self::Packs,
        Self::Manifest,
        Self::Places,
    ];

    /// Whether no event is in it, nor anything that says where events are.
    #[must_use]
    pub const fn is_beside_the_log(self) -> bool {
        matches!(self, Self::Packs | Self::Manifest | Self::Places)
    }

    const fn page(self) -> u64 {
        if matches!(self, Self::SecondSlot) { PAGE_BYTES } else { 0 }
    }

    /// The bytes of the part in a store; `None` where it is missing.
    #[must_use]
    pub fn digest(self, store: &Path) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        match self {
            Self::Head | Self::Manifest => {
                hasher.update(&fs::read(self.path(store)).ok()?);
            }
            Self::FirstSlot | Self::SecondSlot => {
                let head = fs::read(self.path(store)).ok()?;
                hasher.update(head.chunks(PAGE_BYTES as usize).nth(self.page() as usize / 4_096)?);
            }
            Self::Journal | Self::Segments | Self::Sled | Self::Packs | Self::Places => {
                if !self.path(store).exists() {
                    return None;
                }
                for name in self.files(store) {
                    hasher.update(name.as_bytes());
                    hasher.update(&fs::read(self.path(store).join(name)).unwrap());
                }
            }
        }
        Some(hasher.finalize().to_string())
    }

    fn path(self, store: &Path) -> PathBuf {
        store.join(match self {
            Self::Head | Self::FirstSlot | Self::SecondSlot => "HEAD",
            Self::Journal => "journal",
            Self::Segments => "sealed",
            Self::Sled => "sled",
            Self::Packs => "content",
            Self::Manifest => "content/MANIFEST",
            Self::Places => "subscriptions",
        })
    }

    /// The names of its files, where it is a folder or the packs in one.
    fn files(self, store: &Path) -> Vec<String> {
        let mut names = files(&self.path(store));
        names.retain(|name| self != Self::Packs || name.ends_with(".pack"));
        names
    }

    /// Puts what another store has in its place, or nothing.
    fn take_from(self, other: Option<&Path>, store: &Path) {
        let path = self.path(store);
        match (self, other) {
            (Self::Head | Self::Manifest, None) => {
                let _ = fs::remove_file(path);
            }
            (Self::Head | Self::Manifest, Some(other)) => {
                fs::copy(self.path(other), path).unwrap();
            }
            (Self::FirstSlot | Self::SecondSlot, other) => {
                // Without a file there is no slot to be exchanged.
                let Ok(head) = OpenOptions::new().write(true).open(path) else { return };
                let page = match other {
                    None => vec![0; PAGE_BYTES as usize],
                    Some(other) => {
                        let bytes = fs::read(self.path(other)).unwrap();
                        bytes[self.page() as usize..][..PAGE_BYTES as usize].to_vec()
                    }
                };
                head.write_all_at(&page, self.page()).unwrap();
            }
            (Self::Packs, other) => {
                for name in self.files(store) {
                    fs::remove_file(path.join(name)).unwrap();
                }
                other.into_iter().for_each(|other| self.copy_files(other, store));
            }
            (Self::Journal | Self::Segments | Self::Sled | Self::Places, other) => {
                let _ = fs::remove_dir_all(&path);
                other.into_iter().for_each(|other| copy_folder(&self.path(other), &path));
            }
        }
    }

    /// Puts the right part back. Packs that are there besides stay: who copies a backup back does
    /// not look for them.
    fn put_back(self, image: &Path, store: &Path) {
        match self {
            Self::Packs => self.copy_files(image, store),
            _ => self.take_from(Some(image), store),
        }
    }

    fn copy_files(self, from: &Path, store: &Path) {
        for name in self.files(from) {
            fs::copy(self.path(from).join(&name), self.path(store).join(name)).unwrap();
        }
    }
}

/// Where a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// The store, earlier.
    Older,
    /// The sibling.
    Sibling,
    /// A store of another id, with the same ids of events.
    Other,
    /// The part is not there.
    Missing,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Older, Self::Sibling, Self::Other, Self::Missing];
    /// Those that are a store.
    pub const STORES: [Self; 3] = [Self::Older, Self::Sibling, Self::Other];
}

/// One part that is exchanged.
pub type Exchange = (Part, Source);

/// What a store is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// Where its events are.
    pub size: Size,
    /// How the older copy was taken.
    pub older: Older,
    /// Whether it was closed when the image of it was taken; otherwise it was killed.
    pub is_closed: bool,
}

/// Where the events of a store are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Size {
    /// In the journal.
    Small,
    /// In the journal, and in blocks that sled has.
    Blocks,
    /// In segments too.
    Segments,
}

/// How the older copy was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Older {
    /// After the store was closed.
    Closed,
    /// After it was killed; it was opened again then.
    Killed,
    /// While it was open, and it stayed so.
    WhileOpen,
}

impl Kind {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut kinds = Vec::new();
        for size in [Size::Small, Size::Blocks, Size::Segments] {
            for older in [Older::Closed, Older::Killed, Older::WhileOpen] {
                // What makes a segment of a small store needs it closed.
                if (size, older) == (Size::Segments, Older::WhileOpen) {
                    continue;
                }
                kinds.extend([true, false].map(|is_closed| Self { size, older, is_closed }));
            }
        }
        kinds
    }
}

/// A case: what is exchanged in which store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The store.
    pub kind: Kind,
    /// What is exchanged, each part once.
    pub exchanges: Vec<Exchange>,
}

/// Every way to exchange up to `most` parts that changes each of them, by how many they are.
#[must_use]
pub fn subsets(store: &making::Store, most: usize) -> Vec<Vec<Vec<Exchange>>> {
    let changing: Vec<Exchange> = Part::ALL
        .into_iter()
        .flat_map(|part| Source::ALL.map(|source| (part, source)))
        .filter(|(part, source)| {
            let other = store.of(*source).and_then(|other| part.digest(&other));
            other != part.digest(&store.image())
        })
        .collect();
    let mut found: Vec<Vec<Vec<Exchange>>> = vec![vec![Vec::new()]];
    for _ in 0..most {
        let longer = found.last().into_iter().flatten().flat_map(|shorter| {
            let last = shorter.last().map(|(part, _)| *part);
            let next = changing.iter().filter(move |(part, _)| Some(*part) > last);
            next.map(|next| [&shorter[..], &[*next]].concat())
        });
        let longer = longer.collect();
        found.push(longer);
    }
    found.remove(0);
    found
}
