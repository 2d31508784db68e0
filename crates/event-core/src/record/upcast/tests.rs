use std::{fs, path::Path};

use super::*;
use crate::{
    Assignments, EncodedBody, EventId, EventType, Position, Presence, Records, RecordsBuilder,
    Revision, SchemaVersion, Schemas, SpaceEvent, Timestamp, Value,
    payload::layout::KeyForm::{self, MaybeText, Text},
    record::{
        body::Body,
        planted::{EARLIER, LATER},
        schemas::{Upcaster, byte},
        stored_columns::StoredBody,
    },
};

/// Bodies as earlier programs have recorded them, and how many records each has.
const FIXTURES: [(&str, &[u8], usize); 3] = [
    ("moved-1.body", include_bytes!("../fixtures/moved-1.body"), 3),
    ("moved-2.body", include_bytes!("../fixtures/moved-2.body"), 3),
    ("moved-1-2-3.body", include_bytes!("../fixtures/moved-1-2-3.body"), 6),
];

fn fixed(event: SpaceEvent, number: u8) -> SpaceEvent {
    event
        .with_event_id(EventId::from_bytes([number; 16]))
        .with_timestamp(Timestamp::from_micros(1_700_000_000_000_000 + i64::from(number)).unwrap())
}

fn extra(event: SpaceEvent) -> SpaceEvent {
    event.with_extra("by", Value::from("00cc4488-aa63-5459-bab8-6565b79405ae")).unwrap()
}

/// What each fixture was recorded of: an event of a type whose payload never changed, and moves.
/// An earlier program's move is written as the type that is laid out as it was then.
fn recorded(name: &str) -> Vec<SpaceEvent> {
    let created = fixed(SpaceEvent::space_created("handbook", "Handbook"), 1);
    let first = fixed(SpaceEvent::document_added("handbook", "intro", "a.md"), 2);
    let first_with_extra = extra(fixed(SpaceEvent::document_added("handbook", "intro", "/b"), 3));
    let second = fixed(SpaceEvent::reference_added("handbook", "intro", "c.md", "b.md"), 4);
    let second_from_null =
        extra(fixed(SpaceEvent::reference_added("handbook", "intro", "/d", None::<String>), 5));
    let third = fixed(SpaceEvent::document_moved("handbook", "intro", "/d", "e"), 6);
    match name {
        "moved-1.body" => vec![created, first, first_with_extra],
        "moved-2.body" => vec![created, second, second_from_null],
        _ => vec![created, first, first_with_extra, second, second_from_null, third],
    }
}

/// The events of a fixture as they are read today.
fn today(name: &str) -> Vec<SpaceEvent> {
    let moved = |new_path: &str, old_path: Presence| Payload::DocumentMoved {
        document_id: "intro".to_owned(),
        old_path,
        new_path: new_path.to_owned(),
        extra: Object::new(),
    };
    let with = |mut recorded: SpaceEvent, payload| {
        recorded.payload = payload;
        recorded
    };
    let payload = |recorded: SpaceEvent| match recorded.event_id.as_bytes().first() {
        Some(2) => with(recorded, moved("/a.md", Presence::Absent)),
        Some(3) => extra(with(recorded, moved("/b", Presence::Absent))),
        Some(4) => with(recorded, moved("/c.md", "/b.md".into())),
        Some(5) => extra(with(recorded, moved("/d", Presence::Null))),
        _ => recorded,
    };
    recorded(name).into_iter().map(payload).collect()
}

fn encode(events: &[SpaceEvent], schemas: &'static Schemas) -> EncodedBody {
    let mut builder = RecordsBuilder::new().written_by(schemas);
    for event in events {
        builder.push(event);
    }
    builder.finish()
}

fn decode(bytes: &[u8], count: usize, schemas: &Schemas) -> Records {
    let body = Body::decode(StoredBody::Whole(bytes), count, schemas).unwrap();
    let assignments = Assignments {
        first_position: Position::new(41),
        recorded_at: vec![Timestamp::MIN],
        base_revisions: vec![Revision::NONE; body.columns.spaces.len()],
    };
    Records::unassigned(body).reassign(assignments).unwrap()
}

fn events(records: &Records) -> Vec<Result<SpaceEvent, CorruptRecords>> {
    let event = |envelope: crate::Envelope<'_>| match envelope.decode() {
        Ok(event) => Ok(event.to_owned_event().event),
        Err(crate::ReadError::Corrupt { cause, .. }) => Err(cause),
        Err(error) => panic!("{error}"),
    };
    records.envelopes().map(event).collect()
}

fn readable(records: &Records) -> Vec<SpaceEvent> {
    events(records).into_iter().map(Result::unwrap).collect()
}

fn version(number: u8) -> SchemaVersion {
    (1..number).fold(SchemaVersion::FIRST, |version, _| version.next())
}

