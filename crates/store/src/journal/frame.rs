//! Journal frames: one append each, whole, and the header of the files that hold them.
//!
//! The events of a frame are in runs: a large append has several, so that each becomes a block as it
//! is. Pure functions over bytes. A frame proves on its own that it is whole and of this store; that
//! it follows the frame before is for the caller to see, by comparing `previous_crc`.
//! `docs/format.md` has every byte.

mod runs;

use spacefold_event_core::{
    CorruptRecords, MAX_APPEND_EVENTS, Position, Schemas, Timestamp,
    bytes::{ByteReader, to_u32, to_usize},
};

use crate::{
    head::{
        extension::{self, ExtensionFields},
        sessions::Sessions,
    },
    run::RecordRun,
    wire::{MAX_ASSIGNMENTS_BYTES, MAX_BODY_BYTES, MAX_EXTENSION_BYTES, check_run, is_extension},
};

/// Groups of frames start at multiples of this offset: what a disk writes in one piece.
pub(crate) const GROUP_ALIGNMENT: usize = 512;
/// Bytes of the header of a journal file; the first group of frames follows.
pub(crate) const FILE_HEADER_BYTES: usize = GROUP_ALIGNMENT;
/// Bytes of the list of the runs: the assignments of an append, and some twenty bytes a run.
const MAX_RUNS_BYTES: usize = MAX_ASSIGNMENTS_BYTES + (128 << 10);
/// Bytes of a frame before its extension fields.
pub(crate) const FRAME_HEADER_BYTES: usize = 80;

const FORMAT_VERSION: u16 = 1;
const FRAME_MAGIC: [u8; 4] = *b"SFJ1";
const FILE_MAGIC: [u8; 4] = *b"SFJF";
/// No flag is defined; a set flag is one that a later version needs understood.
const NO_FLAGS: u16 = 0;
const INCARNATION_OFFSET: usize = 24;
const POSITION_OFFSET: usize = 32;
const PREVIOUS_CRC_OFFSET: usize = CRC_OFFSET - CRC_BYTES;
const CRC_OFFSET: usize = FRAME_HEADER_BYTES - CRC_BYTES;
const CRC_BYTES: usize = size_of::<u32>();
const FILE_CRC_OFFSET: usize = FILE_HEADER_BYTES - CRC_BYTES;

/// What a frame is written after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameContext {
    /// The store.
    pub(crate) store_id: [u8; 16],
    /// The use of the journal that writes: every opening takes a new one.
    pub(crate) incarnation: u64,
    /// The checksum of the frame before; 0 before the first frame of a store.
    pub(crate) previous_crc: u32,
}

/// The fixed fields of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// The store.
    pub(crate) store_id: [u8; 16],
    /// The use of the journal that wrote the frame.
    pub(crate) incarnation: u64,
    /// The checksum of the frame before.
    pub(crate) previous_crc: u32,
    /// The position of the first event.
    pub(crate) first_position: Position,
    /// The number of events, from 1.
    pub(crate) count: u32,
    /// When the log took the first event.
    pub(crate) recorded_at: Timestamp,
    /// Up to where the journal was known to be synced when the frame was written.
    pub(crate) synced_through: Position,
    /// The checksum of the frame.
    pub(crate) crc: u32,
    /// Bytes of the list of the runs.
    pub(crate) runs_len: u32,
    /// Bytes of the bodies of all runs.
    pub(crate) body_len: u32,
    /// Bytes of the extension fields.
    pub(crate) extension_len: u32,
}

/// Why bytes are no frame of this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Zeros, or fewer bytes than a magic number has: nothing was written here.
    #[error("nothing is written here")]
    End,
    /// Bytes that do not start like a frame.
    #[error("no frame starts here")]
    NotAFrame,
    /// A whole frame, of another store.
    #[error("a frame of another store")]
    OtherStore,
    /// The bytes end before the frame does.
    #[error("a frame that is cut off")]
    Truncated,
    /// The checksum is not that of the bytes.
    #[error("a frame whose checksum does not match")]
    BadChecksum,
    /// A frame that this version cannot read: what is wrong with it.
    #[error("a frame that cannot be read: {0}")]
    Unreadable(&'static str),
    /// The records of a run do not decode.
    #[error(transparent)]
    Records(#[from] CorruptRecords),
}

/// A frame whose checksum holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// The fixed fields.
    pub(crate) header: FrameHeader,
    /// The encoded list of the runs.
    runs: &'a [u8],
    /// The encoded bodies, one after the other.
    bodies: &'a [u8],
    /// All of it.
    pub(crate) bytes: &'a [u8],
    schemas: &'static Schemas,
}

