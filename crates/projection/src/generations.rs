//! Which generation counts of what is folded from a log: of a projection, or of the states of spaces.
//!
//! A generation is one complete state and how far it is folded, in a folder that is named by its number.
//! A new one is made beside the one that counts, and takes its place when the root is replaced.
//!
//! Bytes of the file `ROOT` in the folder of the generations: number of the generation that counts, of the
//! one that is being built beside it (0 for none), of the next one (u64 each), BLAKE3 of all before.

use std::sync::Arc;

use spacefold_disk::{Access, Folder, NewFile};
use spacefold_event_core::{
    StorageError,
    bytes::{ByteReader, put_u64, seal, unseal},
};

use crate::derived_state::DerivedState;

const FILE_NAME: &str = "ROOT";

/// The generations of one thing: which of them counts, and which are being made. Its owner is alone with
/// them.
pub(crate) struct Generations {
    place: DerivedState,
    root: GenerationsRoot,
    /// The number of the generation that a rebuild folds, which no sweep is to touch.
    rebuilding: Option<u64>,
}

impl Generations {
    /// Those of a folder.
    pub(crate) fn open(place: DerivedState) -> Result<Self, StorageError> {
        let root = GenerationsRoot::load(place.folder())?;
        Ok(Self { place, root, rebuilding: None })
    }

    /// The one that counts.
    pub(crate) const fn current(&self) -> Option<u64> {
        self.root.current
    }

    /// The one that is being made to take its place.
    pub(crate) const fn building(&self) -> Option<u64> {
        self.root.building
    }

    /// Where a generation is kept.
    pub(crate) fn place_of(&self, number: u64) -> DerivedState {
        self.place.part(number.to_string())
    }

    /// The number of a new generation.
    pub(crate) const fn take_number(&mut self) -> u64 {
        let number = self.root.next;
        self.root.next += 1;
        number
    }

    /// Lets none count any more, which is not durable before the next root is.
    pub(crate) const fn forget_current(&mut self) {
        self.root.current = None;
    }

    /// The root in which this generation counts.
    pub(crate) fn with_current(&self, number: u64) -> GenerationsRoot {
        let building = self.root.building.filter(|building| *building != number);
        GenerationsRoot { current: Some(number), building, ..self.root }
    }

    /// The root in which this generation is being made.
    pub(crate) const fn with_building(&self, number: Option<u64>) -> GenerationsRoot {
        GenerationsRoot { building: number, ..self.root }
    }

    /// Puts a root in the place of the one that is there, durably; [`Generations::adopt`] is to follow.
    pub(crate) fn store(&self, root: GenerationsRoot) -> Result<(), StorageError> {
        if root == self.root { Ok(()) } else { root.store(self.place.folder()) }
    }

    /// Goes on from a root that was stored.
    pub(crate) fn adopt(&mut self, root: GenerationsRoot) {
        self.root = root;
        self.rebuilding = self.rebuilding.filter(|number| root.current != Some(*number));
    }

    /// Puts a root in the place of the one that is there, and goes on from it.
    pub(crate) fn replace(&mut self, root: GenerationsRoot) -> Result<(), StorageError> {
        self.store(root)?;
        self.adopt(root);
        Ok(())
    }

    /// The generation that an earlier rebuild has left to be gone on with.
    pub(crate) fn left_behind(&mut self, left: LeftBehind) -> Result<Option<u64>, StorageError> {
        if left == LeftBehind::Discard && self.root.building.is_some() {
            self.replace(self.with_building(None))?;
            self.sweep(None);
        }
        Ok(self.root.building.filter(|_| left == LeftBehind::GoOn))
    }

    /// Keeps every sweep from the generation that a rebuild folds.
    pub(crate) const fn rebuild(&mut self, number: u64) {
        self.rebuilding = Some(number);
    }

