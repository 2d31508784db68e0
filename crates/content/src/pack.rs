//! A pack: its header, and the footer that spares reading the rest.

use spacefold_disk::File;
use spacefold_event_core::{
    ContentHash, StorageError,
    bytes::{ByteReader, to_u32, to_u64, to_usize},
};

use crate::{
    entry::{
        self, EntryHeader, EntryKind, HEADER_BYTES, LISTED_BYTES, MAX_FOOTER_BYTES, PayloadCodec,
        payload_holds,
    },
    pack_id::PackId,
};

/// The version of the layout of packs and manifests.
pub(crate) const FORMAT_VERSION: u16 = 1;
/// Bytes of a pack's header, where its first entry begins.
pub(crate) const PACK_HEADER_BYTES: u64 = 64;
const PACK_MAGIC: [u8; 8] = *b"SFPACK\0\0";

/// Bytes at the end of a sealed pack, which say where its footer is.
const TRAILER_BYTES: usize = 16;
const TRAILER_MAGIC: [u8; 4] = *b"SFPE";

/// The header of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackHeader {
    pub(crate) id: PackId,
    pub(crate) number: u32,
}

/// Why bytes are no header of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    UnknownFormat(u16),
}

impl PackHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(to_usize(PACK_HEADER_BYTES));
        bytes.extend(PACK_MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.resize(to_usize(PACK_HEADER_BYTES) - 4, 0);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let header = || {
            let checked = bytes.get(..to_usize(PACK_HEADER_BYTES) - 4)?;
            let mut reader = ByteReader::new(bytes);
            let is_pack = reader.array()? == PACK_MAGIC;
            let version = reader.u16()?;
            let _zeros: [u8; 6] = reader.array()?;
            let header = Self { id: PackId::from_bytes(reader.array()?), number: reader.u32()? };
            let checksum = ByteReader::new(bytes.get(checked.len()..)?).u32()?;
            (is_pack && checksum == crc32c::crc32c(checked)).then_some((version, header))
        };
        match header() {
            Some((FORMAT_VERSION, header)) => Ok(header),
            Some((version, _)) => Err(BadHeader::UnknownFormat(version)),
            None => Err(BadHeader::Damaged),
        }
    }

    /// The header of the pack in a file.
    pub(crate) fn read(file: &dyn File) -> Result<Result<Self, BadHeader>, StorageError> {
        let mut bytes = [0; 64];
        let is_there = file.read_if_there(&mut bytes, 0)?;
        Ok(if is_there { Self::decode(&bytes) } else { Err(BadHeader::Damaged) })
    }
}

/// An entry as the footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) hash: ContentHash,
    pub(crate) offset: u32,
    pub(crate) kind: EntryKind,
    pub(crate) codec: PayloadCodec,
    pub(crate) stored_bytes: u32,
    pub(crate) bytes: u32,
}

impl Listed {
    pub(crate) const fn of(header: &EntryHeader, offset: u32) -> Self {
        Self {
            hash: header.hash,
            offset,
            kind: header.kind,
            codec: header.codec,
            stored_bytes: header.stored_bytes,
            bytes: header.bytes,
        }
    }
}

/// The footer of a pack whose entries end at `end`, with its trailer: what is to be written there.
pub(crate) fn encode_footer(pack: PackId, end: u64, entries: &[Listed]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(entries.len() * LISTED_BYTES);
    for entry in entries {
        payload.extend(entry.hash.as_bytes());
        payload.extend(entry.offset.to_le_bytes());
        payload.extend([entry.kind.code(), entry.codec.code(), 0, 0]);
        payload.extend(entry.stored_bytes.to_le_bytes());
        payload.extend(entry.bytes.to_le_bytes());
    }
    let bytes = to_u32(payload.len());
    let header = EntryHeader {
        kind: EntryKind::Footer,
        codec: PayloadCodec::Plain,
        stored_bytes: bytes,
        bytes,
        synced_through: 0,
        hash: ContentHash::of(&payload),
    };
    let mut out = Vec::with_capacity(payload.len() + HEADER_BYTES + 8 + TRAILER_BYTES);
    header.encode(pack, end, &payload, &mut out);
    let begin = out.len();
    out.extend(end.to_le_bytes());
    out.extend(TRAILER_MAGIC);
    let trailer = out.get(begin..).unwrap_or(&[]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(pack.as_bytes()), trailer);
    out.extend(checksum.to_le_bytes());
    out
}

/// Bytes that a footer with its trailer adds to a pack of this many entries.
pub(crate) fn footer_bytes(entries: usize) -> u64 {
    entry::entry_bytes(entries * LISTED_BYTES) + to_u64(TRAILER_BYTES)
}

/// What the footer of a sealed pack of `len` bytes lists, and where it begins; `None` when it is
/// not sealed, or the footer is damaged.
pub(crate) fn read_footer(
    file: &dyn File,
    pack: PackId,
    len: u64,
) -> Result<Option<(Vec<Listed>, u64)>, StorageError> {
    let Some(begin) = len.checked_sub(to_u64(TRAILER_BYTES)) else { return Ok(None) };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, begin)?;
    let Some(end) = decode_trailer(&trailer, pack) else { return Ok(None) };
    let Some(footer_len) = begin.checked_sub(end) else { return Ok(None) };
    if to_usize(footer_len) > MAX_FOOTER_BYTES + HEADER_BYTES + 8 {
        return Ok(None);
    }
    let mut footer = vec![0; to_usize(footer_len)];
    file.read_exact_at(&mut footer, end)?;
    Ok(decode_footer(&footer, pack, end).map(|entries| (entries, end)))
}

fn decode_trailer(trailer: &[u8], pack: PackId) -> Option<u64> {
    let checked = trailer.get(..TRAILER_BYTES - 4)?;
    let mut reader = ByteReader::new(trailer);
    let (end, magic, checksum) = (reader.u64()?, reader.array()?, reader.u32()?);
    let holds = crc32c::crc32c_append(crc32c::crc32c(pack.as_bytes()), checked) == checksum;
    (magic == TRAILER_MAGIC && holds).then_some(end)
}

fn decode_footer(footer: &[u8], pack: PackId, end: u64) -> Option<Vec<Listed>> {
    let (header, checksum) = EntryHeader::decode(footer, pack, end)?;
    let payload = footer.get(HEADER_BYTES..)?.get(..to_usize(header.stored_bytes))?;
    let fits = header.kind == EntryKind::Footer && header.entry_bytes() == to_u64(footer.len());
    if !fits || !payload_holds(payload, checksum, pack, end) {
        return None;
    }
    decode_listed(payload, end)
}

/// What a footer lists, each entry before the footer.
pub(crate) fn decode_listed(payload: &[u8], end: u64) -> Option<Vec<Listed>> {
    let listed = payload.chunks_exact(LISTED_BYTES);
    if !listed.remainder().is_empty() {
        return None;
    }
    listed
        .map(|bytes| {
            let mut reader = ByteReader::new(bytes);
            let (hash, offset) = (ContentHash::from_bytes(reader.array()?), reader.u32()?);
            let (kind, codec) =
                (EntryKind::from_code(reader.u8()?)?, PayloadCodec::from_code(reader.u8()?)?);
            let zeros = reader.u16()?;
            let (stored_bytes, bytes) = (reader.u32()?, reader.u32()?);
            let entry = Listed { hash, offset, kind, codec, stored_bytes, bytes };
            let last = u64::from(entry.offset) + entry::entry_bytes(to_usize(entry.stored_bytes));
            (zeros == 0 && last <= end).then_some(entry)
        })
        .collect()
}
