use proptest::prelude::*;

use super::*;
use crate::json::careful;

/// What the single pass reads, which is what the careful reader reads.
#[track_caller]
fn read(text: &str) -> Option<LineEvent<'_>> {
    let reader = JsonReader::default();
    let read = super::read(&reader, text);
    if let Some(event) = &read {
        assert_eq!(Some(event), careful::read(&reader, text).ok().as_ref(), "{text}");
    }
    read
}

fn line(payload: &str) -> String {
    format!(r#"{{"event_type":"a.b","space_id":"s","payload":{payload}}}"#)
}

/// Whether a payload with this value is read in one pass.
#[track_caller]
fn is_read(value: &str) -> bool {
    let text = line(&format!(r#"{{"n":{value}}}"#));
    assert!(careful::read(&JsonReader::default(), &text).is_ok(), "{text}");
    read(&text).is_some()
}

#[test]
fn reads_what_programs_write() {
    let text = r#"{"event_id":"00cc4488-aa63-5459-bab8-6565b79405ae","event_type":"space.created","space_id":"a","payload":{"name":"b \u00e4","x":[1,{"y":null,"b":true}]},"timestamp":"2015-12-11T22:50:02+00:00","source":null,"correlation_id":"63","tags":["t"],"origin":{"store":"00cc4488-aa63-5459-bab8-6565b79405ae","timeline":"00cc4488-aa63-5459-bab8-6565b79405ae","position":3},"position":7,"note":[{}],"recorded_at":"2015-12-11T22:50:03"}"#;
    assert!(read(text).is_some());
    // Of a key that is there twice the last one counts, null too.
    assert!(
        read(r#"{"event_type":"a.b","space_id":"s","space_id":"t","source":"x","source":null}"#)
            .is_some()
    );
    assert!(read(r#"{"event_type":"a.b","space_id":"s","space_id":null}"#).is_none());
    assert!(read(&line(r#"{"a":1,"b":2,"a":3}"#)).is_some());
}

#[test]
fn leaves_numbers_whose_digits_it_does_not_know_to_the_careful_reader() {
    let known = [
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "0.0",
        "1.0",
        "-1e-7",
        "0.1",
        "1e19",
        "5e-324",
        "1.5e10",
    ];
    for number in known {
        assert!(is_read(number), "{number}");
    }
    let unknown = [
        "-0",
        "-0.0",
        "18446744073709551616",
        "-9223372036854775809",
        "1e300",
        "123456789012345678901234567890",
    ];
    for number in unknown {
        assert!(!is_read(number), "{number}");
    }
    // Handed out in the place of a number by parsers that keep all digits; here it is an object.
    assert!(!is_read(r#"{"$serde_json::private::Number":"1"}"#));
}

#[test]
fn what_is_wrong_is_left_to_the_careful_reader() {
    let wrong = [
        "",
        "[]",
        "{}",
        "null",
        "{",
        r#"{"event_type":"a.b"}"#,
        r#"{"event_type":"a.b","space_id":"s"} x"#,
        r#"{"event_type":"a.b","space_id":5}"#,
        r#"{"event_type":"a.b","space_id":""}"#,
        r#"{"event_type":"document.eaten","space_id":"s"}"#,
        r#"{"event_type":"variable.set","space_id":"s","payload":{"name":"n"}}"#,
        r#"{"event_type":"a.b","space_id":"s","payload":[]}"#,
        r#"{"event_type":"a.b","space_id":"s","timestamp":"soon"}"#,
        r#"{"event_type":"a.b","space_id":"s","origin":5}"#,
    ];
    for text in wrong {
        assert!(read(text).is_none(), "{text}");
        assert!(careful::read(&JsonReader::default(), text).is_err(), "{text}");
    }
    // Read by the careful reader alone: deeper than the parser goes, and escapes of half a character
    // in what the contract does not name.
    let deep = line(&format!(r#"{{"n":{}1{}}}"#, "[".repeat(128), "]".repeat(128)));
    assert!(read(&deep).is_none());
    assert!(careful::read(&JsonReader::default(), &deep).is_ok());
    let reader = JsonReader::default();
    let half = r#"{"event_type":"a.b","space_id":"s","note":"\ud800"}"#;
    assert!(reader.read(half.as_bytes()).is_ok());
}

fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i128>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |n| n.is_finite())
            .prop_map(|n| format!("{n:e}")),
        (any::<i32>(), "[0-9]{1,25}").prop_map(|(n, digits)| format!("{n}.{digits}")),
        ("[1-9][0-9]{0,30}", "[0-9]{1,30}", -40_i32..40)
            .prop_map(|(n, d, e)| format!("{n}.{d}E{e}")),
    ];
    let text = "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let escaped = "([a-z]|\\\\u00[0-9a-f]{2}|\\\\n|\\\\ud83d\\\\ude00){0,6}"
        .prop_map(|text| format!("\"{text}\""));
    let leaf = prop_oneof![
        number,
        text,
        escaped,
        prop::sample::select(vec!["null", "true", "false", " [ ] ", "{}"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(" ,"))),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..4).prop_map(|all| {
                let members = all.iter().map(|(key, value)| format!("\"{key}\" :{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the single pass reads is what the careful reader reads.
    #[test]
    fn reads_as_the_careful_reader_does(value in value(), other in value(), key in "(note|source|tags|n)") {
        read(&line(&format!(r#"{{"n":{value},"m":{other}}}"#)));
        read(&format!(
            r#"{{"{key}":{other},"event_type":"variable.set","payload":{{"name":"n","value":{value}}},"space_id":"s"}}"#
        ));
    }

    /// Also of texts that were harmed.
    #[test]
    fn reads_harmed_texts_as_the_careful_reader_does(value in value(), at in 0_usize..400, byte in any::<u8>()) {
        let mut text = line(&format!(r#"{{"n":{value}}}"#)).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            read(text);
        }
    }
}
