//! Salvaging: from a folder in whatever condition, all that is whole by its own proof, in a new store.
//!
//! Nothing of the folder is believed as a whole: HEAD may be lost, parts may be of different moments,
//! files damaged, cut or mixed up with those of others. What counts is a frame whose checksum holds,
//! which also covers its store, session and predecessor, and a block whose checksum and hash hold.
//!
//! ```text
//! survey: HEAD, journal, segments, sled's copy ─▶ pieces ─▶ course: whose count ─▶ assembly ─▶ new log
//! ```

mod assembly;
mod blocks;
mod course;
mod found_copy;
mod frames;
mod pieces;
mod report;
mod sled_blocks;
mod survey;
mod window;

use std::{collections::BTreeMap, fs, mem, path::Path, sync::Arc};

use spacefold_event_core::{
    LogIdentity, Position, Schemas, StorageError, StoreMode, TimelineFork, TimelineId,
};
use uuid::Uuid;

use self::{
    assembly::{Assembly, PieceReader, TakenEvents},
    course::LogCourse,
    pieces::{FoundPieces, Piece, PieceKind},
    sled_blocks::SledFolder,
    survey::LogSurvey,
};
use crate::{
    head::{Head, sessions::Kinship, timeline},
    lineage::Lineage,
    log_copy::LogCopy,
    remake::{GoesOn, NewLog, RemakeError},
};

pub(crate) use self::found_copy::FoundCopy;
pub use self::report::{LeftOut, OtherStore, SalvageDamage, SalvageGap, SalvageReport};

/// What is to be salvaged.
#[derive(Clone, Debug, Default)]
pub struct SalvageOptions {
    store_id: Option<[u8; 16]>,
    mode: StoreMode,
}

impl SalvageOptions {
    /// Salvages the events of the store with this id, whatever else is in the folder: else those of the
    /// store that HEAD is of, or, where it is lost, of which there is most.
    #[must_use]
    pub const fn store_id(mut self, store_id: [u8; 16]) -> Self {
        self.store_id = Some(store_id);
        self
    }

    /// Who may read and change the files of the new store.
    #[must_use]
    pub const fn new_mode(&self) -> StoreMode {
        self.mode
    }

    /// Lets those read and change the files of the new store whom the mode lets: its owner alone, unless
    /// told.
    #[must_use]
    pub const fn mode(mut self, mode: StoreMode) -> Self {
        self.mode = mode;
        self
    }
}