#[test]
#[ignore = "writes the fixtures"]
fn fixtures_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/record/fixtures");
    for (name, ..) in FIXTURES {
        fs::write(folder.join(name), encode(&recorded(name), &EARLIER).bytes()).unwrap();
    }
}

#[test]
fn the_fixtures_are_what_earlier_programs_wrote() {
    for (name, bytes, count) in FIXTURES {
        let body = encode(&recorded(name), &EARLIER);
        assert_eq!((body.bytes(), body.count()), (bytes, count), "{name}");
    }
}

#[test]
fn recorded_bytes_of_every_version_are_read_as_payloads_of_today() {
    for (name, bytes, count) in FIXTURES {
        let records = decode(bytes, count, &LATER);
        assert_eq!(readable(&records), today(name), "{name}");
        assert!(!records.are_current());
        // Payloads of today are as if they had been recorded so.
        let as_of_today = encode(&today(name), &LATER);
        let recorded_today = decode(as_of_today.bytes(), count, &LATER);
        assert_eq!(readable(&recorded_today), today(name), "{name}");
        assert!(recorded_today.are_current());
    }
}

#[test]
fn a_payload_that_is_too_new_is_refused_alone_and_says_which_versions() {
    let (name, bytes, count) = FIXTURES[2];
    let records = decode(bytes, count, Schemas::today());
    let newer = |found| CorruptRecords::NewerPayload {
        event_type: EventType::DocumentMoved,
        found: version(found),
        known: version(1),
    };
    let read = events(&records);
    assert_eq!(read[0].as_ref(), Ok(&recorded(name)[0]));
    // Version 1 is what this program writes: it is believed to be laid out as today.
    assert_eq!(read[3], Err(newer(2)));
    assert_eq!(read[5], Err(newer(3)));
    assert_eq!(
        read[5].as_ref().unwrap_err().to_string(),
        "the payload of document.moved has schema version 3, this program knows versions up to 1: \
         read it with a newer one"
    );
    // All but the payload is known.
    let types: Vec<EventType> = records.event_types().to_vec();
    assert_eq!(types[5], EventType::DocumentMoved);
    assert_eq!(records.envelope(5).unwrap().position, Position::new(46));
    let mut copy = RecordsBuilder::new();
    assert_eq!(copy.extend_from(&records, [0, 5]), Err(newer(3)));
}

#[test]
fn a_filter_that_needs_a_payload_that_is_too_new_says_where_it_is() {
    let (_, bytes, _) = FIXTURES[1];
    let records = decode(bytes, 3, Schemas::today());
    let filter = crate::EventFilter::all().document("intro");
    let error = filter.select(&records).unwrap_err();
    assert!(
        matches!(
            error,
            crate::ReadError::Corrupt { position, cause: CorruptRecords::NewerPayload { .. } }
                if position == Position::new(42)
        ),
        "{error}"
    );
    let created = crate::EventFilter::all().types([EventType::SpaceCreated]);
    assert_eq!(created.select(&records).unwrap(), [0]);
}

#[test]
fn an_old_payload_that_does_not_decode_is_refused_alone() {
    let (_, bytes, count) = FIXTURES[0];
    let mut bytes = bytes.to_vec();
    // The path of the second record, its last text but `extra`.
    let payloads = start_of_payloads(&bytes, count);
    bytes[payloads + 3] = 200;
    let read = events(&decode(&bytes, count, &LATER));
    let refused = CorruptRecords::OldPayload {
        event_type: EventType::DocumentMoved,
        found: version(1),
        known: version(3),
    };
    assert_eq!(read[1], Err(refused));
    assert_eq!(read[2].as_ref(), Ok(&today("moved-1.body")[2]));
}

/// Payloads stand before the dense part.
fn start_of_payloads(bytes: &[u8], count: usize) -> usize {
    let (body, _) = Body::unpack(StoredBody::Whole(bytes), count, &EARLIER).unwrap();
    let stored = EncodedBody::from_bytes(bytes.to_vec(), count).unwrap();
    stored.parts().0.len() - body.columns.payloads.len()
}

#[test]
fn a_long_text_that_an_old_payload_names_over_and_over_is_no_way_to_fill_the_memory() {
    static LISTS: [Upcaster; 1] = [Upcaster {
        event_type: EventType::CacheInvalidated,
        from: SchemaVersion::FIRST,
        layout: &[("document_ids", KeyForm::Texts), ("reason", MaybeText)],
        upcast: |object| object,
    }];
    static SCHEMAS: Schemas = Schemas::new(&LISTS);
    let long = "x".repeat(1 << 20);
    let of = |times: usize| {
        let ids = vec![long.clone(); times];
        let event = SpaceEvent::cache_invalidated("handbook", ids, None::<String>);
        let body = encode(&[event], Schemas::today());
        events(&decode(body.bytes(), 1, &SCHEMAS)).remove(0)
    };
    assert!(of(2).is_ok());
    assert!(matches!(of(3), Err(CorruptRecords::OldPayload { .. })));
}

