//! Streams and long polls: every event once, wherever one begins and whenever one comes back.

use std::{io::Write, time::Duration};

use serde_json::json;
use spacefold::{SpaceEvent, Spacefold, content::ContentHash};
use spacefold_server::Settings;

use crate::client::{Server, Streamed, handbook};

fn ids(events: &[Streamed]) -> Vec<u64> {
    let events = events.iter().filter(|event| event.event == "event");
    events.map(|event| event.id.unwrap()).collect()
}

#[test]
fn a_stream_gives_history_then_what_happens() {
    let (spaces, server) = Server::of_handbook();
    let mut stream = server.stream("/v1/events", &[]);
    assert_eq!((stream.status, &*stream.headers["content-type"]), (200, "text/event-stream"));
    let history = stream.until("caught-up");
    assert_eq!(ids(&history), (1..=8).collect::<Vec<_>>());
    assert_eq!(history[2].data, server.get("/v1/events/3").ok());
    let caught_up = history.last().unwrap();
    assert_eq!((caught_up.id, &caught_up.data), (Some(8), &json!({ "position": 8 })));
    for n in 9..20 {
        spaces.append([SpaceEvent::space_activated("handbook")]).unwrap();
        let event = stream.next().unwrap();
        assert_eq!((event.id, &event.data["position"]), (Some(n), &json!(n)));
    }
    let mut late = server.stream("/v1/events?last=2&space=handbook", &[]);
    assert_eq!(ids(&late.until("caught-up")), [18, 19]);
    server.stream("/v1/events?limit=1", &[]).finish().problem(400, "invalid_parameter");
    server.stream("/v1/events?after=99", &[]).finish().problem(404, "beyond_head");
    server.stream("/v1/events?wait=1s", &[]).finish().problem(400, "unknown_parameter");
}

#[test]
fn a_stream_goes_on_where_it_broke_off() {
    let (spaces, server) = Server::of_handbook();
    let seed = std::time::SystemTime::now();
    let mut at = seed.duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos() % 8;
    eprintln!("broken off first after {at} of {seed:?}");
    let mut seen: Vec<u64> = Vec::new();
    while seen.len() < 40 {
        let last = seen.last().copied().unwrap_or(0).to_string();
        // The URL stays what it was: the header counts.
        let mut stream = server.stream("/v1/events?after=0", &[("Last-Event-ID", &last)]);
        for _ in 0..=at {
            spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
            while let Some(event) = stream.next() {
                if event.event == "event" {
                    seen.push(event.id.unwrap());
                    break;
                }
            }
        }
        at = (at * 5 + 3) % 8;
    }
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    for wrong in ["x", "-1", "1.5", ""] {
        let refused = server.stream("/v1/events", &[("Last-Event-ID", wrong)]).finish();
        refused.problem(400, "invalid_header");
    }
    let timeline = "/v1/events?timeline=00000000-0000-0000-0000-000000000001";
    server.stream(timeline, &[]).finish().problem(410, "timeline_changed");
}

#[test]
fn a_filtered_stream_advances_though_nothing_passes() {
    let mut settings = Settings::default();
    settings.limits.stream_heartbeat = Duration::from_millis(10);
    let spaces = handbook();
    let server = Server::with(spaces.clone(), settings);
    let mut stream = server.stream("/v1/events?space=guide&from=8", &[]);
    assert_eq!(stream.until("caught-up").last().unwrap().id, Some(8));
    spaces.append([SpaceEvent::space_activated("handbook")]).unwrap();
    let checkpoint = stream.next().unwrap();
    assert_eq!((&*checkpoint.event, checkpoint.id), ("checkpoint", Some(9)));
    spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
    assert_eq!(stream.next().unwrap().id, Some(10));
}

#[test]
fn a_stream_may_begin_with_the_states() {
    let (spaces, server) = Server::of_handbook();
    let path = "/v1/events?snapshot=1&space=handbook&space=guide&space=later";
    let mut stream = server.stream(path, &[]);
    let begin = stream.until("checkpoint");
    let states: Vec<_> = begin.iter().filter(|event| event.event == "snapshot").collect();
    assert_eq!(states.len(), 2);
    assert_eq!(states[1].data, server.get("/v1/spaces/handbook?at=8").ok());
    assert!(states.iter().all(|state| state.id.is_none()));
    assert_eq!(begin.last().unwrap().id, Some(8));
    spaces.append([SpaceEvent::space_created("later", "Later")]).unwrap();
    let next = stream.until("event");
    assert_eq!(ids(&next), [9]);
    // Who comes back has the states already.
    let mut back = server.stream(path, &[("Last-Event-ID", "8")]);
    let back = back.until("caught-up");
    assert_eq!((ids(&back), back.len()), (vec![9], 2));
    for wrong in ["snapshot=1", "snapshot=1&space=a&after=3", "snapshot=2&space=a"] {
        let refused = server.stream(&format!("/v1/events?{wrong}"), &[]).finish();
        refused.problem(400, "invalid_parameter");
    }
    let many: String = (0..65).map(|n| format!("&space=s{n}")).collect();
    let refused = server.stream(&format!("/v1/events?snapshot=1{many}"), &[]).finish();
    refused.problem(400, "invalid_parameter");
}

