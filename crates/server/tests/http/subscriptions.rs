//! Durable subscriptions: who receives, what is acknowledged, what is set aside.

use std::time::Duration;

use serde_json::{Value, json};
use spacefold::{Position, SpaceEvent, Spacefold, Subscription};
use spacefold_server::Settings;

use crate::client::{Answer, Incoming, Server, handbook};

const PATH: &str = "/v1/subscriptions/mailer";

fn at(rest: &str) -> String {
    format!("{PATH}{rest}")
}

fn put(server: &Server, path: &str, body: &Value) -> Answer {
    let json = [("Content-Type", "application/json")];
    server.send("PUT", path, &json, body.to_string().as_bytes())
}

fn post(server: &Server, rest: &str, session: &str, body: &Value) -> Answer {
    server.post_with(&at(rest), &[("Spacefold-Session", session)], &body.to_string())
}

fn ack(server: &Server, session: &str, position: u64) -> Answer {
    post(server, "/ack", session, &json!({ "position": position }))
}

/// A subscription to all of the handbook.
fn with_mailer(settings: Settings) -> (Spacefold, Server) {
    let spaces = handbook();
    let server = Server::with(spaces.clone(), settings);
    assert_eq!(put(&server, PATH, &json!({})).status, 201);
    (spaces, server)
}

/// A stream, with its session.
fn stream(server: &Server, rest: &str) -> (Incoming, String) {
    let mut stream = server.stream(&at(rest), &[]);
    assert_eq!(stream.status, 200);
    let began = stream.next().unwrap();
    assert_eq!(began.event, "session");
    let session = began.data["session"].as_str().unwrap().to_owned();
    assert_eq!(stream.headers["spacefold-session"], session);
    (stream, session)
}

/// The positions of the events up to being caught up.
fn positions(stream: &mut Incoming) -> Vec<u64> {
    let events = stream.until("caught-up").into_iter();
    events.filter(|it| it.event == "event").map(|it| it.id.unwrap()).collect()
}

/// Streams until nobody else has the name.
fn stream_once_free(server: &Server) -> (Incoming, String) {
    loop {
        let mut stream = server.stream(&at("/events"), &[]);
        if stream.status == 200 {
            let began = stream.next().unwrap();
            let session = began.data["session"].as_str().unwrap().to_owned();
            return (stream, session);
        }
        stream.finish().problem(409, "subscription_held");
    }
}

#[test]
fn what_is_not_acknowledged_is_given_again() {
    let (spaces, server) = with_mailer(Settings::default());
    let (mut first, session) = stream(&server, "/events");
    assert_eq!(positions(&mut first), (1..=8).collect::<Vec<_>>());
    let acked = ack(&server, &session, 5).ok();
    assert_eq!(acked, json!({ "acknowledged": 5, "synced": false }));
    assert_eq!(ack(&server, &session, 3).ok()["acknowledged"], 5);
    let beyond = ack(&server, &session, 9).problem(409, "not_received");
    assert_eq!(beyond["received"], 8);
    spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
    assert_eq!(first.next().unwrap().id, Some(9));
    let synced = json!({ "position": 6, "sync": true });
    assert_eq!(post(&server, "/ack", &session, &synced).ok()["synced"], true);
    drop(first);
    let (mut second, other) = stream_once_free(&server);
    assert_eq!(positions(&mut second), [7, 8, 9]);
    ack(&server, &session, 9).problem(409, "session_over");
    server.post(&at("/ack"), r#"{"position": 9}"#).problem(409, "session_over");
    assert_eq!(ack(&server, &other, 9).ok()["acknowledged"], 9);
    let known = server.get(PATH).ok();
    assert_eq!((&known["position"], &known["lag"]), (&json!(9), &json!(0)));
}

#[test]
fn one_client_has_a_name_and_says_so() {
    let (spaces, server) = with_mailer(Settings::default());
    let (mut first, session) = stream(&server, "/events?client=mail-1");
    positions(&mut first);
    let refused = server.stream(&at("/events"), &[]).finish().problem(409, "subscription_held");
    assert_eq!((&refused["held_by"], &refused["client"]), (&json!("stream"), &json!("mail-1")));
    assert!(refused["since"].is_string() && !refused.to_string().contains(&session));
    server.get(&at("/events")).problem(409, "subscription_held");
    let listed = server.get("/v1/subscriptions").ok();
    assert_eq!(listed["subscriptions"][0]["client"], "mail-1");
    assert!(!listed.to_string().contains(&session));
    for moved in [json!({ "after": 3 }), json!({ "filter": { "space": "guide" }, "after": 0 })] {
        put(&server, PATH, &moved).problem(409, "subscription_held");
    }
    server.send("DELETE", PATH, &[], b"").problem(409, "subscription_held");

    let (mut second, _) = stream(&server, "/events?takeover=1");
    assert_eq!(first.until("closing").last().unwrap().data["reason"], "taken_over");
    ack(&server, &session, 1).problem(409, "session_over");
    assert_eq!(positions(&mut second).len(), 8);
    assert_eq!(put(&server, &at("?takeover=1"), &json!({ "after": 3 })).ok()["position"], 3);
    assert_eq!(second.until("closing").last().unwrap().data["reason"], "changed");

    // One that the process of the server has.
    let within = spaces.subscribe_durable("mailer", &Subscription::from_start()).unwrap();
    let refused = server.get(&at("/events?takeover=1")).problem(409, "subscription_held");
    assert_eq!(refused["held_by"], "process");
    drop(within);
    assert_eq!(server.get(&at("/events")).status, 200);
}

#[test]
fn who_polls_gets_the_same_until_it_is_acknowledged() {
    let mut settings = Settings::default();
    settings.limits.session_idle = Duration::from_secs(600);
    let (spaces, server) = with_mailer(settings);
    let page = server.get(&at("/events?limit=3")).ok();
    let session = page["session"].as_str().unwrap().to_owned();
    let given = |page: &Value| {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["position"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((given(&page), &page["acknowledged"]), (vec![1, 2, 3], &json!(0)));
    let poll = |rest: &str| server.get_with(&at(rest), &[("Spacefold-Session", &*session)]).ok();
    assert_eq!(given(&poll("/events?limit=3")), [1, 2, 3]);
    ack(&server, &session, 4).problem(409, "not_received");
    ack(&server, &session, 3).ok();
    assert_eq!(given(&poll("/events")), [4, 5, 6, 7, 8]);
    ack(&server, &session, 8).ok();
    assert_eq!(given(&poll("/events?wait=10ms")), [0; 0]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll("/events?wait=60s"));
        spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
        assert_eq!(given(&waiting.join().unwrap()), [9]);
    });
    // A poll that waits ends with its session.
    ack(&server, &session, 9).ok();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            server.get_with(&at("/events?wait=60s"), &[("Spacefold-Session", &*session)])
        });
        let (_other, _) = stream(&server, "/events?takeover=1");
        waiting.join().unwrap().problem(409, "session_over");
    });
}

