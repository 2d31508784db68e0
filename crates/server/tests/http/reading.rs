//! Reading: states and events of now and of any moment, and what each answer is known by.

use std::time::Duration;

use serde_json::{Value, json};
use spacefold::{
    CachePlace, Options, Position, SpaceEvent, Spacefold, Timestamp,
    event::EventFilter,
    log::{LogReader, ReadRequest},
};
use spacefold_server::Settings;

use crate::client::Server;

fn positions(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["position"].as_u64().unwrap()).collect()
}

#[test]
fn the_first_answer_says_what_there_is() {
    let (spaces, server) = Server::of_handbook();
    let root = server.get("/v1").ok();
    assert_eq!((&root["head"], &root["durable_head"]), (&json!(8), &json!(8)));
    assert_eq!(root["timeline"], spaces.log().identity().timeline.to_string());
    assert_eq!((&root["fork"], &root["writable"]), (&Value::Null, &json!(true)));
    assert_eq!(root["limits"]["append_events"], 4096);
    for link in ["events", "spaces", "info"] {
        assert_eq!(server.get(root["links"][link].as_str().unwrap()).status, 200);
    }
    let info = server.get("/v1/info").ok();
    assert_eq!((&info["durable_head"], &info["read_only"]), (&json!(8), &Value::Null));
    assert_eq!(info["store_id"], root["store_id"]);
    assert!(info["projections"].as_array().is_some_and(|all| !all.is_empty()));
    assert_eq!(server.get("/healthz").ok(), json!({ "status": "ok" }));
    assert_eq!(server.get("/readyz").ok(), json!({ "ready": true, "appends": true }));
    server.drain.start();
}

#[test]
fn a_store_that_is_closed_or_about_to_end_is_not_ready() {
    let (spaces, server) = Server::of_handbook();
    spaces.close().unwrap();
    let problem = server.get("/readyz").problem(503, "closed");
    assert_eq!(problem["retryable"], true);
    server.get("/v1/events/1").problem(503, "closed");
    assert_eq!(server.get("/healz").problem(404, "unknown_path")["effects"], "none");
}

#[test]
fn events_come_in_pages_that_say_where_to_go_on() {
    let (_spaces, server) = Server::of_handbook();
    let page = server.get("/v1/events?limit=3").ok();
    assert_eq!(positions(&page), [1, 2, 3]);
    assert_eq!((&page["next"], &page["head"]), (&json!(3), &json!(8)));
    let page = server.get("/v1/events?after=3&limit=100").ok();
    assert_eq!(positions(&page), [4, 5, 6, 7, 8]);
    assert_eq!(page["next"], 8);
    assert_eq!(positions(&server.get("/v1/events?after=8").ok()), [0_u64; 0]);
    assert_eq!(positions(&server.get("/v1/events?from=7").ok()), [7, 8]);
    assert_eq!(positions(&server.get("/v1/events?from=2&to=3").ok()), [2, 3]);
    assert_eq!(positions(&server.get("/v1/events?last=2").ok()), [7, 8]);
    assert_eq!(positions(&server.get("/v1/events?last=2&to=4").ok()), [3, 4]);
    assert_eq!(positions(&server.get("/v1/events?last=0").ok()), [0_u64; 0]);
    assert_eq!(positions(&server.get("/v1/events?last=1000").ok()).len(), 8);
    let problem = server.get("/v1/events?after=9").problem(404, "beyond_head");
    assert_eq!((&problem["asked"], &problem["head"]), (&json!(9), &json!(8)));
    for (wrong, parameter) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=1&from=1", "from"),
        ("last=1001", "last"),
        ("after=x", "after"),
        ("type=document.eaten", "type"),
        ("not_from=x", "not_from"),
        ("to=1&to=2", "to"),
        ("wait=2h", "wait"),
        ("timeline=x", "timeline"),
    ] {
        let problem = server.get(&format!("/v1/events?{wrong}")).problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{wrong}");
    }
    let problem = server.get("/v1/events?spaces=a").problem(400, "unknown_parameter");
    assert!(problem["known"].as_array().unwrap().contains(&json!("space")));
}

