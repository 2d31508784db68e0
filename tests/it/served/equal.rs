//! Random commands over HTTP, and in the library, leave equal stores.

use fastrand::Rng;
use spacefold::{CommandError, Refusal, Spacefold, Value, event::Object, log::EventLog};
use spacefold_client::{ClientError, CommandMarks, RequestEffects};

use super::TestServer;
use crate::service::commands::command;

const COMMANDS: usize = 1_500;
const SPACES: [&str; 3] = ["s", "a/b", ".."];

/// What a log says of its events, ids and times apart.
fn told(log: &dyn EventLog) -> Vec<String> {
    let events = conformance::whole_log(log);
    let told = events.iter().map(|event| {
        let at = (event.position, event.revision);
        let event = &event.event;
        format!(
            "{at:?} {} {} {:?} {:?} {:?} {:?}",
            event.type_name(),
            event.space_id,
            event.payload,
            event.source,
            event.correlation_id,
            event.tags
        )
    });
    told.collect()
}

fn marks_of(rng: &mut Rng, keys: &mut Vec<String>) -> CommandMarks {
    let mut marks = CommandMarks::default();
    if rng.u32(0..4) == 0 {
        marks.source = Some("editor".to_owned());
        marks.correlation_id = Some(format!("c{}", rng.u32(0..3)));
        marks.tags = vec!["user:7".to_owned(), "ü".to_owned()];
        let mut extra = Object::new();
        extra.insert("ticket", "123456789012345678901234567890".parse::<Value>().unwrap());
        marks.extra = extra;
    }
    match rng.u32(0..10) {
        0 => {
            keys.push(format!("k{}", keys.len()));
            marks.key = keys.last().cloned();
        }
        1 if !keys.is_empty() => marks.key = Some(keys[rng.usize(0..keys.len())].clone()),
        _ => {}
    }
    marks
}

#[test]
fn random_commands_over_http_and_in_the_library_leave_equal_stores() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (here, there) = (Spacefold::in_memory().unwrap(), Spacefold::in_memory().unwrap());
    let server = TestServer::of(&there);
    let client = server.client();
    let (mut keys, mut refused) = (Vec::new(), 0);
    for _ in 0..COMMANDS {
        let space_id = SPACES[rng.usize(0..SPACES.len())];
        let (command, marks) = (command(&mut rng), marks_of(&mut rng, &mut keys));
        let mut service = here.service().with_tags(&marks.tags);
        if let Some(source) = &marks.source {
            service = service.with_source(source);
        }
        if let Some(correlation_id) = &marks.correlation_id {
            service = service.with_correlation_id(correlation_id);
        }
        for (key, value) in marks.extra.iter() {
            service = service.with_extra(key, value.clone());
        }
        if let Some(key) = &marks.key {
            service = service.with_key(key.as_str());
        }
        let by_library = service.execute(space_id, command.clone());
        let by_http = client.execute(space_id, &command, &marks);
        match (by_library, by_http) {
            (Ok(outcome), Ok(answer)) => {
                assert_eq!(answer.revision, outcome.revision().get(), "{command:?}");
                assert_eq!(answer.events.len(), outcome.events().len(), "{command:?}");
                let (unchanged, replayed) = (answer.is_unchanged, answer.is_replayed);
                let expected = (outcome.is_unchanged(), outcome.is_repeated());
                assert_eq!((unchanged, replayed), expected, "{command:?}");
            }
            (Err(error), Err(problem)) => {
                refused += 1;
                assert_same(&error, &problem);
            }
            other => panic!("{command:?}: {other:?}"),
        }
    }
    assert!((50..COMMANDS - 200).contains(&refused), "{refused} were refused");
    assert_eq!(told(here.log()), told(there.log()));
    for space_id in SPACES {
        let (here, there) = (here.snapshot(space_id), client.snapshot(space_id, None));
        let (Ok(here), Ok(there)) = (here, there) else { panic!("{space_id} is not there") };
        let parts = |json: String| {
            let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
            let of_now = ["created_at", "updated_at", "state_hash"];
            let object = value.as_object_mut().unwrap();
            of_now.iter().for_each(|name| drop(object.remove(*name)));
            scrubbed(value)
        };
        assert_eq!(parts(here.to_json()), parts(there.to_json()));
    }
}

/// A value without what says when something was recorded, or under which id.
fn scrubbed(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| {
                !(name.ends_with("_at") || name == "event_id" || name == "time")
            });
            Value::Object(kept.map(|(name, value)| (name, scrubbed(value))).collect())
        }
        Value::Array(values) => values.into_iter().map(scrubbed).collect(),
        other => other,
    }
}

fn assert_same(error: &CommandError, problem: &ClientError) {
    assert_eq!(problem.effects(), RequestEffects::None, "{problem:?}");
    let told = problem.problem().unwrap_or_else(|| panic!("{problem:?}"));
    match error.refusal() {
        Some(Refusal::NoSuchSpace) => assert_eq!(told.code(), "unknown_space"),
        Some(Refusal::Limit(_)) => assert_eq!(told.code(), "limit_exceeded"),
        Some(refusal) => {
            assert_eq!(told.text("rule"), Some(refusal.name()), "{error} {told:?}");
            assert_eq!(told.text("refusal"), Some(refusal.to_string().as_str()));
            assert_eq!(told.detail(), error.to_string());
        }
        None => panic!("{error}"),
    }
}
