//! The hint of an open store to those that follow it: how far it is durable by now, in a file of 64
//! bytes that is written in place. Nothing rests on it. HEAD says the same, a second later at most.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use spacefold_disk::{Access, File};
use spacefold_event_core::{Position, StorageError, bytes::ByteReader};

use crate::folder::StoreFolder;

/// The name of the file in the folder of a store.
pub(crate) const LIVE: &str = "live";
/// Bytes of the file.
pub(crate) const HINT_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"SFLIVE\0\0";
const CRC_OFFSET: usize = HINT_BYTES - size_of::<u32>();

/// What an open store says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveHint {
    pub(crate) store_id: [u8; 16],
    /// The process that has the store open.
    pub(crate) process: u32,
    /// HEAD's incarnation: one of another session says nothing.
    pub(crate) incarnation: u64,
    pub(crate) durable_head: Position,
}

impl LiveHint {
    pub(crate) fn encode(&self) -> [u8; HINT_BYTES] {
        let mut bytes = Vec::with_capacity(HINT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.process.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.durable_head.get().to_le_bytes());
        bytes.resize(CRC_OFFSET, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields end before the checksum, the checksum ends the hint")
    }

    /// The hint that bytes are; `None` of anything else, such as one that is being written.
    pub(crate) fn parse(bytes: &[u8; HINT_BYTES]) -> Option<Self> {
        let (checked, crc) = bytes.split_at(CRC_OFFSET);
        if !checked.starts_with(&MAGIC) || crc32c::crc32c(checked).to_le_bytes() != crc {
            return None;
        }
        let mut cursor = ByteReader::new(checked);
        let _magic: [u8; 8] = cursor.array()?;
        let (store_id, process) = (cursor.array()?, cursor.u32()?);
        let _zeros: [u8; 4] = cursor.array()?;
        let (incarnation, durable_head) = (cursor.u64()?, Position::new(cursor.u64()?));
        Some(Self { store_id, process, incarnation, durable_head })
    }

    /// The hint in a file.
    pub(crate) fn read(file: &dyn File) -> Option<Self> {
        let mut bytes = [0; HINT_BYTES];
        let is_there = file.read_if_there(&mut bytes, 0).unwrap_or(false);
        if is_there { Self::parse(&bytes) } else { None }
    }
}

/// The file of the hint, as the process has it that has the store open.
#[derive(Debug)]
pub(crate) struct HintFile {
    file: Arc<dyn File>,
    store_id: [u8; 16],
    /// Asked for once: a system call.
    process: u32,
    incarnation: AtomicU64,
    has_failed: AtomicBool,
}

impl HintFile {
    /// Opens the file of a store whose lock is held, or makes it.
    pub(crate) fn open(
        folder: &StoreFolder,
        store_id: [u8; 16],
        incarnation: u64,
    ) -> Result<Self, StorageError> {
        let root = folder.held();
        let file = match root.find(LIVE, Access::ReadWrite)? {
            Some(file) => file,
            None => root.create(LIVE)?,
        };
        let (process, incarnation) = (std::process::id(), AtomicU64::new(incarnation));
        Ok(Self { file, store_id, process, incarnation, has_failed: AtomicBool::new(false) })
    }

    /// Goes on under another incarnation, which HEAD has by now.
    pub(crate) fn begin_incarnation(&self, incarnation: u64) {
        self.incarnation.store(incarnation, Ordering::Relaxed);
    }

    /// Says how far the store is durable: one write, whose failure means that followers learn of it
    /// later.
    pub(crate) fn note(&self, durable_head: Position) {
        let incarnation = self.incarnation.load(Ordering::Relaxed);
        let Self { store_id, process, .. } = *self;
        let hint = LiveHint { store_id, process, incarnation, durable_head };
        if let Err(error) = self.file.write_all_at(&hint.encode(), 0)
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "those that follow the store learn of new events a second late");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint() -> LiveHint {
        LiveHint {
            store_id: *b"0123456789abcdef",
            process: 4_711,
            incarnation: 3,
            durable_head: Position::new(1_000),
        }
    }

    #[test]
    fn the_bytes_of_a_hint_are_the_documented_ones() {
        let mut expected = b"SFLIVE\0\0".to_vec();
        expected.extend_from_slice(b"0123456789abcdef");
        expected.extend_from_slice(&[0x67, 0x12, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[0xe8, 3, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[0; 12]);
        assert_eq!(hint().encode()[..CRC_OFFSET], expected);
        assert_eq!(LiveHint::parse(&hint().encode()), Some(hint()));
    }

    #[test]
    fn a_hint_with_a_flipped_bit_is_none() {
        let bytes = hint().encode();
        for bit in 0..HINT_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(LiveHint::parse(&flipped), None, "bit {bit}");
        }
        assert_eq!(LiveHint::parse(&[0; HINT_BYTES]), None);
    }
}