#[test]
fn events_are_filtered_as_by_the_library() {
    let (spaces, server) = Server::of_handbook();
    let tagged = SpaceEvent::space_activated("guide").with_tags(["user:7", "x"]);
    let tagged = tagged.with_source("editor").with_correlation_id("c-1");
    spaces.append([tagged]).unwrap();
    let cases: [(&str, EventFilter); 7] = [
        ("space=guide", EventFilter::all().spaces(["guide"])),
        ("space=guide&space=nowhere", EventFilter::all().spaces(["guide", "nowhere"])),
        (
            "type=document.*&type=space.created",
            EventFilter::all().types(
                ["document.*", "space.created"]
                    .map(|it| it.parse::<spacefold::event::TypePattern>().unwrap()),
            ),
        ),
        ("tag=user%3A7&tag=x", EventFilter::all().tags(["user:7", "x"])),
        ("document=intro", EventFilter::all().document("intro")),
        ("source=editor", EventFilter::all().source("editor")),
        ("correlation=c-1", EventFilter::all().correlation_id("c-1")),
    ];
    for (query, filter) in cases {
        let mut expected = Vec::new();
        let read = ReadRequest::from(Position::new(1)).matching(filter);
        for page in spaces.log().pages(read) {
            for event in page.unwrap().events() {
                expected.push(serde_json::from_str::<Value>(&event.unwrap().to_json()).unwrap());
            }
        }
        assert!(!expected.is_empty(), "{query}");
        let page = server.get(&format!("/v1/events?{query}")).ok();
        assert_eq!(page["events"], json!(expected), "{query}");
        assert_eq!(page["next"], 9, "{query}");
        let lines = [("Accept", "application/x-ndjson")];
        let lines = server.get_with(&format!("/v1/events?{query}"), &lines);
        assert_eq!(lines.header("content-type"), "application/x-ndjson");
        assert_eq!(lines.lines(), expected, "{query}");
        let newest = server.get(&format!("/v1/events?{query}&last=1")).ok();
        assert_eq!(newest["events"], json!(expected[expected.len() - 1..]), "{query}");
    }
    let written = r#"{"filters": [{"space": "guide"}, {"document": ["intro"][0]}], "limit": 2}"#;
    server.post("/v1/events/query", written).problem(400, "invalid_body");
    let written =
        r#"{"filters": [{"space": "guide"}, {"document": "intro"}], "after": 2, "limit": 2}"#;
    assert_eq!(positions(&server.post("/v1/events/query", written).ok()), [3, 6]);
    assert_eq!(positions(&server.post("/v1/events/query", r#"{"filters": []}"#).ok()), [0_u64; 0]);
    assert_eq!(positions(&server.post("/v1/events/query", "{}").ok()).len(), 9);
    let many = format!(r#"{{"filters": [{}{{}}]}}"#, "{},".repeat(1_024));
    server.post("/v1/events/query", &many).problem(400, "limit_exceeded");
}

#[test]
fn lines_end_with_their_limit_and_hold_every_event() {
    let spaces = Spacefold::in_memory().unwrap();
    for block in 0..40 {
        let event = |n: u64| {
            let value = "v".repeat(300);
            SpaceEvent::variable_set("a", format!("n{n}"), value)
        };
        spaces.append((block * 100..block * 100 + 100).map(event).collect::<Vec<_>>()).unwrap();
    }
    let server = Server::of(spaces);
    let lines = [("Accept", "application/x-ndjson")];
    let all = server.get_with("/v1/events", &lines).lines();
    let found: Vec<u64> = all.iter().map(|it| it["position"].as_u64().unwrap()).collect();
    assert_eq!(found, (1..=4_000).collect::<Vec<_>>());
    let some = server.get_with("/v1/events?after=100&limit=1500", &lines).lines();
    assert_eq!(some, all[100..1_600]);
    assert_eq!(server.get_with("/v1/events?after=4000", &lines).text(), "");
    // A page ends where it has enough bytes, and says so.
    let mut settings = Settings::default();
    settings.limits.max_page_bytes = 10_000;
    let server = Server::with(spacefold_server_store(), settings);
    let mut after = 0;
    let mut seen = Vec::new();
    while after < 100 {
        let page = server.get(&format!("/v1/events?after={after}&limit=1000")).ok();
        let found = positions(&page);
        assert!(found.len() < 40, "{}", found.len());
        seen.extend(found);
        after = page["next"].as_u64().unwrap();
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

fn spacefold_server_store() -> Spacefold {
    let spaces = Spacefold::in_memory().unwrap();
    let event = |n| SpaceEvent::variable_set("a", format!("n{n}"), "v".repeat(300));
    spaces.append((0..100).map(event).collect::<Vec<_>>()).unwrap();
    spaces
}

#[test]
fn what_is_of_a_position_is_kept_for_ever_where_the_timeline_is_named() {
    let (spaces, server) = Server::of_handbook();
    let timeline = spaces.log().identity().timeline.to_string();
    let of_position = [
        "/v1/events/3?",
        "/v1/spaces?at=3&",
        "/v1/spaces/handbook?at=3&",
        "/v1/spaces/handbook/diff?from=2&to=6&",
        "/v1/spaces/handbook/blame?at=5&",
        "/v1/spaces/handbook/documents/intro?at=3&",
        "/v1/spaces/handbook/documents/intro/content?at=3&",
    ];
    for path in of_position {
        let here = server.get(path);
        assert_eq!((here.status, here.header("cache-control")), (200, "no-cache"), "{path}");
        let tag = here.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 3, "{path}: {tag}");
        let for_ever = server.get(&format!("{path}timeline={timeline}"));
        let kept = "max-age=31536000, immutable";
        assert_eq!(for_ever.header("cache-control"), kept, "{path}");
        assert_eq!((for_ever.header("etag"), &for_ever.body), (&*tag, &here.body), "{path}");
        let known = [("If-None-Match", &*format!("\"x\", {tag}"))];
        let known = server.get_with(path, &known);
        assert_eq!((known.status, known.header("etag")), (304, &*tag), "{path}");
        assert!(known.body.is_empty());
        let gone = server.get(&format!("{path}timeline=00000000-0000-0000-0000-000000000000"));
        assert_eq!(gone.problem(410, "timeline_changed")["timeline"], timeline);
    }
    let as_of = server.get("/v1/spaces/handbook?as_of=2100-01-01");
    assert_eq!((as_of.status, as_of.header("cache-control")), (200, "no-cache"));
    assert_eq!(as_of.json()["position"], 8);
    server.get("/v1/spaces/handbook?as_of=1970-01-02").problem(404, "unknown_space");
    server.get("/v1/spaces/handbook?as_of=soon").problem(400, "invalid_parameter");
    server.get("/v1/spaces/handbook?at=1&as_of=2100-01-01").problem(400, "invalid_parameter");
    let head = server.send("HEAD", "/v1/spaces/handbook?at=3", &[], b"");
    assert!(head.status == 200 && head.body.is_empty() && !head.header("etag").is_empty());
}

#[test]
fn what_is_of_now_is_known_by_its_revision() {
    let (spaces, server) = Server::of_handbook();
    let state = server.get("/v1/spaces/handbook");
    assert_eq!((state.header("etag"), state.header("cache-control")), ("\"7\"", "no-cache"));
    assert_eq!(state.text(), spaces.snapshot("handbook").unwrap().to_json());
    let known = [("If-None-Match", "\"7\"")];
    assert_eq!(server.get_with("/v1/spaces/handbook", &known).status, 304);
    spaces.service().archive_space("handbook").unwrap();
    assert_eq!(server.get_with("/v1/spaces/handbook", &known).header("etag"), "\"8\"");
    let document = server.get("/v1/spaces/handbook/documents/more");
    assert_eq!(document.header("etag"), "\"d4\"");
    let document = document.json();
    assert_eq!((&document["document_id"], &document["path"]), (&json!("more"), &json!("/more.md")));
    let blame = server.get("/v1/spaces/handbook/blame");
    assert_eq!(blame.header("etag"), "\"8\"");
    let expected = spaces.at(Position::new(9)).blame("handbook").unwrap();
    assert_eq!(blame.ok(), serde_json::to_value(expected).unwrap());
}

#[test]
fn states_of_any_moment_are_those_of_the_library() {
    let (spaces, server) = Server::of_handbook();
    for at in 1..=8 {
        let expected = spaces.at(Position::new(at)).snapshot("handbook").unwrap().to_json();
        assert_eq!(server.get(&format!("/v1/spaces/handbook?at={at}")).text(), expected);
    }
    server.get("/v1/spaces/handbook?at=0").problem(404, "unknown_space");
    server.get("/v1/spaces/guide?at=6").problem(404, "unknown_space");
    server.get("/v1/spaces/nowhere").problem(404, "unknown_space");
    server.get("/v1/spaces/nowhere/history").problem(404, "unknown_space");
    server.get("/v1/spaces/nowhere/diff?from=1&to=2").problem(404, "unknown_space");
    server.get("/v1/spaces/handbook?at=9").problem(404, "beyond_head");
    server.get("/v1/spaces/handbook/diff?from=1&to=9").problem(404, "beyond_head");
    server.get("/v1/spaces/handbook/documents/none").problem(404, "unknown_document");
    server.get("/v1/spaces/handbook/documents/more/content").problem(404, "no_content");
    server.get("/v1/spaces/handbook/diff?to=9").problem(400, "invalid_parameter");
    let (one, six) = (Position::new(1), Position::new(6));
    let changes = serde_json::to_value(spaces.diff("handbook", one..six).unwrap()).unwrap();
    let diff = server.get("/v1/spaces/handbook/diff?from=1&to=6").ok();
    let expected = json!({
        "space_id": "handbook", "from": 1, "to": 6, "changes": changes, "next": null,
    });
    assert_eq!(diff, expected);
    let count = changes.as_array().unwrap().len();
    let mut paged = Vec::new();
    for after in 0..count {
        let path = format!("/v1/spaces/handbook/diff?from=1&to=6&limit=1&after={after}");
        let page = server.get(&path).ok();
        paged.extend(page["changes"].as_array().unwrap().clone());
        assert_eq!(page["next"].as_u64(), (after + 1 < count).then_some(after as u64 + 1));
    }
    assert_eq!(json!(paged), changes);
    let lines = [("Accept", "application/x-ndjson")];
    let lines = server.get_with("/v1/spaces/handbook/diff?from=1&to=6", &lines);
    assert_eq!(json!(lines.lines()), changes);
    let of_document = server.get("/v1/spaces/handbook/diff?from=1&to=6&document=more").ok();
    let expected = spaces.diff_document("handbook", "more", one..six).unwrap();
    assert_eq!(of_document["changes"], serde_json::to_value(expected).unwrap());
    let now = Timestamp::now().to_string().replace('+', "%2B");
    let times = format!("/v1/spaces/handbook/diff?from=1970-01-02&to={now}");
    assert_eq!(server.get(&times).ok()["to"], 8);
    let history = server.get("/v1/spaces/handbook/history?document=intro").ok();
    assert_eq!(positions(&history), [2, 3, 6]);
}

#[test]
fn spaces_are_listed_a_page_at_a_time() {
    let spaces = Spacefold::in_memory().unwrap();
    let ids: Vec<String> = (0..300).map(|n| format!("s{n:03}")).chain(["..".into()]).collect();
    spaces
        .append(ids.iter().map(|id| SpaceEvent::space_created(id, id)).collect::<Vec<_>>())
        .unwrap();
    let mut sorted = ids.clone();
    sorted.sort();
    let server = Server::of(spaces);
    let mut found: Vec<String> = Vec::new();
    let mut path = "/v1/spaces?limit=7".to_owned();
    loop {
        let page = server.get(&path).ok();
        for space in page["spaces"].as_array().unwrap() {
            found.push(space["space_id"].as_str().unwrap().to_owned());
            assert_eq!(server.get(space["href"].as_str().unwrap()).ok()["name"], space["name"]);
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/spaces?limit=7&after={next}");
    }
    assert_eq!(found, sorted);
    let lines = [("Accept", "application/x-ndjson")];
    let lines = server.get_with("/v1/spaces", &lines).lines();
    let listed: Vec<&str> = lines.iter().map(|it| it["space_id"].as_str().unwrap()).collect();
    assert_eq!(listed, sorted);
    let then = server.get("/v1/spaces?at=3&limit=1000").ok();
    let then: Vec<&str> = then["spaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["space_id"].as_str().unwrap())
        .collect();
    assert_eq!(then, ["s000", "s001", "s002"]);
    server.get("/v1/spaces?at=302").problem(404, "beyond_head");
    server.get("/v1/spaces?limit=0").problem(400, "invalid_parameter");
}

#[test]
fn ids_of_every_byte_are_found_in_paths() {
    let spaces = Spacefold::in_memory().unwrap();
    let mut ids: Vec<String> = (0..128_u8).map(|byte| char::from(byte).to_string()).collect();
    ids.extend([".", "..", "~", "~YQ", "a/../b", "%2e%2e", "é€\u{1f600}"].map(str::to_owned));
    for id in &ids {
        let created = SpaceEvent::space_created(id, id);
        spaces.append([created, SpaceEvent::document_added(id, id, "/p")]).unwrap();
    }
    let server = Server::of(spaces);
    use base64::Engine as _;
    for id in &ids {
        let encoded = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(id);
        let path = format!("/v1/spaces/~{encoded}/documents/~{encoded}");
        assert_eq!(server.get(&path).ok()["document_id"], **id, "{id:?}");
        // What comes escaped is taken as it is, but for what a path cannot have.
        if !id.starts_with('~') {
            let escaped: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let answer = server.get(&format!("/v1/spaces/{escaped}"));
            assert_eq!(answer.ok()["space_id"], **id, "{id:?}");
        }
    }
    for wrong in ["~", "~A", "~_w", "%ff", "~YQ=="] {
        let answer = server.get(&format!("/v1/spaces/{wrong}"));
        answer.problem(400, "invalid_path");
    }
    server.get(&format!("/v1/spaces/{}", "x".repeat(513))).problem(400, "invalid_path");
}

#[test]
fn a_state_waits_for_a_position() {
    let (spaces, server) = Server::of_handbook();
    let problem = server.get("/v1/spaces/handbook?after=9").problem(503, "timed_out");
    assert_eq!((&problem["position"], &problem["retryable"]), (&json!(9), &json!(true)));
    server.get("/v1/spaces/handbook?after=9&wait=10ms").problem(503, "timed_out");
    server.get("/v1/spaces/handbook?wait=1s").problem(400, "invalid_parameter");
    server.get("/v1/spaces/handbook?after=9&wait=61s").problem(400, "invalid_parameter");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/v1/spaces/handbook?after=10&wait=60s").ok());
        spaces.service().archive_space("handbook").unwrap();
        spaces.service().activate_space("handbook").unwrap();
        assert_eq!(waiting.join().unwrap()["position"], 10);
    });
    assert_eq!(server.get("/v1/spaces/handbook?after=10").ok()["revision"], 9);
}

#[test]
fn a_store_that_another_process_has_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let spaces = Spacefold::open(&data).unwrap();
    spaces.append([SpaceEvent::space_created("a", "A")]).unwrap();
    let server = Server::of(Options::new(&data).cache(CachePlace::Memory).follow().unwrap());
    assert_eq!(server.get("/v1/spaces/a").ok()["name"], "A");
    assert_eq!(server.get("/v1").ok()["writable"], false);
    assert_eq!(server.get("/readyz").ok(), json!({ "ready": true, "appends": false }));
    assert!(server.get("/v1/info").ok()["read_only"].is_string());
    let event = r#"{"events": [{"event_type": "space.activated", "space_id": "a"}]}"#;
    server.post("/v1/append", event).problem(403, "read_only");
    server.post("/v1/spaces/a/activate_space", "{}").problem(403, "read_only");
    let hash = spacefold::content::ContentHash::of(b"x");
    server.send("PUT", &format!("/v1/contents/{hash}"), &[], b"x").problem(403, "read_only");
    let receipt = spaces.append([SpaceEvent::space_activated("a")]).unwrap();
    let position = receipt.last_position();
    let now = server.get(&format!("/v1/spaces/a?after={position}&wait=60s")).ok();
    assert_eq!(now["status"], "active");
    drop(server);
    spaces.close().unwrap();
}

#[test]
fn a_search_that_finds_nothing_ends_in_time() {
    let mut settings = Settings::default();
    settings.limits.page_time = Duration::ZERO;
    let spaces = Spacefold::in_memory().unwrap();
    for _ in 0..40 {
        let many = (0..4_000).map(|n| SpaceEvent::variable_set("a", "n", n));
        spaces.append(many.collect::<Vec<_>>()).unwrap();
    }
    let server = Server::with(spaces, settings);
    let mut after = 0;
    let mut pages = 0;
    loop {
        let page = server.get(&format!("/v1/events?source=nobody&after={after}")).ok();
        assert_eq!(positions(&page), [0_u64; 0]);
        let next = page["next"].as_u64().unwrap();
        assert!(next > after, "{page}");
        (after, pages) = (next, pages + 1);
        if page["next"] == page["head"] {
            break;
        }
    }
    assert!(pages > 1, "one page looked at everything");
    let lines = [("Accept", "application/x-ndjson")];
    assert_eq!(server.get_with("/v1/events?source=nobody", &lines).text(), "");
}

#[test]
fn a_state_as_it_is_stored_is_the_state_itself() {
    let (spaces, server) = Server::of_handbook();
    let stored = [("Accept", "application/vnd.spacefold.state")];
    for (path, position) in [("/v1/spaces/handbook", 8), ("/v1/spaces/handbook?at=3", 3)] {
        let answer = server.get_with(path, &stored);
        assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"));
        assert_eq!(answer.headers["spacefold-position"], position.to_string());
        let state = spacefold::state::SpaceState::decode(answer.body).unwrap();
        let expected = spaces.at(Position::new(position)).snapshot("handbook").unwrap();
        assert_eq!(state, **expected.state());
    }
    server.get_with("/v1/spaces/nowhere", &stored).problem(404, "unknown_space");
    server.get_with("/v1/spaces/handbook?at=9", &stored).problem(404, "beyond_head");
    let other = [("Accept", "text/html")];
    server.get_with("/v1/spaces/handbook", &other).problem(406, "not_acceptable");
}

#[test]
fn an_event_is_found_by_its_id_and_a_position_by_its_time() {
    let (spaces, server) = Server::of_handbook();
    let page = spaces.log().page_at(Position::new(4)).unwrap().unwrap();
    let event = page.events().next().unwrap().unwrap();
    let found = server.get(&format!("/v1/events/{}", event.event_id)).ok();
    assert_eq!(found, server.get("/v1/events/4").ok());
    let unknown = "/v1/events/0197a6bc-0000-7000-8000-000000000000";
    server.get(unknown).problem(404, "unknown_event");
    for path in ["/v1/events/x", "/v1/events/-1", "/v1/events/18446744073709551616"] {
        server.get(path).problem(400, "invalid_path");
    }
    assert_eq!(server.get("/v1/position?as_of=2100-01-01").ok(), json!({ "position": 8 }));
    assert_eq!(server.get("/v1/position?as_of=2000-01-01").ok(), json!({ "position": 0 }));
    server.get("/v1/position").problem(400, "invalid_parameter");
    server.get("/v1/position?as_of=yesterday").problem(400, "invalid_parameter");
}

#[test]
fn the_projections_that_come_with_a_store_are_asked() {
    let (spaces, server) = Server::of_handbook();
    let hash = spacefold::content::ContentHash::of(b"# Hello").to_string();
    let found = server.get(&format!("/v1/occurrences?hash={hash}")).ok();
    let expected = spaces.projections().occurrences(hash.as_str()).unwrap();
    assert_eq!(found, serde_json::to_value(&expected).unwrap());
    assert_eq!(found[0]["document_id"], "intro");
    assert_eq!(server.get("/v1/occurrences?hash=nothing").ok(), json!([]));
    server.get("/v1/occurrences").problem(400, "invalid_parameter");

    let counts = server.get("/v1/activity?type=document.*").ok();
    let counts = counts.as_array().unwrap();
    assert_eq!(counts.iter().map(|count| count["events"].as_u64().unwrap()).sum::<u64>(), 4);
    assert_eq!(server.get("/v1/activity?to=2000-01-01").ok(), json!([]));
    for wrong in ["type=space.eaten", "from=2026-02-30", "x=1"] {
        assert_eq!(server.get(&format!("/v1/activity?{wrong}")).status, 400, "{wrong}");
    }

    spaces.append([SpaceEvent::sync_conflict("handbook", "intro", "here", "there")]).unwrap();
    let problems = server.get("/v1/problems?space=handbook").ok();
    assert_eq!(
        (&problems[0]["kind"], &problems[0]["local_hash"]),
        (&json!("sync_conflict"), &json!("here"))
    );
    assert_eq!(server.get("/v1/problems?kind=failed_render").ok(), json!([]));
    server.get("/v1/problems?kind=trouble").problem(400, "invalid_parameter");
    let info = server.get("/v1/info").ok();
    assert_eq!((&info["spaces"], &info["accepts_appends"]), (&json!(2), &json!(true)));
    assert_eq!(info["events_by_type"]["space.created"], 2);
}
