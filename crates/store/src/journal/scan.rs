//! Reading the journal back: which files are in use, which frames are whole, where it ends, and
//! whether what does not read is a torn tail or damage.
//!
//! - Files are read in the order of their numbers, each up to where a later one begins: what stands
//!   behind that was copied to the later one, or never acknowledged.
//! - A file may still hold bytes of an earlier use. They never read as the next frame: every frame
//!   carries the checksum of the frame before, which is seeded with the incarnation, and its
//!   position; an earlier use has lower positions or an earlier incarnation.
//! - A file is begun only after everything before it was synced. So a frame that does not read is
//!   damage unless it stands in the last file, and nothing says that it was synced: no later frame
//!   of that file, and not HEAD.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use spacefold_event_core::Position;

use crate::{
    error::{Doing, OpenError},
    folder::Folder,
    head::Head,
    journal::{
        JournalEnd,
        files::{FileSet, LiveFile},
        frame::{
            self, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, Frame, FrameError,
            GROUP_ALIGNMENT, OwnedFrame,
        },
    },
};

/// What was found in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// Where the journal goes on.
    pub(crate) end: JournalEnd,
    /// What was written behind the last whole frame but never acknowledged.
    pub(crate) cut: Option<Cut>,
    /// The files.
    pub(crate) files: FileSet,
    /// Files that hold nothing: never used, not even made to the end, or to be written again.
    pub(crate) unused: Vec<u64>,
    /// The newest frames, which nothing says were synced: they may have been read from memory and
    /// not be on disk.
    pub(crate) unwitnessed: Vec<OwnedFrame>,
    /// Bytes of the frames behind the sealed files.
    pub(crate) live_bytes: u64,
    /// Bytes of the files that these are in.
    pub(crate) live_file_bytes: u64,
}

/// A torn tail.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
}

/// What is done with each frame.
pub(crate) type VisitFrame<'v> = dyn FnMut(&Frame<'_>) -> Result<(), OpenError> + 'v;

/// Reads every frame of the journal in order. Whatever stands up to `known` is known to have been
/// durable: when it does not read, that is damage.
pub(crate) fn scan(
    folder: &Folder,
    head: &Head,
    known: Position,
    visit: &mut VisitFrame<'_>,
) -> Result<Scan, OpenError> {
    let found = FoundFiles::list(folder, head)?;
    let begun = JournalEnd {
        slot: None,
        number: found.last_number(),
        offset: 0,
        crc: 0,
        head: head.sealed_through,
    };
    let mut scanner = Scanner {
        folder,
        head,
        known,
        end: begun,
        last_file: folder.journal(),
        witnessed: head.durable_head.max(head.sealed_through),
        cut: None,
        live: FileSet { next_slot: found.next_slot, ..FileSet::default() },
        unwitnessed: Vec::new(),
        live_bytes: 0,
        live_file_bytes: 0,
    };
    scanner.all(&found, visit)?;
    let unfinished = found.unfinished.iter().map(|file| file.slot);
    Ok(Scan {
        unused: found.headless.into_iter().chain(unfinished).collect(),
        end: scanner.end,
        cut: scanner.cut,
        files: scanner.live,
        unwitnessed: scanner.unwitnessed,
        live_bytes: scanner.live_bytes,
        live_file_bytes: scanner.live_file_bytes,
    })
}

/// A file with a header of this store.
#[derive(Debug)]
pub(super) struct UsedFile {
    pub(super) slot: u64,
    pub(super) header: FileHeader,
}

/// The files of the journal's folder.
#[derive(Debug, Default)]
pub(super) struct FoundFiles {
    /// Ascending by number.
    pub(super) used: Vec<UsedFile>,
    /// Without a header that reads: never used, or damaged.
    pub(super) headless: Vec<u64>,
    /// Frames were to be written again to these, and nothing says that all were.
    unfinished: Vec<UsedFile>,
    pub(super) next_slot: u64,
}

