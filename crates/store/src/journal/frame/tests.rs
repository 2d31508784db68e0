use std::sync::Arc;

use proptest::prelude::*;
use spacefold_event_core::{
    Assignments, EncodedBody, EventId, EventOrigin, Object, Records, RecordsBuilder, Revision,
    SpaceEvent, Timestamp, Value,
};

use super::*;

pub(crate) const STORE: [u8; 16] = *b"0123456789abcdef";
const OTHER: [u8; 16] = *b"0123456789abcdeg";
const CONTEXT: FrameContext =
    FrameContext { store_id: STORE, incarnation: 5, previous_crc: 0xdead_beef };

fn parse(bytes: &[u8], store_id: [u8; 16]) -> Result<Frame<'_>, FrameError> {
    super::parse(bytes, store_id, Schemas::today())
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

/// Two events whose every byte is fixed.
pub(crate) fn fixed_events() -> [SpaceEvent; 2] {
    let fixed = |event: SpaceEvent, id: u8| {
        event
            .with_event_id(EventId::from_bytes([id; 16]))
            .with_timestamp(time(1_700_000_000_000_000 + i64::from(id)))
    };
    [
        fixed(SpaceEvent::space_created("handbook", "Handbook"), 1).with_source("editor"),
        fixed(
            SpaceEvent::document_content_changed(
                "handbook",
                "00cc4488-aa63-5459-bab8-6565b79405ae",
                None::<String>,
                "af1349b9f5f9a1a6a0404dea36dcc949",
            ),
            2,
        ),
    ]
}

pub(crate) fn encode_body(events: &[SpaceEvent]) -> EncodedBody {
    let mut builder = RecordsBuilder::new();
    for event in events {
        builder.push(event);
    }
    builder.finish()
}

/// Assignments for events of `spaces` different spaces.
pub(crate) fn assign(first: u64, times: Vec<Timestamp>, spaces: usize) -> Assignments {
    Assignments {
        first_position: Position::new(first),
        recorded_at: times,
        base_revisions: (0..spaces).map(|space| Revision::new(space as u64 * 300)).collect(),
    }
}

pub(crate) fn fixed_run() -> (Assignments, EncodedBody) {
    let times = vec![time(1_700_000_001_000_000), time(1_700_000_001_000_300)];
    (assign(41, times, 1), encode_body(&fixed_events()))
}

fn run(assignments: Assignments, body: EncodedBody) -> RecordRun {
    let records = Records::decode(body.bytes(), body.count(), assignments).unwrap();
    RecordRun { records, body: Arc::new(body) }
}

fn fixed_runs() -> Vec<RecordRun> {
    let (assignments, body) = fixed_run();
    vec![run(assignments, body)]
}

fn fixed_frame() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, &CONTEXT, Position::new(40), &fixed_runs());
    bytes
}

fn events(runs: &[RecordRun]) -> Vec<SpaceEvent> {
    let envelopes = runs.iter().flat_map(|run| run.records.envelopes());
    envelopes.map(|envelope| envelope.decode().unwrap().to_owned_event().event).collect()
}

/// The frame with its header changed and its checksum made to fit.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    changed_of(&fixed_frame(), change)
}

