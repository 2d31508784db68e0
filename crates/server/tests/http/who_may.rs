//! Who may do what: tokens, their rights and their spaces.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;
use spacefold::{SpaceEvent, Spacefold, Timestamp, content::ContentHash};
use spacefold_server::{Settings, TokenFile, TokenGrant, TokenRight};

use crate::client::{Answer, Server, handbook};

/// A server with tokens, and a call with one of them.
struct Guarded {
    server: Server,
    tokens: TokenFile,
    spaces: Spacefold,
    _folder: tempfile::TempDir,
}

impl Guarded {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenFile::at(folder.path().join("tokens.json"));
        let mut settings = Settings::default();
        settings.tokens = Some(tokens.clone());
        let spaces = handbook();
        let server = Server::with(spaces.clone(), settings);
        Self { server, tokens, spaces, _folder: folder }
    }

    /// A token, as its header.
    fn token(&self, rights: &[TokenRight], patterns: &[&str]) -> String {
        let patterns = patterns.iter().map(|pattern| pattern.parse().unwrap());
        let grant = TokenGrant::new(rights.iter().copied(), patterns);
        format!("Bearer {}", self.tokens.create(grant).unwrap())
    }

    fn get(&self, path: &str, token: &str) -> Answer {
        self.server.get_with(path, &[("Authorization", token)])
    }

    fn post(&self, path: &str, token: &str, body: &serde_json::Value) -> Answer {
        self.server.post_with(path, &[("Authorization", token)], &body.to_string())
    }
}

fn activated(space_id: &str) -> serde_json::Value {
    json!({ "events": [{ "event_type": "space.activated", "space_id": space_id }] })
}

const PATHS: [&str; 17] = [
    "/v1",
    "/v1/info",
    "/v1/events",
    "/v1/events?wait=1s",
    "/v1/events/1",
    "/v1/position?as_of=2100-01-01",
    "/v1/occurrences?hash=x",
    "/v1/activity",
    "/v1/problems",
    "/v1/spaces",
    "/v1/spaces/handbook",
    "/v1/spaces/handbook?at=3",
    "/v1/spaces/handbook/diff?from=1&to=2",
    "/v1/spaces/handbook/history",
    "/v1/spaces/handbook/blame",
    "/v1/spaces/handbook/documents/intro",
    "/v1/spaces/handbook/documents/intro/content",
];

#[test]
fn nothing_is_answered_without_a_token_that_is_good() {
    let guarded = Guarded::new();
    let good = guarded.token(&TokenRight::ALL, &["*"]);
    let secret = good.rsplit('_').next().unwrap();
    let expired = TokenGrant::new(TokenRight::ALL, ["*".parse().unwrap()]).until(Timestamp::now());
    let expired = format!("Bearer {}", guarded.tokens.create(expired).unwrap());
    let other_secret = good.replace(secret, &"0".repeat(64));
    let basic = good.replace("Bearer", "Basic");
    let bad = ["", "Bearer", "Bearer x", &*other_secret, &*basic, &*expired, &good[7..]];
    for path in PATHS.iter().chain(&["/v1/nowhere", "/"]) {
        for token in bad {
            let refused = guarded.get(path, token);
            refused.problem(401, "unauthorized");
            assert!(refused.header("www-authenticate").starts_with("Bearer"));
        }
        guarded.server.get(path).problem(401, "unauthorized");
    }
    for path in PATHS {
        assert_eq!(guarded.get(path, &good).status, 200, "{path}");
    }
    let body = activated("handbook");
    guarded.server.post("/v1/append", &body.to_string()).problem(401, "unauthorized");
    let post = guarded.server.post("/v1/spaces/handbook/archive_space", "{}");
    post.problem(401, "unauthorized");
    assert_eq!(guarded.server.stream("/v1/events", &[]).status, 401);
    for open in ["/healthz", "/readyz"] {
        assert_eq!(guarded.server.get(open).status, 200);
    }
    assert_eq!(guarded.spaces.durable_head().get(), 8);
}

