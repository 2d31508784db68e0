//! The bytes of states: read back, hashed as described, never a panic.

use proptest::prelude::*;
use spacefold_event_core::{LogReader, Position, SpaceEvent};

use crate::{
    Snapshot, SpaceState,
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
        assert!(SpaceState::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            // It may read as another state: the checksum around it tells.
            drop(SpaceState::decode(&damaged));
        }
    }
    let mut long = bytes;
    long.push(0);
    assert!(SpaceState::decode(&long).is_err());
}

#[test]
fn a_text_that_claims_to_be_longer_than_memory_is_corrupt() {
    let state = state_of([SpaceEvent::variable_set("s", "v", "sixteen bytes ok")]);
    let mut bytes = state.encode();
    let value = [&[6, 16][..], b"sixteen bytes ok"].concat();
    let at = bytes.windows(value.len()).position(|window| window == value).unwrap();
    bytes[at + 1] = 253;
    bytes[at + 2..at + 10].copy_from_slice(&[0xff; 8]);
    assert!(SpaceState::decode(&bytes).is_err());
    bytes[at + 9] = 0;
    bytes[at + 8] = 0x0f;
    assert!(SpaceState::decode(&bytes).is_err());
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
    assert!(SpaceState::decode(&bytes).is_ok());
    assert!(SpaceState::decode(&twice).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_state_reads_back_equal_and_hashes_and_prints_equal(events in events(0..40)) {
        let log = log_of(events);
        for space_id in ["s", "s2", "t"] {
            let state = fold(&log, space_id, log.head().get());
            let read = SpaceState::decode(&state.encode()).unwrap();
            prop_assert_eq!(&read, &state);
            prop_assert_eq!(read.state_hash(), state.state_hash());
            prop_assert_eq!(read.encode(), state.encode());
            let print = |state: SpaceState| Snapshot::new(state.into(), Position::new(7)).to_json();
            prop_assert_eq!(print(read), print(state));
        }
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
