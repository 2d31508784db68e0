//! Commands, from outside: what they record, who sees it, and how writers get along.

mod cli;
pub(crate) mod commands;
mod model;
mod reference;

use std::{collections::BTreeSet, fmt::Write, io::Read as _, time::Duration};

use spacefold::{
    CommandError, Delivery, Durability, EventBus, Options, Refusal, SpaceEvent, SpaceService,
    Spacefold, Subscription, Value,
    bus::BusOptions,
    command::Outcome,
    event::{Object, Presence, RecordedEvent},
    log::{AppendRequest, LogReader, LogWriter, StoreOptions},
    subscribe::Feed,
};

use crate::{
    bus::{Calls, LONG, check, register},
    support::on_each_kind,
};

on_each_kind![
    every_operation_reaches_every_receiver_of_a_store,
    a_handler_commands_the_space_that_it_hears_of,
    a_service_waits_for_no_sync_of_what_it_has_recorded_itself,
    what_others_were_told_is_stored_counts_before_it_can_be_read,
    whoever_commands_reads_what_that_came_to,
    the_bytes_of_every_position_are_there,
];

const NONE: Presence = Presence::Absent;

fn object<const N: usize>(entries: [(&str, Value); N]) -> Object {
    entries.into_iter().collect()
}

/// Every operation on the space `s`, in an order in which each changes something. All 21 types.
fn every_operation(service: &SpaceService) -> Result<Vec<RecordedEvent>, CommandError> {
    let mut events = Vec::new();
    let mut done = |outcome: Outcome| events.extend(outcome.into_events());
    done(service.create_space("s", "S")?);
    done(service.update_space("s", object([("color", "red".into()), ("size", 3.into())]))?);
    done(service.rename_space("s", "T")?);
    done(service.activate_space("s")?);
    done(service.add_document("s", "d", "/d.md")?);
    done(service.add_document("s", "e", "/e.md")?);
    done(service.update_document("s", "d", object([("lang", "en".into())]))?);
    done(service.move_document("s", "d", "/f.md")?);
    done(service.set_content_hash("s", "d", "h1")?);
    done(service.set_variable("s", "v", 1)?);
    done(service.set_variable("s", "w", "text")?);
    done(service.delete_variable("s", "v")?);
    done(service.add_reference("s", "d", "/e.md", "cites")?);
    done(service.add_reference("s", "e", "/f.md", NONE)?);
    done(service.clear_references("s", "d")?);
    done(service.clear_references("s", NONE)?);
    done(service.start_render("s", "d")?);
    done(service.complete_render("s", "d", "out")?);
    done(service.start_render("s", NONE)?);
    done(service.fail_render("s", NONE, "no ink")?);
    done(service.start_sync("s", "pull")?);
    done(service.record_conflict("s", "d", "h1", "h2")?);
    done(service.record_conflict("s", "x", NONE, "h9")?);
    done(service.resolve_conflict("s", "d", "h2")?);
    done(service.complete_sync("s")?);
    done(service.invalidate_cache("s", ["d", "e"].map(str::to_owned), "style")?);
    done(service.remove_document("s", "e")?);
    done(service.archive_space("s")?);
    done(service.delete_space("s")?);
    Ok(events)
}

/// What every operation records, word for word as the contract has it.
const RECORDED: &str = r#"
space.created {"name":"S"}
space.updated {"changes":{"color":"red","size":3}}
space.updated {"changes":{"name":"T"}}
space.activated {}
document.added {"document_id":"d","space_path":"/d.md"}
document.added {"document_id":"e","space_path":"/e.md"}
document.updated {"changes":{"lang":"en"},"document_id":"d"}
document.moved {"document_id":"d","new_path":"/f.md","old_path":"/d.md"}
document.content_changed {"document_id":"d","new_hash":"h1","old_hash":null}
variable.set {"name":"v","value":1}
variable.set {"name":"w","value":"text"}
variable.deleted {"name":"v"}
reference.added {"document_id":"d","kind":"cites","target":"/e.md"}
reference.added {"document_id":"e","target":"/f.md"}
reference.cleared {"document_id":"d"}
reference.cleared {}
render.started {"document_id":"d"}
render.completed {"document_id":"d","output_hash":"out"}
render.started {}
render.failed {"error":"no ink"}
sync.started {"direction":"pull"}
sync.conflict {"document_id":"d","local_hash":"h1","remote_hash":"h2"}
sync.conflict {"document_id":"x","remote_hash":"h9"}
document.content_changed {"document_id":"d","new_hash":"h2","old_hash":"h1"}
sync.completed {}
cache.invalidated {"document_ids":["d","e"],"reason":"style"}
document.removed {"document_id":"e","space_path":"/e.md"}
space.archived {}
space.deleted {"name":"T"}
"#;

