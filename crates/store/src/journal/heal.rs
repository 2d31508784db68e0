//! Mending the journal: what is damaged is taken from sled's blocks, where their chain proves that
//! they are this store's and fit, and from the frames that are still whole.

use std::{cell::OnceCell, collections::BTreeMap, fs};

use spacefold_event_core::{Position, StorageError};

use crate::{
    block::{self, BlockHash, EncodedBlock},
    error::{Doing, OpenError},
    folder::Folder,
    head::{Fence, Head, extension::Witness, file::HeadFile},
    journal::{
        JournalEnd,
        files::{FileSet, JournalFiles},
        frame::{self, FrameHeader, GROUP_ALIGNMENT, OwnedFrame},
        fresh_tail,
        scan::{self, FoundFiles},
        sealed_files,
    },
    lineage::{self, Kin},
    sled_copy::{CopiedFolder, SledCopy},
};

/// The positions that a sealed file is to hold, and the hashes it must fit between.
struct Stretch {
    first: Position,
    /// `None`: as far as sled goes.
    last: Option<Position>,
    previous: BlockHash,
    last_hash: Option<BlockHash>,
}

/// Mends whatever of the journal can be mended; whether anything was. The lock must be held.
/// Nothing is changed unless every event that is known to have been durable is there afterwards.
///
/// # Errors
/// [`OpenError::PartsDiffer`] when the parts are not all of this store and of one time.
pub(crate) fn heal(folder: &Folder, head_file: &mut HeadFile) -> Result<bool, OpenError> {
    let head = head_file.head().clone();
    let kin = lineage::judge(folder, &head)?;
    let sled = Blocks::new(folder, &head, kin);
    let Some((sealed, damaged)) = check_sealed(folder, &head, &sled)? else { return Ok(false) };
    let known = kin.known().max(head.durable_head).max(head.sealed_through);
    let frames = plan_frames(folder, &sled, &sealed, known)?;
    if matches!(frames, Frames::Lost) || matches!(frames, Frames::Whole) && damaged.is_empty() {
        return Ok(false);
    }
    for stretch in &damaged {
        let blocks = sled.of(stretch);
        let gone =
            || StorageError::new("mending a sealed file", "sled's blocks cannot be read again");
        sealed_files::write(folder, head.store_id, &blocks.ok_or_else(gone)?)?;
    }
    match frames {
        Frames::Behind { blocks, run, found } => {
            write_frames(folder, head_file, &sealed, &blocks, &run, &found)?;
        }
        Frames::Whole | Frames::Lost => head_file.update(|head| {
            (head.sealed_through, head.sealed_hash) = (sealed.sealed_through, sealed.sealed_hash);
            head.durable_head = head.durable_head.max(sealed.sealed_through);
            head.healed += 1;
        })?,
    }
    Ok(true)
}

/// HEAD brought to where the sealed files end, once those that are damaged are made of sled's blocks;
/// and which these are. `None` when sled does not have the blocks of one.
fn check_sealed(
    folder: &Folder,
    head: &Head,
    sled: &Blocks,
) -> Result<Option<(Head, Vec<Stretch>)>, OpenError> {
    let mut damaged = Vec::new();
    let mut sealed_end = Position::START;
    let mut sealed_hash = block::genesis(head.store_id);
    let firsts = folder.sealed_firsts()?;
    for (place, first) in firsts.iter().enumerate() {
        let path = folder.sealed_file(*first);
        if let Some((last, hash)) = sealed_files::check(&path, head.store_id, *first, sealed_hash)?
        {
            (sealed_end, sealed_hash) = (last, hash);
            continue;
        }
        let is_last = place + 1 == firsts.len();
        let stretch = Stretch {
            first: sealed_end.next(),
            last: firsts.get(place + 1).map(|next| next.previous()).or(Some(head.sealed_through)),
            previous: sealed_hash,
            last_hash: is_last.then_some(head.sealed_hash),
        };
        let Some(end) = sled.of(&stretch).and_then(|blocks| end_of(&blocks)) else {
            return Ok(None);
        };
        (sealed_end, sealed_hash) = end;
        damaged.push(stretch);
    }
    let sealed = Head { sealed_through: sealed_end, sealed_hash, ..head.clone() };
    Ok(Some((sealed, damaged)))
}

/// Where blocks end, and the hash of the last one; `None` when there are none.
fn end_of(blocks: &[EncodedBlock]) -> Option<(Position, BlockHash)> {
    let last = blocks.last()?;
    Some((block::peek(&last.bytes).ok()?.last_position(), last.hash))
}

/// Sled's blocks, out of a copy that is made when the first is asked for: opening changes what sled
/// opens, and the outcome may be that nothing can be mended.
struct Blocks {
    folder: Folder,
    store_id: [u8; 16],
    /// The last sealed position that HEAD knows, and the hash there.
    sealed: (Position, BlockHash),
    is_ours: bool,
    opened: OnceCell<Option<Opened>>,
}

