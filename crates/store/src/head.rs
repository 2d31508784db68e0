//! HEAD: what a store says of itself, in two slots of which one is written while the other stays.
//!
//! Pure functions over bytes. Each slot lies in a 4 KiB page of its own and is checked by itself,
//! so that a torn write spoils one slot at the most. `docs/format.md` has every byte.

pub(crate) mod extension;
pub(crate) mod format_version;
pub(crate) mod sessions;
pub(crate) mod timeline;

use spacefold_event_core::{
    LogIdentity, Position, Timestamp,
    bytes::{ByteReader, to_u32, to_usize},
};

use self::{
    extension::{ExtensionFields, Witness},
    format_version::FormatVersion,
    sessions::{Sessions, StoreSession, next_incarnation},
};
use crate::{block::BlockHash, wire::is_extension};

/// Bytes of the file.
pub(crate) const HEAD_FILE_BYTES: usize = SLOTS * PAGE_BYTES;
/// Bytes of one slot.
pub(crate) const SLOT_BYTES: usize = 512;

const SLOTS: usize = 2;
const PAGE_BYTES: usize = 4_096;
const MAGIC: [u8; 8] = *b"SFHEAD\0\0";
const CRC_BYTES: usize = size_of::<u32>();
const CRC_OFFSET: usize = SLOT_BYTES - CRC_BYTES;
/// Bytes of a slot before its extension fields.
const FIXED_BYTES: usize = 132;
const _: () = assert!(FIXED_BYTES + extension::MAX_BYTES <= CRC_OFFSET);

/// What a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// What a program has to know to read the store.
    pub(crate) format_version: FormatVersion,
    /// How often HEAD was written; the highest is the newest.
    pub(crate) sequence: u64,
    /// The store.
    pub(crate) store_id: [u8; 16],
    /// The use of the journal that may append.
    pub(crate) incarnation: u64,
    /// Everything up to here was synced; when `clean`, there is nothing beyond.
    pub(crate) durable_head: Position,
    /// Whether the store was closed after its last append.
    pub(crate) clean: bool,
    /// The last position in segments; 0 when there are none.
    pub(crate) sealed_through: Position,
    /// The hash of the last sealed block; that of the genesis when there is none.
    pub(crate) sealed_hash: BlockHash,
    /// When the store was created.
    pub(crate) created_at: Timestamp,
    /// How often a copy was found wrong and made anew from the other.
    pub(crate) healed: u64,
    /// Which frames were cut off, though they may still be there.
    pub(crate) fence: Fence,
    /// A frame at or before the durable head; `None` when there is none, or an earlier version wrote.
    pub(crate) witness: Option<Witness>,
    /// Who has written to the store.
    pub(crate) sessions: Sessions,
    /// The log and its timeline.
    pub(crate) identity: LogIdentity,
}

/// What frames must be to count: those from a position on are of an incarnation or a later one.
/// Earlier ones at these positions were cut off as a torn tail, or written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) position: Position,
    pub(crate) incarnation: u64,
}

/// Why bytes are no HEAD to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    /// Nothing of it looks like a HEAD.
    #[error("no HEAD of a store")]
    NotAStore,
    /// Written in a format that this build does not know.
    #[error("a HEAD of format version {found}")]
    UnknownFormat {
        /// The version.
        found: u32,
    },
    /// No slot is intact, or the file has not its length.
    #[error("a HEAD that is damaged")]
    Damaged,
    /// Both slots are intact, and each is of another store.
    #[error("a HEAD whose slots are of two stores")]
    TwoStores,
}

/// Where in the file the slot for this sequence number lies.
pub(crate) const fn slot_offset(sequence: u64) -> u64 {
    // Lossless: a page has a few thousand bytes.
    (sequence % 2) * PAGE_BYTES as u64
}

