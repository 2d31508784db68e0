//! What is derived from one log is never taken for another's, and neither are places in it.

use std::{fs, path::Path};

use spacefold::{
    EventId, Position, SpaceEvent, Spacefold, SubscribeError, Subscription, Timestamp,
    log::{AppendRequest, EmbeddedLog, LogWriter},
};

use crate::commit::copy_folder;

const EVENTS: u64 = 300;

/// Events whose ids and times are those of every other store of these, and whose content is not.
fn append(log: &EmbeddedLog, from: u64, word: &str) {
    for n in from..from + EVENTS {
        let mut id = [7; 16];
        id[8..].copy_from_slice(&n.to_be_bytes());
        let time =
            Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(n).unwrap()).unwrap();
        let event =
            SpaceEvent::variable_set(format!("space-{}", n % 3), "v", format!("{word}-{n}"))
                .with_event_id(EventId::from_bytes(id))
                .with_timestamp(time);
        log.append(&AppendRequest::new(&[event]).recorded_at(&[time])).unwrap();
    }
}

/// Derives all that a store derives.
fn derive(path: &Path) {
    let spaces = Spacefold::open_existing(path).unwrap();
    spaces.projections().activity().unwrap();
    spaces.history_cache().rebuild().unwrap();
    spaces.save().unwrap();
    drop(spaces.subscribe_durable("mailer", &Subscription::from_now()).unwrap());
    spaces.feed().reset_durable("mailer", spaces.durable_head()).unwrap();
    spaces.close().unwrap();
}

/// Where a durable subscription goes on; `None` where its place is not this log's.
fn place(path: &Path) -> Option<Position> {
    let spaces = Spacefold::open_existing(path).unwrap();
    let opened = spaces.subscribe_durable("mailer", &Subscription::from_start());
    let at = match &opened {
        Ok(mailer) => Some(mailer.acknowledged()),
        Err(SubscribeError::Unfit { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    drop(opened);
    spaces.close().unwrap();
    at
}

fn values(path: &Path) -> Vec<String> {
    let spaces = Spacefold::open_existing(path).unwrap();
    let head = spaces.durable_head();
    let mut values = Vec::new();
    for position in [head, Position::new(head.get() / 2)] {
        for space in ["space-0", "space-1", "space-2"] {
            let snapshot = spaces.at(position).snapshot(space).unwrap();
            values.push(format!("{:?}", snapshot.variables()));
        }
    }
    values.push(format!("{:?}", spaces.snapshot_all().unwrap().len()));
    spaces.close().unwrap();
    values
}

fn exchange(part: &str, from: &Path, to: &Path) {
    fs::remove_dir_all(to.join(part)).unwrap();
    copy_folder(&from.join(part), &to.join(part));
}

#[test]
fn what_another_store_or_a_copy_that_went_on_apart_has_derived_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, word) in [("own", "own"), ("other", "other")] {
        let log = EmbeddedLog::open(path(name)).unwrap();
        append(&log, 0, word);
        log.close().unwrap();
    }
    // A sibling: a copy of ours that goes on with equal ids.
    copy_folder(&path("own"), &path("sibling"));
    for (name, word) in [("own", "own"), ("sibling", "sibling")] {
        let log = EmbeddedLog::open(path(name)).unwrap();
        append(&log, EVENTS, word);
        log.close().unwrap();
    }
    derive(&path("own"));
    let expected = values(&path("own"));
    let head = Some(Position::new(2 * EVENTS));
    for other in ["other", "sibling"] {
        derive(&path(other));
        assert_ne!(values(&path(other)), expected);
        exchange("derived", &path(other), &path("own"));
        assert_eq!(values(&path("own")), expected, "of {other}");
        assert_eq!(place(&path("own")), head, "no place is derived");
        exchange("subscriptions", &path(other), &path("own"));
        assert_eq!(place(&path("own")), None, "events would be passed over");
        for part in ["derived", "subscriptions"] {
            fs::remove_dir_all(path("own").join(part)).unwrap();
        }
        assert_eq!(place(&path("own")), Some(Position::START), "it begins anew");
        derive(&path("own"));
        assert_eq!(values(&path("own")), expected);
    }
    // Whatever may be lost of what is derived, places stay.
    fs::remove_dir_all(path("own").join("derived")).unwrap();
    if path("own").join("sled").exists() {
        fs::remove_dir_all(path("own").join("sled")).unwrap();
    }
    assert_eq!(place(&path("own")), head);
    derive(&path("own"));
    // An older copy of what it has derived itself is gone on from.
    let early = path("early");
    copy_folder(&path("own"), &early);
    let log = EmbeddedLog::open(path("own")).unwrap();
    append(&log, 2 * EVENTS, "later");
    log.close().unwrap();
    derive(&path("own"));
    let expected = values(&path("own"));
    exchange("derived", &early, &path("own"));
    assert_eq!(values(&path("own")), expected);
    assert_eq!(place(&path("own")), Some(Position::new(3 * EVENTS)));
    exchange("subscriptions", &early, &path("own"));
    assert_eq!(place(&path("own")), head);
    // One past the head is refused, as it is in an older log.
    exchange("subscriptions", &path("own"), &early);
    assert_eq!(place(&early), head);
    derive(&path("own"));
    exchange("subscriptions", &path("own"), &early);
    assert_eq!(place(&early), None, "what comes up to there would be passed over");
}
