//! A store of format version 2 as the program has written it that made it first: what it holds is read as
//! it was, for ever. `SPACEFOLD_RECORD_FIXTURES` makes it anew, which only a change of the format before
//! a release may do.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use spacefold::{
    AppendError, Options, Spacefold,
    admin::ImportOptions,
    event::{EventFilter, EventOrigin, EventQuery},
    log::{AppendRequest, LogReader as _, LogWriter as _, ReadRequest, StoreOptions},
};
use spacefold_event_core::{EventType, Object, Position, RecordedEvent, SpaceEvent, Value};
use spacefold_store::{VerifyOptions, verify};

const STORE: &str = "store_v2.json.gz";
const EXPORT: &str = "store_v2.jsonl.gz";
/// Appends, each of many plain events and a few others.
const APPENDS: u64 = 24;
const PLAIN: u64 = 70;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn zipped(name: &str, text: &str) {
    let mut file = GzEncoder::new(File::create(fixture(name)).unwrap(), Compression::best());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap();
}

fn unzipped(name: &str) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(fixture(name)).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// So small a journal that most of it is in segments.
fn open(store: &Path) -> Spacefold {
    let options = StoreOptions::default().journal_file_bytes(1).reserve_bytes(0);
    Options::new(store).store(options).open().unwrap()
}

fn origin(position: u64) -> EventOrigin {
    EventOrigin { store_id: [3; 16], timeline: [4; 16], position: Position::new(position) }
}

/// What only the second version holds, among plain events.
fn appended(number: u64) -> Vec<SpaceEvent> {
    let space = format!("shelf-{}", number % 5);
    let long = "0123456789".repeat(90);
    let plain = (0..PLAIN).map(|n| {
        let value = format!("{long}{number}-{n}");
        SpaceEvent::variable_set(&*space, format!("v{n}"), Value::from(value))
    });
    let noted = |name: &str| {
        let payload = [("n", Value::from(number)), ("null", Value::Null)];
        SpaceEvent::application(&*space, name, Object::from_iter(payload)).unwrap()
    };
    let mut events: Vec<SpaceEvent> = plain.collect();
    events.push(noted("com.example.book.lent").with_tags(["reader:r1", "book:b2"]));
    events.push(noted("billing:Invoice.paid").with_origin(origin(number + 1)));
    let moved = SpaceEvent::document_added(&*space, format!("d{number}"), format!("/{number}"));
    events.push(moved.with_tags([format!("append:{number}")]).with_origin(origin(number + 1_000)));
    events
}

fn export(spaces: &Spacefold) -> String {
    recorded(spaces).iter().map(|event| event.to_json() + "\n").collect()
}

fn recorded(spaces: &Spacefold) -> Vec<RecordedEvent> {
    conformance::whole_log(spaces.log())
}

/// Appends at times of long ago: an import records nothing at a time that has not come.
fn append(spaces: &Spacefold, events: Vec<SpaceEvent>) {
    let at = conformance::second(i64::try_from(spaces.log().head().get()).unwrap());
    let at_once = |event: SpaceEvent| event.with_timestamp(at);
    let events: Vec<SpaceEvent> = events.into_iter().map(at_once).collect();
    let times = vec![at; events.len()];
    let append = AppendRequest::new(&events).with_reserved_types().recorded_at(&times);
    spaces.log().append(&append).unwrap();
}

/// What a command under a key records that changes nothing, and the one before that it repeats.
fn unchanged(store: &Path) -> Vec<SpaceEvent> {
    let spaces = open(store);
    let head = spaces.durable_head();
    spaces.service().set_variable("shelf-2", "v", 1).unwrap();
    spaces.service().with_key("once").set_variable("shelf-2", "v", 1).unwrap();
    let events = recorded(&spaces).into_iter().filter(|event| event.position > head);
    events.map(|event| event.event).collect()
}

/// Writes the store and what it exports.
fn record() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut spaces = open(&store);
    for number in 0..APPENDS {
        append(&spaces, appended(number));
        if number == 2 {
            // Of the same log, whose id the ids under a key are made of.
            spaces.close().unwrap();
            super::copy(&store, &folder.path().join("copy"));
            let events = unchanged(&folder.path().join("copy"));
            spaces = open(&store);
            append(&spaces, events);
        }
    }
    let exported = export(&spaces);
    spaces.close().unwrap();
    let mut files = serde_json::Map::new();
    collect(&store, &store, &mut files);
    zipped(STORE, &serde_json::to_string(&files).unwrap());
    zipped(EXPORT, &exported);
}

/// The files in a folder but for those that any opening makes anew: sled's copy of the log, the lock.
fn collect(root: &Path, folder: &Path, files: &mut serde_json::Map<String, serde_json::Value>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        match entry.file_type().unwrap().is_dir() {
            true if name == "sled" => {}
            true => collect(root, &path, files),
            false if name == "LOCK" => {}
            false => {
                let bytes = fs::read(&path).unwrap();
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                files.insert(name, hex.into());
            }
        }
    }
}

/// The store, in a new folder.
fn unpack(store: &Path) {
    let files: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&unzipped(STORE)).unwrap();
    for (name, hex) in files {
        let path = store.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let digits = hex.as_str().unwrap().as_bytes().chunks(2);
        let byte =
            |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        fs::write(path, digits.map(byte).collect::<Vec<u8>>()).unwrap();
    }
}

