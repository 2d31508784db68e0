//! What sled's copy says of the store that it is a copy of, in a file of its own: which sessions
//! have written to the store, and up to where the copy can know of it.
//!
//! The file is written before anything goes into the copy that reaches further: blocks and derived
//! state alike. So whoever opens a store sees, before sled is opened, whether the copy is of this
//! store, of a copy of it that went on apart, or of a later time than HEAD and the journal are.

use spacefold_event_core::{
    Position,
    bytes::{ByteReader, to_u32, to_usize},
};

use crate::head::{
    extension::{decode_sessions, encode_sessions},
    sessions::Sessions,
};

/// The name of the file in the folder of the copy.
pub(crate) const FILE_NAME: &str = "lineage";
/// Bytes of the file.
pub(crate) const LINEAGE_BYTES: usize = 512;

const MAGIC: [u8; 8] = *b"SFLINE\0\0";
const FORMAT_VERSION: u32 = 1;
const CRC_OFFSET: usize = LINEAGE_BYTES - size_of::<u32>();

/// What a copy says of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) store_id: [u8; 16],
    /// No event behind this position has left anything in the copy.
    pub(crate) position: Position,
    /// The last position before the last block of the copy. Nothing rests on it but time.
    pub(crate) last_block_after: Position,
    pub(crate) sessions: Sessions,
}

impl Lineage {
    pub(crate) fn encode(&self) -> [u8; LINEAGE_BYTES] {
        let sessions = encode_sessions(&self.sessions);
        let mut bytes = Vec::with_capacity(LINEAGE_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&to_u32(sessions.len()).to_le_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.position.get().to_le_bytes());
        bytes.extend_from_slice(&self.last_block_after.get().to_le_bytes());
        bytes.extend_from_slice(&sessions);
        bytes.resize(CRC_OFFSET, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields end before the checksum, the checksum ends the file")
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (checked, crc) = bytes.split_at_checked(CRC_OFFSET)?;
        if crc32c::crc32c(checked).to_le_bytes() != crc {
            return None;
        }
        let mut cursor = ByteReader::new(checked);
        if cursor.array()? != MAGIC || cursor.u32()? != FORMAT_VERSION {
            return None;
        }
        let len = to_usize(cursor.u32()?);
        Some(Self {
            store_id: cursor.array()?,
            position: Position::new(cursor.u64()?),
            last_block_after: Position::new(cursor.u64()?),
            sessions: decode_sessions(cursor.take(len)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::{collection::vec, prelude::*};
    use spacefold_disk::{Disk as _, RealDisk};

    use super::*;
    use crate::{head::sessions::StoreSession, log_copy::LogCopies as _, sled_copy::SledFolders};

    fn lineage(sessions: u64) -> Lineage {
        let mut lineage = Lineage {
            store_id: [3; 16],
            position: Position::new(77),
            last_block_after: Position::new(70),
            sessions: Sessions::default(),
        };
        (0..sessions).for_each(|n| {
            lineage.sessions.push(StoreSession { incarnation: 7 * n, after: Position::new(n) });
        });
        lineage
    }

    fn with_crc(bytes: &mut [u8]) {
        if let Some((checked, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = crc32c::crc32c(checked).to_le_bytes();
        }
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let lineage = lineage(20);
        let bytes = lineage.encode();
        assert_eq!(Lineage::parse(&bytes), Some(lineage));
        for bit in 0..LINEAGE_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Lineage::parse(&flipped), None, "bit {bit}");
        }
        for len in 0..LINEAGE_BYTES {
            assert_eq!(Lineage::parse(&bytes[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn every_byte_may_be_any_behind_a_checksum_that_fits() {
        for sessions in [0, 1, 16] {
            let bytes = lineage(sessions).encode();
            for (at, value) in (0..CRC_OFFSET).flat_map(|at| (0..=255).map(move |byte| (at, byte)))
            {
                let mut changed = bytes;
                changed[at] = value;
                with_crc(&mut changed);
                if let Some(read) = Lineage::parse(&changed) {
                    assert_eq!(Lineage::parse(&read.encode()), Some(read), "{at} {value}");
                }
            }
        }
    }

    #[test]
    fn a_file_is_read_no_further_than_one_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let root = RealDisk.folder(folder.path()).unwrap().unwrap();
        let copies = SledFolders::of(&root);
        assert_eq!(copies.lineage(), None);
        fs::create_dir(folder.path().join("sled")).unwrap();
        assert_eq!(copies.lineage(), None);
        let path = folder.path().join("sled").join(FILE_NAME);
        fs::write(&path, lineage(3).encode()).unwrap();
        assert_eq!(copies.lineage(), Some(lineage(3)));
        // More than a process could hold.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        assert_eq!(copies.lineage(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in vec(any::<u8>(), 0..600), is_like_one: bool, len: u16) {
            if is_like_one {
                bytes.resize(LINEAGE_BYTES, 0);
                bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
                bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
                bytes[12..16].copy_from_slice(&u32::from(len % 600).to_le_bytes());
            }
            with_crc(&mut bytes);
            let read = Lineage::parse(&bytes);
            prop_assert!(read.is_none_or(|read| Lineage::parse(&read.encode()) == Some(read)));
        }
    }
}
