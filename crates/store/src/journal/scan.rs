//! Reading the journal back: which files are in use, which frames are whole, where it ends, and
//! whether what does not read is a torn tail or damage.
//!
//! - Files are read in the order of their numbers, each up to where a later one begins: what stands
//!   behind that was copied to the later one, or never acknowledged.
//! - A file may still hold bytes of an earlier use. They never read as the next frame: every frame
//!   carries the checksum of the frame before, which is seeded with the incarnation, and its
//!   position; an earlier use has lower positions or an earlier incarnation.
//! - A frame of an incarnation that HEAD has never given out is of another copy of the store, or HEAD
//!   is older than the journal. Both are said, and neither is taken for a torn tail.
//! - A file is begun only after everything before it was synced. So a frame that does not read is
//!   damage unless it stands in the last file, and nothing says that it was synced: no later frame
//!   of that file, and not HEAD.

mod found;
mod kept;

use std::{path::PathBuf, sync::Arc};

use spacefold_disk::{Access, File, Gap, next_frame};
use spacefold_event_core::{
    Position, StorageError,
    bytes::{to_u64, to_usize},
};

pub(crate) use self::found::FoundFiles;
use self::found::UsedFile;
pub(crate) use self::kept::{KeptFrames, unpack};
use crate::{
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::{Head, sessions::StoreSession},
    journal::{
        JournalEnd,
        files::{FileSet, LiveFile},
        frame::{
            self, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, Frame, FrameHeader,
            GROUP_ALIGNMENT, OwnedFrame,
        },
        window::JournalWindow,
    },
};

/// What was found in the journal.
#[derive(Clone, Debug)]
pub(crate) struct JournalScan {
    /// Where the journal goes on.
    pub(crate) end: JournalEnd,
    /// What was written behind the last whole frame but never acknowledged.
    pub(crate) cut: Option<TornTail>,
    /// The files.
    pub(crate) files: FileSet,
    /// Files without a header that reads: never used, not even made to the end, or damaged.
    pub(crate) headless: Vec<u64>,
    /// Files that hold copies of frames, perhaps not of all: what they are copies of is there.
    pub(crate) unfinished: Vec<u64>,
    /// The newest frames, which nothing says were synced: they may have been read from memory and
    /// not be on disk.
    pub(crate) unwitnessed: Vec<OwnedFrame>,
    /// Bytes of the frames behind the segments.
    pub(crate) live_bytes: u64,
    /// Bytes of the files that these are in.
    pub(crate) live_file_bytes: u64,
    /// The file that was read last.
    pub(crate) last_file: PathBuf,
    /// Whether the frame that HEAD has noted was found.
    pub(crate) saw_witness: bool,
    /// The incarnations of the files and frames that were read, in the order in which they begin.
    pub(crate) sessions: Vec<StoreSession>,
}

/// A torn tail.
#[derive(Clone, Debug)]
pub(crate) struct TornTail {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
}

/// What is done with each frame.
pub(crate) type VisitFrame<'v> = dyn FnMut(&Frame<'_>) -> Result<(), OpenError> + 'v;

/// Reads every frame of the journal in order. Whatever stands up to `known` is known to have been
/// durable: when it does not read, that is damage.
pub(crate) fn scan(
    folder: &StoreFolder,
    head: &Head,
    known: Position,
    visit: &mut VisitFrame<'_>,
) -> Result<JournalScan, OpenError> {
    let found = FoundFiles::list(folder, head)?;
    let mut scanner = Scanner::new(folder, head, known, &found);
    scanner.all(&found, visit)?;
    Ok(scanner.finish(&found).0)
}

/// As [`scan`]; frames behind a position stay unpacked, and where the others stand is kept.
pub(crate) fn scan_and_keep(
    folder: &StoreFolder,
    head: &Head,
    known: Position,
    behind: Position,
) -> Result<(JournalScan, KeptFrames), OpenError> {
    let found = FoundFiles::list(folder, head)?;
    let mut scanner = Scanner::new(folder, head, known, &found);
    scanner.kept = Some(KeptFrames::new(head.store_id, folder.schemas(), behind));
    scanner.all(&found, &mut |_| Ok(()))?;
    Ok(scanner.finish(&found))
}