/// Types and payloads, as [`RECORDED`] has them.
fn written(events: &[RecordedEvent]) -> String {
    let mut written = String::from("\n");
    for recorded in events {
        let payload = Value::Object(recorded.event.payload.to_object());
        writeln!(written, "{} {payload}", recorded.event.event_type()).unwrap();
    }
    written
}

#[test]
fn every_operation_records_its_event_as_the_contract_has_it() {
    let events = every_operation(&SpaceService::in_memory()).unwrap();
    assert_eq!(written(&events), RECORDED);
    let types: BTreeSet<u8> = events.iter().map(|event| event.event.event_type().code()).collect();
    assert_eq!(types.len(), 21);
}

fn every_operation_reaches_every_receiver_of_a_store(options: &Options) {
    let spaces = options.clone().bus(BusOptions::new().history(100)).open().unwrap();
    let calls = Calls::default();
    register(spaces.bus(), &calls);
    let mut early = spaces.subscribe(Subscription::from_now()).unwrap().into_iter();
    assert!(matches!(early.next(), Some(Ok(Delivery::CaughtUp { .. }))));
    let service = spaces.service().with_source("tester").with_correlation_id("c 1");
    let events = every_operation(&service).unwrap();
    assert_eq!(written(&events), RECORDED);
    for recorded in &events {
        assert_eq!(recorded.event.source.as_deref(), Some("tester"));
        assert_eq!(recorded.event.correlation_id.as_deref(), Some("c 1"));
    }
    let head = events.last().unwrap().position;
    assert_eq!(spaces.bus().wait_handled(head, LONG).unwrap(), head);
    check(spaces.bus(), &calls, &events);
    assert_eq!(conformance::whole_log(spaces.log()), events);
    let received = |items: spacefold::subscribe::FeedItems| -> Vec<RecordedEvent> {
        let events = items.filter_map(|item| match item.unwrap() {
            Delivery::Events(event) => Some(event),
            _ => None,
        });
        events.take(RECORDED.lines().count() - 1).collect()
    };
    assert_eq!(received(early), events);
    let late = spaces.subscribe(Subscription::from_start()).unwrap().into_iter();
    assert_eq!(received(late), events);
    spaces.close().unwrap();
}

#[test]
fn every_operation_reaches_every_receiver_without_a_store() {
    let service = SpaceService::in_memory();
    let feed = Feed::new(service.log().clone());
    let bus = EventBus::over(&feed, BusOptions::new().history(100));
    let calls = Calls::default();
    register(&bus, &calls);
    let events = every_operation(&service).unwrap();
    let head = events.last().unwrap().position;
    assert_eq!(bus.wait_handled(head, LONG).unwrap(), head);
    check(&bus, &calls, &events);
    let late = feed.subscribe(Subscription::from_start()).unwrap().into_iter();
    let seen = late.filter_map(|item| match item.unwrap() {
        Delivery::Events(event) => Some(event),
        _ => None,
    });
    assert_eq!(seen.take(events.len()).collect::<Vec<_>>(), events);
}

fn a_handler_commands_the_space_that_it_hears_of(options: &Options) {
    let spaces = options.open().unwrap();
    let service = spaces.service().clone();
    let activate = move |event: &RecordedEvent| service.activate_space(&event.event.space_id);
    let created = spacefold::EventType::SpaceCreated;
    let activated = move |event: &RecordedEvent| activate(event).map(drop);
    spaces.bus().on(created, spacefold::bus::Priority::NORMAL, activated).unwrap();
    let position = spaces.service().create_space("s", "S").unwrap().last_position().unwrap().next();
    assert_eq!(spaces.bus().wait_handled(position, LONG).unwrap(), position);
    assert_eq!(spaces.snapshot("s").unwrap().status().name(), "active");
    spaces.close().unwrap();
}

/// A store that syncs so long after it has answered.
fn opened(options: &Options, interval: Duration) -> Spacefold {
    let store = StoreOptions::default().durability(Durability::Interval(interval));
    options.clone().store(store).open().unwrap()
}