#[track_caller]
fn assert_verified(store: &Path) {
    let report = verify(store, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.blocks > 1, "{} blocks", report.blocks);
}

#[test]
fn a_store_of_format_version_2_reads_as_it_was_written() {
    if std::env::var_os("SPACEFOLD_RECORD_FIXTURES").is_some() {
        record();
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    unpack(&store);
    assert!(fs::read_dir(store.join("sealed")).unwrap().count() > 0, "a segment is in it");
    let expected = unzipped(EXPORT);
    let spaces = open(&store);
    assert_eq!(spaces.admin().info().format_version, 2);
    assert!(export(&spaces) == expected, "what is exported is another");
    check_what_is_found(&spaces);
    spaces.close().unwrap();
    assert_verified(&store);
    // Without anything that is derived from it, it is the same.
    for derived in ["sled", "derived"] {
        fs::remove_dir_all(store.join(derived)).unwrap();
    }
    let spaces = open(&store);
    assert!(export(&spaces) == expected, "what is exported is another");
    check_what_is_found(&spaces);
    // It goes on, and what it exports makes another that exports the same.
    let copy = Options::in_memory().open().unwrap();
    copy.import(expected.as_bytes(), &ImportOptions::default(), &mut ()).unwrap();
    assert!(export(&copy) == expected, "what is exported again is another");
    let hashes = |spaces: &Spacefold| -> Vec<String> {
        let snapshots = spaces.snapshot_all().unwrap();
        snapshots.iter().map(|snapshot| snapshot.state().state_hash().to_string()).collect()
    };
    assert_eq!(hashes(&spaces), hashes(&copy));
    spaces.append(appended(500)).unwrap();
    assert!(export(&spaces).starts_with(&expected));
    spaces.close().unwrap();
    assert_verified(&store);
}

/// Each event is found by its id, its origin, its tags and its type; under the key that changed
/// nothing nothing is changed.
fn check_what_is_found(spaces: &Spacefold) {
    let events = recorded(spaces);
    assert_eq!(events.len() as u64, APPENDS * (PLAIN + 3) + 2);
    for number in 0..APPENDS {
        let origins = [origin(number + 1), origin(number + 1_000), origin(number + 500)];
        let found = spaces.log().find_origins(&origins).unwrap();
        let at = |origin: EventOrigin| {
            let event = events.iter().find(|event| event.event.origin == Some(origin));
            event.map(|event| event.position)
        };
        assert_eq!(found, origins.map(at));
        assert!(found[0].is_some() && found[1].is_some() && found[2].is_none());
    }
    for event in events.iter().step_by(97) {
        assert_eq!(spaces.find_event(event.event.event_id).unwrap(), Some(event.position));
        let again = spaces.append([event.event.clone()]).unwrap();
        assert_eq!(again.last_position(), event.position);
    }
    let other = SpaceEvent::space_archived("shelf-1").with_origin(origin(2));
    let refused = spaces.append([other]);
    assert!(matches!(refused, Err(AppendError::OriginReused { .. })), "{refused:?}");
    let count = |query: EventQuery| {
        let read = ReadRequest::from(Position::new(1)).matching(query);
        conformance::read_all(spaces.log(), &read).len() as u64
    };
    let all = EventFilter::all;
    assert_eq!(count(all().tags(["reader:r1"]).into()), APPENDS);
    assert_eq!(count(all().tags(["append:7"]).into()), 1);
    assert_eq!(count(all().not_from([3; 16]).into()), APPENDS * (PLAIN + 1) + 2);
    assert_eq!(count(all().types([EventType::Application]).into()), APPENDS * 2 + 1);
    let service = spaces.service().with_key("once");
    service.set_variable("shelf-2", "v", 1).unwrap();
    assert_eq!(recorded(spaces).len(), events.len());
}

#[test]
fn a_store_of_the_first_version_stays_one_until_the_first_event_that_it_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    super::old_store(folder.path());
    let plain = || SpaceEvent::variable_set("shelf-1", "n", 1);
    let noted = SpaceEvent::application("shelf-1", "com.example.noted", Object::new()).unwrap();
    let newer = [noted, plain().with_tags(["x"]), plain().with_origin(origin(1))];
    let version = |spaces: &Spacefold| spaces.admin().info().format_version;
    for (number, event) in newer.into_iter().enumerate() {
        let store = folder.path().join(format!("store-{number}"));
        super::copy(&folder.path().join("closed"), &store);
        let spaces = super::open(&store, &super::LATER);
        spaces.append([plain()]).unwrap();
        assert_eq!(version(&spaces), 1);
        // What is refused needs nothing.
        let refused = event.clone().with_tags([""]);
        assert!(spaces.append([refused]).is_err());
        spaces.close().unwrap();
        let spaces = super::open(&store, &super::LATER);
        assert_eq!(version(&spaces), 1);
        spaces.append([event]).unwrap();
        assert_eq!(version(&spaces), 2);
        spaces.close().unwrap();
        let spaces = super::open(&store, &super::LATER);
        assert_eq!(version(&spaces), 2);
        spaces.close().unwrap();
    }
}