struct Scanner<'a> {
    folder: &'a StoreFolder,
    head: &'a Head,
    known: Position,
    end: JournalEnd,
    /// The file that was read last.
    last_file: PathBuf,
    /// Everything up to here was synced: HEAD says so, or a frame does.
    witnessed: Position,
    cut: Option<TornTail>,
    /// Where the last file does not go on though more is known of, and what is there instead.
    broken_off: Option<(PathBuf, u64, String)>,
    live: FileSet,
    unwitnessed: Vec<OwnedFrame>,
    live_bytes: u64,
    live_file_bytes: u64,
    saw_witness: bool,
    sessions: Vec<StoreSession>,
    kept: Option<KeptFrames>,
}

/// Why no frame of the chain stands somewhere.
enum Miss {
    /// It is none, or another one: what is wrong.
    NotNext(String),
    /// It is the next one, and yet not of what HEAD knows.
    Unfit(OpenError),
}

impl<'a> Scanner<'a> {
    fn new(folder: &'a StoreFolder, head: &'a Head, known: Position, found: &FoundFiles) -> Self {
        let end = JournalEnd {
            slot: None,
            number: found.last_number(),
            offset: 0,
            crc: 0,
            head: head.sealed_through,
        };
        Self {
            folder,
            head,
            known,
            end,
            last_file: folder.journal_path(),
            witnessed: head.durable_head.max(head.sealed_through),
            cut: None,
            broken_off: None,
            live: FileSet { next_slot: found.next_slot, ..FileSet::default() },
            unwitnessed: Vec::new(),
            live_bytes: 0,
            live_file_bytes: 0,
            saw_witness: false,
            sessions: Vec::new(),
            kept: None,
        }
    }

    fn finish(self, found: &FoundFiles) -> (JournalScan, KeptFrames) {
        let unfinished = found.unfinished.iter().map(|file| file.slot);
        let is_read = |slot: &u64| self.live.live.iter().any(|file| file.slot == *slot);
        let headless = found.headless.iter().filter(|slot| !is_read(slot));
        let scan = JournalScan {
            headless: headless.copied().collect(),
            unfinished: unfinished.collect(),
            end: self.end,
            cut: self.cut,
            files: self.live,
            unwitnessed: self.unwitnessed,
            live_bytes: self.live_bytes,
            live_file_bytes: self.live_file_bytes,
            last_file: self.last_file,
            saw_witness: self.saw_witness,
            sessions: self.sessions,
        };
        let nothing =
            || KeptFrames::new(self.head.store_id, self.folder.schemas(), Position::START);
        (scan, self.kept.unwrap_or_else(nothing))
    }

    fn all(&mut self, found: &FoundFiles, visit: &mut VisitFrame<'_>) -> Result<(), OpenError> {
        let next = self.head.sealed_through.next();
        let start = found.used.iter().rposition(|file| file.header.first_position <= next);
        let start = start.unwrap_or(0);
        let mut is_first = true;
        for (place, file) in found.used.iter().enumerate() {
            let limit = found.limit(place);
            let is_empty = limit.is_some_and(|limit| limit <= file.header.first_position);
            if place < start || is_empty {
                self.live.spare.push(file.slot);
                continue;
            }
            self.file(file, is_first, limit, visit)?;
            is_first = false;
        }
        for slot in &found.headless {
            self.headless(*slot, visit)?;
        }
        self.check_end()
    }

    /// Reads a file without a header, if it begins with the frame that would be next.
    fn headless(&mut self, slot: u64, visit: &mut VisitFrame<'_>) -> Result<(), OpenError> {
        let file = self.folder.open_journal_file(slot, Access::Read)?;
        let Some((frame, is_blank)) = self.begins_next(&file)? else { return Ok(()) };
        if self.head.clean || !is_blank {
            // Acknowledged perhaps, and whole: only the header in front of them is damaged.
            let path = file.path().to_owned();
            return Err(self.damage(path, 0, "the header of the file".to_owned()));
        }
        // The first write to the file was torn before it was synced: the rest of it is here.
        self.end.number += 1;
        let header = FileHeader {
            store_id: self.head.store_id,
            incarnation: frame.incarnation,
            file_number: self.end.number,
            first_position: frame.first_position,
            previous_crc: frame.previous_crc,
            sessions: self.head.sessions.clone(),
        };
        self.file(&UsedFile { slot, header }, false, None, visit)
    }

