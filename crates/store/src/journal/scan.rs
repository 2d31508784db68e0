//! Reading the journal back: which frames are whole, where it ends, and whether what does not
//! read is a torn tail or damage.

use std::{fs, path::PathBuf};

use spacefold_event_core::Position;

use crate::{
    error::{Doing, OpenError},
    folder::Folder,
    head::Head,
    journal::JournalEnd,
    journal::frame::{self, FILE_HEADER_BYTES, FileHeader, Frame, GROUP_ALIGNMENT},
};

/// What was found in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// Where the journal goes on.
    pub(crate) end: JournalEnd,
    /// The bytes of the last file behind its last whole frame that were written but never
    /// acknowledged.
    pub(crate) cut: Option<Cut>,
}

/// A torn tail.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
}

/// Reads every frame of the journal in order. Whatever stands up to `known` is known to have been
/// durable: when it does not read, that is damage.
pub(crate) fn scan(
    folder: &Folder,
    head: &Head,
    known: Position,
    visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), OpenError>,
) -> Result<Scan, OpenError> {
    let mut scanner = Scanner {
        folder,
        head,
        known,
        end: JournalEnd { number: 0, offset: 0, crc: 0, head: head.sealed_through },
        cut: None,
    };
    let numbers = Folder::numbered(&folder.journal(), "journal")?;
    for (place, number) in numbers.iter().enumerate() {
        let is_last = place + 1 == numbers.len();
        scanner.file(*number, is_last, visit)?;
    }
    if scanner.end.head < known {
        let file = match scanner.end.number {
            0 => folder.journal(),
            number => folder.journal_file(number),
        };
        let offset = scanner.end.offset;
        let what = format!("it ends at position {}", scanner.end.head);
        return Err(scanner.damage(file, offset, what));
    }
    Ok(Scan { end: scanner.end, cut: scanner.cut })
}

struct Scanner<'a> {
    folder: &'a Folder,
    head: &'a Head,
    known: Position,
    end: JournalEnd,
    cut: Option<Cut>,
}

impl Scanner<'_> {
    fn file(
        &mut self,
        number: u64,
        is_last: bool,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let path = self.folder.journal_file(number);
        let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        let header = match FileHeader::parse(&bytes, self.head.store_id) {
            Ok(header) => header,
            // A crash while the file was being made leaves one that nothing was ever written to.
            Err(_) if is_last && self.known <= self.end.head && !self.holds_frames(&bytes) => {
                self.cut = Some(Cut { file: path, offset: 0 });
                return Ok(());
            }
            Err(error) => {
                return Err(self.damage(path, 0, format!("the header of the file: {error}")));
            }
        };
        if self.end.number == 0 {
            // Events before the first file are in sealed files; those that are in both are the
            // same.
            let before = header.first_position.previous();
            if before > self.head.sealed_through {
                let what = format!("the file begins at position {}", header.first_position);
                return Err(self.damage(path, 0, what));
            }
            self.end.head = before;
            self.end.crc = header.previous_crc;
        } else if header.first_position != self.end.head.next()
            || header.previous_crc != self.end.crc
        {
            let what = format!("the file begins at position {}", header.first_position);
            return Err(self.damage(path, 0, what));
        }
        self.end.number = number;
        self.frames(path, &bytes, is_last, visit)
    }

    fn frames(
        &mut self,
        path: PathBuf,
        bytes: &[u8],
        is_last: bool,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut offset = FILE_HEADER_BYTES;
        loop {
            let aligned = offset.next_multiple_of(GROUP_ALIGNMENT);
            let here = self.next_frame(bytes, offset).map(|frame| (offset, frame));
            // The next group begins at the next boundary.
            let found = here.or_else(|_| self.next_frame(bytes, aligned).map(|f| (aligned, f)));
            match found {
                Ok((at, frame)) => {
                    visit(&frame)?;
                    self.end.head = frame.header.last_position();
                    self.end.crc = frame.header.crc;
                    offset = at + frame.len;
                    self.end.offset = to_u64(offset.next_multiple_of(GROUP_ALIGNMENT));
                }
                Err(what) => {
                    self.end.offset = to_u64(aligned);
                    let rest = bytes.get(aligned..).unwrap_or(&[]);
                    if rest.iter().all(|byte| *byte == 0) {
                        return Ok(());
                    }
                    if !is_last || self.is_acknowledged(rest) {
                        return Err(self.damage(path, to_u64(aligned), what));
                    }
                    self.cut = Some(Cut { file: path, offset: to_u64(aligned) });
                    return Ok(());
                }
            }
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
        if header.incarnation > self.head.incarnation {
            return Err(format!("a frame of incarnation {}", header.incarnation));
        }
        Ok(frame)
    }

    /// Whether something proves that the next event was acknowledged: HEAD, or a later whole
    /// frame that was written after a sync which covered it.
    fn is_acknowledged(&self, rest: &[u8]) -> bool {
        let next = self.end.head.next();
        let witness = |start: usize| {
            let frame = frame::parse(rest.get(start..)?, self.head.store_id).ok()?;
            let is_later = frame.header.first_position > next;
            (is_later && frame.header.synced_through >= next).then_some(())
        };
        self.known >= next
            || (0..rest.len()).step_by(GROUP_ALIGNMENT).any(|start| witness(start).is_some())
    }

    fn holds_frames(&self, bytes: &[u8]) -> bool {
        let mut starts = (0..bytes.len()).step_by(GROUP_ALIGNMENT);
        starts.any(|start| {
            let rest = bytes.get(start..).unwrap_or(&[]);
            frame::parse(rest, self.head.store_id).is_ok()
        })
    }

    fn damage(&self, file: PathBuf, offset: u64, what: String) -> OpenError {
        OpenError::JournalDamaged { position: self.end.head.next(), file, offset, what }
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
