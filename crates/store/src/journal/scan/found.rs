//! Which files of the journal there are, and what their headers say.

use spacefold_disk::Access;
use spacefold_event_core::Position;

use crate::{
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::Head,
    journal::frame::{FILE_HEADER_BYTES, FileHeader, FrameError},
};

/// A file with a header of this store.
#[derive(Debug)]
pub(crate) struct UsedFile {
    pub(crate) slot: u64,
    pub(crate) header: FileHeader,
}

/// The files of the journal's folder.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    /// Ascending by number.
    pub(crate) used: Vec<UsedFile>,
    /// Without a header that reads: never used, or damaged.
    pub(crate) headless: Vec<u64>,
    /// Frames were to be written again to these, and nothing says that all were.
    pub(crate) unfinished: Vec<UsedFile>,
    pub(crate) next_slot: u64,
}

impl FoundFiles {
    pub(crate) fn list(folder: &StoreFolder, head: &Head) -> Result<Self, OpenError> {
        let mut found = Self::default();
        let mut foreign = None;
        let differ = |what| OpenError::PartsDiffer {
            path: folder.root().to_owned(),
            part: StorePart::Journal,
            what,
        };
        let slots = folder.journal_slots()?;
        // A file is made before a session is noted.
        if slots.is_empty() && !head.sessions.is_empty() {
            let what = "its files are missing, though HEAD knows that the store was written to";
            return Err(differ(what.to_owned()));
        }
        for slot in slots {
            found.next_slot = slot + 1;
            let file = folder.open_journal_file(slot, Access::Read)?;
            let bytes = file.read_begin(FILE_HEADER_BYTES)?;
            match FileHeader::parse(&bytes, head.store_id) {
                Ok(header) => {
                    head.check_file(&header, folder)?;
                    let is_used = head.knows(header.incarnation);
                    let files = if is_used { &mut found.used } else { &mut found.unfinished };
                    files.push(UsedFile { slot, header });
                }
                Err(FrameError::OtherStore) => {
                    let path = file.path();
                    tracing::warn!(file = %path.display(), "a journal file of another store");
                    foreign = Some(path.to_owned());
                }
                Err(_) => found.headless.push(slot),
            }
        }
        if let Some(path) = foreign.filter(|_| found.used.is_empty()) {
            return Err(differ(format!("{} is of another store than HEAD", path.display())));
        }
        found.used.sort_by_key(|file| (file.header.file_number, file.slot));
        // Of two that claim to be one, the copy is left alone: it is neither read nor written.
        found.used.dedup_by_key(|file| file.header.file_number);
        Ok(found)
    }
}

impl FoundFiles {
    /// The highest number that a file has.
    pub(crate) fn last_number(&self) -> u64 {
        let files = self.used.iter().chain(&self.unfinished);
        files.map(|file| file.header.file_number).max().unwrap_or(0)
    }

    /// The first position that is not read from the file at this place, since a later file begins
    /// there.
    pub(crate) fn limit(&self, place: usize) -> Option<Position> {
        let later = self.used.get(place + 1..).unwrap_or_default();
        later.iter().map(|file| file.header.first_position).min()
    }
}