/// Dropped in this order.
struct Opened {
    sled: SledCopy,
    _copied: CopiedFolder,
}

impl Blocks {
    fn new(folder: &Folder, head: &Head, kin: Kin) -> Self {
        Self {
            folder: folder.clone(),
            store_id: head.store_id,
            sealed: (head.sealed_through, head.sealed_hash),
            is_ours: kin != Kin::OtherStore,
            opened: OnceCell::new(),
        }
    }

    /// The blocks of a stretch, if they are all there and fit it.
    fn of(&self, stretch: &Stretch) -> Option<Vec<EncodedBlock>> {
        let (sealed_through, sealed_hash) = self.sealed;
        let mut blocks = Vec::new();
        let mut next = stretch.first;
        let mut previous = stretch.previous;
        while stretch.last.is_none_or(|last| next <= last) {
            let stored = self.get()?.block_at_or_before(next).ok()?;
            let Some(stored) = stored.filter(|stored| stored.first() == next) else {
                // As far as sled goes.
                return stretch.last.is_none().then_some(blocks);
            };
            let bytes = stored.bytes().into_owned();
            let block = block::decode(&bytes, self.store_id).ok()?;
            block.verify_hash().ok()?;
            let end = block.records.last_position();
            let is_sealed_end = end == sealed_through;
            if block.previous != previous || is_sealed_end && block.hash != sealed_hash {
                return None;
            }
            previous = block.hash;
            next = end.next();
            blocks.push(EncodedBlock { bytes, hash: block.hash });
        }
        let fits = stretch.last.is_none_or(|last| next == last.next())
            && stretch.last_hash.is_none_or(|hash| hash == previous);
        (fits && !blocks.is_empty()).then_some(blocks)
    }

    /// Without sled, frames behind a damaged file header are still there.
    fn get(&self) -> Option<&SledCopy> {
        let open = || {
            let place = self.folder.unfinished_sled();
            let copied = CopiedFolder::of(&self.folder.sled(), &place).ok()?;
            let sled = SledCopy::open(copied.path()).ok()?;
            Some(Opened { sled, _copied: copied })
        };
        let opened = self.opened.get_or_init(|| self.is_ours.then(open).flatten());
        opened.as_ref().map(|opened| &opened.sled)
    }
}

/// What is behind the sealed files.
enum Frames {
    Whole,
    /// Blocks of sled's that follow, or none, and the whole frames behind them.
    Behind {
        blocks: Vec<EncodedBlock>,
        run: Vec<OwnedFrame>,
        found: FoundFiles,
    },
    Lost,
}

/// What can be had of the events behind the sealed files. Nothing is changed.
fn plan_frames(
    folder: &Folder,
    sled: &Blocks,
    head: &Head,
    known: Position,
) -> Result<Frames, OpenError> {
    let found = FoundFiles::list(folder, head)?;
    let frames = WholeFrames::read(folder, head, &found)?;
    let known = known.max(frames.synced_through).max(head.sealed_through);
    match scan::scan(folder, head, known, &mut |_| Ok(())) {
        Ok(_) => return Ok(Frames::Whole),
        Err(OpenError::JournalDamaged { .. }) => {}
        Err(error) => return Err(error),
    }
    if let Some(run) = frames.run_behind(head.sealed_through, known) {
        return Ok(Frames::Behind { blocks: Vec::new(), run, found });
    }
    let stretch = Stretch {
        first: head.sealed_through.next(),
        last: None,
        previous: head.sealed_hash,
        last_hash: None,
    };
    let blocks = sled.of(&stretch).unwrap_or_default();
    let end = end_of(&blocks).map(|(end, _)| end);
    Ok(match end.and_then(|end| frames.run_behind(end, known)) {
        Some(run) => Frames::Behind { blocks, run, found },
        None => Frames::Lost,
    })
}

/// Writes what was found behind the sealed files: blocks to another one, frames to a new file.
fn write_frames(
    folder: &Folder,
    head_file: &mut HeadFile,
    sealed: &Head,
    blocks: &[EncodedBlock],
    run: &[OwnedFrame],
    found: &FoundFiles,
) -> Result<(), OpenError> {
    let (mut sealed_end, mut sealed_hash) = (sealed.sealed_through, sealed.sealed_hash);
    if !blocks.is_empty() {
        let index = sealed_files::write(folder, sealed.store_id, blocks)?;
        (sealed_end, sealed_hash) = (index.last_position, index.last_hash);
    }
    head_file.begin_incarnation(run_end(run, sealed_end), |head| {
        (head.sealed_through, head.sealed_hash) = (sealed_end, sealed_hash);
    })?;
    // Files that are there may hold frames of the run: a new one is written.
    let new = FileSet { next_slot: found.next_slot, ..FileSet::default() };
    let files = JournalFiles::new(folder, u64::MAX, new);
    let mut end = JournalEnd {
        slot: None,
        number: found.last_number(),
        offset: 0,
        crc: 0,
        head: run_end(run, sealed_end),
    };
    let position = fresh_tail::write_file(&files, head_file.head(), &mut end, run)?;
    Ok(head_file.update(|head| {
        head.durable_head = end.head;
        head.witness = end.witness();
        head.fence = Fence { position, incarnation: head.incarnation };
        head.healed += 1;
    })?)
}