#[test]
fn a_request_waits_for_what_passes() {
    let (spaces, server) = Server::of_handbook();
    let there = server.get("/v1/events?after=6&wait=60s").ok();
    assert_eq!(there["events"].as_array().unwrap().len(), 2);
    let nothing = server.get("/v1/events?after=8&wait=10ms").ok();
    assert_eq!((&nothing["events"], &nothing["next"]), (&json!([]), &json!(8)));
    server.get("/v1/events?wait=61s").problem(400, "invalid_parameter");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/v1/events?after=8&space=guide&wait=60s").ok());
        spaces.append([SpaceEvent::space_activated("handbook")]).unwrap();
        spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
        let page = waiting.join().unwrap();
        assert_eq!(page["events"][0]["position"], 10);
        assert_eq!((&page["next"], &page["events"][1]), (&json!(10), &json!(null)));
    });
}

#[test]
fn streams_are_closed_when_the_server_ends() {
    let (_spaces, server) = Server::of_handbook();
    let mut streams: Vec<_> = (0..20).map(|_| server.stream("/v1/events", &[])).collect();
    for stream in &mut streams {
        stream.until("caught-up");
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/v1/events?after=8&wait=60s").ok());
        // The one that waits is counted among the streams once it waits: until then it is refused.
        server.drain.start();
        for mut stream in streams {
            let closing = stream.until("closing");
            assert_eq!(closing.last().unwrap().data, json!({ "reason": "ending" }));
            assert_eq!(stream.next(), None);
        }
        drop(waiting.join());
    });
}

#[test]
fn streams_end_with_the_store() {
    let (spaces, server) = Server::of_handbook();
    let mut stream = server.stream("/v1/events", &[]);
    stream.until("caught-up");
    spaces.close().unwrap();
    stream.until("closing");
    assert_eq!(stream.next(), None);
}

#[test]
fn no_more_streams_are_open_than_may() {
    let mut settings = Settings::default();
    settings.limits.max_streams = 2;
    let server = Server::with(handbook(), settings);
    let mut first = server.stream("/v1/events", &[]);
    let second = server.stream("/v1/events", &[]);
    first.until("caught-up");
    let refused = server.stream("/v1/events", &[]).finish();
    assert_eq!(refused.problem(503, "too_many_streams")["retryable"], true);
    server.get("/v1/events?after=8&wait=1s").problem(503, "too_many_streams");
    assert_eq!(server.get("/v1/events?after=7&wait=1s").status, 200);
    drop(second);
    // The server finds out that it has gone.
    let third = std::iter::repeat_with(|| server.stream("/v1/events", &[]))
        .find(|stream| stream.status == 200);
    third.unwrap().until("caught-up");
}

#[test]
fn clients_that_take_nothing_hold_up_nobody() {
    let mut settings = Settings::default();
    settings.limits.max_blocking_calls = 2;
    let spaces = Spacefold::in_memory().unwrap();
    for _ in 0..100 {
        let event = |n: u64| SpaceEvent::variable_set("a", format!("n{n}"), "v".repeat(2_000));
        spaces.append((0..100).map(event).collect::<Vec<_>>()).unwrap();
    }
    let stored = spaces.content();
    let content = vec![7; 30 << 20];
    spacefold::content::ContentStore::put(&**stored, &mut &*content).unwrap();
    let server = Server::with(spaces, settings);
    let hash = ContentHash::of(&content);
    let mut idle = Vec::new();
    for _ in 0..8 {
        for (path, accept) in [
            ("/v1/events".to_owned(), "text/event-stream"),
            ("/v1/events".to_owned(), "application/x-ndjson"),
            (format!("/v1/contents/{hash}"), "*/*"),
        ] {
            let mut connection = server.connect();
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
            connection.write_all(head.as_bytes()).unwrap();
            idle.push(connection);
        }
    }
    // There are two threads for all of them, and none waits.
    for _ in 0..20 {
        assert_eq!(server.get("/v1/events?limit=1").ok()["next"], 1);
    }
    let lines = [("Accept", "application/x-ndjson")];
    assert_eq!(server.get_with("/v1/events", &lines).lines().len(), 10_000);
    drop(idle);
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_given_up() {
    let mut settings = Settings::default();
    settings.limits.write_timeout = Duration::from_millis(50);
    settings.limits.max_streams = 1;
    let spaces = Spacefold::in_memory().unwrap();
    for _ in 0..20 {
        let event = |n: u64| SpaceEvent::variable_set("a", format!("n{n}"), "v".repeat(100_000));
        spaces.append((0..100).map(event).collect::<Vec<_>>()).unwrap();
    }
    let server = Server::with(spaces, settings);
    // It takes the head, and nothing of what follows.
    let stalled = server.stream("/v1/events", &[]);
    assert_eq!(stalled.status, 200);
    let next = std::iter::repeat_with(|| server.stream("/v1/events?after=2000", &[]))
        .find(|stream| stream.status == 200);
    next.unwrap().until("caught-up");
    drop(stalled);
}