    /// Lets go of what a rebuild has folded, and of all that is in no use.
    pub(crate) fn give_up(&mut self, number: u64, kept: Option<u64>) -> Result<(), StorageError> {
        self.rebuilding = None;
        if self.root.building == Some(number) {
            self.replace(self.with_building(None))?;
        }
        self.sweep(kept);
        Ok(())
    }

    /// Removes every generation that is in no use. What stays for a failure is in nobody's way, and
    /// goes the next time.
    pub(crate) fn sweep(&self, kept: Option<u64>) {
        let in_use = [self.root.current, self.root.building, self.rebuilding, kept];
        let folder = self.place.folder();
        let swept = numbers(folder).and_then(|numbers| {
            let mut others = numbers.into_iter().filter(|number| !in_use.contains(&Some(*number)));
            others.try_for_each(|number| folder.remove_folder(number.to_string().as_ref()))
        });
        if let Err(error) = swept {
            let folder = folder.path().display();
            tracing::warn!(%error, %folder, "an old generation could not be removed");
        }
    }
}

/// Which generations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenerationsRoot {
    pub(crate) current: Option<u64>,
    pub(crate) building: Option<u64>,
    pub(crate) next: u64,
}

impl GenerationsRoot {
    /// What is persisted; where that is nothing or damaged, a root without generations.
    pub(crate) fn load(folder: &Arc<dyn Folder>) -> Result<Self, StorageError> {
        if let Some(file) = folder.find(FILE_NAME, Access::Read)? {
            if let Some(root) = Self::decode(&file.read_all()?) {
                return Ok(root);
            }
            let path = file.path().display();
            tracing::warn!(%path, "the root of generations is damaged: refolding");
        }
        let newest = numbers(folder)?.into_iter().max();
        Ok(Self { current: None, building: None, next: newest.unwrap_or(0).saturating_add(1) })
    }

    /// Puts the root in the place of the one that is there, durably.
    fn store(&self, folder: &Arc<dyn Folder>) -> Result<(), StorageError> {
        Ok(NewFile::replace(folder, FILE_NAME, &self.encode())?)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [self.current.unwrap_or(0), self.building.unwrap_or(0), self.next] {
            put_u64(&mut bytes, number);
        }
        seal(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader::new(unseal(bytes)?);
        let some = |number| (number > 0).then_some(number);
        let (current, building, next) = (some(reader.u64()?), some(reader.u64()?), reader.u64()?);
        reader.end(Self { current, building, next })
    }
}

/// What to do with what an earlier rebuild, which was cut short, has folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftBehind {
    /// Fold on from there.
    GoOn,
    /// Remove it.
    Discard,
    /// Leave it as it is.
    Ignore,
}

fn numbers(folder: &Arc<dyn Folder>) -> Result<Vec<u64>, StorageError> {
    Ok(folder.names()?.iter().filter_map(|name| name.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use spacefold_disk::{LazyFolder, MemoryDisk};

    use super::*;

    #[test]
    fn a_root_reads_back_and_a_damaged_one_begins_after_every_generation() {
        let folder = MemoryDisk::new().root();
        assert_eq!(GenerationsRoot::load(&folder).unwrap().next, 1);
        let root = GenerationsRoot { current: Some(3), building: None, next: 5 };
        root.store(&folder).unwrap();
        assert_eq!(GenerationsRoot::load(&folder).unwrap(), root);
        LazyFolder::within(&folder, "7").create("MANIFEST").unwrap();
        let file = folder.open(FILE_NAME, Access::ReadWrite).unwrap();
        let sealed = file.read_all().unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            file.write_all_at(&damaged, 0).unwrap();
            let found = GenerationsRoot::load(&folder).unwrap();
            assert_eq!(found, GenerationsRoot { current: None, building: None, next: 8 });
        }
        Generations::open(DerivedState::in_folder(folder.clone())).unwrap().sweep(None);
        assert_eq!(folder.names().unwrap(), [FILE_NAME]);
    }
}