/// The newest intact slot of a file that is exactly `file`.
pub(crate) fn parse(file: &[u8]) -> Result<Head, HeadError> {
    let (pages, rest) = file.as_chunks::<PAGE_BYTES>();
    if pages.len() != SLOTS || !rest.is_empty() {
        let begin = file.get(..MAGIC.len()).unwrap_or(file);
        let begins_like_one = MAGIC.starts_with(begin);
        return Err(if begins_like_one { HeadError::Damaged } else { HeadError::NotAStore });
    }
    let slots: Vec<Result<Head, HeadError>> =
        pages.iter().zip(0_u64..).map(|(page, index)| parse_slot(page, index)).collect();
    // A slot that a later version wrote is newer than anything this one knows.
    let unknown = slots.iter().find(|slot| matches!(slot, Err(HeadError::UnknownFormat { .. })));
    if let Some(Err(unknown)) = unknown {
        return Err(*unknown);
    }
    let intact: Vec<Head> = slots.into_iter().flatten().collect();
    if intact.iter().any(|head| intact.iter().any(|other| other.store_id != head.store_id)) {
        return Err(HeadError::TwoStores);
    }
    intact.into_iter().max_by_key(|head| head.sequence).ok_or(HeadError::Damaged)
}

/// Every intact slot of a file, however damaged the rest of it is.
pub(crate) fn intact_slots(file: &[u8]) -> Vec<Head> {
    let (pages, _) = file.as_chunks::<PAGE_BYTES>();
    pages.iter().zip(0_u64..).filter_map(|(page, index)| parse_slot(page, index).ok()).collect()
}

/// How many slots have been written and are no longer intact. One is what a crash while HEAD was
/// written leaves behind: it is no damage to report unless the store was closed since.
pub(crate) fn damaged_slots(file: &[u8]) -> usize {
    let (pages, _) = file.as_chunks::<PAGE_BYTES>();
    let is_damaged = |(page, index): &(&[u8; PAGE_BYTES], u64)| {
        page.iter().any(|byte| *byte != 0) && parse_slot(page, *index).is_err()
    };
    pages.iter().zip(0_u64..).filter(is_damaged).count()
}

/// What each slot says of the format, where it is intact.
#[cfg(test)]
pub(crate) fn slots(file: &[u8]) -> Vec<Option<FormatVersion>> {
    let (pages, _) = file.as_chunks::<PAGE_BYTES>();
    let slots = pages.iter().zip(0_u64..).map(|(page, index)| parse_slot(page, index));
    slots.map(|slot| slot.ok().map(|head| head.format_version)).collect()
}

impl Head {
    /// Whether what was written under an incarnation counts: the fence is moved before a writer
    /// begins one, and after newest frames were written again under one. Of the latter a stop may
    /// have left less than is to take the place of what was there.
    pub(crate) fn knows(&self, incarnation: u64) -> bool {
        incarnation <= self.fence.incarnation
    }

    /// Takes the next incarnation, for a session that goes on behind a position.
    pub(crate) fn take_incarnation(&mut self, after: Position) {
        self.incarnation = next_incarnation(self.incarnation);
        self.sessions.push(StoreSession { incarnation: self.incarnation, after });
    }

    /// Notes what has become durable: everything up to a position, and a frame.
    pub(crate) fn note_durable(&mut self, position: Position, frame: Option<Witness>) {
        self.durable_head = self.durable_head.max(position);
        if let Some(frame) = frame {
            self.durable_head = self.durable_head.max(frame.position);
            self.witness = Some(frame);
        }
    }

