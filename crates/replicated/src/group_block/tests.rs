use proptest::prelude::*;
use spacefold_event_core::{AppendRequest, Revision, Schemas, SpaceEvent, append_rules};

use super::*;

fn identity() -> LogIdentity {
    LogIdentity {
        log_id: LogId::from_bytes([1; 16]),
        timeline: TimelineId::from_bytes([2; 16]),
        fork: None,
    }
}

/// A group of as many events at position 7, and its payload.
fn group(events: usize) -> (GroupBlockHeader, Vec<Records>, Vec<u8>) {
    let event = |n: usize| SpaceEvent::variable_set("a", "n", format!("{n:0>300}"));
    let events: Vec<SpaceEvent> = (0..events).map(event).collect();
    let proposal = append_rules::propose(&AppendRequest::new(&events), Schemas::today()).unwrap();
    let (mut next, mut revision) = (Position::new(7), Revision::new(3));
    let runs = proposal.runs().iter().map(|run| {
        let body = run.body();
        let assignments = Assignments {
            first_position: next,
            recorded_at: vec![Timestamp::from_micros(5).unwrap()],
            base_revisions: vec![revision],
        };
        let records = Records::decode(body.bytes(), body.count(), assignments).unwrap();
        next = records.last_position().next();
        revision = revision.plus(to_u32(body.count()).into());
        (records, body.bytes())
    });
    let runs: Vec<_> = runs.collect();
    let payload = encode_records(runs.iter().map(|(records, body)| (records, *body)));
    let records: Vec<Records> = runs.iter().map(|(records, _)| records.clone()).collect();
    let header = GroupBlockHeader {
        place: 9,
        read_through: 8,
        first_position: Position::new(7),
        count: count_of(&records),
        previous: [4; 32],
        ..GroupBlockHeader::first(identity(), [3; 16])
    };
    (header, records, payload)
}

fn ids(runs: &[Records]) -> Vec<(Position, Revision)> {
    let envelopes = runs.iter().flat_map(Records::envelopes);
    envelopes.map(|event| (event.position, event.revision)).collect()
}

#[test]
fn a_group_comes_back_from_its_blocks() {
    for (events, max_bytes) in [(1, 1 << 20), (700, 1 << 20), (700, 1_000), (3, 1_000)] {
        let (header, records, payload) = group(events);
        let blocks = blocks_of(&header, &payload, max_bytes);
        assert_eq!(blocks.len() > 1, max_bytes == 1_000 && payload.len() > 1_000);
        let (mut whole, mut previous) = (Vec::new(), header.previous);
        for (part, (bytes, hash)) in (0..).zip(&blocks) {
            assert!(bytes.len() <= max_bytes);
            let block = decode(bytes).unwrap();
            assert_eq!(block.header.part, part);
            assert_eq!(block.header.place, header.place + u64::from(part));
            assert_eq!(block.header.previous, previous);
            assert_eq!(block.hash, *hash);
            whole.extend_from_slice(block.payload);
            previous = block.hash;
        }
        assert_eq!(ids(&decode_records(&header, &whole).unwrap()), ids(&records));
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let (header, _, payload) = group(2);
    let (bytes, _) = header.encode(&payload);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn fields_that_no_writer_writes_are_refused() {
    let (good, _, _) = group(1);
    let refused = [
        GroupBlockHeader { place: 0, ..good },
        GroupBlockHeader { read_through: 9, ..good },
        GroupBlockHeader { part: 1, ..good },
        GroupBlockHeader { parts: 0, ..good },
        GroupBlockHeader { count: to_u32(MAX_APPEND_EVENTS) + 1, ..good },
        GroupBlockHeader { first_position: Position::START, ..good },
        GroupBlockHeader { first_position: Position::new(u64::MAX), ..good },
    ];
    for header in refused {
        let (bytes, _) = header.encode(&[]);
        assert!(matches!(decode(&bytes), Err(GroupBlockError::Malformed(_))), "{header:?}");
    }
    let (bytes, _) = good.encode(&[]);
    let altered = |at: usize| {
        let mut sealed = bytes[..bytes.len() - HASH_BYTES].to_vec();
        sealed[at] += 1;
        seal(sealed)
    };
    assert!(matches!(decode(&altered(0)), Err(GroupBlockError::NotABlock)));
    assert!(matches!(decode(&altered(4)), Err(GroupBlockError::UnknownVersion(2))));
    assert!(matches!(decode(&altered(6)), Err(GroupBlockError::Malformed(_))));
}

#[test]
fn another_number_of_events_than_the_header_says_is_refused() {
    let (header, _, payload) = group(3);
    for count in [0, 2, 4] {
        let header = GroupBlockHeader { count, ..header };
        assert!(decode_records(&header, &payload).is_err(), "{count} events");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let (header, _, _) = group(1);
        let _ = decode_records(&header, &bytes);
        // Whole, and so looked into.
        let mut sealed = b"SFR1\x01\0\0\0".to_vec();
        sealed.extend_from_slice(&bytes);
        if let Ok(block) = decode(&seal(sealed)) {
            let _ = decode_records(&block.header, block.payload);
        }
    }

    #[test]
    fn no_altered_payload_makes_it_panic(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (header, _, mut payload) = group(2);
        let at = place.index(payload.len());
        payload[at] = byte;
        let _ = decode_records(&header, &payload);
    }
}