#[test]
fn a_token_that_is_revoked_lets_nobody_in() {
    let guarded = Guarded::new();
    let token = guarded.token(&[TokenRight::Read], &["*"]);
    assert_eq!(guarded.get("/v1", &token).status, 200);
    let id = &guarded.tokens.list().unwrap()[0].id;
    // By another process.
    assert!(TokenFile::at(guarded.tokens.path()).revoke(id).unwrap());
    guarded.get("/v1", &token).problem(401, "unauthorized");
    let token = guarded.token(&[TokenRight::Read], &["*"]);
    assert_eq!(guarded.get("/v1", &token).status, 200);
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(guarded.tokens.path(), readable).unwrap();
    guarded.get("/v1", &token).problem(500, "tokens_unusable");
}

#[test]
fn rights_are_what_a_token_says() {
    let guarded = Guarded::new();
    let hash = ContentHash::of(b"x");
    let put = |token: &str| {
        let headers = [("Authorization", token)];
        guarded.server.send("PUT", &format!("/v1/contents/{hash}"), &headers, b"x")
    };
    for right in TokenRight::ALL {
        let token = guarded.token(&[right], &["*"]);
        let missing = |answer: &Answer, wanted: TokenRight| {
            if right == wanted {
                assert!(answer.status < 300, "{right}: {}", answer.text());
            } else {
                let problem = answer.problem(403, "right_missing");
                assert_eq!(problem["right"], wanted.name());
            }
        };
        for path in PATHS.iter().filter(|path| !["/v1", "/v1/info"].contains(path)) {
            missing(&guarded.get(path, &token), TokenRight::Read);
        }
        missing(&guarded.get("/v1/info", &token), TokenRight::Admin);
        missing(&guarded.post("/v1/append", &token, &activated("handbook")), TokenRight::Append);
        let name = json!({ "name": "N" });
        let renamed = guarded.post("/v1/spaces/handbook/rename_space", &token, &name);
        missing(&renamed, TokenRight::Command);
        let batch = json!({ "commands": [{ "operation": "rename_space", "name": right.name() }] });
        let batched = guarded.post("/v1/spaces/handbook/batch", &token, &batch);
        missing(&batched, TokenRight::Command);
        missing(&put(&token), TokenRight::Command);
        missing(&guarded.post("/v1/events/query", &token, &json!({})), TokenRight::Read);
    }
}