    /// Checks that nothing is missing at the end.
    fn check_end(&self) -> Result<(), OpenError> {
        if self.end.head < self.known {
            if let Some((file, offset, what)) = &self.broken_off {
                return Err(self.damage(file.clone(), *offset, what.clone()));
            }
            let what = format!("it ends at position {}", self.end.head);
            return Err(self.damage(self.last_file.clone(), self.end.offset, what));
        }
        Ok(())
    }

    /// Reads one file up to where a later one begins.
    fn file(
        &mut self,
        file: &UsedFile,
        is_first: bool,
        limit: Option<Position>,
        visit: &mut VisitFrame<'_>,
    ) -> Result<(), OpenError> {
        let path = self.folder.journal_file_path(file.slot);
        let header = &file.header;
        let begins_elsewhere = || format!("the file begins at position {}", header.first_position);
        if is_first {
            // Events before the first file are in segments; those that are in both are the
            // same.
            if header.first_position.previous() > self.head.sealed_through {
                return Err(self.damage(path, 0, begins_elsewhere()));
            }
            self.end.head = header.first_position.previous();
            self.end.crc = header.previous_crc;
            self.compare_with_witness(header.first_position.previous().previous())?;
        } else if header.first_position != self.end.head.next()
            || header.previous_crc != self.end.crc
        {
            return Err(self.damage(path, 0, begins_elsewhere()));
        }
        self.note_session(header.incarnation);
        self.last_file.clone_from(&path);
        let opened = self.folder.open_journal_file(file.slot, Access::Read)?;
        let mut window = JournalWindow::new(&opened, opened.bytes()?);
        self.live
            .live
            .push_back(LiveFile { slot: file.slot, first_position: header.first_position });
        self.live_file_bytes += window.len();
        self.end.slot = Some(file.slot);
        if let Some(kept) = &mut self.kept {
            kept.begin_file(opened);
        }
        self.frames(path, &mut window, header.incarnation, limit, visit)
    }

