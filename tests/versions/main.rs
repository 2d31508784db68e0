//! Stores that programs of other times have written: payloads of earlier versions are read as those of
//! today, everywhere; payloads of later ones are refused, and nothing else is.
//!
//! `document.moved` is said to have come to version 3: the schemas of such programs are in
//! `spacefold_event_core::testing`.

mod golden;

use std::{fs, path::Path};

use spacefold::{Options, Spacefold, admin::ImportOptions, event::Presence, log::StoreOptions};
use spacefold_event_core::{
    AppendError, CorruptRecords, EventFilter, EventId, EventLog, EventType, Object, Payload,
    Position, ReadError, ReadRequest, Schemas, SpaceEvent, Value,
    testing::{EARLIER, LATER},
};
use spacefold_store::{VerifyOptions, verify};

/// Opens a store as a program with these schemas does.
fn open(store: &Path, schemas: &'static Schemas) -> Spacefold {
    Options::new(store).store(StoreOptions::default().schemas(schemas)).open().unwrap()
}

/// Appends of a program that moves documents, as earlier versions have it and as today's.
fn old_appends() -> Vec<Vec<SpaceEvent>> {
    let id = |number: u64| EventId::from_bytes(u128::from(number).to_be_bytes());
    let append = |number: u64| {
        let space = format!("shelf-{}", number % 7);
        let document = format!("book-{number}");
        let events = [
            SpaceEvent::space_created(&*space, "Shelf"),
            SpaceEvent::variable_set(&*space, "moved", number),
            // Version 1, version 2, and 3.
            SpaceEvent::document_added(&*space, &*document, format!("a/{number}"))
                .with_extra("by", Value::from("hand"))
                .unwrap(),
            SpaceEvent::reference_added(&*space, &*document, format!("/b/{number}"), "a"),
            SpaceEvent::document_moved(&*space, &*document, "/b", format!("/c/{number}")),
        ];
        let skipped = usize::from(number >= 7);
        let ids = number * 10..;
        let events = events.into_iter().skip(skipped).zip(ids);
        let fixed = |(event, number): (SpaceEvent, u64)| {
            let time = conformance::second(i64::try_from(number).unwrap());
            event.with_event_id(id(number)).with_timestamp(time).with_source("old")
        };
        events.map(fixed).collect()
    };
    (0..200).map(append).collect()
}

/// The event as it is read today.
fn today(recorded: &SpaceEvent) -> SpaceEvent {
    let (document_id, new_path, old_path, extra) = match &recorded.payload {
        Payload::DocumentAdded { document_id, space_path, extra } => {
            (document_id, format!("/{space_path}"), Presence::Absent, extra)
        }
        Payload::ReferenceAdded { document_id, target, extra, .. } => {
            (document_id, target.clone(), "/a".into(), extra)
        }
        _ => return recorded.clone(),
    };
    let (document_id, extra) = (document_id.clone(), extra.clone());
    let payload = Payload::DocumentMoved { document_id, old_path, new_path, extra };
    let mut today = recorded.clone();
    today.payload = payload;
    today
}

fn all_today() -> Vec<SpaceEvent> {
    old_appends().iter().flatten().map(today).collect()
}