fn changed_of(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    change(&mut bytes);
    let context = FrameContext {
        store_id: bytes[8..24].try_into().unwrap(),
        incarnation: u64::from_le_bytes(bytes[24..32].try_into().unwrap()),
        previous_crc: u32::from_le_bytes(bytes[72..76].try_into().unwrap()),
    };
    let crc = crc32c::crc32c_append(context.seed(), &bytes[..76]);
    let crc = crc32c::crc32c_append(crc, &bytes[80..]);
    bytes[76..80].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn file_header() -> FileHeader {
    FileHeader {
        store_id: STORE,
        incarnation: 5,
        file_number: 12,
        first_position: Position::new(41),
        previous_crc: 0xdead_beef,
        sessions: Sessions::default(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_frame_gives_back_what_was_put_in() {
    let mut bytes = b"before".to_vec();
    let crc = encode(&mut bytes, &CONTEXT, Position::new(40), &fixed_runs());
    let written = bytes.len();
    bytes.extend_from_slice(b"after");
    let frame = parse(&bytes[6..], STORE).unwrap();
    assert_eq!(frame.bytes.len(), written - 6);
    assert_eq!(frame.header.crc, crc);
    assert_eq!(frame.header.first_position, Position::new(41));
    assert_eq!(frame.header.last_position(), Position::new(42));
    assert_eq!(frame.header.synced_through, Position::new(40));
    let [run] = &*frame.runs().unwrap() else { panic!("not one run") };
    let (assignments, body) = fixed_run();
    assert_eq!(*run.records.assignments(), assignments);
    assert_eq!(run.body.bytes(), body.bytes());
    assert_eq!(events(std::slice::from_ref(run)), fixed_events());
}

#[test]
fn a_frame_of_several_runs_gives_back_each() {
    let later = [SpaceEvent::space_deleted("handbook", "Handbook")];
    let second = Assignments {
        base_revisions: vec![Revision::new(2)],
        ..assign(43, vec![time(1_700_000_001_000_300)], 1)
    };
    let mut runs = fixed_runs();
    runs.push(run(second.clone(), encode_body(&later)));
    let mut bytes = Vec::new();
    encode(&mut bytes, &CONTEXT, Position::new(40), &runs);
    let frame = parse(&bytes, STORE).unwrap();
    assert_eq!(frame.header.count, 3);
    let read = frame.runs().unwrap();
    assert_eq!(*read[1].records.assignments(), second);
    assert_eq!(events(&read), [&fixed_events()[..], &later].concat());
    // Whatever the list says of them: they are exactly the frame.
    let list = 80..80 + to_usize(frame.header.runs_len);
    for at in list {
        for byte in [0, 1, 3, 200] {
            let changed = changed_of(&bytes, |bytes| bytes[at] = byte);
            let Ok(frame) = parse(&changed, STORE) else { panic!("the checksum was made to fit") };
            if let Ok(runs) = frame.runs() {
                assert_eq!(runs.last().unwrap().records.last_position(), Position::new(43));
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_detected() {
    let intact = fixed_frame();
    for bit in 0..intact.len() * 8 {
        let mut bytes = intact.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = parse(&bytes, STORE).unwrap_err();
        assert!(!matches!(error, FrameError::End | FrameError::OtherStore), "bit {bit}: {error}");
    }
}

#[test]
fn every_truncation_of_a_frame_is_detected() {
    let intact = fixed_frame();
    for len in 0..intact.len() {
        let expected = if len < 4 { FrameError::End } else { FrameError::Truncated };
        assert_eq!(parse(&intact[..len], STORE).unwrap_err(), expected, "{len}");
    }
}

#[test]
fn zeros_are_the_end_and_other_bytes_no_frame() {
    assert_eq!(parse(&[0; 4_096], STORE).unwrap_err(), FrameError::End);
    assert_eq!(parse(b"SFJF....", STORE).unwrap_err(), FrameError::NotAFrame);
}

#[test]
fn a_frame_of_another_store_is_refused() {
    assert_eq!(parse(&fixed_frame(), OTHER).unwrap_err(), FrameError::OtherStore);
}

#[test]
fn the_checksum_knows_what_the_frame_is_written_after() {
    // The same bytes with the header's context replaced: a frame copied to where it does not
    // belong and patched there by mistake.
    for range in [8..24, 24..32, 72..76] {
        let mut bytes = fixed_frame();
        for byte in &mut bytes[range] {
            *byte ^= 0x55;
        }
        assert_eq!(parse(&bytes, STORE).unwrap_err(), FrameError::BadChecksum);
    }
}

#[test]
fn lengths_are_compared_with_their_limits_before_anything_else() {
    for (offset, limit) in [(44, MAX_RUNS_BYTES), (48, MAX_BODY_BYTES), (52, MAX_EXTENSION_BYTES)] {
        let parse_with = |len: usize| {
            let mut bytes = fixed_frame();
            bytes[offset..offset + 4].copy_from_slice(&to_u32(len).to_le_bytes());
            parse(&bytes, STORE).unwrap_err()
        };
        assert_eq!(parse_with(limit), FrameError::Truncated);
        assert_eq!(parse_with(limit + 1), FrameError::Unreadable("a length past its limit"));
    }
}

#[test]
fn a_header_that_cannot_be_is_refused_though_its_checksum_holds() {
    let error = |offset: usize, field: &[u8]| {
        let bytes = changed(|bytes| bytes[offset..offset + field.len()].copy_from_slice(field));
        parse(&bytes, STORE).unwrap_err()
    };
    for (offset, field, what) in [
        (4, &2_u16.to_le_bytes()[..], "an unknown format version"),
        (6, &1_u16.to_le_bytes(), "a flag of a later version"),
        (32, &0_u64.to_le_bytes(), "a position out of range"),
        (32, &u64::MAX.to_le_bytes(), "a position out of range"),
        (40, &0_u32.to_le_bytes(), "a count of records out of range"),
        (40, &4_097_u32.to_le_bytes(), "a count of records out of range"),
        (56, &i64::MAX.to_le_bytes(), "a time out of range"),
    ] {
        assert_eq!(error(offset, field), FrameError::Unreadable(what));
    }
    let bytes = changed(|bytes| bytes[40..44].copy_from_slice(&3_u32.to_le_bytes()));
    assert!(parse(&bytes, STORE).unwrap().runs().is_err());
}

#[test]
fn unknown_extension_fields_are_skipped() {
    let field = [9, 0, 2, 0, 0, 0, 1, 1];
    let extended = |len: u32| {
        changed(|bytes| {
            bytes[52..56].copy_from_slice(&len.to_le_bytes());
            bytes.splice(80..80, field[..to_usize(len)].iter().copied());
        })
    };
    let bytes = extended(8);
    let frame = parse(&bytes, STORE).unwrap();
    assert_eq!(frame.bytes.len(), fixed_frame().len() + 8);
    assert_eq!(frame.header.extension_len, 8);
    assert_eq!(events(&frame.runs().unwrap()).len(), 2);
    assert_eq!(
        parse(&extended(7), STORE).unwrap_err(),
        FrameError::Unreadable("extension fields of a wrong length")
    );
}

#[test]
fn a_file_header_gives_back_what_was_put_in() {
    let bytes = file_header().encode();
    assert_eq!(FileHeader::parse(&bytes, STORE), Ok(file_header()));
    assert_eq!(FileHeader::parse(&bytes, OTHER), Err(FrameError::OtherStore));
    assert_eq!(FileHeader::parse(&[0; 512], STORE), Err(FrameError::End));
    assert_eq!(FileHeader::parse(&fixed_frame(), STORE), Err(FrameError::NotAFrame));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(FileHeader::parse(&flipped, STORE).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(FileHeader::parse(&bytes[..len], STORE).is_err(), "{len}");
    }
}

#[test]
fn frame_and_file_header_have_the_bytes_that_version_1_was_released_with() {
    assert_eq!(hex(&fixed_frame()), GOLDEN_FRAME);
    let header = file_header().encode();
    assert_eq!(hex(&header[..56]), GOLDEN_FILE_HEADER);
    assert_eq!(header[56..508], [0; 452]);
    assert_eq!(hex(&header[508..]), GOLDEN_FILE_HEADER_CRC);
}

const GOLDEN_FRAME: &str = "\
     53464a31010000003031323334353637383961626364656605000000000000002900000000000000\
     020000000b000000800000000000000040822d18240a06002800000000000000efbeadde9871755f\
     010280000601fb2c0101000520182042411668616e64626f6f6b656469746f7248616e64626f6f6b\
     010002010a02000002fd02803c3048140c00020202000200000202040602000301040000cc4488aa\
     635459bab86565b79405aeaf1349b9f5f9a1a6a0404dea36dcc94901010101010101010101010101\
     01010102020202020202020202020202020202";
const GOLDEN_FILE_HEADER: &str = "\
     53464a46010000003031323334353637383961626364656605000000000000000c00000000000000\
     2900000000000000efbeadde00000000";
const GOLDEN_FILE_HEADER_CRC: &str = "b5fd1e2f";

/// Any few events of spaces `a` to `c`.
pub(crate) fn some_events() -> impl Strategy<Value = Vec<SpaceEvent>> {
    let text = "[a-z]{1,12}|[0-9a-f]{32}|\\PC{0,20}";
    let event = ("[abc]", text, text, any::<i64>(), any::<[u8; 16]>(), 0..6_u8);
    let event = event.prop_map(|(space, one, two, number, id, kind)| {
        let event = match kind {
            0 => SpaceEvent::space_created(space, one),
            1 => SpaceEvent::document_moved(space, one, Some(two), "/x"),
            2 => SpaceEvent::variable_set(space, one, Value::from(number)),
            4 => SpaceEvent::application(space, "org.example.done", Object::new())
                .unwrap()
                .with_tags([one, format!("{two}!")]),
            5 => {
                let mut event = SpaceEvent::space_archived(space).with_tags([two]);
                let position = Position::new(number.unsigned_abs().max(1));
                event.origin = Some(EventOrigin { store_id: id, timeline: [7; 16], position });
                event
            }
            _ => {
                let changes: Object = [(one, Value::from(two.as_str()))].into_iter().collect();
                SpaceEvent::space_updated(space, changes).with_source(two)
            }
        };
        event.with_event_id(EventId::from_bytes(id))
    });
    proptest::collection::vec(event, 1..12)
}

pub(crate) fn count_spaces(events: &[SpaceEvent]) -> usize {
    let spaces: std::collections::BTreeSet<&str> =
        events.iter().map(|event| event.space_id.as_str()).collect();
    spaces.len()
}

proptest! {
    #[test]
    fn any_run_survives_a_frame(
        some in some_events(),
        first in 1..u64::MAX - 100,
        incarnation in any::<u64>(),
        previous_crc in any::<u32>(),
    ) {
        let assignments = assign(first, vec![time(77)], count_spaces(&some));
        let context = FrameContext { incarnation, previous_crc, ..CONTEXT };
        let mut bytes = Vec::new();
        let runs = [run(assignments.clone(), encode_body(&some))];
        encode(&mut bytes, &context, Position::new(first - 1), &runs);
        let frame = parse(&bytes, STORE).unwrap();
        prop_assert_eq!(frame.bytes.len(), bytes.len());
        let read = frame.runs().unwrap();
        prop_assert_eq!(read[0].records.assignments(), &assignments);
        prop_assert_eq!(events(&read), some);
    }

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), as_frame: bool) {
        let magic = if as_frame { FRAME_MAGIC } else { FILE_MAGIC };
        for (byte, magic) in bytes.iter_mut().zip(magic) {
            *byte = magic;
        }
        prop_assert!(parse(&bytes, STORE).is_err());
        prop_assert!(FileHeader::parse(&bytes, STORE).is_err());
    }

    #[test]
    fn no_frame_with_a_fitting_checksum_panics(at in 80..300_usize, byte: u8) {
        let bytes = changed(|bytes| {
            let len = bytes.len();
            bytes[80 + at % (len - 80)] = byte;
        });
        if let Ok(frame) = parse(&bytes, STORE)
            && let Ok(runs) = frame.runs()
        {
            for envelope in runs.iter().flat_map(|run| run.records.envelopes()) {
                let _ = envelope.decode();
            }
        }
    }
}

#[test]
fn a_frame_written_again_is_the_frame_written_there_first() {
    let runs = fixed_runs();
    let mut first = Vec::new();
    encode(&mut first, &CONTEXT, Position::new(40), &runs);
    let read = OwnedFrame::from(&parse(&first, STORE).unwrap());
    let context = FrameContext { incarnation: 9, previous_crc: 77, ..CONTEXT };
    let (mut again, mut afresh) = (vec![1, 2, 3], vec![1, 2, 3]);
    let crc = encode_again(&mut again, &context, &read);
    assert_eq!(crc, encode(&mut afresh, &context, Position::new(40), &runs));
    assert_eq!(again, afresh);
}
