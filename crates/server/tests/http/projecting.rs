//! Projections, their rows, and the jobs that fold them anew.

use serde_json::{Value, json};
use spacefold::SpaceEvent;
use spacefold_server::{Settings, TokenFile, TokenGrant, TokenRight};

use crate::client::{Answer, Server, handbook};

/// The job of an answer, once it has ended.
fn ended(server: &Server, accepted: &Answer) -> Value {
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let job = accepted.json();
    assert_eq!(accepted.headers["location"], job["href"].as_str().unwrap());
    let job = server.get(&format!("{}?wait=60s", job["href"].as_str().unwrap())).ok();
    assert_ne!(job["status"], "running");
    job
}

#[test]
fn projections_say_how_they_are_doing() {
    let (_spaces, server) = Server::of_handbook();
    let listed = server.get("/v1/projections").ok();
    let names: Vec<&str> = listed["projections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["activity", "content-index", "open-problems", "space-state"]);
    for listed in listed["projections"].as_array().unwrap() {
        let one = server.get(listed["href"].as_str().unwrap()).ok();
        assert_eq!((&one["name"], &one["paused"]), (&listed["name"], &Value::Null));
    }
    let unknown = server.get("/v1/projections/none").problem(404, "unknown_projection");
    assert_eq!(unknown["known"], json!(names));
}

#[test]
fn rows_come_in_pages() {
    let (spaces, server) = Server::of_handbook();
    let rows = server.get("/v1/projections/activity/rows").ok();
    let events = rows["rows"].as_array().unwrap().iter();
    assert_eq!(events.map(|row| row["events"].as_u64().unwrap()).sum::<u64>(), 8);
    assert_eq!((&rows["position"], &rows["next"]), (&json!(8), &Value::Null));
    let mut paged = Vec::new();
    let mut after = 0;
    loop {
        let page = server.get(&format!("/v1/projections/activity/rows?limit=2&after={after}")).ok();
        paged.extend(page["rows"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_u64() else { break };
        after = next;
    }
    assert_eq!(&json!(paged), &rows["rows"]);
    let of_type = server.get("/v1/projections/activity/rows?type=space.created").ok();
    assert_eq!(of_type["rows"][0]["events"], 2);
    let none = server.get("/v1/projections/activity/rows?to=1999-01-01").ok();
    assert_eq!(none["rows"], json!([]));

    let failed = SpaceEvent::render_started("handbook", "intro");
    spaces.append([failed]).unwrap();
    let problems = "/v1/projections/open-problems/rows";
    let found = server.get(problems).ok();
    let problem = &found["rows"][0];
    assert_eq!((&problem["kind"], &problem["since"]), (&json!("running_render"), &json!(9)));
    assert_eq!(server.get(&format!("{problems}?kind=failed_render")).ok()["rows"], json!([]));
    server.get(&format!("{problems}?kind=none")).problem(400, "invalid_parameter");

    let hash = spacefold::content::ContentHash::of(b"# Hello");
    let path = format!("/v1/projections/content-index/rows?hash={hash}");
    assert_eq!(server.get(&path).ok()["rows"][0]["document_id"], "intro");
    assert_eq!(server.get(&format!("{path}&at=2")).ok()["rows"], json!([]));
    server.get(&format!("{path}&at=99")).problem(404, "beyond_head");
    server.get("/v1/projections/content-index/rows").problem(400, "invalid_parameter");
    server.get("/v1/projections/space-state/rows").problem(404, "rows_without_form");
    server.get("/v1/projections/none/rows").problem(404, "unknown_projection");
    server.get("/v1/projections/activity/rows?limit=0").problem(400, "invalid_parameter");
}

#[test]
fn a_rebuild_is_a_job_with_a_verdict() {
    let (_spaces, server) = Server::of_handbook();
    server.get("/v1/projections/activity/rows").ok();
    let job = ended(&server, &server.post("/v1/projections/rebuild", "{}"));
    assert_eq!((&job["kind"], &job["status"]), (&json!("rebuild"), &json!("done")));
    assert_eq!(job["result"]["head"], 8);
    let outcomes = job["result"]["projections"].as_array().unwrap();
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(|it| it["events"] == 8 && it["new_hash"].is_string()));
    assert_eq!(outcomes[0]["verdict"], "identical");
    let check = server.post("/v1/projections/activity/rebuild", r#"{"check": true}"#);
    let check = ended(&server, &check);
    assert_eq!(
        (&check["kind"], check["result"]["projections"].as_array().unwrap().len()),
        (&json!("check"), 1)
    );
    let listed = server.get("/v1/jobs").ok();
    assert_eq!(listed["jobs"][0]["id"], check["id"]);
    // Of what has ended nothing is cancelled.
    let cancelled = server.send("DELETE", check["href"].as_str().unwrap(), &[], b"");
    assert_eq!((cancelled.status, &cancelled.json()["status"]), (202, &json!("done")));

    let refused = server.post("/v1/projections/rebuild", r#"{"names": ["none"]}"#);
    refused.problem(404, "unknown_projection");
    server.post("/v1/projections/none/rebuild", "{}").problem(404, "unknown_projection");
    for wrong in [r#"{"threads": 0}"#, r#"{"threads": 65}"#, r#"{"mode": 1}"#, "[]"] {
        server.post("/v1/projections/rebuild", wrong).problem(400, "invalid_body");
    }
    server.get("/v1/jobs/none").problem(404, "unknown_job");
    server
        .get(&format!("{}?wait=61s", check["href"].as_str().unwrap()))
        .problem(400, "invalid_parameter");
}

#[test]
fn a_rebuild_is_cancelled_by_who_asks_and_by_the_end() {
    let (_spaces, server) = Server::of_handbook();
    // One event a second: it does not end by itself in time.
    let slow = || server.post("/v1/projections/rebuild", r#"{"max_rate": 1, "restart": true}"#);
    let job = slow();
    let path = job.json()["href"].as_str().unwrap().to_owned();
    assert_eq!(server.send("DELETE", &path, &[], b"").status, 202);
    assert_eq!(ended(&server, &job)["status"], "cancelled");
    assert_eq!(slow().status, 202);
    server.drain.start();
}

#[test]
fn a_store_that_is_only_read_is_only_compared() {
    let mut settings = Settings::default();
    settings.read_only = true;
    let server = Server::with(handbook(), settings);
    server.post("/v1/projections/rebuild", "{}").problem(403, "read_only");
    let check = server.post("/v1/projections/rebuild", r#"{"check": true}"#);
    assert_eq!(ended(&server, &check)["status"], "done");
}

#[test]
fn tokens_see_the_rows_of_their_spaces() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = TokenFile::at(folder.path().join("tokens.json"));
    let mut settings = Settings::default();
    settings.tokens = Some(tokens.clone());
    let spaces = handbook();
    let renders = ["handbook", "guide"].map(|space| SpaceEvent::render_started(space, "intro"));
    spaces.append(renders).unwrap();
    let server = Server::with(spaces, settings);
    let token = |rights: &[TokenRight], spaces: &str| {
        let grant = TokenGrant::new(rights.iter().copied(), [spaces.parse().unwrap()]);
        format!("Bearer {}", tokens.create(grant).unwrap())
    };
    let guide = token(&TokenRight::ALL, "guide");
    let get = |path: &str, token: &str| server.get_with(path, &[("Authorization", token)]);
    let rows = get("/v1/projections/open-problems/rows", &guide).ok();
    assert!(rows["rows"].as_array().unwrap().iter().all(|row| row["space_id"] == "guide"));
    let others = "/v1/projections/open-problems/rows?space=handbook";
    get(others, &guide).problem(403, "space_not_allowed");
    get("/v1/projections/activity/rows", &guide).problem(403, "space_not_allowed");
    let hash = spacefold::content::ContentHash::of(b"# Hello");
    let occurrences = format!("/v1/projections/content-index/rows?hash={hash}");
    assert_eq!(get(&occurrences, &guide).ok()["rows"], json!([]));
    get("/v1/jobs", &guide).problem(403, "space_not_allowed");
    let read = token(&[TokenRight::Read], "*");
    get("/v1/jobs", &read).problem(403, "right_missing");
    let headers = [("Authorization", &*read)];
    let rebuild = server.post_with("/v1/projections/rebuild", &headers, "{}");
    rebuild.problem(403, "right_missing");
}
