//! The socket of a store: who gets there, and when it is there.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use spacefold::{SpaceEvent, Spacefold, admin::socket_path};
use spacefold_server::{ServeError, Settings, TokenFile, serve_local, serve_local_with};

/// What a request through a socket is answered with, head and body.
fn ask(socket: &Path, request: &str, body: &str) -> String {
    let mut connection = UnixStream::connect(socket).unwrap();
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

const APPEND: &str =
    r#"{"events": [{"event_type": "space.created", "space_id": "a", "payload": {"name": "A"}}]}"#;

#[test]
fn the_owner_reads_and_writes_through_the_socket_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let spaces = Spacefold::open(&data).unwrap();
    // Tokens are for who comes from elsewhere.
    let mut settings = Settings::default();
    settings.tokens = Some(TokenFile::at(folder.path().join("tokens.json")));
    let service = serve_local_with(&spaces, settings).unwrap();
    let socket = service.path().to_owned();
    assert_eq!(socket, socket_path(&data).unwrap());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let appended = ask(&socket, "POST /v1/append", APPEND);
    assert!(appended.starts_with("HTTP/1.1 200 "), "{appended}");
    assert_eq!(spaces.snapshot("a").unwrap().name(), Some("A"));
    let state = ask(&socket, "GET /v1/spaces/a", "");
    assert!(state.starts_with("HTTP/1.1 200 ") && state.contains("\"A\""), "{state}");
    service.stop().unwrap();
    assert!(!socket.exists());
    // It goes on without, and is served again.
    spaces.append([SpaceEvent::space_activated("a")]).unwrap();
    let again = serve_local(&spaces).unwrap();
    assert!(ask(&socket, "GET /v1", "").contains("\"durable_head\":2"));
    drop(again);
    assert!(!socket.exists());
    spaces.close().unwrap();
    // A socket that was left is no part of the store, and in nobody's way.
    drop(UnixListener::bind(&socket).unwrap());
    let spaces = Spacefold::open(&data).unwrap();
    assert_eq!(spaces.durable_head().get(), 2);
    spaces.close().unwrap();
    assert!(socket.exists());
}

#[test]
fn several_stores_of_a_process_have_a_socket_each_and_none_has_two() {
    let folder = tempfile::tempdir().unwrap();
    let stores = ["a", "b"].map(|name| Spacefold::open(folder.path().join(name)).unwrap());
    let services = stores.each_ref().map(|spaces| serve_local(spaces).unwrap());
    ask(services[0].path(), "POST /v1/append", APPEND);
    assert_eq!(stores[0].durable_head().get(), 1);
    assert_eq!(stores[1].durable_head().get(), 0);
    let refused = serve_local(&stores[0]).unwrap_err();
    assert!(matches!(refused, ServeError::AlreadyServed { .. }), "{refused}");
    // The refusal has taken nothing away.
    assert!(ask(services[0].path(), "GET /v1", "").contains("\"durable_head\":1"));
}

#[test]
fn a_socket_that_was_left_is_replaced_and_what_is_none_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let spaces = Spacefold::open(&data).unwrap();
    let socket = socket_path(&data).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    let service = serve_local(&spaces).unwrap();
    assert!(ask(&socket, "GET /v1", "").starts_with("HTTP/1.1 200 "));
    // What another process puts there is that one's, and stays.
    fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    service.stop().unwrap();
    UnixStream::connect(&socket).unwrap();
    drop(other);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "of somebody").unwrap();
    let refused = serve_local(&spaces).unwrap_err();
    assert!(matches!(refused, ServeError::InTheWay { .. }), "{refused}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "of somebody");
    // Nor is it taken for served.
    fs::remove_file(&socket).unwrap();
    serve_local(&spaces).unwrap().stop().unwrap();
}

#[test]
fn a_store_that_is_closed_or_in_memory_has_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let spaces = Spacefold::open(&data).unwrap();
    spaces.close().unwrap();
    let refused = serve_local(&spaces).unwrap_err();
    assert!(matches!(refused, ServeError::Closed(_)), "{refused}");
    let refused = serve_local(&Spacefold::in_memory().unwrap()).unwrap_err();
    assert!(matches!(refused, ServeError::Place(_)), "{refused}");
}