#[test]
fn who_polls_no_more_loses_the_name() {
    let mut settings = Settings::default();
    settings.limits.session_idle = Duration::from_millis(20);
    let (_spaces, server) = with_mailer(settings);
    let page = server.get(&at("/events")).ok();
    let (mut next, _) = stream_once_free(&server);
    assert_eq!(positions(&mut next).len(), 8);
    ack(&server, page["session"].as_str().unwrap(), 1).problem(409, "session_over");
}

#[test]
fn events_are_set_aside_given_again_and_given_up() {
    let (_spaces, server) = with_mailer(Settings::default());
    let (mut stream, session) = stream(&server, "/events");
    positions(&mut stream);
    let unprocessed = json!({ "position": 7, "reason": "no such address", "handler": "mail" });
    let parked = post(&server, "/parked", &session, &unprocessed).ok();
    assert_eq!((&parked["attempts"], &parked["space_id"]), (&json!(1), &json!("guide")));
    assert_eq!(post(&server, "/parked", &session, &unprocessed).ok()["attempts"], 2);
    let later = json!({ "position": 9, "reason": "" });
    post(&server, "/parked", &session, &later).problem(409, "not_received");
    ack(&server, &session, 8).ok();
    let listed = server.get(&at("/parked")).ok();
    assert_eq!(listed["parked"][0]["reason"], "no such address");
    assert_eq!(listed["next"], Value::Null);
    assert_eq!(server.get(PATH).ok()["parked"], 1);

    let retried = server.post(&at("/parked/7/retry"), "").ok();
    assert_eq!(retried["given_to"], "stream");
    let again = stream.next().unwrap();
    assert_eq!((&*again.event, again.id), ("retry", None));
    assert_eq!(again.data, server.get("/v1/events/7").ok());
    server.post(&at("/parked/8/retry"), "").problem(404, "not_parked");
    server.post(&at("/parked/x/retry"), "").problem(400, "invalid_path");
    server.post(&at("/parked/7/discard?handler=print"), "").problem(404, "not_parked");
    post(&server, "/parked/7/discard", "0", &json!({})).problem(409, "session_over");
    let discarded = post(&server, "/parked/7/discard", &session, &json!({})).ok();
    assert_eq!(discarded, json!({ "position": 7, "discarded": 1 }));
    assert_eq!(server.get(&at("/parked")).ok()["parked"], json!([]));
    drop(stream);

    // Nobody receives: what is parked can be given up, not given.
    let (stream, session) = stream_once_free(&server);
    post(&server, "/parked", &session, &json!({ "position": 8, "reason": "" })).ok();
    drop(stream);
    let refused = std::iter::repeat_with(|| server.post(&at("/parked/8/retry"), ""))
        .find(|answer| answer.status == 409);
    refused.unwrap().problem(409, "nobody_receives");
    assert_eq!(server.post(&at("/parked/8/discard"), "").ok()["discarded"], 1);

    // Who polls gets it with the next page, at once.
    let page = server.get(&at("/events")).ok();
    let session = page["session"].as_str().unwrap().to_owned();
    post(&server, "/parked", &session, &json!({ "position": 8, "reason": "" })).ok();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            server.get_with(&at("/events?wait=60s"), &[("Spacefold-Session", &*session)]).ok()
        });
        assert_eq!(server.post(&at("/parked/8/retry"), "").ok()["given_to"], "poll");
        assert_eq!(waiting.join().unwrap()["retried"][0]["position"], 8);
    });
}