/// Appends a frame to `out` and answers its checksum, which the next frame carries.
///
/// Panics when the runs are none, or longer than any append may be: such a frame could not be read
/// back.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    context: &FrameContext,
    synced_through: Position,
    runs: &[RecordRun],
) -> u32 {
    let stored_runs = runs::encode(runs);
    let count: usize = runs.iter().map(|run| run.records.len()).sum();
    let body_len: usize = runs.iter().map(RecordRun::body_bytes).sum();
    assert!(
        (1..=MAX_APPEND_EVENTS).contains(&count)
            && body_len <= MAX_BODY_BYTES
            && stored_runs.len() <= MAX_RUNS_BYTES,
        "a frame holds one append within its limits"
    );
    let first = &runs.first().expect("an append has a run").records;
    out.reserve(FRAME_HEADER_BYTES + stored_runs.len() + body_len);
    let start = out.len();
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&NO_FLAGS.to_le_bytes());
    out.extend_from_slice(&context.store_id);
    out.extend_from_slice(&context.incarnation.to_le_bytes());
    out.extend_from_slice(&first.first_position().get().to_le_bytes());
    out.extend_from_slice(&to_u32(count).to_le_bytes());
    out.extend_from_slice(&to_u32(stored_runs.len()).to_le_bytes());
    out.extend_from_slice(&to_u32(body_len).to_le_bytes());
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(&first.first_recorded_at().as_micros().to_le_bytes());
    out.extend_from_slice(&synced_through.get().to_le_bytes());
    out.extend_from_slice(&context.previous_crc.to_le_bytes());
    let crc = crc32c::crc32c_append(context.seed(), out.get(start..).unwrap_or_default());
    let crc = crc32c::crc32c_append(crc, &stored_runs);
    let crc = runs.iter().fold(crc, |crc, run| crc32c::crc32c_append(crc, run.body.bytes()));
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&stored_runs);
    runs.iter().for_each(|run| out.extend_from_slice(run.body.bytes()));
    crc
}

/// Appends a frame that was read back to `out`, as it is written after another one: the same
/// events under another incarnation. Answers its checksum.
pub(crate) fn encode_again(out: &mut Vec<u8>, context: &FrameContext, frame: &OwnedFrame) -> u32 {
    let start = out.len();
    out.extend_from_slice(&frame.bytes);
    let written = out.get_mut(start..).unwrap_or_default();
    put_field(written, INCARNATION_OFFSET, &context.incarnation.to_le_bytes());
    put_field(written, PREVIOUS_CRC_OFFSET, &context.previous_crc.to_le_bytes());
    let (fixed, rest) = written.split_at(FRAME_HEADER_BYTES);
    let crc = crc32c::crc32c_append(context.seed(), fixed.get(..CRC_OFFSET).unwrap_or_default());
    let crc = crc32c::crc32c_append(crc, rest);
    put_field(written, CRC_OFFSET, &crc.to_le_bytes());
    crc
}

fn put_field(frame: &mut [u8], offset: usize, field: &[u8]) {
    if let Some(place) = frame.get_mut(offset..offset + field.len()) {
        place.copy_from_slice(field);
    }
}

/// A frame that was read back, with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct OwnedFrame {
    pub(crate) header: FrameHeader,
    bytes: Vec<u8>,
    schemas: &'static Schemas,
}

impl From<&Frame<'_>> for OwnedFrame {
    fn from(frame: &Frame<'_>) -> Self {
        Self { header: frame.header, bytes: frame.bytes.to_vec(), schemas: frame.schemas }
    }
}

impl OwnedFrame {
    /// The events of the frame, unpacked, run by run.
    pub(crate) fn runs(&self) -> Result<Vec<RecordRun>, FrameError> {
        parse_again(&self.bytes, self.header.store_id, self.schemas)?.runs()
    }
}

/// Whether bytes begin as a frame does.
pub(crate) fn begins_like_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME_MAGIC)
}

/// Whether bytes begin as a frame for this position does, whole or not.
pub(crate) fn begins_at(bytes: &[u8], position: Position) -> bool {
    let stored = bytes.get(POSITION_OFFSET..).and_then(<[u8]>::first_chunk);
    begins_like_one(bytes) && stored == Some(&position.get().to_le_bytes())
}

/// What the first [`FRAME_HEADER_BYTES`] of a frame say: of which store it is, how many bytes it has,
/// and its checksum. Nothing is believed but that they can be those of a frame.
pub(crate) fn peek(bytes: &[u8]) -> Option<FrameExtent> {
    if !begins_like_one(bytes) {
        return None;
    }
    let fields = FrameFields::read(bytes)?;
    let lengths = [fields.extension_len, fields.runs_len, fields.body_len].map(to_usize);
    let limits = [MAX_EXTENSION_BYTES, MAX_RUNS_BYTES, MAX_BODY_BYTES];
    let fits = lengths.iter().zip(limits).all(|(len, limit)| *len <= limit);
    let len = FRAME_HEADER_BYTES + lengths.iter().sum::<usize>();
    fits.then_some(FrameExtent { store_id: fields.context.store_id, len, crc: fields.crc })
}

