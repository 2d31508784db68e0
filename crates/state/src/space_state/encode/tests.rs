//! The bytes of states: read back, hashed as described, never a panic.

use std::sync::LazyLock;

use proptest::{prelude::*, sample::Index};
use spacefold_event_core::{LogReader, Object, Position, Presence, ReadRequest, SpaceEvent, Value};

use crate::{
    Snapshot, SpaceState, diff,
    testing::{events, fold, full_space, log_of, recorded_at, state_of},
};

#[test]
fn the_state_hash_is_what_the_contract_of_its_encoding_says() {
    let state = state_of([SpaceEvent::space_created("s", "S")]);
    let mut bytes = vec![1];
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend_from_slice(&u64::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    text(&mut bytes, "s");
    bytes.push(1);
    text(&mut bytes, "S");
    bytes.push(1); // created
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    for _ in 0..2 {
        bytes.extend_from_slice(&recorded_at(1).as_micros().to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 8 * 5]); // metadata, documents, variables, references, renders
    bytes.extend_from_slice(&[0, 0]); // idle, never completed
    bytes.extend_from_slice(&[0; 8 * 4]); // conflicts, stale, anomalies: count, first
    assert_eq!(state.state_hash().as_bytes(), blake3::hash(&bytes).as_bytes());
}

#[test]
fn damaged_bytes_never_panic_the_decoder() {
    let bytes = state_of(full_space()).encode();
    for cut in 0..bytes.len() {
        assert!(SpaceState::decode(bytes[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            // It may read as another state: the checksum around it tells.
            drop(SpaceState::decode(damaged));
        }
    }
    let mut long = bytes;
    long.push(0);
    assert!(SpaceState::decode(long).is_err());
}

#[test]
fn a_text_that_claims_to_be_longer_than_memory_is_corrupt() {
    let state = state_of([SpaceEvent::variable_set("s", "v", "sixteen bytes ok")]);
    let mut bytes = state.encode();
    let value = [&[6, 16][..], b"sixteen bytes ok"].concat();
    let at = bytes.windows(value.len()).position(|window| window == value).unwrap();
    bytes[at + 1] = 253;
    bytes[at + 2..at + 10].copy_from_slice(&[0xff; 8]);
    assert!(SpaceState::decode(bytes.clone()).is_err());
    bytes[at + 9] = 0;
    bytes[at + 8] = 0x0f;
    assert!(SpaceState::decode(bytes.clone()).is_err());
}

#[test]
fn a_document_twice_is_corrupt() {
    let state = state_of([
        SpaceEvent::document_added("s", "d", "/p"),
        SpaceEvent::document_added("s", "e", "/q"),
    ]);
    let bytes = state.encode();
    let twice: Vec<u8> =
        bytes.iter().map(|byte| if *byte == b'e' { b'd' } else { *byte }).collect();
    assert!(SpaceState::decode(bytes.clone()).is_ok());
    assert!(SpaceState::decode(twice).is_err());
}

/// A space with so many documents, and something of each kind in every third.
fn large_space(documents: u32) -> Vec<SpaceEvent> {
    let mut events = vec![SpaceEvent::space_created("s", "S")];
    let id = |n: u32| format!("document-{n}");
    for n in 0..documents {
        events.push(SpaceEvent::document_added("s", id(n), format!("/{n}.md")));
    }
    for n in (0..documents).step_by(3) {
        let changes = [("title", Value::from(format!("Title {n}"))), ("draft", Value::from(true))];
        let changes: Object = changes.into_iter().collect();
        events.push(SpaceEvent::document_updated("s", id(n), changes));
        events.push(SpaceEvent::document_content_changed("s", id(n), Presence::Absent, "5d41"));
        events.push(SpaceEvent::reference_added("s", id(n), id(n + 1), "cites"));
        events.push(SpaceEvent::reference_added("s", id(n), "/gone", Presence::Absent));
        events.push(SpaceEvent::render_completed("s", id(n), format!("hash {n}")));
        events.push(SpaceEvent::variable_set("s", format!("variable-{n}"), "a value"));
        events.push(SpaceEvent::cache_invalidated("s", vec![id(n)], Presence::Absent));
        events.push(SpaceEvent::sync_conflict("s", id(n), "here", Presence::Absent));
    }
    events
}

#[test]
fn a_large_state_reads_back_equal_and_goes_on_as_it_would_have() {
    let later = [
        SpaceEvent::document_added("s", "new", "/0.md"),
        SpaceEvent::document_removed("s", "document-5", Presence::Absent),
        SpaceEvent::document_content_changed("s", "document-3", Presence::Absent, "7d79"),
        SpaceEvent::document_moved("s", "document-9", Presence::Absent, "/moved.md"),
        SpaceEvent::render_started("s", "document-6"),
        SpaceEvent::reference_cleared("s", "document-3"),
        SpaceEvent::variable_deleted("s", "variable-6"),
    ];
    for documents in [511, 512, 2_000] {
        let (first, both) = (large_space(documents), large_space(documents));
        let count = u64::try_from(first.len()).unwrap();
        let log = log_of([both, later.to_vec()].concat());
        let state = fold(&log, "s", count);
        let bytes = state.encode();
        let mut read = SpaceState::decode(bytes.clone()).unwrap();
        let (packed, whole) = (read.memory_bytes(), state.memory_bytes());
        assert!((whole / 2..whole * 2).contains(&packed), "{packed} bytes packed, {whole} not");
        assert!(read.encode() == bytes, "nobody has looked at it");
        assert_eq!(read.document("document-7"), state.document("document-7"));
        assert!(read.encode() == bytes, "a part of it was looked at");
        assert_eq!(read.state_hash(), state.state_hash());
        assert_eq!(read, state);
        assert!(read.encode() == bytes, "all of it was looked at");

        read = SpaceState::decode(bytes).unwrap();
        let kept = read.clone();
        for event in log.read(&ReadRequest::from(Position::new(count + 1))).unwrap().events() {
            read.apply(&event.unwrap());
        }
        let whole = fold(&log, "s", log.head().get());
        assert!(read.encode() == whole.encode());
        assert_eq!(diff(Some(&kept), Some(&read)), diff(Some(&state), Some(&whole)));
        assert_eq!(read.anomalies(), whole.anomalies());
        assert_eq!((read.state_hash(), kept), (whole.state_hash(), state));
    }
}

#[test]
fn a_large_state_that_is_cut_is_corrupt() {
    let bytes = state_of(large_space(600)).encode();
    for cut in (0..bytes.len()).step_by(97) {
        assert!(SpaceState::decode(bytes[..cut].to_vec()).is_err(), "cut at {cut}");
    }
}

/// The bytes of a state that has buckets in its map of documents.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| state_of(large_space(600)).encode());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_state_reads_back_equal_and_hashes_and_prints_equal(events in events(0..40)) {
        let log = log_of(events);
        for space_id in ["s", "s2", "t"] {
            let state = fold(&log, space_id, log.head().get());
            let read = SpaceState::decode(state.encode()).unwrap();
            prop_assert_eq!(&read, &state);
            prop_assert_eq!(read.state_hash(), state.state_hash());
            prop_assert_eq!(read.encode(), state.encode());
            let print = |state: SpaceState| Snapshot::new(state.into(), Position::new(7)).to_json();
            prop_assert_eq!(print(read), print(state));
        }
    }

    #[test]
    fn damage_to_a_large_state_is_found_before_there_is_one(at in any::<Index>(), bit in 0..8) {
        let mut bytes = LARGE.clone();
        *at.get_mut(&mut bytes) ^= 1_u8 << bit;
        prop_assert!(SpaceState::decode(bytes).is_err());
    }

    #[test]
    fn states_are_equal_exactly_when_their_hashes_are(events in events(1..30)) {
        let log = log_of(events);
        let states: Vec<_> = (0..=log.head().get()).map(|count| fold(&log, "s", count)).collect();
        for a in &states {
            for b in &states {
                prop_assert_eq!(a == b, a.state_hash() == b.state_hash());
            }
        }
    }
}