/// A store of that program: closed, and as a process that was killed leaves one.
fn old_store(folder: &Path) {
    let spaces = open(&folder.join("open"), &EARLIER);
    for events in old_appends() {
        spaces.append(events).unwrap();
    }
    copy(&folder.join("open"), &folder.join("killed"));
    spaces.close().unwrap();
    fs::rename(folder.join("open"), folder.join("closed")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            // Sled's copy of the log is expendable.
            true if entry.file_name() == "sled" => {}
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn events(spaces: &Spacefold) -> Vec<SpaceEvent> {
    conformance::whole_log(spaces.log()).into_iter().map(|recorded| recorded.event).collect()
}

/// Checks the store, and that what was recorded by another program has become blocks.
#[track_caller]
fn assert_verified(store: &Path) {
    let report = verify(store, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.blocks > 3, "{} blocks", report.blocks);
}

/// The path of a document by what the state says.
fn path(spaces: &Spacefold, space: &str, document: &str, at: Position) -> Option<String> {
    let snapshot = spaces.at(at).snapshot(space).unwrap();
    let json: serde_json::Value = serde_json::from_str(&snapshot.to_json()).unwrap();
    let documents = json["documents"].as_array().unwrap();
    let document = documents.iter().find(|found| found["document_id"] == *document)?;
    Some(document["path"].as_str().unwrap().to_owned())
}

#[test]
fn old_payloads_are_read_as_those_of_today_from_journal_blocks_and_a_rebuilt_copy() {
    let folder = tempfile::tempdir().unwrap();
    old_store(folder.path());
    for name in ["closed", "killed"] {
        let store = folder.path().join(name);
        let spaces = open(&store, &LATER);
        assert!(name == "killed" || spaces.admin().info().healed == 0, "an upgrade heals nothing");
        assert_eq!(events(&spaces), all_today(), "{name}, from the journal");
        // So many of today that those before them become blocks.
        let sets: Vec<Vec<SpaceEvent>> = (0..40)
            .map(|append| {
                (0..300).map(|n| conformance::set("new", "n", append * 300 + n)).collect()
            })
            .collect();
        for events in &sets {
            spaces.append(events).unwrap();
        }
        let all: Vec<SpaceEvent> = all_today().into_iter().chain(sets.concat()).collect();
        assert_eq!(events(&spaces), all, "{name}");
        spaces.close().unwrap();
        assert_verified(&store);
        let spaces = open(&store, &LATER);
        assert_eq!(events(&spaces), all, "{name}, from blocks");
        let filter = EventFilter::all().document("book-3");
        let read = ReadRequest::from(Position::new(1)).matching(filter);
        let moved = conformance::read_all(spaces.log(), &read);
        assert!(moved.iter().all(|moved| moved.event.event_type() == EventType::DocumentMoved));
        assert_eq!(moved.len(), 3);
        spaces.close().unwrap();
        fs::remove_dir_all(store.join("sled")).unwrap();
        let spaces = open(&store, &LATER);
        assert_eq!(events(&spaces), all, "{name}, from a copy that was made anew");
        spaces.close().unwrap();
        assert_verified(&store);
    }
}

#[test]
fn states_retries_and_exports_see_old_payloads_as_those_of_today() {
    let folder = tempfile::tempdir().unwrap();
    old_store(folder.path());
    // The states that are kept there are of what the earlier program believes to have done.
    fs::remove_dir_all(folder.path().join("closed/derived")).unwrap();
    // A small store has none.
    if folder.path().join("closed/sled").exists() {
        fs::remove_dir_all(folder.path().join("closed/sled")).unwrap();
    }
    let spaces = open(&folder.path().join("closed"), &LATER);
    let added = SpaceEvent::document_added("shelf-1", "book-1", "/first");
    let receipt = spaces.append([added]).unwrap();
    // A retry by a program of today of what a program of then has stored.
    let stored = old_appends()[1].iter().map(today).collect::<Vec<_>>();
    let retried = spaces.append(&stored).unwrap();
    assert!(retried.last_position() < receipt.last_position(), "nothing was appended");
    let mut other = stored[2].clone();
    if let Payload::DocumentMoved { new_path, .. } = &mut other.payload {
        new_path.push('!');
    }
    let refused = spaces.append([other]);
    assert!(matches!(refused, Err(AppendError::EventIdReused { .. })), "{refused:?}");
    // Moves of then and of now fold alike: into a store where all was recorded by today's program.
    let mut export = String::new();
    for event in conformance::whole_log(spaces.log()) {
        export += &(event.to_json() + "\n");
    }
    let imported = open(&folder.path().join("imported"), &LATER);
    imported.import(export.as_bytes(), &ImportOptions::default(), &mut ()).unwrap();
    for (ours, theirs) in
        spaces.snapshot_all().unwrap().iter().zip(imported.snapshot_all().unwrap())
    {
        assert_eq!(ours.to_json(), theirs.to_json());
    }
    let at = receipt.last_position();
    assert_eq!(path(&spaces, "shelf-1", "book-1", at).as_deref(), Some("/first"));
    imported.close().unwrap();
    spaces.close().unwrap();
}

/// Waits for nothing: the error that reading the log ends with, and the events before it.
fn read_until_refused(log: &dyn EventLog) -> (usize, Option<ReadError>) {
    let mut read = 0;
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        for event in page.unwrap().events() {
            match event {
                Ok(_) => read += 1,
                Err(error) => return (read, Some(error)),
            }
        }
    }
    (read, None)
}

#[test]
fn payloads_of_a_newer_program_are_refused_where_they_are_and_survive_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = open(&store, &LATER);
    let moved = SpaceEvent::document_moved("shelf", "book", "/a", "/b");
    let appends = [
        vec![SpaceEvent::space_created("shelf", "Shelf"), conformance::set("other", "n", 1)],
        vec![conformance::set("shelf", "n", 2), moved.clone()],
        vec![SpaceEvent::space_archived("shelf")],
    ];
    for events in &appends {
        spaces.append(events).unwrap();
    }
    spaces.close().unwrap();
    // A program that is older by two versions.
    let spaces = open(&store, Schemas::today());
    assert_eq!(spaces.admin().info().healed, 0, "what is newer is not damage");
    let (read, refused) = read_until_refused(spaces.log());
    assert_eq!(read, 3);
    let refused = refused.unwrap();
    let ReadError::Corrupt { position, cause } = &refused else { panic!("{refused}") };
    assert_eq!(*position, Position::new(4));
    let CorruptRecords::NewerPayload { event_type, found, known } = cause else {
        panic!("{cause}")
    };
    assert_eq!(*event_type, EventType::DocumentMoved);
    assert_eq!((found.get(), known.get()), (3, 1));
    assert_eq!(
        refused.to_string(),
        "position 4 does not decode: the payload of document.moved has schema version 3, this \
         program knows versions up to 1: read it with a newer one"
    );
    // A state that needs it is refused, and so is a retry; what does not need it goes on.
    assert!(spaces.at(Position::new(3)).snapshot("shelf").is_ok());
    assert!(spaces.at(Position::new(4)).snapshot("shelf").is_err());
    let retried = spaces.append([moved]);
    assert!(matches!(retried, Err(AppendError::Unreadable(_))), "{retried:?}");
    let sets: Vec<SpaceEvent> = (0..1_500).map(|n| conformance::set("other", "n", n)).collect();
    for events in sets.chunks(150) {
        spaces.append(events).unwrap();
    }
    spaces.close().unwrap();
    assert_verified(&store);
    let spaces = open(&store, Schemas::today());
    assert_eq!(read_until_refused(spaces.log()).0, 3);
    spaces.close().unwrap();
    // The newer one finds all of it, in blocks that the older one has made.
    let spaces = open(&store, &LATER);
    let all: Vec<SpaceEvent> = appends.concat().into_iter().chain(sets).collect();
    assert_eq!(events(&spaces), all);
    assert_eq!(spaces.snapshot_all().unwrap().len(), 2);
    spaces.close().unwrap();
    assert_verified(&store);
}

#[test]
fn an_extra_key_of_an_old_payload_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = open(&store, &EARLIER);
    let moved = SpaceEvent::document_added("shelf", "book", "/a")
        .with_extra("why", Value::Object(Object::from_iter([("a", Value::Null)])))
        .unwrap();
    spaces.append([moved]).unwrap();
    spaces.close().unwrap();
    let spaces = open(&store, &LATER);
    let json = conformance::whole_log(spaces.log())[0].to_json();
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["event_type"], "document.moved");
    let payload = serde_json::json!({"document_id": "book", "new_path": "/a", "why": {"a": null}});
    assert_eq!(event["payload"], payload);
    spaces.close().unwrap();
}
