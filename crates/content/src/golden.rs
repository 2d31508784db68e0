//! What stands on disk, byte by byte, as `docs/format.md` says; and that no other bytes panic.

use std::sync::Arc;

use proptest::prelude::*;
use spacefold_disk::{File, SimDisk};
use spacefold_event_core::ContentHash;

use crate::{
    chunk_list::ChunkList,
    entry::{EntryHeader, EntryKind, HEADER_BYTES, PayloadCodec, payload_holds},
    manifest::{FoundManifest, ListedPack, PackManifest, PackState},
    pack::{Listed, PackHeader, encode_footer, read_footer},
    pack_id::PackId,
    scan::scan,
    store_id::StoreId,
};

const PACK: PackId = PackId::from_bytes(*b"0123456789abcdef");

fn file() -> Arc<dyn File> {
    SimDisk::default().root().create("pack").unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn hash(first: u8) -> ContentHash {
    ContentHash::from_bytes(std::array::from_fn(|index| first + u8::try_from(index).unwrap()))
}

const HASH: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn the_header_of_a_pack() {
    let header = PackHeader { id: PACK, number: 7 };
    let expected = bytes(
        "53465041434b0000 0100 000000000000 30313233343536373839616263646566 07000000
         000000000000000000000000000000000000000000000000 1937cf0f",
    );
    assert_eq!(header.encode(), expected);
    assert_eq!(PackHeader::decode(&expected), Ok(header));
}

fn entry() -> (EntryHeader, Vec<u8>) {
    let header = EntryHeader {
        kind: EntryKind::Chunk,
        codec: PayloadCodec::Plain,
        stored_bytes: 7,
        bytes: 7,
        synced_through: 64,
        hash: hash(0),
    };
    let mut encoded = Vec::new();
    header.encode(PACK, 64, b"# Hello", &mut encoded);
    (header, encoded)
}

#[test]
fn an_entry() {
    let (header, encoded) = entry();
    let expected = bytes(&format!(
        "53464345 01 00 0000 07000000 07000000 4000000000000000 {HASH}
         c14b1a6e 43740012 232048656c6c6f 00"
    ));
    assert_eq!(encoded, expected);
    let (decoded, checksum) = EntryHeader::decode(&encoded, PACK, 64).unwrap();
    assert_eq!(decoded, header);
    assert!(payload_holds(&encoded[HEADER_BYTES..HEADER_BYTES + 7], checksum, PACK, 64));
    // At another place, or in another pack, it is none.
    assert_eq!(EntryHeader::decode(&encoded, PACK, 72), None);
    assert_eq!(EntryHeader::decode(&encoded, PackId::from_bytes([0; 16]), 64), None);
}

#[test]
fn the_footer_of_a_pack() {
    let (header, encoded) = entry();
    let listed = Listed::of(&header, 64);
    let end = 64 + u64::try_from(encoded.len()).unwrap();
    let footer = encode_footer(PACK, end, &[listed]);
    let payload = bytes(&format!("{HASH} 40000000 01 00 0000 07000000 07000000"));
    assert_eq!(footer[HEADER_BYTES..HEADER_BYTES + 48], payload);
    assert_eq!(footer[24..56], *ContentHash::of(&payload).as_bytes());
    assert_eq!(footer[HEADER_BYTES + 48..], bytes("8800000000000000 53465045 16e10073"));
    let file = file();
    file.write_all_at(&encoded, 64).unwrap();
    file.write_all_at(&footer, end).unwrap();
    let len = end + u64::try_from(footer.len()).unwrap();
    assert_eq!(read_footer(file.as_ref(), PACK, len).unwrap(), Some((vec![listed], end)));
}

#[test]
fn a_list_of_chunks() {
    let mut list = ChunkList::default();
    list.push(hash(0), 70_000);
    list.push(hash(32), 3);
    let expected = bytes(&format!(
        "7311010000000000 70110100 {HASH} 03000000
         202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
    ));
    assert_eq!(list.encode(), expected);
}

fn manifest() -> PackManifest {
    let packs = vec![
        ListedPack { number: 5, id: PACK, state: PackState::Sealed { bytes: 4_096 } },
        ListedPack {
            number: 7,
            id: PackId::from_bytes(*b"fedcba9876543210"),
            state: PackState::Open { synced_bytes: 144 },
        },
    ];
    let store = StoreId::from_bytes(*b"a store's own id");
    PackManifest { store, generation: 3, next_number: 8, packs, lost: Vec::new() }
}

#[test]
fn a_manifest() {
    let expected = bytes(
        "53464d414e494600 0200 0000 02000000 0300000000000000 08000000 00000000
         612073746f72652773206f776e206964
         30313233343536373839616263646566 05000000 01000000 0010000000000000
         66656463626139383736353433323130 07000000 00000000 9000000000000000
         d017cb51",
    );
    assert_eq!(manifest().encode(), expected);
    assert!(
        matches!(PackManifest::decode(&expected), FoundManifest::Whole(found) if found == manifest())
    );
}

#[test]
fn packs_of_other_times_have_one_number_in_a_manifest() {
    let other = ListedPack { id: PackId::from_bytes([1; 16]), ..manifest().packs[1] };
    let both = PackManifest { lost: vec![other], ..manifest() };
    let FoundManifest::Whole(found) = PackManifest::decode(&both.encode()) else {
        panic!("damaged")
    };
    assert_eq!(found.packs, [both.packs[0], other, both.packs[1]]);
}

#[test]
fn a_manifest_of_the_first_version_is_of_no_store() {
    let expected = bytes(
        "53464d414e494600 0100 0000 02000000 0300000000000000 08000000 00000000
         30313233343536373839616263646566 05000000 01000000 0010000000000000
         66656463626139383736353433323130 07000000 00000000 9000000000000000
         b44ec9c7",
    );
    let unbound = PackManifest { store: None, ..manifest() };
    assert!(
        matches!(PackManifest::decode(&expected), FoundManifest::Whole(found) if found == unbound)
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(noise in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..200, flip in any::<u8>()) {
        let (_, encoded) = entry();
        let whole = PackManifest { generation: 1, next_number: 1, packs: vec![
            ListedPack { number: 0, id: PACK, state: PackState::Open { synced_bytes: 64 } },
        ], ..PackManifest::default() }.encode();
        for mut known in [encoded, whole, PackHeader { id: PACK, number: 1 }.encode(), noise] {
            let before = known.clone();
            if let Some(byte) = known.get_mut(at) {
                *byte ^= flip;
            }
            let same = known == before;
            let _ = ChunkList::decode(&known);
            prop_assert!(PackHeader::decode(&known).is_err() || same);
            let is_whole = matches!(PackManifest::decode(&known), FoundManifest::Whole(_));
            prop_assert!(!is_whole || same);
            for codec in [PayloadCodec::Plain, PayloadCodec::Lz4] {
                let _ = codec.unpack(&known, at * 1_000);
            }
            let _ = EntryHeader::decode(&known, PACK, 64);
            let file = file();
            file.write_all_at(&known, 64).unwrap();
            let len = 64 + u64::try_from(known.len()).unwrap();
            file.set_len(len).unwrap();
            let found = scan(file.as_ref(), PACK, len, 64, &mut |_, _, _| {}).unwrap();
            prop_assert!(found.entries.is_empty() || same);
            prop_assert!(found.damaged.is_empty() && found.end <= len);
            let found = scan(file.as_ref(), PACK, len, len, &mut |_, _, _| {}).unwrap();
            prop_assert!(same || known.is_empty() || !found.damaged.is_empty());
            prop_assert!(read_footer(file.as_ref(), PACK, len).unwrap().is_none());
        }
    }
}
