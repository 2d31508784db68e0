//! Mending the journal from sled's copy: what is damaged is taken from blocks whose chain proves
//! that they are this store's, and written as sealed files.

use std::{collections::BTreeMap, fs};

use spacefold_event_core::{Position, StorageError};

use crate::{
    block::{self, BlockHash, EncodedBlock},
    error::{Doing, OpenError},
    folder::{Folder, replace_file, sync_folder},
    head::Head,
    head::file::HeadFile,
    journal::frame::{self, FileHeader, Frame, GROUP_ALIGNMENT},
    journal::{self, ReadFrame},
    journal::{scan, sealed_files},
    sled_copy::SledCopy,
};

/// The positions that a sealed file is to hold, and the hashes it must fit between.
struct Stretch {
    first: Position,
    /// `None`: as far as sled goes.
    last: Option<Position>,
    previous: BlockHash,
    last_hash: Option<BlockHash>,
}

/// Mends whatever of the journal sled's copy can mend; whether anything was. The lock must be
/// held. Nothing is changed unless every event that is known to have been durable is there
/// afterwards.
pub(crate) fn heal(folder: &Folder, head_file: &mut HeadFile) -> Result<bool, OpenError> {
    let Ok(sled) = SledCopy::open(&folder.sled()) else { return Ok(false) };
    let head = head_file.head().clone();
    let mut sealed_end = Position::START;
    let mut sealed_hash = block::genesis(head.store_id);
    let mut healed = false;
    let numbers = Folder::numbered(&folder.sealed(), "sealed")?;
    for (place, number) in numbers.iter().enumerate() {
        let first = Position::new(*number);
        let path = folder.sealed_file(first);
        if let Some((last, hash)) = sealed_files::check(&path, head.store_id, first, sealed_hash)? {
            (sealed_end, sealed_hash) = (last, hash);
            continue;
        }
        let is_last = place + 1 == numbers.len();
        let next = numbers.get(place + 1).map(|next| Position::new(*next).previous());
        let stretch = Stretch {
            first: sealed_end.next(),
            last: next.or(Some(head.sealed_through)),
            previous: sealed_hash,
            last_hash: is_last.then_some(head.sealed_hash),
        };
        let Some(blocks) = blocks_of(&sled, head.store_id, &stretch) else { return Ok(false) };
        let index = sealed_files::write(folder, head.store_id, &blocks)?;
        (sealed_end, sealed_hash) = (index.last_position, index.last_hash);
        healed = true;
    }
    let live = Frames::read(folder, head.store_id)?;
    let known = head.durable_head.max(live.synced_through).max(sealed_end);
    let reads = Head { sealed_through: sealed_end, ..head };
    if scan::scan(folder, &reads, known, &mut |_| Ok(())).is_err() {
        let mut end = sealed_end;
        if live.run_after(end, known).is_none() {
            let stretch = Stretch {
                first: sealed_end.next(),
                last: None,
                previous: sealed_hash,
                last_hash: None,
            };
            let blocks = blocks_of(&sled, reads.store_id, &stretch);
            let Some(blocks) = blocks.filter(|blocks| reaches(blocks, &live, known)) else {
                return Ok(false);
            };
            let index = sealed_files::write(folder, reads.store_id, &blocks)?;
            (sealed_end, sealed_hash) = (index.last_position, index.last_hash);
            end = sealed_end;
        }
        let tail = live.run_after(end, known).unwrap_or_default();
        replace_journal(folder, head_file, end, &tail)?;
        healed = true;
    }
    if healed {
        head_file.update(|head| {
            (head.sealed_through, head.sealed_hash) = (sealed_end, sealed_hash);
            head.durable_head = known;
            head.healed += 1;
        })?;
    }
    Ok(healed)
}

/// Whether blocks and the frames behind them hold every event up to a position.
fn reaches(blocks: &[EncodedBlock], live: &Frames, known: Position) -> bool {
    let end = blocks.last().and_then(|last| block::peek(&last.bytes).ok());
    end.is_some_and(|end| live.run_after(end.last_position(), known).is_some())
}

/// Sled's blocks for a stretch, if they are all there and fit it.
fn blocks_of(sled: &SledCopy, store_id: [u8; 16], stretch: &Stretch) -> Option<Vec<EncodedBlock>> {
    let mut blocks = Vec::new();
    let mut next = stretch.first;
    let mut previous = stretch.previous;
    while stretch.last.is_none_or(|last| next <= last) {
        let stored = sled.block_at_or_before(next).ok()?.filter(|stored| stored.first() == next);
        let Some(stored) = stored else {
            // As far as sled goes.
            return stretch.last.is_none().then_some(blocks);
        };
        let bytes = stored.bytes().into_owned();
        let block = block::decode(&bytes, store_id).ok()?;
        block.verify_hash().ok()?;
        if block.previous != previous {
            return None;
        }
        previous = block.hash;
        next = block.records.last_position().next();
        blocks.push(EncodedBlock { bytes, hash: block.hash });
    }
    let fits = stretch.last.is_none_or(|last| next == last.next())
        && stretch.last_hash.is_none_or(|hash| hash == previous);
    (fits && !blocks.is_empty()).then_some(blocks)
}

/// Every whole frame of the journal, by its first position.
struct Frames {
    frames: BTreeMap<Position, ReadFrame>,
    synced_through: Position,
}

impl Frames {
    fn read(folder: &Folder, store_id: [u8; 16]) -> Result<Self, StorageError> {
        let mut found = Self { frames: BTreeMap::new(), synced_through: Position::START };
        for number in Folder::numbered(&folder.journal(), "journal")? {
            let path = folder.journal_file(number);
            let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
            let mut offset = 0;
            while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
                match frame::parse(rest, store_id) {
                    Ok(frame) => {
                        offset += frame.len;
                        found.add(&frame);
                    }
                    Err(_) => offset = (offset + 1).next_multiple_of(GROUP_ALIGNMENT),
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, frame: &Frame<'_>) {
        let Ok(owned) = ReadFrame::new(frame) else { return };
        self.synced_through = self.synced_through.max(owned.synced_through);
        self.frames.insert(frame.header.first_position, owned);
    }

    /// The frames behind a position, without a gap and at least as far as another.
    fn run_after(&self, after: Position, through: Position) -> Option<Vec<&ReadFrame>> {
        let mut run = Vec::new();
        let mut end = after;
        for (first, frame) in self.frames.iter().filter(|(_, frame)| frame.last > after) {
            if *first > end.next() {
                break;
            }
            end = frame.last;
            run.push(frame);
        }
        (end >= through).then_some(run)
    }
}

/// Writes the frames behind the sealed files into a journal file of their own, synced, then gives
/// the others up.
fn replace_journal(
    folder: &Folder,
    head_file: &mut HeadFile,
    sealed_end: Position,
    frames: &[&ReadFrame],
) -> Result<(), OpenError> {
    head_file.begin_incarnation(|_| {})?;
    let head = head_file.head().clone();
    let old = Folder::numbered(&folder.journal(), "journal")?;
    let number = old.last().map_or(1, |last| last + 1);
    let first_position =
        frames.first().map_or(sealed_end.next(), |frame| frame.records.first_position());
    let header = FileHeader {
        store_id: head.store_id,
        incarnation: head.incarnation,
        file_number: number,
        first_position,
        previous_crc: 0,
    };
    let (bytes, _) = journal::encode_file(&header, frames.iter().copied());
    replace_file(&folder.journal_file(number), &bytes)?;
    for number in old {
        let path = folder.journal_file(number);
        fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
    }
    Ok(sync_folder(&folder.journal())?)
}