    /// The head as a slot, which belongs at [`slot_offset`].
    pub(crate) fn encode_slot(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.format_version.number().to_le_bytes());
        bytes.extend_from_slice(&[u8::from(self.clean), 0, 0, 0]);
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.durable_head.get().to_le_bytes());
        bytes.extend_from_slice(&self.sealed_through.get().to_le_bytes());
        bytes.extend_from_slice(&self.sealed_hash);
        bytes.extend_from_slice(&self.created_at.as_micros().to_le_bytes());
        bytes.extend_from_slice(&self.healed.to_le_bytes());
        bytes.extend_from_slice(&self.fence.position.get().to_le_bytes());
        bytes.extend_from_slice(&self.fence.incarnation.to_le_bytes());
        // One that is derived is derived again.
        let identity = Some(self.identity).filter(|own| *own != timeline::derived(self.store_id));
        let (witness, sessions) = (self.witness, self.sessions.clone());
        let extension = extension::encode(&ExtensionFields { witness, sessions, identity });
        bytes.extend_from_slice(&to_u32(extension.len()).to_le_bytes());
        bytes.extend_from_slice(&extension);
        bytes.resize(CRC_OFFSET, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields end before the checksum, the checksum ends the slot")
    }
}

/// The slot at the start of a page, when it is intact and where it belongs.
fn parse_slot(page: &[u8; PAGE_BYTES], index: u64) -> Result<Head, HeadError> {
    let slot: &[u8; SLOT_BYTES] = page.first_chunk().ok_or(HeadError::Damaged)?;
    let (checked, crc) = slot.split_at(CRC_OFFSET);
    if !checked.starts_with(&MAGIC) || crc32c::crc32c(checked).to_le_bytes() != crc {
        return Err(HeadError::Damaged);
    }
    let mut cursor = ByteReader::new(checked);
    let _magic: Option<[u8; 8]> = cursor.array();
    let found = cursor.u32().ok_or(HeadError::Damaged)?;
    let format_version =
        FormatVersion::of_number(found).ok_or(HeadError::UnknownFormat { found })?;
    let head = read_fields(&mut cursor, format_version).ok_or(HeadError::Damaged)?;
    if head.sequence % 2 == index { Ok(head) } else { Err(HeadError::Damaged) }
}

