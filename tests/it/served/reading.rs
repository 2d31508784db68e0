//! What reads answers the same, whichever door it comes by.

use std::{fs, thread, time::Duration};

use serde_json::Value;
use spacefold::{Position, SpaceEvent, event::EventFilter};
use spacefold_server::{Settings, TokenFile, TokenGrant, TokenRight};

use super::TestServer;
use crate::{
    doors::{made, read_all_by},
    support::{cli, run},
};

#[test]
fn commands_that_read_print_the_same_through_every_door() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    made(&store).close().unwrap();
    let open = read_all_by(&|| cli(&store), folder.path());
    let door = |printed: String| -> Value {
        let printed: Value = serde_json::from_str(&printed).unwrap();
        printed["door"].clone()
    };
    let of_closed = run(cli(&store).args(["info", "--json"])).succeeded();

    let spaces = spacefold::Spacefold::open(&store).unwrap();
    let server = TestServer::of(&spaces);
    let by_url = read_all_by(&|| server.cli(), folder.path());
    for (by_url, open) in by_url.iter().zip(&open) {
        assert_eq!(by_url, open);
    }
    assert_eq!(door(run(server.cli().args(["info", "--json"])).succeeded()), "url");

    assert_eq!(door(run(cli(&store).args(["info", "--json"])).succeeded()), "follow");
    server.at_socket_of(&store);
    let by_socket = read_all_by(&|| cli(&store), folder.path());
    for (by_socket, open) in by_socket.iter().zip(&open) {
        assert_eq!(by_socket, open);
    }
    let of_served = run(cli(&store).args(["info", "--json"])).succeeded();
    assert_eq!(door(of_served.clone()), "socket");
    // What both say of the same store, and what is of the moment left out.
    let told = |printed: &str| {
        let mut told: Value = serde_json::from_str(printed).unwrap();
        let told = told.as_object_mut().unwrap();
        for of_now in ["door", "bytes", "seal_lag", "projections"] {
            told.remove(of_now).unwrap();
        }
        told.clone()
    };
    assert_eq!(told(&of_served), told(&of_closed));
    let printed = run(server.cli().arg("info")).succeeded();
    assert!(printed.lines().any(|line| line.starts_with("door") && line.ends_with("url")));
    drop(server);
    spaces.close().unwrap();
}

#[test]
fn a_socket_that_nobody_answers_at_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = made(&store);
    let socket = spacefold::admin::socket_path(&store).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let told = run(cli(&store).args(["info", "--json"])).succeeded();
    assert!(told.contains(r#""door":"follow""#), "{told}");
    fs::remove_file(socket).unwrap();
    spaces.close().unwrap();
}

#[test]
fn events_are_waited_for_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = made(&folder.path().join("store"));
    let server = TestServer::of(&spaces);
    let client = server.client();
    let head = spaces.durable_head();
    let writer = spaces.clone();
    let appending = thread::spawn(move || {
        writer.append([SpaceEvent::space_archived("b")]).unwrap();
        writer.append([SpaceEvent::space_activated("a")]).unwrap();
    });
    let filter = EventFilter::all().spaces(["a"]);
    let (mut after, mut events) = (head, Vec::new());
    while events.is_empty() {
        let page = client.wait_for_events(&filter, after, Duration::from_secs(20)).unwrap();
        after = page.next;
        events = page.events;
    }
    appending.join().unwrap();
    let event = events[0].event().unwrap();
    assert_eq!((event.position, event.event.type_name()), (head.plus(2), "space.activated"));
    assert_eq!(event, spaces_event(&spaces, event.position));
    spaces.close().unwrap();
}

fn spaces_event(
    spaces: &spacefold::Spacefold,
    position: Position,
) -> spacefold::event::RecordedEvent {
    use spacefold::log::LogReader as _;
    let page = spaces.log().page_at(position).unwrap().unwrap();
    let event = page.events().next().unwrap().unwrap();
    event.to_owned_event()
}

#[test]
fn a_server_that_wants_a_token_is_told_one_and_lets_nothing_else_in() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = made(&folder.path().join("store"));
    let tokens = TokenFile::at(folder.path().join("tokens.json"));
    let mut settings = Settings::default();
    settings.tokens = Some(tokens.clone());
    let server = TestServer::with(&spaces, settings);
    let grant = TokenGrant::new([TokenRight::Read], ["a".parse().unwrap()]);
    let token = tokens.create(grant).unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{token}\n")).unwrap();

    let answer = run(server.cli().args(["snapshot", "a"]));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains(&server.url()), "{}", answer.stderr);
    assert!(answer.stderr.contains("--token-file"), "{}", answer.stderr);
    run(server.cli().args(["snapshot", "a", "--token-file"]).arg(&file)).succeeded();
    let listed = run(server.cli().args(["spaces", "--json"]).env("SPACEFOLD_TOKEN", &token));
    let listed = listed.succeeded();
    assert!(listed.contains(r#""space_id":"a""#) && !listed.contains(r#""space_id":"b""#));
    let answer = run(server.cli().args(["snapshot", "b"]).env("SPACEFOLD_TOKEN", &token));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let service = ["service", "archive-space", "a"];
    let answer = run(server.cli().args(service).env("SPACEFOLD_TOKEN", &token));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("command"), "{}", answer.stderr);
    fs::write(&file, "no token\u{7}").unwrap();
    let answer = run(server.cli().args(["spaces", "--token-file"]).arg(&file));
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    spaces.close().unwrap();
}