/// How far a frame reaches, as it says itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameExtent {
    pub(crate) store_id: [u8; 16],
    pub(crate) len: usize,
    pub(crate) crc: u32,
}

/// The frame at the start of `bytes`; what follows it is not looked at.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    store_id: [u8; 16],
    schemas: &'static Schemas,
) -> Result<Frame<'a>, FrameError> {
    parse_with(bytes, store_id, schemas, Checksum::Checked)
}

/// As [`parse`], for a frame that was parsed there a moment ago.
pub(crate) fn parse_again<'a>(
    bytes: &'a [u8],
    store_id: [u8; 16],
    schemas: &'static Schemas,
) -> Result<Frame<'a>, FrameError> {
    parse_with(bytes, store_id, schemas, Checksum::Known)
}

/// Whether the checksum of a frame is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checksum {
    Checked,
    Known,
}

fn parse_with<'a>(
    bytes: &'a [u8],
    store_id: [u8; 16],
    schemas: &'static Schemas,
    checksum: Checksum,
) -> Result<Frame<'a>, FrameError> {
    let magic = bytes.first_chunk().ok_or(FrameError::End)?;
    if *magic == [0; 4] {
        return Err(FrameError::End);
    }
    if *magic != FRAME_MAGIC {
        return Err(FrameError::NotAFrame);
    }
    let (fixed, variable) =
        bytes.split_at_checked(FRAME_HEADER_BYTES).ok_or(FrameError::Truncated)?;
    let fields = FrameFields::read(fixed).ok_or(FrameError::Truncated)?;
    if fields.format_version != FORMAT_VERSION {
        return Err(FrameError::Unreadable("an unknown format version"));
    }
    let limits = [
        (fields.extension_len, MAX_EXTENSION_BYTES),
        (fields.runs_len, MAX_RUNS_BYTES),
        (fields.body_len, MAX_BODY_BYTES),
    ];
    if limits.iter().any(|(len, limit)| to_usize(*len) > *limit) {
        return Err(FrameError::Unreadable("a length past its limit"));
    }
    let mut cursor = ByteReader::new(variable);
    let mut part = |len: u32| cursor.take(to_usize(len)).ok_or(FrameError::Truncated);
    let extension = part(fields.extension_len)?;
    let runs = part(fields.runs_len)?;
    let bodies = part(fields.body_len)?;
    if checksum == Checksum::Checked {
        let crc = fixed.get(..CRC_OFFSET).unwrap_or_default();
        let crc = crc32c::crc32c_append(fields.context.seed(), crc);
        let crc = crc32c::crc32c_append(crc, extension);
        let crc = crc32c::crc32c_append(crc, runs);
        if crc32c::crc32c_append(crc, bodies) != fields.crc {
            return Err(FrameError::BadChecksum);
        }
    }
    if fields.context.store_id != store_id {
        return Err(FrameError::OtherStore);
    }
    if !is_extension(extension) {
        return Err(FrameError::Unreadable("extension fields of a wrong length"));
    }
    let len = FRAME_HEADER_BYTES + extension.len() + runs.len() + bodies.len();
    Ok(Frame {
        header: fields.check().map_err(FrameError::Unreadable)?,
        runs,
        bodies,
        bytes: bytes.get(..len).ok_or(FrameError::Truncated)?,
        schemas,
    })
}

impl Frame<'_> {
    /// The events of the frame, unpacked, run by run.
    pub(crate) fn runs(&self) -> Result<Vec<RecordRun>, FrameError> {
        runs::decode(&self.header, self.runs, self.bodies, self.schemas)
    }
}

impl FrameHeader {
    /// The position of the last event.
    pub(crate) const fn last_position(&self) -> Position {
        // Lossless: the count is a u32, and at least 1.
        self.first_position.plus(self.count as u64).previous()
    }
}

impl FrameContext {
    /// Where the checksum of a frame starts from.
    fn seed(&self) -> u32 {
        let seed = crc32c::crc32c(&self.store_id);
        let seed = crc32c::crc32c_append(seed, &self.incarnation.to_le_bytes());
        crc32c::crc32c_append(seed, &self.previous_crc.to_le_bytes())
    }
}

/// The fixed fields as they stand on disk, not yet believed.
struct FrameFields {
    format_version: u16,
    flags: u16,
    context: FrameContext,
    first_position: u64,
    count: u32,
    runs_len: u32,
    body_len: u32,
    extension_len: u32,
    recorded_at: i64,
    synced_through: u64,
    crc: u32,
}

