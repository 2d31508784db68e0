//! Reading on in a journal that another process writes: from where the segments end, frame by frame,
//! from file to file.
//!
//! - A file that is used again is another one, whichever of the two its header and its frames were read
//!   of: each frame, and each header, names the checksum of the frame before it, so that nothing of the
//!   other one follows, but what the log went on with there. Where nothing follows that is durable,
//!   everything is read anew behind the segments, which have what the file held.
//! - What is read is shown once it is proved to be durable, not before: the page cache shows frames
//!   that a power cut takes back. A frame says how far the journal was synced when it was written,
//!   and so does a file that was begun.
//! - Which frames count is HEAD's to say: with another incarnation or fence they are read anew.

use std::{collections::VecDeque, sync::Arc};

use spacefold_disk::{Access, File};
use spacefold_event_core::{Position, bytes::to_u64};

use crate::{
    error::OpenError,
    folder::StoreFolder,
    head::{Fence, Head},
    journal::{
        frame::{self, FILE_HEADER_BYTES, FileHeader, FrameHeader, GROUP_ALIGNMENT},
        scan::{FoundFiles, unpack},
        window::JournalWindow,
    },
    run::RecordRun,
};

/// Where the journal has been read to.
#[derive(Debug)]
pub(super) struct JournalCursor {
    folder: StoreFolder,
    store_id: [u8; 16],
    /// What HEAD said of the frames that count.
    counted: Option<(u64, Fence)>,
    place: Option<JournalPlace>,
    /// The checksum of the last frame that was read.
    crc: u32,
    /// The position of its last event.
    end: Position,
    /// Everything up to here is durable, as the journal itself says.
    proved: Position,
    /// Frames up to here are read for their chain alone.
    passed: Position,
    unshown: VecDeque<UnshownAppend>,
}

/// A file of the journal, and where to go on in it.
#[derive(Debug)]
struct JournalPlace {
    slot: u64,
    header: FileHeader,
    file: Arc<dyn File>,
    bytes: u64,
    offset: u64,
    /// What is from here on is read from a later file.
    limit: Option<Position>,
}

/// An append that nothing has proved to be durable yet.
#[derive(Debug)]
struct UnshownAppend {
    first: Position,
    runs: Vec<RecordRun>,
}

/// A frame that follows.
struct NextFrame {
    header: FrameHeader,
    bytes: u64,
    runs: Vec<RecordRun>,
}

impl JournalCursor {
    /// Nothing was read yet.
    pub(super) fn new(folder: &StoreFolder, store_id: [u8; 16]) -> Self {
        Self {
            folder: folder.clone(),
            store_id,
            counted: None,
            place: None,
            crc: 0,
            end: Position::START,
            proved: Position::START,
            passed: Position::START,
            unshown: VecDeque::new(),
        }
    }

    /// Goes back to the segments: what was read and not shown is read again.
    pub(super) fn begin_anew(&mut self) {
        self.place = None;
        self.proved = Position::START;
        self.unshown.clear();
    }

    /// Everything up to here is durable, as the journal itself says.
    pub(super) fn proved(&self) -> Position {
        self.proved
    }

    /// Reads on to the end, of what is behind `passed`, which is shown already. Everything up to
    /// `wanted` was durable, and so written, before this was called; with `looks_on` it is looked for
    /// a later file even if that much was read. HEAD and the end of the segments were read before, too.
    ///
    /// # Errors
    /// [`OpenError::JournalDamaged`], and others: where it does not read as it should. It may have been
    /// changed meanwhile: what is the same each time, of the same HEAD, is so.
    pub(super) fn read_on(
        &mut self,
        head: &Head,
        sealed: Position,
        passed: Position,
        wanted: Position,
        looks_on: bool,
    ) -> Result<(), OpenError> {
        let counted = Some((head.incarnation, head.fence));
        if self.counted != counted {
            self.begin_anew();
            self.counted = counted;
        }
        self.passed = passed.max(sealed);
        if self.place.is_none() && !self.begin(head, sealed)? {
            return self.check_end(wanted, &"it has no file");
        }
        loop {
            let missed = self.frames(head)?;
            let is_passed =
                |place: &JournalPlace| place.limit.is_some_and(|limit| limit <= self.end.next());
            let is_at_limit = self.place.as_ref().is_some_and(is_passed);
            if !is_at_limit && !looks_on && self.end >= wanted {
                return Ok(());
            }
            if !self.enter_next(head)? {
                return self.check_end(wanted, &missed);
            }
        }
    }

    /// Takes what was read and is durable: all that begins up to `durable`. An append is durable whole.
    pub(super) fn take_durable(&mut self, durable: Position) -> Vec<RecordRun> {
        let count = self.unshown.partition_point(|append| append.first <= durable);
        self.unshown.drain(..count).flat_map(|append| append.runs).collect()
    }

    /// Goes to where the segments end; `false` where there is no file.
    fn begin(&mut self, head: &Head, sealed: Position) -> Result<bool, OpenError> {
        let found = FoundFiles::list(&self.folder, head)?;
        let next = sealed.next();
        let start = found.used.iter().rposition(|file| file.header.first_position <= next);
        let Some(start) = self.first_of(&found, start.unwrap_or(0)) else {
            self.end = sealed;
            return Ok(false);
        };
        self.enter(&found, start)?;
        let Some(place) = &self.place else { return Ok(false) };
        let first = place.header.first_position;
        (self.end, self.crc) = (first.previous(), place.header.previous_crc);
        if first > next {
            self.end = sealed;
            let what = format!("the file begins at position {first}");
            return Err(self.broken(&what));
        }
        Ok(true)
    }

