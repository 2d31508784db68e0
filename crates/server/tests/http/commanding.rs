//! Commands: each operation, what refuses it, keys and conditions.

use serde_json::json;
use spacefold::{Spacefold, command::Command};

use crate::client::Server;

#[test]
fn commands_are_recorded_and_refused_as_by_the_library() {
    let spaces = Spacefold::in_memory().unwrap();
    let server = Server::of(spaces.clone());
    let created = server.post("/v1/spaces/a/create_space", r#"{"name": "A"}"#).ok();
    assert_eq!(created["events"][0]["event_type"], "space.created");
    assert_eq!((&created["revision"], &created["unchanged"]), (&json!(1), &json!(false)));
    let marked = json!({
        "document_id": "d", "path": "/p", "source": "editor", "correlation_id": "c",
        "tags": ["x"], "extra": { "ticket": 17 },
    });
    let added = server.post("/v1/spaces/a/add_document", &marked.to_string()).ok();
    let event = &added["events"][0];
    assert_eq!((&event["source"], &event["correlation_id"]), (&json!("editor"), &json!("c")));
    assert_eq!((&event["tags"], &event["payload"]["ticket"]), (&json!(["x"]), &json!(17)));
    assert_eq!(server.get("/v1/spaces/a/documents/d").ok()["path"], "/p");

    let again = json!({ "document_id": "e", "path": "/p" }).to_string();
    let refused = server.post("/v1/spaces/a/add_document", &again).problem(422, "refused");
    assert_eq!(refused["rule"], "path_taken");
    assert_eq!(refused["found"], json!({ "path": "/p", "document_id": "d" }));
    assert_eq!((&refused["space_id"], &refused["effects"]), (&json!("a"), &json!("none")));
    server.post("/v1/spaces/nowhere/activate_space", "{}").problem(404, "unknown_space");
    let unknown = server.post("/v1/spaces/a/eat_space", "{}").problem(404, "unknown_operation");
    assert_eq!(unknown["known"].as_array().unwrap().len(), Command::OPERATIONS.len());
    let missing = server.post("/v1/spaces/a/rename_space", "{}").problem(400, "invalid_argument");
    assert_eq!(missing["argument"], "name");
    server.post("/v1/spaces/a/rename_space", "[]").problem(400, "invalid_argument");
    server.post("/v1/spaces/a/rename_space", "{").problem(400, "invalid_body");
    let name = json!({ "name": "x", "nmae": "y" }).to_string();
    server.post("/v1/spaces/a/rename_space", &name).problem(400, "invalid_argument");
    let own = json!({ "type_name": "com.example.rated", "payload": { "stars": 1e2 } });
    let recorded = server.post("/v1/spaces/a/record", &own.to_string()).ok();
    assert_eq!(recorded["events"][0]["payload"], json!({ "stars": 1e2 }));
    let reserved = json!({ "type_name": "spacefold.x.y", "payload": {} }).to_string();
    server.post("/v1/spaces/a/record", &reserved).problem(422, "refused");
    let activated = server.post("/v1/spaces/a/activate_space", "").ok();
    assert_eq!(activated["revision"], 4);
    let unchanged = r#"{"document_id": "d", "references": []}"#;
    let unchanged = server.post("/v1/spaces/a/set_references", unchanged);
    assert_eq!(unchanged.status, 200, "{}", unchanged.text());
    assert_eq!(unchanged.json()["unchanged"], true);
}

#[test]
fn a_command_repeated_under_its_key_is_answered_as_the_first() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    let key = [("Idempotency-Key", "request-17")];
    let create = |name: &str| {
        let body = json!({ "name": name }).to_string();
        server.post_with("/v1/spaces/a/create_space", &key, &body)
    };
    let first = create("A").ok();
    let again = create("A").ok();
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(again["events"], first["events"]);
    let reused = create("B").problem(409, "key_reused");
    assert_eq!(reused["found"]["position"], 1);
    let key = [("Idempotency-Key", "")];
    server.post_with("/v1/spaces/a/create_space", &key, "{}").problem(400, "invalid_header");
}

#[test]
fn a_batch_happens_whole_or_not_at_all() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    let batch = |commands: serde_json::Value| {
        server.post("/v1/spaces/a/batch", &json!({ "commands": commands }).to_string())
    };
    let done = batch(json!([
        { "operation": "create_space", "name": "A" },
        { "operation": "add_document", "document_id": "d", "path": "/p" },
    ]));
    assert_eq!(done.ok()["events"].as_array().unwrap().len(), 2);
    let refused = batch(json!([
        { "operation": "activate_space" },
        { "operation": "remove_document", "document_id": "e" },
    ]));
    let refused = refused.problem(422, "refused");
    assert_eq!((&refused["command"], &refused["rule"]), (&json!(1), &json!("unknown_document")));
    let unknown = batch(json!([{ "operation": "activate_space" }, { "operation": "eat_space" }]));
    assert_eq!(unknown.problem(400, "unknown_operation")["command"], 1);
    batch(json!([{ "name": "A" }])).problem(400, "invalid_body");
    batch(json!({})).problem(400, "invalid_body");
    assert_eq!(server.get("/v1").ok()["head"], 2);
}

#[test]
fn commands_happen_on_conditions() {
    let (_spaces, server) = Server::of_handbook();
    let rename = |headers: &[(&str, &str)], rest: serde_json::Value| {
        let mut body = json!({ "name": "N" });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        server.post_with("/v1/spaces/handbook/rename_space", headers, &body.to_string())
    };
    let failed = rename(&[("If-Match", "\"6\"")], json!({})).problem(412, "condition_failed");
    let expected = json!([{ "space_id": "handbook", "expected": 6, "revision": 7 }]);
    assert_eq!(failed["failed"], expected);
    let condition =
        json!({ "condition": { "no_event_matching": [{ "filter": { "space": "guide" } }] } });
    let failed = rename(&[], condition).problem(412, "condition_failed");
    assert_eq!(failed["failed"][0]["position"], 7);
    let failed = rename(&[], json!({ "unchanged_since": 7 })).problem(412, "condition_failed");
    assert_eq!(failed["failed"], json!([{ "space_unchanged_since": 7, "position": 8 }]));
    let since = json!({ "unchanged_since": { "position": 5, "document": "intro" } });
    let failed = rename(&[], since).problem(412, "condition_failed");
    assert_eq!(failed["failed"][0]["document_id"], "intro");
    let since = json!({ "unchanged_since": { "position": 6, "document": "intro" } });
    assert_eq!(rename(&[("If-Match", "\"7\"")], since).ok()["revision"], 8);
    rename(&[], json!({ "unchanged_since": "x" })).problem(400, "invalid_argument");
    rename(&[], json!({ "condition": { "x": 1 } })).problem(400, "invalid_condition");
}
