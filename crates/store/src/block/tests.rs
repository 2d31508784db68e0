use proptest::prelude::*;
use spacefold_event_core::{EventId, RecordsBuilder, SpaceEvent};

use super::*;
use crate::journal::frame::tests::{
    STORE, assign, count_spaces, encode_body, fixed_run, hex, some_events,
};

const OTHER: [u8; 16] = *b"0123456789abcdeg";
const PREVIOUS: BlockHash = [7; 32];

/// A block whose every byte is fixed, whatever the compressor makes of its body.
fn fixed_block() -> EncodedBlock {
    let (assignments, body) = fixed_run();
    encode_as(BodyCodec::None, body.parts().0, STORE, PREVIOUS, &assignments, &body, b"")
}

/// The block with bytes changed and its checksum made to fit.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = fixed_block().bytes;
    change(&mut bytes);
    let len = bytes.len() - CRC_BYTES;
    let crc = crc32c::crc32c(&bytes[..len]);
    bytes[len..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], store_id: [u8; 16]) -> Result<Block, BlockError> {
    super::decode(bytes, store_id, Schemas::today())
}

fn decode_error(bytes: &[u8]) -> BlockError {
    decode(bytes, STORE).unwrap_err()
}

/// A run of events that are much alike.
fn compressible(first: u64, count: u32) -> (Assignments, EncodedBody) {
    let events: Vec<SpaceEvent> = (0..count)
        .map(|number| {
            let id = (u128::from(number) + 1).to_be_bytes();
            SpaceEvent::document_added("a", format!("document number {number}"), "/all/of/them")
                .with_event_id(EventId::from_bytes(id))
                .with_timestamp(Timestamp::from_micros(i64::from(number)).unwrap())
        })
        .collect();
    (assign(first, vec![Timestamp::from_micros(5).unwrap()], 1), encode_body(&events))
}

/// Blocks that follow one another from position 1.
fn chain(counts: &[u32]) -> Vec<EncodedBlock> {
    let mut previous = genesis(STORE);
    let mut first = 1;
    let mut blocks = Vec::new();
    for count in counts {
        let (assignments, body) = compressible(first, *count);
        let block = encode(STORE, previous, &assignments, &body, b"");
        previous = block.hash;
        first += u64::from(*count);
        blocks.push(block);
    }
    blocks
}

#[test]
fn a_block_gives_back_what_was_put_in() {
    let (assignments, body) = fixed_run();
    let extension = [9, 0, 2, 0, 0, 0, 1, 1];
    let encoded = encode(STORE, PREVIOUS, &assignments, &body, &extension);
    let header = peek(&encoded.bytes[..BLOCK_HEADER_BYTES]).unwrap();
    assert_eq!(header.stored_len, encoded.bytes.len());
    assert_eq!(header.first_position, Position::new(41));
    assert_eq!(header.last_position(), Position::new(42));
    assert_eq!(header.previous, PREVIOUS);
    let block = decode(&encoded.bytes, STORE).unwrap();
    assert_eq!(block.hash, encoded.hash);
    assert_eq!(block.previous, PREVIOUS);
    assert_eq!(block.extension, extension);
    assert_eq!(block.records.assignments(), &assignments);
    assert_eq!(block.records.len(), 2);
    assert_eq!(block.verify_hash(), Ok(()));
}