impl FoundFiles {
    pub(super) fn list(folder: &Folder, head: &Head) -> Result<Self, OpenError> {
        let mut found = Self::default();
        for slot in folder.journal_slots()? {
            found.next_slot = slot + 1;
            let path = folder.journal_file(slot);
            let doing = || format!("reading {}", path.display());
            let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
            let file = File::open(&path).doing(doing)?;
            file.take(to_u64(FILE_HEADER_BYTES)).read_to_end(&mut bytes).doing(doing)?;
            match FileHeader::parse(&bytes, head.store_id) {
                Ok(header) if head.knows(header.incarnation) => {
                    found.used.push(UsedFile { slot, header });
                }
                Ok(header) => found.unfinished.push(UsedFile { slot, header }),
                Err(FrameError::OtherStore) => {
                    tracing::warn!(file = %path.display(), "a journal file of another store");
                }
                Err(_) => found.headless.push(slot),
            }
        }
        found.used.sort_by_key(|file| (file.header.file_number, file.slot));
        // Of two that claim to be one, the copy is left alone: it is neither read nor written.
        found.used.dedup_by_key(|file| file.header.file_number);
        Ok(found)
    }
}

impl FoundFiles {
    /// The highest number that a file has.
    pub(super) fn last_number(&self) -> u64 {
        let files = self.used.iter().chain(&self.unfinished);
        files.map(|file| file.header.file_number).max().unwrap_or(0)
    }

    /// The first position that is not read from the file at this place, since a later file begins
    /// there.
    pub(super) fn limit(&self, place: usize) -> Option<Position> {
        let later = self.used.get(place + 1..).unwrap_or_default();
        later.iter().map(|file| file.header.first_position).min()
    }
}

struct Scanner<'a> {
    folder: &'a Folder,
    head: &'a Head,
    known: Position,
    end: JournalEnd,
    /// The file that was read last.
    last_file: PathBuf,
    /// Everything up to here was synced: HEAD says so, or a frame does.
    witnessed: Position,
    cut: Option<Cut>,
    live: FileSet,
    unwitnessed: Vec<OwnedFrame>,
    live_bytes: u64,
    live_file_bytes: u64,
}

