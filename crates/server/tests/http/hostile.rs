//! Requests that mean no good: each has an answer, or none, and costs others nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;
use spacefold::Spacefold;
use spacefold_server::{Settings, TokenFile, TokenGrant, TokenRight};

use crate::client::{Server, handbook};

#[test]
fn a_name_that_is_not_the_servers_is_not_answered() {
    let (_spaces, server) = Server::of_handbook();
    for own in ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:7353"] {
        assert_eq!(server.get_with("/v1", &[("Host", own)]).status, 200, "{own}");
    }
    for other in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "127.0.0.2",
        "::1",
        "xlocalhost",
        "localhost.",
        "",
    ] {
        let status = server.get_with("/v1", &[("Host", other)]).status;
        assert!([400, 403].contains(&status), "{other}: {status}");
        let posted = server.post_with("/v1/append", &[("Host", other)], "{}").status;
        assert!([400, 403].contains(&posted), "{other}: {posted}");
    }
    server.get_with("/v1", &[("Host", "evil.example")]).problem(403, "host_not_allowed");
    server.get_with("/v1", &[("Host", "user@localhost")]).problem(400, "invalid_host");
    let twice = server.send_raw(b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n");
    assert_eq!(twice.unwrap().status, 400);
    let none = server.send_raw(b"GET /v1 HTTP/1.0\r\n\r\n").unwrap();
    none.problem(400, "invalid_host");
    let absolute = b"GET http://evil.example/v1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    server.send_raw(absolute).unwrap().problem(400, "invalid_host");
    let mut settings = Settings::default();
    settings.hosts = vec!["spaces.example".to_owned()];
    let server = Server::with(handbook(), settings);
    assert_eq!(server.get_with("/v1", &[("Host", "spaces.example:443")]).status, 200);
    server.get_with("/v1", &[("Host", "localhost")]).problem(403, "host_not_allowed");
}

#[test]
fn a_page_of_another_site_is_not_answered() {
    let (_spaces, server) = Server::of_handbook();
    let host = server.address.to_string();
    let own = format!("http://{host}");
    for headers in [
        [("Sec-Fetch-Site", "same-origin"), ("Origin", &*own)],
        [("Sec-Fetch-Site", "none"), ("X", "x")],
    ] {
        assert_eq!(server.get_with("/v1", &headers).status, 200, "{headers:?}");
    }
    for header in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", &format!("http://{host}0")),
    ] {
        server.get_with("/v1", &[header]).problem(403, "cross_site");
        server.post_with("/v1/append", &[header], "{}").problem(403, "cross_site");
    }
    // What a form of another site can send is not taken, even where nothing else tells.
    let event = json!({ "events": [{ "event_type": "space.created", "space_id": "x" }] });
    for form in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let headers = [("Content-Type", form)];
        let answer = server.send("POST", "/v1/append", &headers, event.to_string().as_bytes());
        answer.problem(415, "unsupported_media_type");
    }
    let none = server.send("POST", "/v1/append", &[], event.to_string().as_bytes());
    none.problem(415, "unsupported_media_type");
    let lines = [("Content-Type", "application/x-ndjson")];
    let lines = server.send("POST", "/v1/spaces/x/create_space", &lines, b"{}");
    lines.problem(415, "unsupported_media_type");
    assert_eq!(server.get("/v1").ok()["head"], 8);
}

#[test]
fn bodies_end_at_their_limit_and_in_time() {
    let mut settings = Settings::default();
    settings.limits.max_body_bytes = 10_000;
    settings.limits.max_buffered_bytes = 20_000;
    settings.limits.body_timeout = Duration::from_millis(50);
    let server = Server::with(handbook(), settings);
    let beyond = "x".repeat(10_001);
    let refused = server.post("/v1/append", &beyond).problem(413, "body_too_large");
    assert_eq!(refused["limit"], 10_000);
    // One without an end, in chunks.
    let mut endless = server.connect();
    let head = "POST /v1/append HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    endless.write_all(head.as_bytes()).unwrap();
    while endless.write_all(format!("400\r\n{}\r\n", "x".repeat(0x400)).as_bytes()).is_ok() {
        let mut answer = [0; 12];
        endless.set_nonblocking(true).unwrap();
        if endless.read(&mut answer).is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 413");
            break;
        }
        endless.set_nonblocking(false).unwrap();
    }
    // One that never comes.
    let slow = b"POST /v1/append HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 100\r\n\r\n{";
    let slow = server.send_raw(slow).unwrap();
    assert_eq!(slow.problem(408, "body_too_slow")["retryable"], true);
    assert_eq!(server.get("/v1").status, 200);
}

