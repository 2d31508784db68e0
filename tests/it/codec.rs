//! Whatever goes into the binary form or the JSON form comes out of it again, and no bytes make
//! the decoders panic.

use proptest::{prelude::*, sample::Index};
use spacefold_event_core::{
    AppendRequest, Assignments, EncodedBody, EventFilter, EventLog, EventOrigin, JsonReader,
    MemoryLog, NamedDocuments, Position, Records, RecordsBuilder, Revision, Schemas, SpaceEvent,
    Timestamp,
};

use spacefold_store::EmbeddedLog;

use crate::arbitrary::one_of_each;

fn assert_read_back(log: &dyn EventLog, events: &[SpaceEvent]) {
    let head = log.head();
    log.append(&AppendRequest::new(events)).unwrap();
    let read = spacefold_event_core::ReadRequest::from(head.next());
    let held: Vec<SpaceEvent> =
        conformance::read_all(log, &read).into_iter().map(|event| event.event).collect();
    assert_eq!(held, events);
}

#[test]
fn what_is_encoded_is_known_without_reading_it_back() {
    let runner = &mut proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&one_of_each(), |events| {
        let mut builder = RecordsBuilder::new();
        for event in &events {
            builder.push(event);
        }
        let (body, records) = builder.finish_with_records().unwrap();
        let read = Records::decode_unassigned(body.bytes(), body.count()).unwrap();
        prop_assert_eq!(format!("{records:?}"), format!("{read:?}"));
        // Also out of records.
        let mut copy = RecordsBuilder::new();
        copy.extend_from(&read, 0..read.len()).unwrap();
        let (copied, records) = copy.finish_with_records().unwrap();
        let read = Records::decode_unassigned(copied.bytes(), copied.count()).unwrap();
        prop_assert_eq!(format!("{records:?}"), format!("{read:?}"));
        Ok(())
    });
    outcome.unwrap();
    assert!(RecordsBuilder::new().finish_with_records().is_err(), "a run is never empty");
}

/// The body of a run of these events, and assignments for it.
fn encoded(events: &[SpaceEvent]) -> (Vec<u8>, usize, Assignments) {
    let mut builder = RecordsBuilder::new();
    let mut spaces: Vec<&str> = Vec::new();
    for event in events {
        builder.push(event);
        if !spaces.contains(&event.space_id.as_str()) {
            spaces.push(&event.space_id);
        }
    }
    let body = builder.finish();
    let assignments = Assignments {
        first_position: Position::new(7),
        recorded_at: vec![conformance::second(0)],
        base_revisions: vec![Revision::new(3); spaces.len()],
    };
    (body.bytes().to_vec(), body.count(), assignments)
}

/// The origins of the events of a body, read without the rest of it; none where that is damaged.
fn origins_alone(bytes: &[u8], count: usize) -> Option<Vec<(usize, EventOrigin)>> {
    let body = EncodedBody::from_bytes(bytes.to_vec(), count).ok()?;
    let (rest, dense) = body.parts();
    Records::decode_origins(Schemas::today(), rest, dense, count).ok()
}

/// Does with the records all that can be done.
fn walk(records: &Records) {
    let count = records.len();
    assert!(records.envelopes().count() <= count);
    for envelope in records.envelopes() {
        if let Ok(event) = envelope.decode() {
            let _ = event.to_json();
            let _ = event.to_owned_event().event.check_limits();
        }
    }
    let _ = records.spaces().count();
    let _ = (records.first_recorded_at(), records.last_recorded_at());
    let _ = EventFilter::all().spaces(["a"]).document("d").select(records);
    let mut copy = RecordsBuilder::new();
    if copy.extend_from(records, 0..count).is_ok() {
        // Damage can make two spaces one, for which there are too many assignments then.
        let copied = copy.finish();
        let _ = Records::decode(copied.bytes(), copied.count(), records.assignments().clone());
    }
}