#[test]
fn a_subscription_is_made_moved_and_removed() {
    let mut settings = Settings::default();
    settings.limits.max_subscriptions = 2;
    let (_spaces, server) = with_mailer(settings);
    assert_eq!(put(&server, PATH, &json!({})).ok()["position"], 0);
    assert_eq!(put(&server, PATH, &json!({ "after": 4 })).ok()["position"], 4);
    put(&server, PATH, &json!({ "after": 99 })).problem(404, "beyond_head");
    let filter = json!({ "space": ["guide"], "type": ["space.*"] });
    let other = put(&server, PATH, &json!({ "filter": filter })).problem(409, "other_filter");
    assert_eq!((&other["position"], &other["kept"]), (&json!(4), &json!({})));
    let changed = put(&server, PATH, &json!({ "filter": filter, "after": 0 })).ok();
    // A pattern is kept as the types that it stands for.
    assert_eq!(changed["filter"]["type"][0], "space.created");
    assert_eq!((&changed["filter"]["space"], &changed["position"]), (&filter["space"], &json!(0)));
    let (mut stream, _) = stream(&server, "/events");
    assert_eq!(positions(&mut stream), [7]);

    assert_eq!(put(&server, "/v1/subscriptions/~Li4", &json!({ "after": 8 })).status, 201);
    put(&server, "/v1/subscriptions/third", &json!({})).problem(409, "too_many_subscriptions");
    let listed = server.get("/v1/subscriptions?limit=1").ok();
    assert_eq!(
        (&listed["subscriptions"][0]["name"], &listed["next"]),
        (&json!(".."), &json!(".."))
    );
    let rest = server.get("/v1/subscriptions?after=..").ok();
    assert_eq!(
        (&rest["subscriptions"][0]["name"], &rest["next"]),
        (&json!("mailer"), &Value::Null)
    );
    let removed =
        server.send("DELETE", listed["subscriptions"][0]["href"].as_str().unwrap(), &[], b"");
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    for path in ["/v1/subscriptions/~Li4", "/v1/subscriptions/~Li4/events"] {
        server.get(path).problem(404, "unknown_subscription");
    }
    server.get("/v1/subscriptions/none/parked").problem(404, "unknown_subscription");
    server.send("DELETE", "/v1/subscriptions/none", &[], b"").problem(404, "unknown_subscription");
    for wrong in ["?limit=0", "?at=1"] {
        assert_eq!(server.get(&format!("/v1/subscriptions{wrong}")).status, 400);
    }
    put(&server, PATH, &json!({ "filter": [] })).problem(400, "invalid_body");
    let named = format!("/v1/subscriptions/{}", "n".repeat(513));
    put(&server, &named, &json!({})).problem(400, "invalid_path");
}

#[test]
fn a_place_of_another_timeline_is_told_apart() {
    let (_spaces, server) = with_mailer(Settings::default());
    let other = "timeline=00000000-0000-0000-0000-000000000001";
    server.get(&at(&format!("/events?{other}"))).problem(410, "timeline_changed");
    let (mut stream, session) = stream(&server, "/events");
    positions(&mut stream);
    let body = json!({ "position": 1, "timeline": "00000000-0000-0000-0000-000000000001" });
    post(&server, "/ack", &session, &body).problem(410, "timeline_changed");
}

#[test]
fn no_event_is_lost_or_acknowledged_twice_whoever_is_cut_off() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut random = u64::from(seed.subsec_nanos()) | 1;
    eprintln!("seed {random}");
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let (spaces, server) = with_mailer(Settings::default());
    let mut acknowledged = 0;
    for _ in 0..40 {
        for _ in 0..next(4) {
            spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
        }
        let head = spaces.durable_head().get();
        let (mut stream, session) = stream(&server, "/events?takeover=1");
        let seen = positions(&mut stream);
        assert_eq!(seen, (acknowledged + 1..=head).collect::<Vec<_>>());
        let to = acknowledged + next(head - acknowledged + 1);
        assert_eq!(ack(&server, &session, to).ok()["acknowledged"], to);
        acknowledged = to;
    }
    let feed = spaces.feed().durable_subscription("mailer").unwrap().unwrap();
    assert_eq!(feed.position, Some(Position::new(acknowledged)));
}