#[test]
fn keys_of_every_kind_are_read() {
    use crate::payload::layout::KeyForm::{Json, Members, Texts};
    const fn same(event_type: EventType, layout: Layout) -> Upcaster {
        Upcaster { event_type, from: SchemaVersion::FIRST, layout, upcast: |object| object }
    }
    static UPCASTERS: [Upcaster; 4] = [
        same(EventType::SpaceUpdated, &[("changes", Members)]),
        same(EventType::VariableSet, &[("name", Text), ("value", Json)]),
        same(EventType::CacheInvalidated, &[("document_ids", Texts), ("reason", MaybeText)]),
        same(EventType::SyncCompleted, &[]),
    ];
    static SCHEMAS: Schemas = Schemas::new(&UPCASTERS);
    let object = Object::from_iter([("a", Value::Null), ("name", Value::from(vec![1.into()]))]);
    let events = [
        SpaceEvent::space_updated("handbook", object.clone()),
        extra(SpaceEvent::variable_set("handbook", "n", Value::Object(object))),
        SpaceEvent::cache_invalidated("handbook", ["a".to_owned(), "b".to_owned()], "why"),
        extra(SpaceEvent::sync_completed("handbook")),
    ];
    let body = encode(&events, Schemas::today());
    let records = decode(body.bytes(), body.count(), &SCHEMAS);
    assert_eq!(readable(&records), events);
    assert!(!records.are_current());
}

#[test]
fn the_rest_of_a_run_keeps_its_payloads_as_they_were_recorded() {
    let (name, bytes, count) = FIXTURES[2];
    let mut recorded = recorded(name);
    let other = fixed(SpaceEvent::space_created("shelf", "Shelf"), 7);
    recorded.insert(1, other.clone());
    recorded.push(other.with_event_id(EventId::from_bytes([8; 16])));
    let body = encode(&recorded, &EARLIER);
    let whole = readable(&decode(body.bytes(), count + 2, &LATER));
    for start in 0..body.count() {
        let rest = body.part(start..body.count(), Schemas::today()).unwrap();
        assert_eq!(rest.count(), body.count() - start);
        let records = decode(rest.bytes(), rest.count(), &LATER);
        assert_eq!(readable(&records), whole[start..], "from {start}");
        let revisions: Vec<u64> = records.envelopes().map(|event| event.revision.get()).collect();
        assert!(records.spaces().all(|(_, before, after)| before < after));
        assert_eq!(revisions[0], 1);
        // Whoever knows no later version still passes them on.
        assert_eq!(decode(rest.bytes(), rest.count(), Schemas::today()).len(), rest.count());
    }
    assert_eq!(body.part(0..body.count(), Schemas::today()).unwrap().bytes(), body.bytes());
    assert!(body.part(body.count()..body.count(), Schemas::today()).is_err());
    let longer = EncodedBody::from_bytes(bytes.to_vec(), count + 1);
    assert!(longer.and_then(|longer| longer.part(1..longer.count(), Schemas::today())).is_err());
}

#[test]
fn a_copy_is_of_the_version_of_today() {
    let (name, bytes, count) = FIXTURES[2];
    let records = decode(bytes, count, &LATER);
    let mut copy = RecordsBuilder::new();
    copy.extend_from(&records, 1..count).unwrap();
    let body = copy.written_by(&LATER).finish();
    let copied = decode(body.bytes(), body.count(), &LATER);
    assert!(copied.are_current());
    assert_eq!(readable(&copied), today(name)[1..]);
}

#[test]
fn a_byte_says_type_and_version() {
    for event_type in EventType::CORE.into_iter().chain([EventType::Application]) {
        assert_eq!(
            Schemas::today().code(event_type),
            event_type.code(),
            "{event_type} is at its first version"
        );
        assert_eq!(Schemas::today().current(event_type.code()), Some(event_type));
        for number in 1..=8 {
            let code = byte(event_type, version(number));
            let known = version(if event_type == EventType::DocumentMoved { 3 } else { 1 });
            let other = OtherVersion { event_type, found: version(number), known };
            assert_eq!(LATER.other(code), Some(other));
            assert_eq!(LATER.current(code).is_some(), version(number) == known);
        }
    }
    for unknown in [0, 23, 31, 32, 23 | 1 << 5, u8::MAX] {
        assert_eq!(
            (Schemas::today().current(unknown), Schemas::today().other(unknown)),
            (None, None),
            "{unknown}"
        );
    }
}
