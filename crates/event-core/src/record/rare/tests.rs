use crate::{
    EncodedBody, EventId, EventOrigin, Object, Position, Records, RecordsBuilder, SpaceEvent,
    Timestamp,
};

fn origin(position: u64) -> EventOrigin {
    EventOrigin { store_id: [0xaa; 16], timeline: [0xbb; 16], position: Position::new(position) }
}

fn fixed(event: SpaceEvent, id: u8) -> SpaceEvent {
    let time = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(id)).unwrap();
    event.with_event_id(EventId::from_bytes([id; 16])).with_timestamp(time)
}

/// An event without any of it, one of an application's own with tags, one with a tag and an origin.
fn events() -> [SpaceEvent; 3] {
    let paid = SpaceEvent::application("a", "org.example.paid", Object::new()).unwrap();
    let mut archived = SpaceEvent::space_archived("a").with_tags(["x"]);
    archived.origin = Some(origin(300));
    [
        fixed(SpaceEvent::space_activated("a"), 1),
        fixed(paid.with_tags(["course:c1", "x"]), 2),
        fixed(archived, 3),
    ]
}

fn encode(events: &[SpaceEvent]) -> EncodedBody {
    let mut builder = RecordsBuilder::new();
    for event in events {
        builder.push(event);
    }
    builder.finish()
}

fn read(body: &[u8], count: usize) -> Vec<SpaceEvent> {
    let records = Records::decode_unassigned(body, count).unwrap();
    records.envelopes().map(|event| event.decode().unwrap().to_owned_event().event).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands before the columns, then these, then the dense part.
const GOLDEN: [&str; 3] = [
    "04044024041b616f72672e6578616d706c652e70616964636f757273653a6331780100030416050300000003fd0280\
     3c3048140c00020203000000030000000301010103000000",
    "01010300020103020303\
     20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb0300000101fb2c01",
    "010101010101010101010101010101010202020202020202020202020202020203030303030303030303030303030303",
];

#[test]
fn a_body_with_names_tags_and_origins_has_the_bytes_that_version_2_was_released_with() {
    let body = encode(&events());
    assert_eq!(hex(body.bytes()), GOLDEN.concat());
    assert_eq!(read(body.bytes(), 3), events());
}

#[test]
fn a_body_without_any_has_no_column_of_them() {
    let [plain, ..] = events();
    let body = encode(&[plain]);
    let (rest, _) = body.parts();
    assert_eq!(hex(rest), "0104016101000104010001fd02803c3048140c000100010001010100");
    assert!(!Records::decode_unassigned(body.bytes(), 1).unwrap().needs_version_2());
}

/// Any byte of the columns may be another: what is read then is read as it is written, or refused.
#[test]
fn columns_that_are_not_as_they_are_written_are_refused_or_read_whole() {
    let body = encode(&events());
    let start = GOLDEN[0].len() / 2;
    let columns = start..start + GOLDEN[1].len() / 2;
    let mut refused = 0;
    for at in columns.clone() {
        for byte in 0..=u8::MAX {
            let mut changed = body.bytes().to_vec();
            changed[at] = byte;
            match Records::decode_unassigned(&changed, 3) {
                Err(_) => refused += 1,
                Ok(records) => {
                    let tags = records.envelopes().map(|event| event.tags().len());
                    assert!(tags.sum::<usize>() <= 3 * crate::limits::MAX_TAGS);
                    records
                        .distinct_tags()
                        .for_each(|tag| assert!(!records.tagged(tag).is_empty()));
                    records.envelopes().for_each(|event| drop(event.decode()));
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
    for len in columns {
        let cut = [&body.bytes()[..len], body.parts().1].concat();
        assert!(Records::decode_unassigned(&cut, 3).is_err(), "{len}");
    }
}
