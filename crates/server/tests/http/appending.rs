//! Appending: receipts, conditions, repetitions, and what is refused.

use serde_json::{Value, json};
use spacefold::{EventId, Spacefold};

use crate::client::{Answer, Server};

fn created(space_id: &str) -> Value {
    json!({ "event_type": "space.created", "space_id": space_id, "payload": { "name": "N" } })
}

fn activated(space_id: &str) -> Value {
    json!({ "event_type": "space.activated", "space_id": space_id })
}

fn append(server: &Server, events: &[Value], condition: &Value) -> Answer {
    let body = json!({ "events": events, "condition": condition });
    server.post("/v1/append", &body.to_string())
}

#[test]
fn an_append_is_answered_with_its_receipt_and_is_seen_at_once() {
    let spaces = Spacefold::in_memory().unwrap();
    let server = Server::of(spaces.clone());
    let receipt = append(&server, &[created("a"), activated("a")], &json!({})).ok();
    let recorded_at = receipt["recorded_at"].clone();
    let expected = json!({
        "first_position": 1, "last_position": 2, "revision": 2, "recorded_at": recorded_at,
        "durable": true, "replayed": false,
    });
    assert_eq!(receipt, expected);
    assert_eq!(server.get("/v1/spaces/a").ok()["status"], "active");
    let stored = server.get("/v1/events/2").ok();
    assert_eq!(
        (&stored["event_type"], &stored["recorded_at"]),
        (&json!("space.activated"), &recorded_at)
    );

    let lines = format!("{}\r\n\n  \n{}", created("b"), created("c"));
    let headers = [("Content-Type", "application/x-ndjson; charset=utf-8")];
    let receipt = server.send("POST", "/v1/append", &headers, lines.as_bytes()).ok();
    assert_eq!((&receipt["first_position"], &receipt["last_position"]), (&json!(3), &json!(4)));
    for n in 0..200 {
        let path = format!("/v1/spaces/s{n}");
        server.get(&path).problem(404, "unknown_space");
        append(&server, &[created(&format!("s{n}"))], &json!({})).ok();
        assert_eq!(server.get(&path).status, 200, "what was answered is seen");
    }
}

#[test]
fn a_repeated_append_is_answered_as_the_first() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    let mut event = created("a");
    event["event_id"] = json!(EventId::new());
    let first = append(&server, &[event.clone()], &json!({})).ok();
    let mut again = append(&server, &[event.clone()], &json!({ "expected": { "a": "none" } })).ok();
    assert_eq!(again["replayed"].take(), true);
    again["replayed"] = json!(false);
    assert_eq!(again, first);
    event["payload"]["name"] = json!("Other");
    let problem = append(&server, &[event.clone()], &json!({})).problem(409, "event_id_reused");
    assert_eq!((&problem["event_id"], &problem["position"]), (&event["event_id"], &json!(1)));
    let twice = [event.clone(), event];
    append(&server, &twice, &json!({})).problem(400, "duplicate_event_id");
    let headers = [("Idempotency-Key", "k")];
    server.post_with("/v1/append", &headers, "{}").problem(400, "unsupported_header");
    assert_eq!(server.get("/v1").ok()["head"], 1);
}

#[test]
fn every_failed_part_of_a_condition_is_told() {
    let (_spaces, server) = Server::of_handbook();
    let condition = json!({
        "expected": { "handbook": 3, "guide": "none", "nowhere": "exists" },
        "no_event_matching": [
            { "filter": { "space": "guide", "type": "space.created" }, "after": 2 },
            { "filter": { "tag": "none" } },
        ],
    });
    let failed = append(&server, &[activated("handbook")], &condition);
    let failed = failed.problem(412, "condition_failed")["failed"].clone();
    let event_id = server.get("/v1/events/7").ok()["event_id"].clone();
    let expected = json!([
        { "space_id": "guide", "expected": "none", "revision": 1 },
        { "space_id": "handbook", "expected": 3, "revision": 7 },
        { "space_id": "nowhere", "expected": "exists", "revision": 0 },
        { "no_event_matching_after": 2, "position": 7, "event_id": event_id },
    ]);
    assert_eq!(failed, expected);
    assert_eq!(server.get("/v1").ok()["head"], 8);
    let holds = json!({
        "expected": { "handbook": 7, "guide": "exists", "nowhere": "none" },
        "no_event_matching": [{ "filters": [{ "space": "guide" }, { "tag": "x" }], "after": 7 }],
    });
    append(&server, &[activated("handbook")], &holds).ok();
    for wrong in [json!({ "expect": {} }), json!({ "expected": { "a": -1 } }), json!([])] {
        append(&server, &[activated("handbook")], &wrong).problem(400, "invalid_body");
    }
}