#[test]
fn every_flipped_bit_of_a_block_is_detected() {
    for intact in [fixed_block(), chain(&[20]).remove(0)] {
        for bit in 0..intact.bytes.len() * 8 {
            let mut bytes = intact.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = decode_error(&bytes);
            assert_ne!(error, BlockError::OtherStore, "bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_addition_is_detected() {
    let intact = fixed_block().bytes;
    for len in 0..intact.len() {
        assert_eq!(decode_error(&intact[..len]), BlockError::WrongLength, "{len}");
    }
    let mut longer = intact;
    longer.push(0);
    assert_eq!(decode_error(&longer), BlockError::WrongLength);
}

#[test]
fn another_store_is_refused() {
    let bytes = fixed_block().bytes;
    assert_eq!(decode(&bytes, OTHER).unwrap_err(), BlockError::OtherStore);
    assert_ne!(genesis(STORE), genesis(OTHER));
}

#[test]
fn other_bytes_are_no_block() {
    assert_eq!(decode_error(&[0; 200]), BlockError::NotABlock);
    assert_eq!(decode_error(b"SFB2"), BlockError::NotABlock);
}

#[test]
fn a_header_that_cannot_be_is_refused_though_its_checksum_holds() {
    let error = |offset: usize, field: &[u8]| {
        decode_error(&changed(|bytes| bytes[offset..offset + field.len()].copy_from_slice(field)))
    };
    assert_eq!(error(4, &[2, 0]), BlockError::UnknownFormat { found: 2 });
    for (offset, field, what) in [
        (6, &[2][..], "an unknown codec"),
        (6, &[1], "a body that does not decompress"),
        (7, &[1], "a flag of a later version"),
        (24, &[0; 8], "a position out of range"),
        (24, &[0xff; 8], "a position out of range"),
        (32, &[0x7f; 8], "a time out of range"),
        (72, &[0; 4], "a count of records out of range"),
        (72, &4_097_u32.to_le_bytes(), "a count of records out of range"),
        (84, &[129, 0, 0, 0], "a body of another length"),
        (84, &[1, 0, 0, 0], "a dense part that is longer than its body"),
        (92, &[129, 0, 0, 0], "a dense part that is longer than its body"),
    ] {
        assert_eq!(error(offset, field), BlockError::Unreadable(what));
    }
    for (offset, limit) in [
        (76, MAX_EXTENSION_BYTES),
        (80, MAX_ASSIGNMENTS_BYTES),
        (84, MAX_BODY_BYTES),
        (88, MAX_BODY_BYTES),
    ] {
        let past = BlockError::Unreadable("a length past its limit");
        assert_ne!(error(offset, &to_u32(limit).to_le_bytes()), past);
        assert_eq!(error(offset, &to_u32(limit + 1).to_le_bytes()), past);
    }
    assert!(matches!(error(72, &[3, 0, 0, 0]), BlockError::Records(_)));
    assert!(matches!(error(92, &[63, 0, 0, 0]), BlockError::Records(_)));
}

#[test]
fn the_hash_covers_the_content_and_not_its_storage() {
    let (assignments, body) = compressible(1, 200);
    let compressed = encode(STORE, PREVIOUS, &assignments, &body, b"");
    let plain =
        encode_as(BodyCodec::None, body.parts().0, STORE, PREVIOUS, &assignments, &body, b"");
    assert_eq!(peek(&compressed.bytes).unwrap().codec, BodyCodec::Lz4);
    assert_eq!(peek(&plain.bytes).unwrap().codec, BodyCodec::None);
    assert!(compressed.bytes.len() < plain.bytes.len());
    assert_eq!(compressed.hash, plain.hash);
    for block in [&compressed, &plain] {
        assert_eq!(decode(&block.bytes, STORE).unwrap().verify_hash(), Ok(()));
    }
    let other_previous = encode(STORE, [8; 32], &assignments, &body, b"");
    assert_ne!(other_previous.hash, plain.hash);

    let replaced = changed(|bytes| bytes[40] ^= 1);
    let block = decode(&replaced, STORE).unwrap();
    assert_eq!(block.verify_hash(), Err(BlockError::WrongHash));
}

#[test]
fn blocks_of_many_appends_are_encoded_like_those_of_one() {
    let (assignments, body) = compressible(1, 30);
    let records = Records::decode(body.bytes(), body.count(), assignments).unwrap();
    let mut builder = RecordsBuilder::new();
    builder.extend_from(&records, 10..30).unwrap();
    let body = builder.finish();
    let assignments = assign(11, vec![Timestamp::from_micros(5).unwrap()], 1);
    let block = encode(STORE, PREVIOUS, &assignments, &body, b"");
    assert_eq!(decode(&block.bytes, STORE).unwrap().records.len(), 20);
}

#[test]
fn a_segment_tells_where_its_blocks_are() {
    let blocks = chain(&[3, 200, 1]);
    let bytes = segment::encode(STORE, &blocks).unwrap().parts().concat();
    let index = segment::parse(&bytes, STORE).unwrap();
    assert_eq!(index.first_position, Position::new(1));
    assert_eq!(index.last_position, Position::new(204));
    assert_eq!(index.previous, genesis(STORE));
    assert_eq!(index.last_hash, blocks[2].hash);
    assert_eq!(index.blocks.len(), 3);
    for (entry, block) in index.blocks.iter().zip(&blocks) {
        let start = usize::try_from(entry.offset).unwrap();
        let len = usize::try_from(entry.len).unwrap();
        assert_eq!(bytes[start..start + len], block.bytes);
        assert_eq!(peek(&block.bytes).unwrap().first_position, entry.first_position);
    }
    let tail = bytes.last_chunk().unwrap();
    let footer = &bytes[bytes.len() - segment::footer_len(tail).unwrap()..];
    let len = u64::try_from(bytes.len()).unwrap();
    let parts = segment::parse_parts(&bytes[..segment::HEADER_BYTES], footer, len, STORE);
    assert_eq!(parts, Ok(index));
    assert_eq!(segment::parse(&bytes, OTHER), Err(BlockError::OtherStore));
}

#[test]
fn damage_to_a_segment_is_detected() {
    let blocks = chain(&[3, 2]);
    let bytes = segment::encode(STORE, &blocks).unwrap().parts().concat();
    let intact = segment::parse(&bytes, STORE).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A flip is in what the index is made of, or in a block.
        if let Ok(index) = segment::parse(&flipped, STORE) {
            assert_eq!(index, intact, "bit {bit}");
            let damaged = index.blocks.iter().filter(|entry| {
                let start = usize::try_from(entry.offset).unwrap();
                let end = start + usize::try_from(entry.len).unwrap();
                decode(&flipped[start..end], STORE).is_err()
            });
            assert_eq!(damaged.count(), 1, "bit {bit}");
        }
    }
    for len in 0..bytes.len() {
        assert!(segment::parse(&bytes[..len], STORE).is_err(), "{len}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(segment::parse(&longer, STORE).is_err());
}

#[test]
fn blocks_that_do_not_follow_each_other_are_not_sealed() {
    let blocks = chain(&[3, 2, 4]);
    let seal =
        |blocks: &[EncodedBlock]| segment::encode(STORE, blocks).map(|segment| segment.index);
    assert!(seal(&[]).is_err());
    assert!(seal(&[blocks[0].clone(), blocks[2].clone()]).is_err());
    assert!(seal(&[blocks[1].clone(), blocks[0].clone()]).is_err());
    assert!(segment::encode(OTHER, &blocks).is_err());
    assert!(seal(&blocks[1..]).is_ok());
}

#[test]
fn block_and_segment_have_the_bytes_that_version_1_was_released_with() {
    assert_eq!(hex(&genesis(STORE)), GOLDEN_GENESIS);
    let block = fixed_block();
    assert_eq!(hex(&block.bytes), GOLDEN_BLOCK);
    let file = segment::encode(STORE, std::slice::from_ref(&block)).unwrap().parts().concat();
    let (header, rest) = file.split_at(segment::HEADER_BYTES);
    let (stored, footer) = rest.split_at(block.bytes.len());
    assert_eq!(hex(header), GOLDEN_SEGMENT_HEADER);
    assert_eq!(stored, block.bytes);
    assert_eq!(hex(footer), GOLDEN_SEGMENT_FOOTER);

    // What a compressor writes may change; what was written once is read for ever.
    let compressed = decode(&unhex(GOLDEN_COMPRESSED_BLOCK), STORE).unwrap();
    assert_eq!(compressed.hash, block.hash);
    assert_eq!(compressed.verify_hash(), Ok(()));
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |index| u8::from_str_radix(&digits[index..index + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

const GOLDEN_GENESIS: &str = "f226216157e626750bcc5e656d43668cbe9165e800ae69386db165777e7a7cbe";
const GOLDEN_BLOCK: &str = "\
     534642310100000030313233343536373839616263646566290000000000000040822d18240a0600\
     07070707070707070707070707070707070707070707070707070707070707070200000000000000\
     0600000080000000800000004000000001fb2c0101000520182042411668616e64626f6f6b656469\
     746f7248616e64626f6f6b010002010a02000002fd02803c3048140c000202020002000002020406\
     02000301040000cc4488aa635459bab86565b79405aeaf1349b9f5f9a1a6a0404dea36dcc9490101\
     0101010101010101010101010101020202020202020202020202020202022d5b0a6d9752e1e8edf5\
     0a5c2632d421a540b26a04769f17a85b4bbc1df0d0dace633b94";
const GOLDEN_COMPRESSED_BLOCK: &str = "\
     534642310100010030313233343536373839616263646566290000000000000040822d18240a0600\
     07070707070707070707070707070707070707070707070707070707070707070200000000000000\
     06000000800000007e0000004000000001fb2c010100f3070520182042411668616e64626f6f6b65\
     6469746f72480e00f007010002010a02000002fd02803c3048140c00020202001100900204060200\
     0301040000cc4488aa635459bab86565b79405aeaf1349b9f5f9a1a6a0404dea36dcc94901010101\
     010101010101010101010101020202020202020202020202020202022d5b0a6d9752e1e8edf50a5c\
     2632d421a540b26a04769f17a85b4bbc1df0d0da4fe6264b";
const GOLDEN_SEGMENT_HEADER: &str = "\
     53465346010000003031323334353637383961626364656629000000000000002a00000000000000\
     0707070707070707070707070707070707070707070707070707070707070707010000003c090e6b";
const GOLDEN_SEGMENT_FOOTER: &str = "\
     290000000000000050000000000000002d5b0a6d9752e1e8edf50a5c2632d421a540b26a04769f17\
     a85b4bbc1df0d0daea16feb13c00000053465345";

proptest! {
    #[test]
    fn any_run_survives_a_block(events in some_events(), first in 1..u64::MAX - 100) {
        let times = vec![Timestamp::from_micros(77).unwrap()];
        let assignments = assign(first, times, count_spaces(&events));
        let encoded = encode(STORE, PREVIOUS, &assignments, &encode_body(&events), b"");
        let block = decode(&encoded.bytes, STORE).unwrap();
        prop_assert_eq!(block.verify_hash(), Ok(()));
        let decoded: Vec<SpaceEvent> = block
            .records
            .envelopes()
            .map(|envelope| envelope.decode().unwrap().to_owned_event().event)
            .collect();
        prop_assert_eq!(decoded, events);
    }

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), as_block: bool) {
        let magic = if as_block { b"SFB1\x01\0" } else { b"SFSF\x01\0" };
        for (byte, magic) in bytes.iter_mut().zip(magic) {
            *byte = *magic;
        }
        prop_assert!(decode(&bytes, STORE).is_err());
        prop_assert!(segment::parse(&bytes, STORE).is_err());
    }

    #[test]
    fn no_compressed_body_panics(at: usize, byte: u8, len in 0..20_000_u32) {
        let mut bytes = chain(&[200]).remove(0).bytes;
        let end = bytes.len() - BLOCK_TRAILER_BYTES;
        bytes[BLOCK_HEADER_BYTES + at % (end - BLOCK_HEADER_BYTES)] = byte;
        bytes[84..88].copy_from_slice(&len.to_le_bytes());
        let checked = bytes.len() - CRC_BYTES;
        let crc = crc32c::crc32c(&bytes[..checked]);
        bytes[checked..].copy_from_slice(&crc.to_le_bytes());
        if let Ok(block) = decode(&bytes, STORE) {
            for envelope in block.records.envelopes() {
                let _ = envelope.decode();
            }
        }
    }
}