fn run_end(run: &[OwnedFrame], sealed_end: Position) -> Position {
    run.last().map_or(sealed_end, |frame| frame.header.last_position())
}

/// Every whole frame that counts, by its first position; of several at one, that of the latest
/// incarnation comes first.
struct WholeFrames {
    frames: BTreeMap<Position, Vec<OwnedFrame>>,
    synced_through: Position,
    /// A frame that HEAD has noted.
    witness: Option<Witness>,
    /// Where the log ends, when HEAD says so.
    closed_at: Option<Position>,
}

impl WholeFrames {
    fn read(folder: &Folder, head: &Head, found: &FoundFiles) -> Result<Self, StorageError> {
        let mut whole = Self {
            frames: BTreeMap::new(),
            synced_through: Position::START,
            witness: head.witness,
            closed_at: head.clean.then_some(head.durable_head),
        };
        for (place, file) in found.used.iter().enumerate() {
            whole.file(folder, file.slot, head, found.limit(place))?;
        }
        for slot in &found.headless {
            whole.file(folder, *slot, head, None)?;
        }
        for frames in whole.frames.values_mut() {
            frames.sort_by_key(|frame| std::cmp::Reverse(frame.header.incarnation));
        }
        Ok(whole)
    }

    fn file(
        &mut self,
        folder: &Folder,
        slot: u64,
        head: &Head,
        limit: Option<Position>,
    ) -> Result<(), StorageError> {
        let path = folder.journal_file(slot);
        let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        let mut offset = 0;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let Ok(frame) = frame::parse(rest, head.store_id) else {
                offset = (offset + 1).next_multiple_of(GROUP_ALIGNMENT);
                continue;
            };
            offset += frame.bytes.len();
            let header = &frame.header;
            self.synced_through = self.synced_through.max(header.synced_through);
            let is_ours = head.allows(header) && !head.sessions.excludes(header.incarnation);
            if is_ours && limit.is_none_or(|limit| header.first_position < limit) {
                self.frames.entry(header.first_position).or_default().push((&frame).into());
            }
        }
        Ok(())
    }

    /// The frames behind a position, each following the one before, and at least as far as another
    /// position.
    ///
    /// They must be of the journal that HEAD knows, and whole as far as can be told: when the store
    /// was not closed, nothing says that frames were the last ones but that they are there.
    fn run_behind(&self, after: Position, through: Position) -> Option<Vec<OwnedFrame>> {
        let mut run: Vec<OwnedFrame> = Vec::new();
        let covers = |frame: &&OwnedFrame| frame.header.last_position() > after;
        // Of the latest incarnation: others may have been cut off as a torn tail.
        let starts = self.frames.range(..=after.next()).flat_map(|(_, frames)| frames);
        let mut next = starts.filter(covers).max_by_key(|frame| frame.header.incarnation);
        while let Some(frame) = next {
            let follows = frame.header.last_position().next();
            run.push(frame.clone());
            let behind = self.frames.get(&follows).map(Vec::as_slice).unwrap_or_default();
            next = behind.iter().find(|next| next.header.previous_crc == frame.header.crc);
        }
        let is_enough = run_end(&run, after) >= through;
        let is_last = self.closed_at.is_some_and(|end| end >= through) || !run.is_empty();
        (is_enough && is_last && self.fits_witness(&run, after)).then_some(run)
    }

    /// Whether frames behind a position are those that HEAD has noted one of, as far as they go.
    fn fits_witness(&self, run: &[OwnedFrame], after: Position) -> bool {
        let Some(witness) = self.witness else { return true };
        let ends = |header: &FrameHeader| header.last_position() == witness.position;
        let found = run.iter().map(|frame| &frame.header).find(|header| ends(header));
        let follows = run.first().map(|frame| &frame.header);
        let follows = follows.filter(|header| header.first_position == witness.position.next());
        match (found, follows) {
            (Some(header), _) => header.crc == witness.crc,
            (None, Some(header)) => header.previous_crc == witness.crc,
            (None, None) => witness.position <= after,
        }
    }
}