#[test]
fn heads_end_at_their_limit_and_in_time() {
    let mut settings = Settings::default();
    settings.limits.header_timeout = Duration::from_millis(100);
    settings.limits.max_header_bytes = 16 << 10;
    let server = Server::with(handbook(), settings);
    let slow = server.send_raw(b"GET /v1 HTTP/1.1\r\nHost: loc");
    assert!(slow.is_none_or(|answer| answer.status == 408));
    let long = server.get_with("/v1", &[("X", &*"x".repeat(20 << 10))]);
    assert_eq!(long.status, 431);
    let long = server.get(&format!("/v1/events?source={}", "x".repeat(20 << 10)));
    assert!([414, 431].contains(&long.status), "{}", long.status);
    let many = (0..200).map(|n| format!("X{n}: x\r\n")).collect::<String>();
    let many = format!("GET /v1 HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert_eq!(server.send_raw(many.as_bytes()).unwrap().status, 431);
    for garbage in [b"\x16\x03\x01\x02\0\x01\0\x01".as_slice(), b"GET\r\n\r\n", b"\0\0\0\0\n\n"] {
        let answer = server.send_raw(garbage);
        assert!(answer.is_none_or(|answer| answer.status == 400));
    }
    assert_eq!(server.get("/v1").status, 200);
}

#[test]
fn deep_and_wide_json_is_refused_without_harm() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for body in [
        deep(100_000),
        format!("{{\"events\": {}}}", deep(100_000)),
        format!(
            "{{\"events\": [{{\"event_type\": \"variable.set\", \"space_id\": \"a\", \
                 \"payload\": {{\"name\": \"n\", \"value\": {}}}}}]}}",
            deep(129)
        ),
        format!("{{\"events\": [{}1]}}", "1,".repeat(1_000_000)),
        "\u{0}".to_owned(),
        "nul".to_owned(),
    ] {
        let answer = server.post("/v1/append", &body);
        assert!([400, 413].contains(&answer.status), "{}", answer.text());
    }
    let deep = format!("{{\"name\": {}}}", deep(100_000));
    assert_eq!(server.post("/v1/spaces/a/create_space", &deep).status, 400);
    let not_text = [("Content-Type", "application/json")];
    let not_text =
        server.send("POST", "/v1/spaces/a/create_space", &not_text, b"{\"name\": \"\xff\"}");
    not_text.problem(400, "invalid_body");
    assert_eq!(server.get("/v1").ok()["head"], 0);
}

#[test]
fn paths_and_methods_that_are_not_there_are_told() {
    let (_spaces, server) = Server::of_handbook();
    for path in ["/v1/", "/v2", "/v1/spaces/", "/v1/spaces/a/b/c", "//v1", "/v1/events/1/2"] {
        server.get(path).problem(404, "unknown_path");
    }
    for (method, path) in [
        ("DELETE", "/v1"),
        ("PUT", "/v1/events"),
        ("POST", "/v1/spaces"),
        ("GET", "/v1/append"),
        ("OPTIONS", "/v1/spaces/handbook"),
        ("GET", "/v1/spaces/handbook/batch"),
    ] {
        let answer = server.send(method, path, &[], b"");
        answer.problem(405, "method_not_allowed");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    for position in ["0", "x", "-1", "18446744073709551616", "9"] {
        let status = server.get(&format!("/v1/events/{position}")).status;
        assert!([400, 404].contains(&status), "{position}");
    }
    let accept = [("Accept", "text/html")];
    let refused = server.get_with("/v1/events", &accept).problem(406, "not_acceptable");
    assert_eq!(refused["offered"].as_array().unwrap().len(), 3);
}

#[test]
fn one_connection_answers_many_requests() {
    let (_spaces, server) = Server::of_handbook();
    let mut connection = server.connect();
    for n in 1..=8 {
        let request = format!("GET /v1/events/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let (_, body) = read_answer(&mut connection);
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["position"], n);
    }
}

/// The head and the body of an answer, on a connection that stays open.
fn read_answer(connection: &mut TcpStream) -> (String, Vec<u8>) {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    connection.read_exact(&mut body).unwrap();
    (head, body)
}

/// `SPACEFOLD_HOSTILE_ATTEMPTS` attempts, 2,000 unless told, over as many connections as a fiftieth of
/// that, fewer than may be open at a time.
#[test]
fn guessed_tokens_let_nobody_in_and_harm_nobody() {
    let attempts = std::env::var("SPACEFOLD_HOSTILE_ATTEMPTS");
    let attempts: usize = attempts.map_or(2_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let tokens = TokenFile::at(folder.path().join("tokens.json"));
    let good = tokens.create(TokenGrant::new(TokenRight::ALL, ["*".parse().unwrap()])).unwrap();
    let id = good.split('_').nth(1).unwrap();
    let mut settings = Settings::default();
    settings.tokens = Some(tokens);
    let most = settings.limits.max_connections;
    let server = Server::with(handbook(), settings);
    let connections = (attempts / 50).clamp(1, most);
    let mut open: Vec<TcpStream> = (0..connections).map(|_| server.connect()).collect();
    let mut refused = 0;
    while refused < attempts {
        for (n, connection) in open.iter_mut().enumerate() {
            let guess = format!("sfk1_{id}_{:064x}", refused + n);
            let request = format!(
                "GET /v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {guess}\r\n\r\n"
            );
            connection.write_all(request.as_bytes()).unwrap();
        }
        for connection in &mut open {
            let (head, _) = read_answer(connection);
            assert!(head.starts_with("http/1.1 401"), "{head}");
        }
        refused += connections;
    }
    drop(open);
    let bearer = format!("Bearer {good}");
    assert_eq!(server.get_with("/v1", &[("Authorization", &bearer)]).status, 200);
}