fn read_fields(cursor: &mut ByteReader<'_>, format_version: FormatVersion) -> Option<Head> {
    let clean = match cursor.array()? {
        [0, 0, 0, 0] => false,
        [1, 0, 0, 0] => true,
        _ => return None,
    };
    let sequence = cursor.u64()?;
    let store_id = cursor.array()?;
    let mut head = Head {
        format_version,
        clean,
        sequence,
        store_id,
        incarnation: cursor.u64()?,
        durable_head: Position::new(cursor.u64()?),
        sealed_through: Position::new(cursor.u64()?),
        sealed_hash: cursor.array()?,
        created_at: Timestamp::from_micros(cursor.i64()?)?,
        healed: cursor.u64()?,
        fence: Fence { position: Position::new(cursor.u64()?), incarnation: cursor.u64()? },
        witness: None,
        sessions: Sessions::default(),
        identity: timeline::derived(store_id),
    };
    let extension_len = cursor.u32()?;
    let extension = cursor.take(to_usize(extension_len)).filter(|bytes| is_extension(bytes))?;
    let ExtensionFields { witness, sessions, identity } = extension::decode(extension)?;
    head.witness = witness;
    head.identity = identity.unwrap_or(head.identity);
    // A list that does not end with the newest one was kept by a program that did not know it.
    let is_whole = sessions.newest().is_some_and(|newest| newest.incarnation == head.incarnation);
    head.sessions = if is_whole { sessions } else { Sessions::default() };
    Some(head)
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{LogId, TimelineFork, TimelineId};

    use super::*;

    fn head() -> Head {
        Head {
            format_version: FormatVersion::First,
            sequence: 6,
            store_id: *b"0123456789abcdef",
            incarnation: 3,
            durable_head: Position::new(1_000),
            clean: true,
            sealed_through: Position::new(900),
            sealed_hash: [7; 32],
            created_at: Timestamp::from_micros(1_700_000_000_000_000).unwrap(),
            healed: 2,
            fence: Fence { position: Position::new(950), incarnation: 3 },
            witness: None,
            sessions: Sessions::default(),
            identity: timeline::derived(*b"0123456789abcdef"),
        }
    }

    fn forked() -> LogIdentity {
        let parent = TimelineId::from_bytes([5; 16]);
        LogIdentity {
            log_id: LogId::from_bytes([6; 16]),
            timeline: TimelineId::from_bytes([4; 16]),
            fork: Some(TimelineFork { parent, position: Position::new(80) }),
        }
    }

    fn file(heads: &[Head]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_FILE_BYTES];
        for head in heads {
            let start = usize::try_from(slot_offset(head.sequence)).unwrap();
            bytes[start..start + SLOT_BYTES].copy_from_slice(&head.encode_slot());
        }
        bytes
    }

    fn newer() -> Head {
        Head { sequence: 7, clean: false, durable_head: Position::new(2_000), ..head() }
    }

    fn with_crc(mut slot: [u8; SLOT_BYTES]) -> [u8; SLOT_BYTES] {
        let crc = crc32c::crc32c(&slot[..CRC_OFFSET]);
        slot[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        slot
    }

    #[test]
    fn the_newest_slot_counts() {
        assert_eq!(parse(&file(&[head()])), Ok(head()));
        assert_eq!(parse(&file(&[head(), newer()])), Ok(newer()));
        let newest = Head { sequence: 8, ..head() };
        assert_eq!(parse(&file(&[newer(), newest.clone()])), Ok(newest));
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_detected() {
        let intact = file(&[head(), newer()]);
        assert_eq!(damaged_slots(&intact), 0);
        for (slot, left) in [(0, newer()), (PAGE_BYTES, head())] {
            for bit in 0..SLOT_BYTES * 8 {
                let mut bytes = intact.clone();
                bytes[slot + bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse(&bytes), Ok(left.clone()), "bit {bit}");
                assert_eq!(damaged_slots(&bytes), 1, "bit {bit}");
            }
        }
        for bit in 0..SLOT_BYTES * 8 {
            let mut bytes = file(&[head()]);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bytes), Err(HeadError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_damaged_or_no_head() {
        let intact = file(&[head(), newer()]);
        for len in 0..HEAD_FILE_BYTES {
            assert_eq!(parse(&intact[..len]), Err(HeadError::Damaged), "{len}");
        }
        let mut longer = intact;
        longer.push(0);
        assert_eq!(parse(&longer), Err(HeadError::Damaged));
        assert_eq!(parse(b"ref: refs/heads/main\n"), Err(HeadError::NotAStore));
        assert_eq!(parse(b"x"), Err(HeadError::NotAStore));
        assert_eq!(parse(&[0; HEAD_FILE_BYTES]), Err(HeadError::Damaged));
    }

    #[test]
    fn a_slot_of_a_later_version_is_named_even_beside_one_that_is_known() {
        for found in [0, 3, 4, u32::MAX] {
            let mut slot = head().encode_slot();
            slot[8..12].copy_from_slice(&found.to_le_bytes());
            let mut bytes = file(&[head(), newer()]);
            bytes[..SLOT_BYTES].copy_from_slice(&with_crc(slot));
            assert_eq!(parse(&bytes), Err(HeadError::UnknownFormat { found }));
        }
    }

    #[test]
    fn both_versions_are_read_and_the_newest_slot_says_which_it_is() {
        let raised = Head { format_version: FormatVersion::Second, ..newer() };
        assert_eq!(parse(&file(std::slice::from_ref(&raised))), Ok(raised.clone()));
        assert_eq!(parse(&file(&[head(), raised.clone()])), Ok(raised));
    }

    #[test]
    fn a_slot_in_the_wrong_place_does_not_count() {
        let mut bytes = file(&[newer()]);
        bytes[..SLOT_BYTES].copy_from_slice(&Head { sequence: 9, ..head() }.encode_slot());
        assert_eq!(parse(&bytes), Ok(newer()));
        assert_eq!(damaged_slots(&bytes), 1);
    }

    #[test]
    fn unknown_extension_fields_are_skipped() {
        let extended = |field: &[u8], len: u32| {
            let mut slot = head().encode_slot();
            slot[128..132].copy_from_slice(&len.to_le_bytes());
            slot[132..132 + field.len()].copy_from_slice(field);
            let mut bytes = file(&[]);
            bytes[..SLOT_BYTES].copy_from_slice(&with_crc(slot));
            parse(&bytes)
        };
        assert_eq!(extended(&[9, 0, 2, 0, 0, 0, 1, 1], 8), Ok(head()));
        assert_eq!(extended(&[9, 0, 3, 0, 0, 0, 1, 1], 8), Err(HeadError::Damaged));
        assert_eq!(extended(&[], 377), Err(HeadError::Damaged));
    }

    #[test]
    fn witness_and_sessions_are_read_back_however_many_there_are() {
        let mut head = head();
        head.witness = Some(Witness { position: Position::new(990), crc: 0x1234_5678 });
        head.identity = forked();
        for after in 0..40 {
            assert_eq!(parse(&file(std::slice::from_ref(&head))), Ok(head.clone()));
            head.take_incarnation(Position::new(after));
        }
        // A program that does not know the list takes an incarnation: the list is not whole then.
        head.incarnation += 1;
        let read = parse(&file(&[head])).unwrap();
        assert!(read.sessions.is_empty());
        assert!(read.witness.is_some());
        assert_eq!(read.identity, forked());
    }

    #[test]
    fn a_store_that_names_no_timeline_has_one_that_its_id_says() {
        let identity = |head: &Head| parse(&file(std::slice::from_ref(head))).unwrap().identity;
        let own = identity(&head());
        assert_eq!(own.log_id.to_bytes(), head().store_id);
        assert_eq!(own.timeline.to_string(), GOLDEN_DERIVED);
        assert_eq!(own.fork, None);
        let other = Head { store_id: [9; 16], identity: timeline::derived([9; 16]), ..head() };
        assert_ne!(identity(&other).timeline, own.timeline);
        let created = Head { identity: LogIdentity::created(own.log_id), ..head() };
        assert_eq!(identity(&created), created.identity);
        assert_ne!(created.identity, own);
    }

    #[test]
    fn a_timeline_has_the_bytes_that_the_format_says() {
        let slot = Head { identity: forked(), ..head() }.encode_slot();
        let field = [&[3, 0, 56, 0, 0, 0][..], &[4; 16], &[6; 16], &[5; 16], &[80], &[0; 7]];
        let field = field.concat();
        assert_eq!(slot[128..132], [62, 0, 0, 0]);
        assert_eq!(slot[132..132 + field.len()], field);
    }

    #[test]
    fn slots_of_two_stores_are_no_head() {
        let other = Head { store_id: [9; 16], ..newer() };
        assert_eq!(parse(&file(&[head(), other])), Err(HeadError::TwoStores));
    }

    #[test]
    fn a_slot_has_the_bytes_that_version_1_was_released_with() {
        let slot = head().encode_slot();
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        assert_eq!(hex(&slot[..132]), GOLDEN_FIELDS);
        assert_eq!(slot[132..CRC_OFFSET], [0; CRC_OFFSET - 132]);
        assert_eq!(hex(&slot[CRC_OFFSET..]), GOLDEN_CRC);
    }

    const GOLDEN_FIELDS: &str = "\
     53464845414400000100000001000000060000000000000030313233343536373839616263646566\
     0300000000000000e803000000000000840300000000000007070707070707070707070707070707\
     0707070707070707070707070707070700401e18240a06000200000000000000b603000000000000\
     030000000000000000000000";
    const GOLDEN_DERIVED: &str = "1cc6cb56-1883-e623-4921-390193c6334d";
    const GOLDEN_CRC: &str = "bc7f374e";
}