    fn frames(
        &mut self,
        path: PathBuf,
        window: &mut JournalWindow,
        incarnation: u64,
        limit: Option<Position>,
        visit: &mut VisitFrame<'_>,
    ) -> Result<(), OpenError> {
        let mut offset = to_u64(FILE_HEADER_BYTES);
        self.end.offset = offset;
        while limit.is_none_or(|limit| self.end.head.next() < limit) {
            let aligned = offset.next_multiple_of(to_u64(GROUP_ALIGNMENT));
            let found = match self.next_frame(window, offset) {
                // The next group begins at the next boundary.
                Err(Miss::NotNext(_)) => self.next_frame(window, aligned).map(|f| (aligned, f)),
                here => here.map(|frame| (offset, frame)),
            };
            match found {
                Ok((at, frame)) => {
                    visit(&frame)?;
                    self.take(&frame, to_usize(at))?;
                    offset = at + to_u64(frame.bytes.len());
                    self.end.offset = offset.next_multiple_of(to_u64(GROUP_ALIGNMENT));
                }
                Err(Miss::Unfit(error)) => return Err(error),
                Err(Miss::NotNext(what)) => {
                    let synced = self.synced_after(window, aligned, incarnation)?;
                    // Places are positions here: all before the next one of what is synced are.
                    let gap = Gap::at(self.end.head.next(), synced.next());
                    if limit.is_some() || gap == Gap::Damaged {
                        return Err(self.damage(path, aligned, what));
                    }
                    if self.known >= self.end.head.next() {
                        // Damage, unless a file without a header goes on.
                        self.broken_off = Some((path, aligned, what));
                        return Ok(());
                    }
                    let rest = window.read(aligned, FRAME_HEADER_BYTES)?;
                    if frame::begins_at(rest, self.end.head.next()) {
                        self.cut = Some(TornTail { file: path, offset: aligned });
                    }
                    return Ok(());
                }
            }
        }
        if limit.is_some_and(|limit| self.end.head.next() != limit) {
            let what = format!("a frame that ends at position {}", self.end.head);
            return Err(self.damage(path, offset, what));
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>, at: usize) -> Result<(), OpenError> {
        let before = self.end.head;
        self.note_session(frame.header.incarnation);
        if let Some(kept) = &mut self.kept {
            kept.push(frame, at)?;
        }
        self.end.head = frame.header.last_position();
        self.end.crc = frame.header.crc;
        self.witnessed = self.witnessed.max(frame.header.synced_through);
        self.unwitnessed.retain(|frame| frame.header.last_position() > self.witnessed);
        if self.end.head > self.witnessed {
            self.unwitnessed.push(OwnedFrame::from(frame));
        }
        if self.end.head > self.head.sealed_through {
            self.live_bytes += to_u64(frame.bytes.len());
        }
        self.compare_with_witness(before)
    }

    /// Notes whose frames follow, if they are another session's.
    fn note_session(&mut self, incarnation: u64) {
        if self.sessions.last().is_none_or(|last| last.incarnation != incarnation) {
            self.sessions.push(StoreSession { incarnation, after: self.end.head });
        }
    }

    /// Compares with what HEAD has noted, now that a frame ends here, and none did since `before`.
    fn compare_with_witness(&mut self, before: Position) -> Result<(), OpenError> {
        let Some(witness) = self.head.witness.filter(|_| !self.saw_witness) else { return Ok(()) };
        self.saw_witness = self.end.head == witness.position && self.end.crc == witness.crc;
        let is_passed = before < witness.position && witness.position <= self.end.head;
        if !is_passed || self.saw_witness {
            return Ok(());
        }
        Err(OpenError::PartsDiffer {
            path: self.folder.root().to_owned(),
            part: StorePart::Journal,
            what: format!(
                "HEAD knows another frame that ends at position {}: HEAD or the journal is of another \
                 copy of the store",
                witness.position
            ),
        })
    }

    /// The frame at an offset, if it is whole and the next of the chain; else what is wrong.
    fn next_frame<'w>(
        &self,
        window: &'w mut JournalWindow,
        offset: u64,
    ) -> Result<Frame<'w>, Miss> {
        let unread = |error: StorageError| Miss::Unfit(error.into());
        let rest = window.frame_bytes(offset).map_err(unread)?;
        let frame = frame::parse(rest, self.head.store_id, self.folder.schemas())
            .map_err(|error| Miss::NotNext(error.to_string()))?;
        let header = &frame.header;
        let not_next = |what: String| Err(Miss::NotNext(what));
        if header.previous_crc != self.end.crc {
            return not_next("a frame that follows another frame".to_owned());
        }
        if header.first_position != self.end.head.next() {
            return not_next(format!("a frame for position {}", header.first_position));
        }
        self.head.check_incarnation(header.incarnation, self.folder).map_err(Miss::Unfit)?;
        if !self.head.allows(header) {
            return not_next(format!("a frame of incarnation {}", header.incarnation));
        }
        Ok(frame)
    }

    /// Up to which position the journal was synced as the first later whole frame of the same use
    /// of the file says that covers the next event, if one does.
    fn synced_after(
        &self,
        window: &mut JournalWindow,
        from: u64,
        incarnation: u64,
    ) -> Result<Position, StorageError> {
        let next = self.end.head.next();
        let (store_id, schemas) = (self.head.store_id, self.folder.schemas());
        let (end, alignment) = (window.len(), to_u64(GROUP_ALIGNMENT));
        let found = next_frame(from, end, alignment, |start| {
            let Ok(frame) = frame::parse(window.frame_bytes(start)?, store_id, schemas) else {
                return Ok::<_, StorageError>(None);
            };
            let header = frame.header;
            let is_later = header.first_position > next && header.incarnation >= incarnation;
            Ok((is_later && header.synced_through >= next).then_some(header.synced_through))
        });
        Ok(found?.map_or(Position::START, |(_, synced)| synced))
    }

    /// The frame that a file without a header begins with, if it is the one that would be next, and
    /// whether nothing was ever written in the place of the header.
    fn begins_next(&self, file: &Arc<dyn File>) -> Result<Option<(FrameHeader, bool)>, OpenError> {
        let mut window = JournalWindow::new(file, file.bytes()?);
        let begin = window.read(0, FILE_HEADER_BYTES + FRAME_HEADER_BYTES)?;
        let Some((header, frame)) = begin.split_at_checked(FILE_HEADER_BYTES) else {
            return Ok(None);
        };
        if !frame::begins_like_one(frame) {
            return Ok(None);
        }
        let is_blank = header.iter().all(|byte| *byte == 0);
        let frame = self.next_frame(&mut window, to_u64(FILE_HEADER_BYTES)).ok();
        Ok(frame.map(|frame| (frame.header, is_blank)))
    }

    fn damage(&self, file: PathBuf, offset: u64, what: String) -> OpenError {
        OpenError::JournalDamaged { position: self.end.head.next(), file, offset, what }
    }
}