impl FrameFields {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = ByteReader::new(bytes);
        let _magic: [u8; 4] = cursor.array()?;
        let format_version = cursor.u16()?;
        let flags = cursor.u16()?;
        let store_id = cursor.array()?;
        let incarnation = cursor.u64()?;
        Some(Self {
            format_version,
            flags,
            first_position: cursor.u64()?,
            count: cursor.u32()?,
            runs_len: cursor.u32()?,
            body_len: cursor.u32()?,
            extension_len: cursor.u32()?,
            recorded_at: cursor.i64()?,
            synced_through: cursor.u64()?,
            context: FrameContext { store_id, incarnation, previous_crc: cursor.u32()? },
            crc: cursor.u32()?,
        })
    }

    /// The header, once its checksum holds.
    fn check(&self) -> Result<FrameHeader, &'static str> {
        if self.flags != NO_FLAGS {
            return Err("a flag of a later version");
        }
        check_run(self.first_position, self.count)?;
        Ok(FrameHeader {
            store_id: self.context.store_id,
            incarnation: self.context.incarnation,
            previous_crc: self.context.previous_crc,
            first_position: Position::new(self.first_position),
            count: self.count,
            recorded_at: Timestamp::from_micros(self.recorded_at).ok_or("a time out of range")?,
            synced_through: Position::new(self.synced_through),
            crc: self.crc,
            runs_len: self.runs_len,
            body_len: self.body_len,
            extension_len: self.extension_len,
        })
    }
}

/// The header of a journal file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The store.
    pub(crate) store_id: [u8; 16],
    /// The use of the journal that took the file into use.
    pub(crate) incarnation: u64,
    /// The number of the file; it rises by one from file to file.
    pub(crate) file_number: u64,
    /// The position that the first event of the file has.
    pub(crate) first_position: Position,
    /// The checksum of the frame before the first of the file.
    pub(crate) previous_crc: u32,
    /// The sessions up to the one that began this use, as HEAD had them; none when an earlier version
    /// wrote it.
    pub(crate) sessions: Sessions,
}

impl FileHeader {
    /// The header as it stands at the start of the file.
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
        bytes.extend_from_slice(&FILE_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&NO_FLAGS.to_le_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.file_number.to_le_bytes());
        bytes.extend_from_slice(&self.first_position.get().to_le_bytes());
        bytes.extend_from_slice(&self.previous_crc.to_le_bytes());
        let sessions = self.sessions.clone();
        let fields = ExtensionFields { sessions, ..ExtensionFields::default() };
        let extension = extension::encode(&fields);
        bytes.extend_from_slice(&to_u32(extension.len()).to_le_bytes());
        bytes.extend_from_slice(&extension);
        bytes.resize(FILE_CRC_OFFSET, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields end before the checksum, the checksum ends the header")
    }

    /// The header at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8], store_id: [u8; 16]) -> Result<Self, FrameError> {
        let magic = bytes.first_chunk().ok_or(FrameError::End)?;
        if *magic == [0; 4] {
            return Err(FrameError::End);
        }
        if *magic != FILE_MAGIC {
            return Err(FrameError::NotAFrame);
        }
        let header: &[u8; FILE_HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::Truncated)?;
        let (checked, crc) = header.split_at(FILE_CRC_OFFSET);
        if crc32c::crc32c(checked).to_le_bytes() != crc {
            return Err(FrameError::BadChecksum);
        }
        let (format_version, flags, parsed, extension) =
            Self::read(checked).ok_or(FrameError::Truncated)?;
        if format_version != FORMAT_VERSION {
            return Err(FrameError::Unreadable("an unknown format version"));
        }
        if parsed.store_id != store_id {
            return Err(FrameError::OtherStore);
        }
        if flags != NO_FLAGS {
            return Err(FrameError::Unreadable("a flag of a later version"));
        }
        let Some(extension) = extension.filter(|bytes| is_extension(bytes)) else {
            return Err(FrameError::Unreadable("extension fields of a wrong length"));
        };
        let ExtensionFields { sessions, .. } = extension::decode(extension)
            .ok_or(FrameError::Unreadable("sessions that do not follow one another"))?;
        Ok(Self { sessions, ..parsed })
    }

    /// Format version, flags, the fields, and the extension fields when they fit.
    fn read(bytes: &[u8]) -> Option<(u16, u16, Self, Option<&[u8]>)> {
        let mut cursor = ByteReader::new(bytes);
        let _magic: [u8; 4] = cursor.array()?;
        let format_version = cursor.u16()?;
        let flags = cursor.u16()?;
        let header = Self {
            store_id: cursor.array()?,
            incarnation: cursor.u64()?,
            file_number: cursor.u64()?,
            first_position: Position::new(cursor.u64()?),
            previous_crc: cursor.u32()?,
            sessions: Sessions::default(),
        };
        let extension_len = cursor.u32()?;
        Some((format_version, flags, header, cursor.take(to_usize(extension_len))))
    }
}

#[cfg(test)]
pub(crate) mod tests;
