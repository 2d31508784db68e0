use std::fs;

use spacefold_event_core::{
    AppendError, ContentError, ContentStore as _, SpaceEvent, StorageErrorKind, Timestamp,
};
use spacefold_store::StoreOptions;

use crate::{options::Options, spacefold::Spacefold};

#[test]
fn a_store_that_is_full_refuses_by_name_reads_on_and_goes_on_once_it_may() {
    const MAX: u64 = 6 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let text = |number: u64| {
        let mut text = String::new();
        while text.len() < 20_000 {
            text.push_str(&(number.wrapping_mul(0x9e37_79b9) ^ text.len() as u64).to_string());
        }
        text
    };
    let fill = |spaces: &Spacefold| -> (u64, AppendError) {
        for number in 0.. {
            let event = SpaceEvent::variable_set("a", "v", text(number));
            match spaces.append([event]) {
                Ok(_) => assert!(number < 10_000, "it is never full"),
                Err(error) => return (number, error),
            }
        }
        unreachable!("it ends with an error")
    };
    let options =
        || Options::new(&path).store(StoreOptions::default().journal_file_bytes(128 << 10));
    let spaces = options().max_bytes(MAX).open().unwrap();
    let (first, refused) = fill(&spaces);
    let AppendError::PastQuota { used, max } = refused else { panic!("{refused}") };
    assert!(used >= max && max == MAX, "{used} of {max}");
    let content = spaces.content().put(&mut &b"more"[..]);
    assert!(matches!(content, Err(ContentError::PastQuota { .. })), "{content:?}");
    let health = spaces.health();
    assert!(!health.log.accepts_appends && !health.accepts_content && !health.is_well());
    assert_eq!((health.log.failed_since, health.log.failure), (None, None));
    assert_eq!(health.log.quota.map(|(_, max)| max), Some(MAX));
    let stats = spaces.stats().unwrap();
    assert_eq!((stats.events, stats.appended, stats.spaces), (first, first, 1));
    let counted = stats.bytes.journal + stats.bytes.sealed + stats.bytes.sled + stats.bytes.content;
    assert!(counted < 4 * MAX, "{counted} bytes are on the disk");
    // Everything else works.
    assert_eq!(spaces.snapshot("a").unwrap().revision().get(), first);
    spaces.close().unwrap();
    // As it is opened again, it still is full; a larger limit lets it go on.
    let spaces = options().max_bytes(1 << 20).open().unwrap();
    let refused = spaces.append([SpaceEvent::space_activated("a")]);
    assert!(matches!(refused, Err(AppendError::PastQuota { .. })), "{refused:?}");
    spaces.set_max_bytes(Some(1 << 30));
    assert!(spaces.health().is_well());
    spaces.append([SpaceEvent::space_activated("a")]).unwrap();
    spaces.content().put(&mut &b"more"[..]).unwrap();
    spaces.set_max_bytes(None);
    assert_eq!(spaces.health().log.quota, None);
    let stats = spaces.stats().unwrap();
    assert_eq!((stats.events, stats.appended), (first + 1, 1));
    spaces.close().unwrap();
}

#[test]
fn what_was_stored_before_is_answered_by_a_store_that_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("store")).unwrap();
    let event = SpaceEvent::space_created("a", "A");
    let receipt = spaces.append([event.clone()]).unwrap();
    let stored = spaces.content().put(&mut &b"text"[..]).unwrap();
    spaces.set_max_bytes(Some(1));
    assert_eq!(spaces.append([event]).unwrap().last_position(), receipt.last_position());
    assert_eq!(spaces.content().put(&mut &b"text"[..]).unwrap().hash, stored.hash);
    spaces.close().unwrap();
}

#[test]
fn a_store_that_failed_says_since_when_and_why() {
    let before = Timestamp::now();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let spaces = Spacefold::open(&path).unwrap();
    spaces.append([SpaceEvent::space_created("a", "A")]).unwrap();
    assert!(spaces.health().is_well());
    assert_eq!(spaces.health().log.seal_lag, 1);
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    // It is looked for the folder now and then.
    while spaces.append([SpaceEvent::space_activated("a")]).is_ok() {
        std::thread::yield_now();
    }
    let health = spaces.health().log;
    assert!(!health.accepts_appends);
    assert_eq!(health.failure_kind, Some(StorageErrorKind::FolderGone));
    let since = health.failed_since.unwrap();
    assert!(before <= since && since <= Timestamp::now());
    assert_eq!(spaces.health().log.failed_since, Some(since));
    assert!(spaces.health().log.failure.is_some());
    drop(spaces);
}