/// What a payload names outside of itself is what its keys in the interchange form say.
fn names_what_its_keys_say(event: &SpaceEvent) {
    let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
    let payload = json["payload"].as_object().unwrap();
    let hashes = payload.iter().filter(|(key, _)| key.ends_with("_hash"));
    let mut hashes: Vec<&str> = hashes.filter_map(|(_, hash)| hash.as_str()).collect();
    let mut named: Vec<&str> = event.payload.content_hashes().map(String::as_str).collect();
    hashes.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, hashes);
    assert!(named.is_empty() || event.event_type().may_name_content());
    match event.payload.documents() {
        NamedDocuments::One(id) => assert_eq!(payload["document_id"], **id),
        NamedDocuments::Several(ids) => assert_eq!(payload["document_ids"], serde_json::json!(ids)),
        NamedDocuments::None => {
            assert!(!payload.contains_key("document_ids"));
            assert!(payload.get("document_id").is_none_or(serde_json::Value::is_null));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_names_what_its_keys_say(events in one_of_each()) {
        events.iter().for_each(names_what_its_keys_say);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_survives_the_memory_log(events in one_of_each()) {
        assert_read_back(&MemoryLog::new(), &events);
    }

    #[test]
    fn every_event_survives_the_embedded_log(appends in prop::collection::vec(one_of_each(), 1..3)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let log = EmbeddedLog::open(&path).unwrap();
        for events in &appends {
            assert_read_back(&log, events);
        }
        drop(log);
        let log = EmbeddedLog::open_existing(&path).unwrap();
        let all: Vec<SpaceEvent> = appends.into_iter().flatten().collect();
        conformance::assert_holds(&log, &all);
    }

    #[test]
    fn every_event_survives_json(events in one_of_each()) {
        for event in events {
            let json = event.to_json();
            prop_assert!(!json.contains('\n'));
            prop_assert_eq!(&json, &serde_json::to_string(&event).unwrap());
            let recorded = event.as_recorded(Position::new(7), Revision::new(3), Timestamp::MAX);
            prop_assert_eq!(recorded.to_json(), serde_json::to_string(&recorded).unwrap());
            let again = JsonReader::default().read(json.as_bytes()).unwrap();
            prop_assert_eq!(&again.event, &event);
            prop_assert_eq!(again.event.to_json(), json.clone());
            // Another reader of JSON agrees that it is JSON.
            serde_json::from_str::<&serde_json::value::RawValue>(&json).unwrap();
        }
    }

    #[test]
    fn copies_of_records_are_equal(events in one_of_each(), which in any::<[Index; 3]>()) {
        let (bytes, count, assignments) = encoded(&events);
        let records = Records::decode(&bytes, count, assignments).unwrap();
        let origins = events.iter().map(|event| event.origin).enumerate();
        let origins = origins.filter_map(|(index, origin)| Some((index, origin?)));
        let origins: Vec<(usize, EventOrigin)> = origins.collect();
        let of_records: Vec<_> = records.origins().map(|(index, origin)| (index, *origin)).collect();
        prop_assert_eq!(&of_records, &origins);
        prop_assert_eq!(origins_alone(&bytes, count), Some(origins));
        let picked: Vec<usize> = which.iter().map(|index| index.index(count)).collect();
        let mut copy = RecordsBuilder::new();
        copy.extend_from(&records, picked.iter().copied()).unwrap();
        let copied = copy.finish();
        let expected: Vec<SpaceEvent> = picked.iter().map(|index| events[*index].clone()).collect();
        let (.., assignments) = encoded(&expected);
        let records = Records::decode(copied.bytes(), copied.count(), assignments).unwrap();
        let held: Vec<SpaceEvent> = records
            .envelopes()
            .map(|envelope| envelope.decode().unwrap().to_owned_event().event)
            .collect();
        prop_assert_eq!(held, expected);
    }

    #[test]
    fn assignments_survive(
        micros in prop::collection::vec(0..1_000_000_000_i64, 1..20),
        bases in prop::collection::vec(any::<u64>(), 0..20),
    ) {
        let mut last = -1_000_000_i64;
        let recorded_at = micros.iter().map(|step| {
            last += step;
            Timestamp::from_micros(last).unwrap()
        });
        let assignments = Assignments {
            first_position: Position::new(9),
            recorded_at: recorded_at.collect(),
            base_revisions: bases.into_iter().map(Revision::new).collect(),
        };
        let bytes = assignments.encode();
        let first = assignments.recorded_at[0];
        let again = Assignments::decode(&bytes, Position::new(9), first).unwrap();
        prop_assert_eq!(again, assignments);
    }

    #[test]
    fn damaged_records_never_panic(
        events in one_of_each(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.3, any::<Index>()),
        wrong_count in prop::option::weighted(0.2, any::<usize>()),
    ) {
        let (mut bytes, count, assignments) = encoded(&events[..5]);
        for (place, byte) in flips {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let count = wrong_count.unwrap_or(count);
        let alone = origins_alone(&bytes, count);
        for bases in 0..=5 {
            let assignments = Assignments {
                base_revisions: vec![Revision::new(u64::MAX); bases],
                ..assignments.clone()
            };
            if let Ok(records) = Records::decode(&bytes, count, assignments) {
                walk(&records);
                let origins = records.origins().map(|(index, origin)| (index, *origin)).collect();
                prop_assert_eq!(&alone, &Some(origins));
            }
        }
    }

    #[test]
    fn noise_is_no_records(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0..9_usize) {
        let assignments = Assignments {
            first_position: Position::new(1),
            recorded_at: vec![Timestamp::MIN],
            base_revisions: vec![Revision::NONE],
        };
        if let Ok(records) = Records::decode(&bytes, count, assignments) {
            walk(&records);
        }
        if let Ok(assignments) = Assignments::decode(&bytes, Position::new(u64::MAX), Timestamp::MAX) {
            prop_assert!(assignments.recorded_at.is_sorted());
        }
    }

    #[test]
    fn noise_is_no_event(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(JsonReader::default().read(&bytes).is_err());
    }

    #[test]
    fn damaged_json_never_panics(
        events in one_of_each(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        for event in &events[..5] {
            let mut json = event.to_json().into_bytes();
            for (place, byte) in &flips {
                *place.get_mut(&mut json) = *byte;
            }
            if let Ok(read) = JsonReader::default().read(&json) {
                let again = JsonReader::default().read(read.event.to_json().as_bytes()).unwrap();
                prop_assert_eq!(again.event, read.event);
            }
        }
    }
}