/// Takes every event that is whole out of the folder `from`, in whatever condition it is, into a new
/// store at `to`, whose log is on disk when this answers. Nothing is changed in `from`, which a process
/// may have open: what it writes meanwhile is found or not.
///
/// Events keep id, space, time, tags and origin, and their order. As long as there is no gap they
/// keep position and revision too; behind one both go on without it, and an event that has no other
/// origin has its old position as that.
///
/// `scratch` is a folder for a copy of sled's copy, which is made where the rest is not whole.
///
/// # Errors
/// [`RemakeError`]; what is at `to` then is no whole store, and for the caller to remove.
///
/// # Cost
/// Reads every byte of the log twice, those of segments and journal that both have once more. Memory: a
/// hundred bytes for each block and each stretch of frames, and each space.
pub fn salvage(
    from: &Path,
    to: &Path,
    scratch: &Path,
    options: &SalvageOptions,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<SalvageReport, RemakeError> {
    let schemas = Schemas::today();
    let LogSurvey { mut found, sled, heads } = survey::survey(from, schemas)?;
    let wanted = options.store_id.or_else(|| heads.first().map(|head| head.store_id));
    let mut copies = Vec::new();
    let mut store_id = choose(wanted, &found.pieces);
    if store_id.is_none() {
        // Sled's copy may be all there is.
        open_copies(&sled, scratch, &mut copies, &mut found)?;
        store_id = choose(wanted, &found.pieces);
    }
    let nothing = || RemakeError::NothingThere { path: from.to_owned() };
    let store_id = store_id.ok_or_else(nothing)?;
    let newest = heads.iter().filter(|head| head.store_id == store_id);
    let head = newest.max_by_key(|head| head.sequence);
    course::mistrust_segments(head, &mut found.pieces);
    let mut course = LogCourse::of(head, &found.pieces, store_id);
    let lineages = sled.iter().filter_map(SledFolder::lineage);
    let own = lineages.filter(|copy| {
        copy.store_id == store_id && course.kinship(&copy.sessions) != Kinship::Parted
    });
    let mut known = own.map(|copy| copy.position).max().unwrap_or(Position::START);
    known = known.max(durable_head(head, &found.pieces, &course, store_id));
    if copies.is_empty() {
        let assembly = Assembly::of(&found.pieces, &course, store_id);
        let end = assembly.gapless_end();
        if head.is_none() || end < known.max(assembly.end()) {
            // That of a copy which went on apart has another course.
            let is_apart = |copy: &Lineage| {
                copy.store_id == store_id && course.kinship(&copy.sessions) == Kinship::Parted
            };
            let mut own = sled;
            own.retain(|folder| !folder.lineage().is_some_and(|copy| is_apart(&copy)));
            open_copies(&own, scratch, &mut copies, &mut found)?;
            course = LogCourse::of(head, &found.pieces, store_id);
        }
    }
    assemble(to, &copies, (store_id, head), &course, (found, known), options, goes_on)
}

/// Makes the new log of what was found.
fn assemble(
    to: &Path,
    copies: &[Arc<dyn LogCopy>],
    (store_id, head): ([u8; 16], Option<&Head>),
    course: &LogCourse,
    (mut found, durable_head): (FoundPieces, Position),
    options: &SalvageOptions,
    goes_on: &mut GoesOn<'_>,
) -> Result<SalvageReport, RemakeError> {
    let pieces = mem::take(&mut found.pieces);
    let mut assembly = Assembly::of(&pieces, course, store_id);
    // One whose HEAD is lost is known by its id alone.
    let old = head.map_or_else(|| timeline::derived(store_id), |head| head.identity);
    let fork = TimelineFork { parent: old.timeline, position: assembly.gapless_end() };
    let timeline = TimelineId::from_bytes(Uuid::new_v4().into_bytes());
    let identity = LogIdentity { log_id: old.log_id, timeline, fork: Some(fork) };
    let from = (store_id, old.timeline.to_bytes());
    let mut new = NewLog::create(to, identity, options.mode, from)?;
    let files = found.files.clone();
    let schemas = Schemas::today();
    let mut reader = PieceReader { files, copies, schemas, window: None };
    let mut taken = TakenEvents::by(&mut new, goes_on);
    assembly.take_all(&mut reader, &mut taken, &mut found)?;
    let known_head = durable_head.max(assembly.end());
    taken.skip_to(known_head.next(), None);
    let gaps = taken.gaps;
    let left_out = assembly.left_out(&mut reader, &new)?;
    let report = SalvageReport {
        store_id,
        new_store_id: new.log().store_id(),
        events: new.events(),
        known_head,
        durable_head,
        gaps,
        lost: mem::take(&mut new.lost),
        stretches: mem::take(&mut new.stretches),
        retimed: new.retimed,
        left_out,
        refused: mem::take(&mut new.refused),
        damage: found.damage,
        damaged_places: found.damaged_places,
        other_stores: other_stores(&pieces, store_id),
    };
    new.close()?;
    Ok(report)
}

/// The store whose events are salvaged: the one that is wanted, if there is any of it, else that of which
/// there is most.
fn choose(wanted: Option<[u8; 16]>, pieces: &[Piece]) -> Option<[u8; 16]> {
    let wanted = wanted.filter(|id| pieces.iter().any(|piece| piece.store_id == *id));
    wanted.or_else(|| {
        let all = count_by_store(pieces);
        all.into_iter().max_by_key(|store| store.events).map(|store| store.store_id)
    })
}

fn other_stores(pieces: &[Piece], store_id: [u8; 16]) -> Vec<OtherStore> {
    count_by_store(pieces).into_iter().filter(|store| store.store_id != store_id).collect()
}

fn count_by_store(pieces: &[Piece]) -> Vec<OtherStore> {
    let mut stores = BTreeMap::<[u8; 16], u64>::new();
    for piece in pieces {
        let events = piece.last.since(piece.first).saturating_add(1);
        let counted = stores.entry(piece.store_id).or_default();
        *counted = counted.saturating_add(events);
    }
    stores.into_iter().map(|(store_id, events)| OtherStore { store_id, events }).collect()
}

/// Up to where something says that the log was on disk, but for sled's copy.
fn durable_head(
    head: Option<&Head>,
    pieces: &[Piece],
    course: &LogCourse,
    store_id: [u8; 16],
) -> Position {
    let own = pieces.iter().filter(|piece| piece.store_id == store_id && course.has(piece));
    let durable = own.map(|piece| match &piece.kind {
        PieceKind::Frames(stretch) => stretch.synced,
        // Blocks are made of what is on disk.
        PieceKind::Block { .. } | PieceKind::SledBlock { .. } => piece.last,
    });
    let witness = head.and_then(|head| head.witness).map(|witness| witness.position);
    let of_head = head.map(|head| head.durable_head).max(witness);
    durable.max().max(of_head).unwrap_or(Position::START)
}

fn open_copies(
    sled: &[SledFolder],
    scratch: &Path,
    copies: &mut Vec<Arc<dyn LogCopy>>,
    found: &mut FoundPieces,
) -> Result<(), StorageError> {
    if sled.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(scratch)
        .map_err(|error| StorageError::new(format!("creating {}", scratch.display()), error))?;
    sled.iter().try_for_each(|folder| folder.find(scratch, copies, found))
}
