//! The interchange form: what is read, what is refused and how that is said.

use spacefold_event_core::{
    EventId, EventType, JsonReader, KeyMap, Payload, Presence, SpaceEvent, Timestamp, Value,
};

const ID: &str = "00cc4488-aa63-5459-bab8-6565b79405ae";

fn read(json: &str) -> SpaceEvent {
    match JsonReader::default().read(json.as_bytes()) {
        Ok(read) => read.event,
        Err(error) => panic!("{json}: {error}"),
    }
}

#[track_caller]
fn refused(json: impl AsRef<[u8]>, message: &str) {
    let json = json.as_ref();
    match JsonReader::default().read(json) {
        Ok(read) => panic!("{} was read as {read:?}", String::from_utf8_lossy(json)),
        Err(error) => assert_eq!(error.to_string(), message, "{}", String::from_utf8_lossy(json)),
    }
}

/// An event of this type with this payload.
fn line(event_type: &str, payload: &str) -> String {
    format!(r#"{{"event_type":"{event_type}","space_id":"a","payload":{payload}}}"#)
}

/// A `variable.set` with this value.
fn value_line(value: &str) -> String {
    line("variable.set", &format!(r#"{{"name":"n","value":{value}}}"#))
}

/// What a value prints as after it was read.
#[track_caller]
fn printed(value: &str) -> String {
    match read(&value_line(value)).payload {
        Payload::VariableSet { value, .. } => value.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The payload as it is written, after the event was read.
#[track_caller]
fn payload_again(event_type: &str, payload: &str) -> String {
    let payload = read(&line(event_type, payload)).payload;
    Value::Object(payload.to_object()).to_string()
}

#[test]
fn refuses_what_is_no_json_object() {
    refused("", "not valid JSON: EOF while parsing a value at column 0");
    refused("{", "not valid JSON: EOF while parsing an object at column 1");
    refused("[]", "an event is a JSON object: this is an array");
    refused("null", "an event is a JSON object: this is null");
    refused("7", "an event is a JSON object: this is a number");
    refused("\"x\"", "an event is a JSON object: this is a string");
    refused("true", "an event is a JSON object: this is a boolean");
    refused("{} {}", "not valid JSON: trailing characters at column 4");
    refused(b"{\"a\": \"\xff\"}", "the bytes are not UTF-8 from byte 7 on");
    refused(b"\xef\xbb\xbf{}", "not valid JSON: expected value at column 1");
    refused("{'a': 1}", "not valid JSON: key must be a string at column 2");
}

#[test]
fn refuses_a_bad_envelope() {
    refused("{}", "key \"event_type\" is missing");
    refused(r#"{"event_type": null}"#, "key \"event_type\" is missing");
    refused(r#"{"event_type": 3}"#, "key \"event_type\" is a number: expected a string");
    refused(
        r#"{"event_type": "space.eaten", "space_id": "a"}"#,
        "unknown event type \"space.eaten\"",
    );
    refused(
        r#"{"event_type": "SPACE.CREATED", "space_id": "a"}"#,
        "unknown event type \"SPACE.CREATED\"",
    );
    refused(r#"{"event_type": "space.created"}"#, "key \"space_id\" is missing");
    refused(
        r#"{"event_type": "space.created", "space_id": ["a"]}"#,
        "key \"space_id\" is an array: expected a string",
    );
    refused(
        r#"{"event_type": "space.activated", "space_id": ""}"#,
        "space_id is empty: an id has 1 to 512 bytes",
    );
    refused(
        format!(r#"{{"event_type": "space.activated", "space_id": "{}"}}"#, "x".repeat(513)),
        "space_id has 513 bytes: the limit for an id is 512",
    );
    let with = |key: &str, value: &str| {
        format!(r#"{{"event_type": "space.activated", "space_id": "a", "{key}": {value}}}"#)
    };
    refused(with("event_id", "\"7\""), "key \"event_id\": \"7\" is not a UUID");
    refused(with("event_id", "\"\""), "key \"event_id\": \"\" is not a UUID");
    refused(with("event_id", "7"), "key \"event_id\" is a number: expected a string");
    refused(
        with("timestamp", "\"yesterday\""),
        "key \"timestamp\": \"yesterday\" is no timestamp: expected one like 2015-12-11T22:50:02+00:00",
    );
    refused(
        with("recorded_at", "\"2015-02-29T00:00:00\""),
        "key \"recorded_at\": \"2015-02-29T00:00:00\" is no timestamp: expected one like 2015-12-11T22:50:02+00:00",
    );
    refused(with("timestamp", "0"), "key \"timestamp\" is a number: expected a string");
    refused(with("source", "{}"), "key \"source\" is an object: expected a string");
    refused(
        with("correlation_id", "true"),
        "key \"correlation_id\" is a boolean: expected a string",
    );
    refused(
        with("source", &format!("\"{}\"", "x".repeat(513))),
        "source has 513 bytes: the limit is 512",
    );
    refused(with("payload", "[]"), "key \"payload\" is an array: expected an object");
    refused(with("payload", "\"{}\""), "key \"payload\" is a string: expected an object");
    refused(with("payload", "{"), "not valid JSON: EOF while parsing an object at column 64");
}

#[test]
fn refuses_a_missing_payload_key_of_every_type() {
    for (event_type, whole) in WHOLE {
        let Value::Object(object) = value_of(whole) else { panic!("{whole}") };
        // The whole payload is read, and each key that it needs is named once it is gone.
        read(&line(event_type, whole));
        for key in object.keys() {
            let mut less = object.clone();
            less.remove(key);
            let less = line(event_type, &Value::Object(less).to_string());
            if OPTIONAL.contains(&key) && *event_type != "space.created" {
                read(&less);
            } else {
                refused(&less, &format!("payload key {key:?} is missing"));
            }
        }
    }
    assert_eq!(WHOLE.len(), EventType::CORE.len());
}

/// The payload keys that may be absent, and null.
const OPTIONAL: &[&str] = &[
    "old_path",
    "old_hash",
    "kind",
    "error",
    "output_hash",
    "direction",
    "local_hash",
    "remote_hash",
    "reason",
];

/// A payload of every type in which each key is there that must be, and some that may be.
const WHOLE: &[(&str, &str)] = &[
    ("space.created", r#"{"name":"n"}"#),
    ("space.updated", r#"{"changes":{}}"#),
    ("space.deleted", "{}"),
    ("space.activated", "{}"),
    ("space.archived", "{}"),
    ("document.added", r#"{"document_id":"d","space_path":"/"}"#),
    ("document.updated", r#"{"document_id":"d","changes":{"a":null}}"#),
    ("document.removed", r#"{"document_id":"d"}"#),
    ("document.moved", r#"{"document_id":"d","old_path":"/a","new_path":"/b"}"#),
    ("document.content_changed", r#"{"document_id":"d","old_hash":"x","new_hash":"y"}"#),
    ("variable.set", r#"{"name":"n","value":null}"#),
    ("variable.deleted", r#"{"name":"n"}"#),
    ("reference.added", r#"{"document_id":"d","target":"t","kind":"k"}"#),
    ("reference.cleared", "{}"),
    ("render.started", r#"{"output_hash":"h","error":"e"}"#),
    ("render.completed", r#"{"output_hash":"h","error":"e"}"#),
    ("render.failed", r#"{"output_hash":"h","error":"e"}"#),
    ("sync.started", r#"{"direction":"pull"}"#),
    ("sync.completed", "{}"),
    ("sync.conflict", r#"{"document_id":"d","local_hash":"h","remote_hash":"i"}"#),
    ("cache.invalidated", r#"{"document_ids":["d"],"reason":"r"}"#),
];

#[test]
fn refuses_a_payload_key_of_the_wrong_type() {
    let string = |event_type, payload, key, found| {
        refused(
            line(event_type, payload),
            &format!("payload key {key:?} is {found}: expected a string"),
        );
    };
    string("space.created", r#"{"name":1}"#, "name", "an integer");
    string("space.created", r#"{"name":1.0}"#, "name", "a float");
    string("space.created", r#"{"name":["n"]}"#, "name", "an array");
    string("space.created", r#"{"name":{}}"#, "name", "an object");
    string("variable.set", r#"{"name":false,"value":1}"#, "name", "a boolean");
    string("document.added", r#"{"document_id":7,"space_path":"/"}"#, "document_id", "an integer");
    let or_null = |event_type, payload, key, found| {
        refused(
            line(event_type, payload),
            &format!("payload key {key:?} is {found}: expected a string or null"),
        );
    };
    or_null("space.deleted", r#"{"name":1}"#, "name", "an integer");
    or_null("reference.cleared", r#"{"document_id":[]}"#, "document_id", "an array");
    or_null("sync.started", r#"{"direction":true}"#, "direction", "a boolean");
    refused(
        line("space.updated", r#"{"changes":[]}"#),
        "payload key \"changes\" is an array: expected an object",
    );
    refused(line("space.updated", r#"{"changes":null}"#), "payload key \"changes\" is missing");
    refused(line("space.created", r#"{"name":null}"#), "payload key \"name\" is missing");
    let ids = |ids: &str, found: &str| {
        refused(
            line("cache.invalidated", &format!(r#"{{"document_ids":{ids}}}"#)),
            &format!("payload key \"document_ids\" is {found}: expected an array of strings"),
        );
    };
    ids("\"d\"", "a string");
    ids("{}", "an object");
    ids("[\"d\",null]", "an array that holds null");
    refused(
        line("cache.invalidated", r#"{"document_ids":["d",""]}"#),
        "document_ids is empty: an id has 1 to 512 bytes",
    );
    refused(line("variable.deleted", r#"{"name":""}"#), "name is empty: an id has 1 to 512 bytes");
}

#[test]
fn refuses_numbers_and_texts_that_nothing_else_could_read() {
    for (value, message) in [
        ("NaN", "not valid JSON: expected value at column 75"),
        ("Infinity", "not valid JSON: expected value at column 75"),
        ("-Infinity", "not valid JSON: invalid number at column 76"),
        ("1e400", "the number 1e400 is beyond the largest float"),
        ("-1e400", "the number -1e400 is beyond the largest float"),
        ("[1e999]", "the number 1e999 is beyond the largest float"),
        ("01", "not valid JSON: invalid number at column 76"),
        (".5", "not valid JSON: expected value at column 75"),
        ("1.", "not valid JSON: invalid number at column 77"),
        ("+1", "not valid JSON: expected value at column 75"),
        ("[1,]", "not valid JSON: expected value at column 78"),
        ("'x'", "not valid JSON: expected value at column 75"),
    ] {
        refused(value_line(value), message);
    }
    // A lone surrogate is no text, wherever it stands.
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#""\ud800\n""#]
    {
        for json in [
            value_line(text),
            value_line(&format!("[{{{text}:1}}]")),
            line("space.created", &format!(r#"{{"name":{text}}}"#)),
            format!(r#"{{"event_type":"space.activated","space_id":{text}}}"#),
            format!(r#"{{"event_type":"space.activated","space_id":"a","source":{text}}}"#),
        ] {
            let error = JsonReader::default().read(json.as_bytes()).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("not valid JSON: "), "{json}: {message}");
            assert!(
                message.contains("surrogate") || message.contains("hex escape"),
                "{json}: {message}"
            );
        }
    }
    refused(
        value_line("\"a\nb\""),
        "not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at column 76",
    );
}

#[test]
fn counts_the_levels_of_nesting() {
    for (open, close) in [("[", "]"), (r#"{"k":"#, "}")] {
        let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert_eq!(printed(&nested(128)), nested(128));
        for levels in [129, 130, 5_000, 100_000] {
            let message = "JSON nests 129 levels or more: the limit is 128";
            refused(value_line(&nested(levels)), message);
            let error = nested(levels).parse::<Value>().unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(nested(128).parse::<Value>().unwrap().to_string(), nested(128));
    }
}

#[test]
fn a_value_reads_by_itself_as_in_a_payload() {
    for json in ["null", "-1.50", "18446744073709551616", r#"{"b":[1,1.0],"a":"\u00e9"}"#] {
        let Payload::VariableSet { value, .. } = read(&value_line(json)).payload else { panic!() };
        assert_eq!(json.parse::<Value>().unwrap(), value, "{json}");
    }
    for (json, message) in [
        ("three", "not valid JSON: expected ident at column 2"),
        ("1 2", "not valid JSON: trailing characters at column 3"),
        ("1e400", "the number 1e400 is beyond the largest float"),
    ] {
        assert_eq!(json.parse::<Value>().unwrap_err().to_string(), message);
    }
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let json = r#"{"event_type":"space.archived","space_id":"a","space_id":"b","event_type":"space.created",
        "payload":{"name":7,"name":"x","name":"y","k":{"a":1,"a":2}},"source":"s","source":null}"#;
    let event = read(json);
    assert_eq!(event.event_type(), EventType::SpaceCreated);
    assert_eq!(event.space_id, "b");
    assert_eq!(event.source, None);
    let payload = Value::Object(event.payload.to_object()).to_string();
    assert_eq!(payload, r#"{"k":{"a":2},"name":"y"}"#);
    // Names that an escape makes equal are one key.
    assert_eq!(printed(r#"{"a":1,"\u0061":2}"#), r#"{"a":2}"#);
}

#[test]
fn tells_absent_from_null() {
    for payload in ["{}", r#"{"name":null}"#, r#"{"name":"n"}"#] {
        assert_eq!(payload_again("space.deleted", payload), payload);
    }
    let payload = |payload: &str| read(&line("reference.cleared", payload)).payload;
    let of = |document_id| Payload::ReferenceCleared {
        document_id,
        extra: spacefold_event_core::Object::new(),
    };
    assert_eq!(payload("{}"), of(Presence::Absent));
    assert_eq!(payload(r#"{"document_id":null}"#), of(Presence::Null));
    assert_eq!(payload(r#"{"document_id":"d"}"#), of("d".into()));
    let null = SpaceEvent::space_deleted("a", None::<String>);
    assert!(null.to_json().contains(r#""payload":{"name":null}"#));
}

#[test]
fn keeps_extra_keys_of_every_type() {
    let extra = r#""!":null,"a b":[1,1.0,{"z":{}}],"zz":"\u0000\u001f\"\\/","é":-0.0"#;
    for (event_type, whole) in WHOLE {
        let inside = &whole[1..whole.len() - 1];
        let comma = if inside.is_empty() { "" } else { "," };
        let payload = format!("{{{inside}{comma}{extra}}}");
        let expected = value_of(&payload).to_string();
        assert_eq!(payload_again(event_type, &payload), expected);
        let event = read(&line(event_type, &payload));
        assert_eq!(event.payload.extra().len(), 4, "{event_type}");
        assert_eq!(read(&event.to_json()), event);
    }
}

/// A value read as a variable's.
fn value_of(json: &str) -> Value {
    match read(&value_line(json)).payload {
        Payload::VariableSet { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keeps_every_number_exactly() {
    for integer in [
        "0",
        "1",
        "-1",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890123456789012345678901234567890",
        "-99999999999999999999999999999999999999",
    ] {
        assert_eq!(printed(integer), integer);
    }
    let long = "9".repeat(10_000);
    assert_eq!(printed(&long), long);
    for (written, again) in [
        ("1.0", "1.0"),
        ("-0.0", "-0.0"),
        ("0.1", "0.1"),
        ("1e5", "100000.0"),
        ("1E+2", "100.0"),
        ("1e16", "1e16"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
        ("1e-400", "0.0"),
    ] {
        assert_eq!(printed(written), again);
        let float: f64 = written.parse().unwrap();
        assert_eq!(again.parse::<f64>().unwrap().to_bits(), float.to_bits());
        assert!(
            matches!(value_of(written), Value::Float(f) if f.get().to_bits() == float.to_bits())
        );
    }
    assert_ne!(value_of("1"), value_of("1.0"));
    assert_ne!(value_of("0.0"), value_of("-0.0"));
    assert_ne!(value_of("9223372036854775808"), value_of("9.223372036854775808e18"));
}

#[test]
fn keeps_every_text() {
    for (written, again) in [
        (r#""""#, r#""""#),
        (r#""é\u00e9\ud83d\ude00""#, "\"éé\u{1f600}\""),
        (r#""\u0000\u0007\b\t\n\f\r\u001f""#, r#""\u0000\u0007\b\t\n\f\r\u001f""#),
        (r#""\"\\\/""#, r#""\"\\/""#),
        ("\"\u{7f}\u{2028}\u{fffd}\u{10ffff}\"", "\"\u{7f}\u{2028}\u{fffd}\u{10ffff}\""),
    ] {
        assert_eq!(printed(written), again);
        assert_eq!(printed(again), again);
    }
    // Keys are sorted by their bytes, at every depth.
    assert_eq!(
        printed("{\"é\":1,\"z\":{\"b\":1,\"a\":2},\"Z\":3,\"\":4,\"\u{1f600}\":5,\"\u{ffff}\":6}"),
        "{\"\":4,\"Z\":3,\"z\":{\"a\":2,\"b\":1},\"é\":1,\"\u{ffff}\":6,\"\u{1f600}\":5}"
    );
}

#[test]
fn fills_in_what_is_missing_as_the_python_module_does() {
    let before = Timestamp::now();
    let one = read(r#"{"event_type":"space.activated","space_id":"a"}"#);
    let two = read(
        r#"{"event_type":"space.activated","space_id":"a","payload":null,"event_id":null,
            "timestamp":null,"source":null,"correlation_id":null,"position":"x","revision":{},"?":[]}"#,
    );
    let empty = read(r#"{"event_type":"space.activated","space_id":"a","timestamp":""}"#);
    let after = Timestamp::now();
    assert_ne!(one.event_id, two.event_id);
    for event in [one, two, empty] {
        assert!(before <= event.timestamp && event.timestamp <= after);
        assert_eq!((event.source, event.correlation_id), (None, None));
        assert_eq!(event.payload.to_object().len(), 0);
    }
    let labelled = read(r#"{"event_type":"space.activated","space_id":"a","source":""}"#);
    assert_eq!(labelled.source.as_deref(), Some(""));
}

#[test]
fn prints_the_keys_in_the_order_of_the_contract() {
    let event = SpaceEvent::document_added("a", "d", "/\"")
        .with_event_id(ID.parse::<EventId>().unwrap())
        .with_timestamp("2015-12-11T23:50:02.5+01:00".parse().unwrap())
        .with_source("s")
        .with_extra("a", Value::Null)
        .unwrap();
    assert_eq!(
        event.to_json(),
        r#"{"event_id":"00cc4488-aa63-5459-bab8-6565b79405ae","event_type":"document.added","space_id":"a","payload":{"a":null,"document_id":"d","space_path":"/\""},"timestamp":"2015-12-11T22:50:02.500000+00:00","source":"s","correlation_id":null}"#
    );
    // Ids of any version and in any form are printed in one.
    for id in
        [ID.to_uppercase(), ID.replace('-', ""), format!("urn:uuid:{ID}"), format!("{{{ID}}}")]
    {
        let json =
            format!(r#"{{"event_type":"space.activated","space_id":"a","event_id":"{id}"}}"#);
        assert_eq!(read(&json).event_id.to_string(), ID);
    }
}

#[test]
fn reads_times_and_names_as_it_is_told() {
    let mut key_map = KeyMap::new();
    let names = [("path".to_owned(), "space_path".to_owned())];
    key_map.insert(EventType::DocumentAdded.name().to_owned(), names.into_iter().collect());
    let reader = JsonReader { naive_offset: "+09:00".parse().unwrap(), key_map };
    let json = r#"{"event_type":"document.added","space_id":"a","payload":{"document_id":"d","path":"/p"},
        "timestamp":"2020-01-01T09:00:00","recorded_at":"2020-01-01T09:00:00Z"}"#;
    let read = reader.read(json.as_bytes()).unwrap();
    assert_eq!(read.event.timestamp.to_string(), "2020-01-01T00:00:00+00:00");
    assert_eq!(read.recorded_at.unwrap().to_string(), "2020-01-01T09:00:00+00:00");
    let Payload::DocumentAdded { space_path, extra, .. } = read.event.payload else {
        panic!("another type")
    };
    assert_eq!(space_path, "/p");
    assert!(extra.is_empty());
}