#[test]
fn of_other_spaces_nothing_is_shown_or_done() {
    let guarded = Guarded::new();
    let guide = guarded.token(&TokenRight::ALL, &["gui*"]);
    for path in PATHS.iter().filter(|path| path.starts_with("/v1/spaces/")) {
        let problem = guarded.get(path, &guide).problem(403, "space_not_allowed");
        assert_eq!(problem["space_id"], "handbook");
    }
    // Whether it is there or not.
    guarded.get("/v1/spaces/nowhere", &guide).problem(403, "space_not_allowed");
    guarded.get("/v1/events/1", &guide).problem(403, "space_not_allowed");
    assert_eq!(guarded.get("/v1/events/7", &guide).ok()["space_id"], "guide");
    let listed = guarded.get("/v1/spaces", &guide).ok();
    assert_eq!(listed["spaces"].as_array().unwrap().len(), 1);
    assert_eq!(listed["spaces"][0]["space_id"], "guide");
    let lines = [("Authorization", &*guide), ("Accept", "application/x-ndjson")];
    assert_eq!(guarded.server.get_with("/v1/spaces", &lines).lines().len(), 1);
    let all = ["/v1/events", "/v1/events?last=3", "/v1/events?space=handbook&space=guide"];
    for path in all {
        let page = guarded.get(path, &guide).ok();
        assert_eq!(page["events"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!((&page["events"][0]["position"], &page["next"]), (&json!(7), &json!(8)));
        assert_eq!(guarded.server.get_with(path, &lines).lines().len(), 1, "{path}");
    }
    let hidden = guarded.get("/v1/events?space=handbook", &guide).ok();
    assert_eq!((&hidden["events"], &hidden["next"]), (&json!([]), &json!(8)));
    let query = json!({ "filters": [{ "document": "intro" }, { "space": "guide" }] });
    let query = guarded.post("/v1/events/query", &guide, &query).ok();
    assert_eq!(query["events"].as_array().unwrap().len(), 1);

    for refused in [activated("handbook"), activated("nowhere")] {
        guarded.post("/v1/append", &guide, &refused).problem(403, "space_not_allowed");
    }
    let mut both = activated("guide");
    both["events"].as_array_mut().unwrap().push(activated("handbook")["events"][0].clone());
    guarded.post("/v1/append", &guide, &both).problem(403, "space_not_allowed");
    // A condition tells what it finds.
    for condition in [
        json!({ "expected": { "handbook": 1 } }),
        json!({ "no_event_matching": [{ "filter": { "tag": "x" } }] }),
        json!({ "no_event_matching": [{ "filters": [{ "space": "guide" }, { "space": "handbook" }] }] }),
    ] {
        let mut append = activated("guide");
        append["condition"] = condition.clone();
        guarded.post("/v1/append", &guide, &append).problem(403, "space_not_allowed");
        let command = json!({ "name": "N", "condition": condition });
        let command = guarded.post("/v1/spaces/guide/rename_space", &guide, &command);
        command.problem(403, "space_not_allowed");
    }
    let archive = guarded.post("/v1/spaces/handbook/archive_space", &guide, &json!({}));
    archive.problem(403, "space_not_allowed");
    let hash = ContentHash::of(b"# Hello");
    guarded.get(&format!("/v1/contents/{hash}"), &guide).problem(403, "space_not_allowed");
    let nowhere = guarded.get(&format!("/v1/occurrences?hash={hash}"), &guide);
    assert_eq!(nowhere.ok(), json!([]));
    guarded.get("/v1/activity", &guide).problem(403, "space_not_allowed");
    guarded.get("/v1/problems?space=handbook", &guide).problem(403, "space_not_allowed");
    let all = guarded.token(&[TokenRight::Read], &["*"]);
    for (position, seen) in [(1, false), (7, true)] {
        let event = guarded.get(&format!("/v1/events/{position}"), &all).ok();
        let by_id = format!("/v1/events/{}", event["event_id"].as_str().unwrap());
        let found = guarded.get(&by_id, &guide);
        if seen {
            assert_eq!(found.ok(), event);
        } else {
            found.problem(404, "unknown_event");
        }
    }
    let headers = [("Authorization", &*guide)];
    let put = guarded.server.send("PUT", &format!("/v1/contents/{hash}"), &headers, b"# Hello");
    put.problem(403, "space_not_allowed");
    assert_eq!(guarded.spaces.durable_head().get(), 8);
    // What stands under a key may be somebody else's.
    guarded.spaces.service().with_key("k").rename_space("handbook", "N").unwrap();
    let headers = [("Authorization", &*guide), ("Idempotency-Key", "k")];
    let path = "/v1/spaces/guide/rename_space";
    let reused = guarded.server.post_with(path, &headers, r#"{"name": "N"}"#);
    let told = reused.problem(409, "key_reused").to_string();
    assert!(!told.contains("handbook") && !told.contains("position"), "{told}");
    guarded.post("/v1/append", &guide, &activated("guide")).ok();
}

#[test]
fn streams_and_long_polls_show_what_the_token_is_for() {
    let mut settings = Settings::default();
    let folder = tempfile::tempdir().unwrap();
    let tokens = TokenFile::at(folder.path().join("tokens.json"));
    settings.tokens = Some(tokens.clone());
    settings.limits.stream_heartbeat = std::time::Duration::from_millis(10);
    let spaces = handbook();
    let server = Server::with(spaces.clone(), settings);
    let grant = TokenGrant::new([TokenRight::Read], ["guide".parse().unwrap()]);
    let token = format!("Bearer {}", tokens.create(grant).unwrap());
    let headers = [("Authorization", &*token)];
    let mut stream = server.stream("/v1/events", &headers);
    let history = stream.until("caught-up");
    assert_eq!(history.len(), 2, "{history:?}");
    assert_eq!(history[0].id, Some(7));
    spaces.append([SpaceEvent::space_activated("handbook")]).unwrap();
    let checkpoint = stream.next().unwrap();
    assert_eq!((&*checkpoint.event, checkpoint.id), ("checkpoint", Some(9)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get_with("/v1/events?after=9&wait=60s", &headers).ok());
        spaces.append([SpaceEvent::space_activated("handbook")]).unwrap();
        spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
        assert_eq!(waiting.join().unwrap()["events"][0]["position"], 11);
    });
    assert_eq!(stream.until("event").last().unwrap().id, Some(11));
    for (path, status) in [
        ("/v1/events?snapshot=1&space=guide", 200),
        ("/v1/events?snapshot=1&space=guide&space=handbook", 403),
    ] {
        assert_eq!(server.stream(path, &headers).status, status, "{path}");
    }
}

#[test]
fn subscriptions_are_of_who_sees_all_that_passes() {
    let guarded = Guarded::new();
    let all = guarded.token(&TokenRight::ALL, &["*"]);
    let guide = guarded.token(&[TokenRight::Read], &["guide"]);
    let put = |name: &str, token: &str, body: &serde_json::Value| {
        let headers = [("Authorization", token), ("Content-Type", "application/json")];
        let path = format!("/v1/subscriptions/{name}");
        guarded.server.send("PUT", &path, &headers, body.to_string().as_bytes())
    };
    let of_guide = json!({ "filter": { "space": "guide" } });
    put("theirs", &guide, &of_guide).problem(403, "right_missing");
    put("theirs", &guide, &json!({})).problem(403, "space_not_allowed");
    assert_eq!(put("theirs", &all, &of_guide).status, 201);
    assert_eq!(put("all", &all, &json!({})).status, 201);
    // What is as it says is only looked at.
    assert_eq!(put("theirs", &guide, &of_guide).status, 200);
    put("theirs", &guide, &json!({ "filter": { "space": "guide" }, "after": 3 }))
        .problem(403, "right_missing");

    let listed = guarded.get("/v1/subscriptions", &guide).ok();
    assert_eq!(listed["subscriptions"].as_array().unwrap().len(), 1);
    for path in ["", "/events", "/parked"] {
        let path = format!("/v1/subscriptions/all{path}");
        guarded.get(&path, &guide).problem(403, "space_not_allowed");
    }
    let page = guarded.get("/v1/subscriptions/theirs/events", &guide).ok();
    assert_eq!(page["events"][0]["position"], 7);
    let session = page["session"].as_str().unwrap();
    let with_session = |token: &str, rest: &str, body: &str| {
        let headers = [("Authorization", token), ("Spacefold-Session", session)];
        guarded.server.post_with(&format!("/v1/subscriptions/theirs{rest}"), &headers, body)
    };
    with_session(&guide, "/parked", r#"{"position": 7, "reason": "r"}"#).ok();
    assert_eq!(with_session(&guide, "/ack", r#"{"position": 8}"#).ok()["acknowledged"], 8);
    with_session(&guide, "/parked/7/retry", "").problem(403, "right_missing");
    with_session(&guide, "/parked/7/discard", "").ok();
    let append = guarded.token(&[TokenRight::Append, TokenRight::Admin], &["*"]);
    with_session(&append, "/ack", r#"{"position": 8}"#).problem(403, "right_missing");
    let delete = |token: &str| {
        let headers = [("Authorization", token)];
        guarded.server.send("DELETE", "/v1/subscriptions/theirs?takeover=1", &headers, b"")
    };
    delete(&guide).problem(403, "right_missing");
    assert_eq!(delete(&all).status, 204);
}