    /// The first file from a place on that has frames of its own.
    fn first_of(&self, found: &FoundFiles, from: usize) -> Option<usize> {
        let has_some = |place: &usize| {
            let first = found.used.get(*place).map(|file| file.header.first_position);
            found.limit(*place).is_none_or(|limit| Some(limit) > first)
        };
        (from..found.used.len()).find(has_some)
    }

    fn enter(&mut self, found: &FoundFiles, place: usize) -> Result<(), OpenError> {
        let Some(used) = found.used.get(place) else { return Ok(()) };
        let file = self.folder.open_journal_file(used.slot, Access::Read)?;
        let bytes = file.bytes()?;
        let header = used.header.clone();
        // It was begun after everything before it was synced.
        self.proved = self.proved.max(header.first_position.previous());
        let limit = found.limit(place);
        let offset = to_u64(FILE_HEADER_BYTES);
        self.place = Some(JournalPlace { slot: used.slot, header, file, bytes, offset, limit });
        Ok(())
    }

    /// Goes on in the next file, if there is one by now.
    fn enter_next(&mut self, head: &Head) -> Result<bool, OpenError> {
        let Some(place) = &self.place else { return Ok(false) };
        let number = place.header.file_number;
        let found = FoundFiles::list(&self.folder, head)?;
        let from = found.used.partition_point(|file| file.header.file_number <= number);
        let Some(next) = self.first_of(&found, from) else { return Ok(false) };
        let Some(header) = found.used.get(next).map(|file| &file.header) else { return Ok(false) };
        if header.first_position != self.end.next() || header.previous_crc != self.crc {
            // Newest frames were written again, or those before it are in segments by now.
            let (number, first) = (header.file_number, header.first_position);
            return Err(self.broken(&format!("file number {number} begins at position {first}")));
        }
        self.enter(&found, next)?;
        Ok(true)
    }

    /// Reads every frame that follows in the file; what is there instead of the next one.
    fn frames(&mut self, head: &Head) -> Result<String, OpenError> {
        let Some(JournalPlace { file, bytes, .. }) = &self.place else { return Ok(String::new()) };
        let mut window = JournalWindow::new(file, *bytes);
        loop {
            let Some(place) = &self.place else { return Ok(String::new()) };
            if place.limit.is_some_and(|limit| limit <= self.end.next()) {
                return Ok("a later file".to_owned());
            }
            let aligned = place.offset.next_multiple_of(to_u64(GROUP_ALIGNMENT));
            let found = match self.frame_at(&mut window, place.offset, head)? {
                // The next group begins at the next boundary.
                Err(_) if aligned != place.offset => {
                    self.frame_at(&mut window, aligned, head)?.map(|found| (aligned, found))
                }
                here => here.map(|found| (place.offset, found)),
            };
            match found {
                Err(what) => return Ok(what),
                Ok((offset, frame)) => self.take(offset, frame),
            }
        }
    }

    fn take(&mut self, offset: u64, frame: NextFrame) {
        if let Some(place) = &mut self.place {
            place.offset = offset + frame.bytes;
        }
        self.end = frame.header.last_position();
        self.crc = frame.header.crc;
        self.proved = self.proved.max(frame.header.synced_through);
        if !frame.runs.is_empty() {
            let first = frame.header.first_position;
            self.unshown.push_back(UnshownAppend { first, runs: frame.runs });
        }
    }

    /// The frame at an offset, if it is whole and the next of the chain; else what is wrong.
    fn frame_at(
        &self,
        window: &mut JournalWindow,
        offset: u64,
        head: &Head,
    ) -> Result<Result<NextFrame, String>, OpenError> {
        let bytes = window.frame_bytes(offset)?;
        let frame = match frame::parse(bytes, self.store_id, self.folder.schemas()) {
            Err(error) => return Ok(Err(error.to_string())),
            Ok(frame) => frame,
        };
        let header = frame.header;
        if header.previous_crc != self.crc {
            return Ok(Err("a frame that follows another frame".to_owned()));
        }
        if header.first_position != self.end.next() {
            return Ok(Err(format!("a frame for position {}", header.first_position)));
        }
        head.check_incarnation(header.incarnation, &self.folder)?;
        if !head.allows(&header) {
            return Ok(Err(format!("a frame of incarnation {}", header.incarnation)));
        }
        let runs = match header.last_position() > self.passed {
            true => unpack(header.first_position, frame.runs())?,
            false => Vec::new(),
        };
        Ok(Ok(NextFrame { header, bytes: to_u64(frame.bytes.len()), runs }))
    }

    fn check_end(&self, wanted: Position, missed: &dyn std::fmt::Display) -> Result<(), OpenError> {
        match self.end >= wanted {
            true => Ok(()),
            false => Err(self.broken(&format!("{missed}, though position {wanted} is durable"))),
        }
    }

    /// Where the journal does not read on; the place is left, to be found anew.
    fn broken(&self, what: &str) -> OpenError {
        let (file, offset, used) = match &self.place {
            None => (self.folder.journal_path(), 0, String::new()),
            Some(JournalPlace { slot, header, offset, .. }) => {
                let FileHeader { file_number, incarnation, .. } = header;
                let used = format!(" (file number {file_number}, incarnation {incarnation})");
                (self.folder.journal_file_path(*slot), *offset, used)
            }
        };
        let what = format!("{what}{used}");
        OpenError::JournalDamaged { position: self.end.next(), file, offset, what }
    }
}
