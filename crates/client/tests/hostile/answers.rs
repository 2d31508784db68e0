//! Answers that no server of spacefold gives: each is an error that says so, and none a panic.

use std::{
    io::{Read, Write},
    time::Duration,
};

use spacefold::{
    AppendCondition, Position, SpaceEvent, command::Command, content::ContentHash,
    event::EventQuery,
};
use spacefold_client::{ClientError, CommandMarks, RequestEffects};

use crate::answering::{Turns, answer, giving};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const RECEIPT: &str = r#"{"first_position":1,"last_position":1,"revision":1,
    "recorded_at":"2026-01-01T00:00:00.000000+00:00","durable":true,"replayed":false}"#;

fn root_of(server: &Turns) -> ClientError {
    server.client().store().unwrap_err()
}

#[test]
fn what_is_no_answer_is_told_by_what_is_wrong_with_it() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
    let wrong = [
        ("nonsense".to_owned(), ""),
        (endless, ""),
        (answer("200 OK", "text/html", "<html>"), "\"text/html\" instead of"),
        (answer("200 OK", JSON, "{\"head\":"), "EOF"),
        (answer("200 OK", JSON, "[1, 2]"), ""),
        (answer("200 OK", JSON, "{\"head\": -1}"), ""),
        (answer("302 Found\r\nLocation: http://127.0.0.1:1/", JSON, "{}"), "status 302"),
        (answer("500 Internal Server Error", "text/plain", "oh"), "status 500"),
        (answer("404 Not Found", "application/problem+json", "{}"), "status 404"),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}".to_owned(), "where it ends"),
        (format!("HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: -4\r\n\r\n{{}}"), ""),
    ];
    for (bytes, what) in wrong {
        let shown: String = bytes.chars().take(80).collect();
        let error = root_of(&Turns::bytes(bytes));
        assert!(matches!(error, ClientError::Unexpected { .. }), "{shown}: {error:?}");
        assert!(error.to_string().contains(what), "{shown}: {error}");
        assert_eq!(error.effects(), RequestEffects::None);
    }
}

#[test]
fn an_answer_without_end_is_given_up() {
    let server = Turns::of(vec![Box::new(|stream| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
        let mut more = format!("{head}\r\n\r\n").into_bytes();
        while stream.write_all(&more).is_ok() {
            more = format!("10000\r\n{}\r\n", "[".repeat(0x10000)).into_bytes();
        }
    })]);
    let error = root_of(&server);
    assert!(error.to_string().contains("more than"), "{error}");
    // A line of which there is no end neither.
    let server = Turns::of(vec![Box::new(|stream| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked";
        let mut more = format!("{head}\r\n\r\n").into_bytes();
        while stream.write_all(&more).is_ok() {
            more = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000)).into_bytes();
        }
    })]);
    let mut events = server.client().events(EventQuery::all(), Position::START, None).unwrap();
    let error = events.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("a line that is too long"), "{error}");
    assert!(events.next().is_none());
}

#[test]
fn silence_and_a_lost_connection_say_whether_something_may_have_been_done() {
    let silent = || -> Turns {
        Turns::of(vec![Box::new(|stream| {
            // Until the client has gone.
            let _ = stream.read(&mut [0]);
        })])
    };
    let error = root_of(&silent());
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert_eq!(error.effects(), RequestEffects::None);
    let command = Command::CreateSpace { name: "A".to_owned() };
    let error = silent().client().execute("a", &command, &CommandMarks::default()).unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert_eq!(error.effects(), RequestEffects::Unknown);

    let gone = Turns::bytes("");
    let error = gone.client().execute("a", &command, &CommandMarks::default()).unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    assert_eq!(error.effects(), RequestEffects::Unknown);

    let nobody = Turns::of(Vec::new());
    // Its listener goes with its thread.
    let error = loop {
        match nobody.client().store().unwrap_err() {
            ClientError::Broken { .. } | ClientError::TimedOut { .. } => {}
            error => break error,
        }
    };
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[test]
fn an_append_is_repeated_and_a_command_without_a_key_is_not() {
    const LONG: Duration = Duration::from_secs(60);
    let busy = || {
        giving(answer(
            "503 Service Unavailable",
            "application/problem+json",
            r#"{"code":"busy","detail":"later","retryable":true,"effects":"none"}"#,
        ))
    };
    let server = Turns::of(vec![giving(""), busy(), giving(answer("200 OK", JSON, RECEIPT))]);
    let event = SpaceEvent::space_created("a", "A");
    let client = server.client_that_retries(LONG);
    let receipt = client.append(&[event], &AppendCondition::none()).unwrap().receipt;
    assert_eq!((receipt.first_position(), receipt.count()), (Position::new(1), 1));
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|again| *again == asked[0]), "{asked:?}");

    let done = r#"{"events":[],"revision":1,"unchanged":true,"durable":true,"replayed":false}"#;
    let command = Command::ActivateSpace;
    let server = Turns::of(vec![busy(), giving(""), giving(answer("200 OK", JSON, done))]);
    let client = server.client_that_retries(LONG);
    let error = client.execute("a", &command, &CommandMarks::default()).unwrap_err();
    // What was refused for now had no effect, and what was lost may have had one.
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 2);
    let mut marks = CommandMarks::default();
    marks.key = Some("k".to_owned());
    let server = Turns::of(vec![giving(""), giving(answer("200 OK", JSON, done))]);
    let client = server.client_that_retries(LONG);
    assert!(client.execute("a", &command, &marks).unwrap().is_unchanged);
}