fn a_service_waits_for_no_sync_of_what_it_has_recorded_itself(options: &Options) {
    // Whoever waits for this interval is not done before the test is given up.
    let spaces = opened(options, Duration::from_secs(3_600));
    let service = spaces.service();
    let outcome = service.create_space("s", "S").unwrap();
    assert!(!outcome.is_durable());
    service.create_space("t", "T").unwrap();
    service.batch("s").add_document("d", "/d").set_variable("v", 1).commit().unwrap();
    let error = service.add_document("s", "d", "/e").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::DocumentExists { .. })), "{error}");
    // Of the other space, since which this one has recorded more.
    assert!(service.rename_space("t", "T").unwrap().is_unchanged());
    let error = service.create_space("t", "T").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::SpaceExists { .. })), "{error}");
    let keyed = service.with_key("k");
    let first = keyed.set_variable("s", "v", 2).unwrap();
    assert_eq!(first.events()[0].revision.get(), 4);
    assert_eq!(spaces.durable_head().get(), 0, "nothing was synced meanwhile");
    spaces.close().unwrap();
}

#[test]
fn a_key_is_recognised_in_its_store_alone_however_that_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let keyed = |spaces: &Spacefold, value: u64| {
        let service = spaces.service();
        let _ = service.create_space("s", "S");
        service.with_key("k").set_variable("s", "v", value).unwrap()
    };
    let id = |outcome: &Outcome| outcome.events()[0].event.event_id;
    let mut ids = BTreeSet::new();
    for name in ["first", "second"] {
        let path = folder.path().join(name);
        let spaces = Spacefold::open(&path).unwrap();
        let first = keyed(&spaces, 1);
        assert!(!first.is_repeated());
        spaces.service().set_variable("s", "v", 2).unwrap();
        spaces.close().unwrap();
        let spaces = Spacefold::open(&path).unwrap();
        let again = keyed(&spaces, 1);
        assert!(again.is_repeated());
        assert_eq!(again.events(), first.events());
        spaces.close().unwrap();
        ids.insert(id(&first));
    }
    for _ in 0..2 {
        let spaces = Spacefold::in_memory().unwrap();
        ids.insert(id(&keyed(&spaces, 1)));
        spaces.close().unwrap();
    }
    assert_eq!(ids.len(), 4, "{ids:?}");
}

fn what_others_were_told_is_stored_counts_before_it_can_be_read(options: &Options) {
    let spaces = opened(options, Duration::from_millis(30));
    let service = spaces.service();
    for round in 0..10 {
        let id = format!("s{round}");
        let created = SpaceEvent::space_created(&id, "S");
        spaces.append([created]).unwrap();
        // Each of these would be wrong by what can be read.
        service.add_document(&id, "d", "/d").unwrap();
        let taken = SpaceEvent::variable_set(&id, "v", 1);
        spaces.append([taken]).unwrap();
        assert!(service.set_variable(&id, "v", 1).unwrap().is_unchanged());
        let deleted = SpaceEvent::space_deleted(&id, "S");
        spaces.append([deleted]).unwrap();
        let error = service.activate_space(&id).unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::SpaceDeleted));
    }
    assert_eq!(spaces.log().head().get(), 40);
    spaces.close().unwrap();
}

fn whoever_commands_reads_what_that_came_to(options: &Options) {
    let spaces = options.open().unwrap();
    let service = spaces.service().with_source("tester");
    service.create_space("s", "S").unwrap();
    for n in 0..200 {
        service.set_variable("s", "v", n).unwrap();
        assert_eq!(spaces.snapshot("s").unwrap().variable("v"), Some(&Value::from(n)));
        let id = format!("d{n}");
        // Somebody else, whose append this handle knows nothing of.
        let added = [SpaceEvent::document_added("s", &id, format!("/{n}"))];
        spaces.log().append(&AppendRequest::new(&added)).unwrap();
        let error = service.add_document("s", &id, "/other").unwrap_err();
        assert!(matches!(error.refusal(), Some(Refusal::DocumentExists { .. })), "{error}");
        assert!(spaces.snapshot("s").unwrap().document(&id).is_some(), "what was in the way");
    }
    spaces.close().unwrap();
}

fn the_bytes_of_every_position_are_there(options: &Options) {
    let spaces = options.open().unwrap();
    let service = spaces.service();
    service.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    let mut expected = Vec::new();
    for content in ["one", "two", "two", "one", "three"] {
        let outcome = service.set_content("s", "d", content).unwrap();
        expected.extend(outcome.last_position().map(|position| (position, content)));
    }
    let batch = service.batch("s").set_content("d", "four").set_content("d", "five");
    let events = batch.commit().unwrap().into_events();
    expected.extend(events.iter().map(|e| e.position).zip(["four", "five"]));
    let reader = &mut &b"six"[..];
    let outcome = service.set_content_from("s", "d", reader).unwrap();
    expected.push((outcome.last_position().unwrap(), "six"));
    assert_eq!(expected.len(), 7);
    for (position, content) in expected {
        let mut text = String::new();
        let mut reader = spaces.at(position).content("s", "d").unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, content);
    }
    spaces.close().unwrap();
}