impl Scanner<'_> {
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
        self.finish(found)
    }

    /// Checks that nothing is missing at the end.
    fn finish(&mut self, found: &FoundFiles) -> Result<(), OpenError> {
        for slot in &found.headless {
            // Acknowledged perhaps, and whole: only the header in front of them is damaged.
            let path = self.folder.journal_file(*slot);
            if self.begins_next(&path)? {
                return Err(self.damage(path, 0, "the header of the file".to_owned()));
            }
        }
        if self.end.head < self.known {
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
        let path = self.folder.journal_file(file.slot);
        let header = &file.header;
        let begins_elsewhere = || format!("the file begins at position {}", header.first_position);
        if is_first {
            // Events before the first file are in sealed files; those that are in both are the
            // same.
            if header.first_position.previous() > self.head.sealed_through {
                return Err(self.damage(path, 0, begins_elsewhere()));
            }
            self.end.head = header.first_position.previous();
            self.end.crc = header.previous_crc;
        } else if header.first_position != self.end.head.next()
            || header.previous_crc != self.end.crc
        {
            return Err(self.damage(path, 0, begins_elsewhere()));
        }
        self.last_file.clone_from(&path);
        let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        self.live
            .live
            .push_back(LiveFile { slot: file.slot, first_position: header.first_position });
        self.live_file_bytes += to_u64(bytes.len());
        self.end.slot = Some(file.slot);
        self.frames(path, &bytes, header.incarnation, limit, visit)
    }

    fn frames(
        &mut self,
        path: PathBuf,
        bytes: &[u8],
        incarnation: u64,
        limit: Option<Position>,
        visit: &mut VisitFrame<'_>,
    ) -> Result<(), OpenError> {
        let mut offset = FILE_HEADER_BYTES;
        self.end.offset = to_u64(offset);
        while limit.is_none_or(|limit| self.end.head.next() < limit) {
            let aligned = offset.next_multiple_of(GROUP_ALIGNMENT);
            let here = self.next_frame(bytes, offset).map(|frame| (offset, frame));
            // The next group begins at the next boundary.
            let found = here.or_else(|_| self.next_frame(bytes, aligned).map(|f| (aligned, f)));
            match found {
                Ok((at, frame)) => {
                    visit(&frame)?;
                    self.take(&frame);
                    offset = at + frame.bytes.len();
                    self.end.offset = to_u64(offset.next_multiple_of(GROUP_ALIGNMENT));
                }
                Err(what) => {
                    let rest = bytes.get(aligned..).unwrap_or(&[]);
                    if limit.is_some() || self.is_acknowledged(rest, incarnation) {
                        return Err(self.damage(path, to_u64(aligned), what));
                    }
                    if frame::begins_at(rest, self.end.head.next()) {
                        self.cut = Some(Cut { file: path, offset: to_u64(aligned) });
                    }
                    return Ok(());
                }
            }
        }
        if limit.is_some_and(|limit| self.end.head.next() != limit) {
            let what = format!("a frame that ends at position {}", self.end.head);
            return Err(self.damage(path, to_u64(offset), what));
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>) {
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
    }

    /// The frame at an offset, if it is whole and the next of the chain; else what is wrong.
    fn next_frame<'b>(&self, bytes: &'b [u8], offset: usize) -> Result<Frame<'b>, String> {
        let rest = bytes.get(offset..).unwrap_or(&[]);
        let frame = frame::parse(rest, self.head.store_id).map_err(|error| error.to_string())?;
        let header = &frame.header;
        if header.previous_crc != self.end.crc {
            return Err("a frame that follows another frame".to_owned());
        }
        if header.first_position != self.end.head.next() {
            return Err(format!("a frame for position {}", header.first_position));
        }
        if !self.head.allows(header) {
            return Err(format!("a frame of incarnation {}", header.incarnation));
        }
        Ok(frame)
    }

    /// Whether something proves that the next event was acknowledged: HEAD, or a later whole
    /// frame of the same use of the file that was written after a sync which covered it.
    fn is_acknowledged(&self, rest: &[u8], incarnation: u64) -> bool {
        let next = self.end.head.next();
        let witness = |start: usize| {
            let frame = frame::parse(rest.get(start..)?, self.head.store_id).ok()?;
            let header = frame.header;
            let is_later = header.first_position > next && header.incarnation >= incarnation;
            (is_later && header.synced_through >= next).then_some(())
        };
        self.known >= next
            || (0..rest.len()).step_by(GROUP_ALIGNMENT).any(|start| witness(start).is_some())
    }

    /// Whether a file without a header begins with the frame that would be next.
    fn begins_next(&self, path: &Path) -> Result<bool, OpenError> {
        let doing = || format!("reading {}", path.display());
        let mut begin = Vec::with_capacity(FILE_HEADER_BYTES + FRAME_HEADER_BYTES);
        let file = File::open(path).doing(doing)?;
        let length = to_u64(FILE_HEADER_BYTES + FRAME_HEADER_BYTES);
        file.take(length).read_to_end(&mut begin).doing(doing)?;
        let frame = begin.get(FILE_HEADER_BYTES..).unwrap_or_default();
        if !frame::begins_like_one(frame) {
            return Ok(false);
        }
        let bytes = fs::read(path).doing(doing)?;
        Ok(self.next_frame(&bytes, FILE_HEADER_BYTES).is_ok())
    }

    fn damage(&self, file: PathBuf, offset: u64, what: String) -> OpenError {
        OpenError::JournalDamaged { position: self.end.head.next(), file, offset, what }
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