fn line(position: u64) -> String {
    let event = SpaceEvent::space_activated("a").to_json();
    let event = event.strip_suffix('}').unwrap();
    let time = "2026-01-01T00:00:00.000000+00:00";
    format!("{event},\"position\":{position},\"revision\":1,\"recorded_at\":\"{time}\"}}\n")
}

#[test]
fn events_go_on_behind_the_last_one_when_the_connection_is_lost() {
    let cut = |lines: String| {
        let length = lines.len() + 10;
        giving(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {LINES}\r\nContent-Length: {length}\r\n\r\n{lines}"
        ))
    };
    let server = Turns::of(vec![
        cut(line(3) + &line(5)),
        giving(answer("200 OK", LINES, &(line(6) + &line(9)))),
    ]);
    let client = server.client_that_retries(Duration::from_secs(60));
    let events = client.events(EventQuery::all(), Position::new(2), None).unwrap();
    let positions = events.map(|line| line.unwrap().event().unwrap().position.get());
    assert_eq!(positions.collect::<Vec<_>>(), [3, 5, 6, 9]);
    let asked = server.asked();
    assert!(asked[0].contains("\"after\":2") && asked[1].contains("\"after\":5"), "{asked:?}");
}

#[test]
fn events_that_were_not_asked_for_are_none() {
    for lines in [line(2), line(3) + &line(3), line(9), "{}\n".to_owned(), "\u{ff}\n".to_owned()] {
        let server = Turns::bytes(answer("200 OK", LINES, &lines));
        let client = server.client();
        let to = Some(Position::new(8));
        let events = client.events(EventQuery::all(), Position::new(2), to).unwrap();
        let last = events.last().unwrap();
        assert!(matches!(last, Err(ClientError::Unexpected { .. })), "{lines}: {last:?}");
    }
}

#[test]
fn states_and_content_are_held_to_what_was_asked_for() {
    let form = "application/vnd.spacefold.state\r\nSpacefold-Position: 7";
    for body in ["", "not a state", "\u{0}\u{0}\u{0}\u{0}"] {
        let server = Turns::bytes(answer("200 OK", form, body));
        let error = server.client().snapshot("a", None).unwrap_err();
        assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
    }
    let other = spacefold::state::SpaceState::new("b").encode();
    let length = other.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {form}\r\nContent-Length: {length}\r\n\r\n");
    let server = Turns::bytes([head.into_bytes(), other].concat());
    let error = server.client().snapshot("a", None).unwrap_err();
    assert!(error.to_string().contains("another space"), "{error}");

    let hash = ContentHash::of(b"the content");
    let bytes = "application/octet-stream";
    for (body, what) in [("the c0ntent", "another hash"), ("the content", "")] {
        let server = Turns::bytes(answer("200 OK", bytes, body));
        let mut read = String::new();
        let outcome = server.client().open_content(&hash).unwrap().read_to_string(&mut read);
        match what {
            "" => assert_eq!((outcome.unwrap(), read.as_str()), (11, "the content")),
            what => {
                assert!(outcome.unwrap_err().to_string().contains(what));
                assert_eq!(read, "", "bytes that nobody has checked");
            }
        }
    }
}

#[test]
fn what_http_cannot_say_is_not_sent() {
    let server = Turns::of(Vec::new());
    let mut marks = CommandMarks::default();
    marks.key = Some("one\ntwo: three".to_owned());
    let error = server.client().execute("a", &Command::ActivateSpace, &marks).unwrap_err();
    assert!(matches!(error, ClientError::Unsayable { .. }), "{error:?}");
    assert_eq!(error.effects(), RequestEffects::None);
}

#[test]
fn pages_that_lead_back_end_the_reading() {
    let spaces = r#"{"spaces":[],"next":"a","position":null}"#;
    let server = Turns::bytes(answer("200 OK", JSON, spaces));
    let error = server.client().spaces_after(Some("b"), None).unwrap_err();
    assert!(error.to_string().contains("leads back"), "{error}");
    let page = r#"{"events":[],"next":3,"head":9}"#;
    let server = Turns::bytes(answer("200 OK", JSON, page));
    let filter = spacefold::event::EventFilter::all();
    let error = server.client().wait_for_events(&filter, Position::new(7), Duration::ZERO);
    assert!(error.unwrap_err().to_string().contains("leads back"));
}