#[test]
fn a_revision_may_be_named_in_a_header() {
    let (_spaces, server) = Server::of_handbook();
    let tag = server.get("/v1/spaces/handbook").header("etag").to_owned();
    let body = json!({ "events": [activated("handbook")] }).to_string();
    let with = |name, value: &str| server.post_with("/v1/append", &[(name, value)], &body);
    assert_eq!(with("If-Match", &tag).ok()["revision"], 8);
    let failed = with("If-Match", &tag).problem(412, "condition_failed");
    assert_eq!(
        failed["failed"][0],
        json!({ "space_id": "handbook", "expected": 7, "revision": 8 })
    );
    with("If-None-Match", "*").problem(412, "condition_failed");
    assert_eq!(with("If-Match", "*").ok()["revision"], 9);
    for (name, value) in [("If-Match", "9"), ("If-Match", "W/\"9\""), ("If-None-Match", "\"9\"")] {
        with(name, value).problem(400, "invalid_condition");
    }
    let both = json!({ "events": [created("x"), created("y")] }).to_string();
    let answer = server.post_with("/v1/append", &[("If-None-Match", "*")], &both);
    answer.problem(400, "invalid_condition");
}

#[test]
fn what_is_no_append_is_told_which_event_is_wrong() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    append(&server, &[], &json!({})).problem(400, "empty_append");
    let cases = [
        (json!({ "event_type": "space.create", "space_id": "a" }), 400, "unknown_event_type"),
        (json!({ "event_type": "space.activated", "space_id": "" }), 400, "limit_exceeded"),
        (json!({ "event_type": "space.created" }), 400, "invalid_event"),
        (json!("space.created"), 400, "invalid_event"),
        (
            json!({ "event_type": "spacefold.command.unchanged", "space_id": "a" }),
            400,
            "reserved_type",
        ),
        (
            json!({
                "event_type": "variable.set", "space_id": "a",
                "payload": { "name": "n", "value": "v".repeat(1 << 20) },
            }),
            413,
            "limit_exceeded",
        ),
    ];
    for (event, status, code) in cases {
        let answer = append(&server, &[activated("a"), event], &json!({}));
        assert_eq!(answer.problem(status, code)["event"], 1, "{code}");
    }
    let many = vec![activated("a"); 4_097];
    append(&server, &many, &json!({})).problem(413, "limit_exceeded");
    append(&server, &many[1..], &json!({})).ok();
    server.post("/v1/append", r#"{"events": [], "condtion": {}}"#).problem(400, "invalid_body");
    server.post("/v1/append", "").problem(400, "invalid_body");
    server.post("/v1/append?x=1", "{}").problem(400, "unknown_parameter");
}

#[test]
fn appends_of_many_clients_are_there_once_and_in_order() {
    let spaces = Spacefold::in_memory().unwrap();
    let server = Server::of(spaces);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let space = format!("s{client}");
                for revision in 0..25_u64 {
                    let condition = json!({ "expected": { &space: revision } });
                    let receipt = append(server, &[activated(&space)], &condition).ok();
                    assert_eq!(receipt["revision"], revision + 1);
                }
            });
        }
    });
    assert_eq!(server.get("/v1").ok()["head"], 200);
    let lines = [("Accept", "application/x-ndjson")];
    for client in 0..8 {
        let path = format!("/v1/spaces/s{client}/history");
        let revisions = server.get_with(&path, &lines).lines();
        let revisions: Vec<u64> =
            revisions.iter().map(|it| it["revision"].as_u64().unwrap()).collect();
        assert_eq!(revisions, (1..=25).collect::<Vec<_>>());
    }
}
