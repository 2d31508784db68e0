use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use spacefold_event_core::{
    AppendError, AppendRequest, ContentReader, EventLog, LogReader, LogWriter, MemoryContentStore,
    MemoryLog, Position, Presence, ReadError, Receipt, Revision, SpaceEvent, StorageError,
    StoredContent, testing,
};

use super::*;
use crate::{Refusal, testing::given};

fn hash(content: &str) -> String {
    ContentHash::of(content.as_bytes()).to_string()
}

fn space() -> Vec<SpaceEvent> {
    vec![SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/d")]
}

#[test]
fn content_is_recorded_by_its_hash_when_that_changes() {
    given(space())
        .when(|service| {
            service.set_content("s", "d", "one")?;
            service.set_content("s", "d", "one")?;
            service.set_content_from("s", "d", &mut &b"one"[..])?;
            service.set_content_from("s", "d", &mut &b"two"[..])?;
            let hash = ContentHash::of(b"one");
            assert_eq!(service.content_store().unwrap().get(&hash, 9).unwrap(), b"one");
            service.batch("s").set_content("d", "two").set_content("d", "three").commit()
        })
        .then([
            SpaceEvent::document_content_changed("s", "d", Presence::Null, hash("one")),
            SpaceEvent::document_content_changed("s", "d", hash("one"), hash("two")),
            SpaceEvent::document_content_changed("s", "d", hash("two"), hash("three")),
        ]);
}

#[test]
fn a_conflict_is_resolved_by_bytes() {
    let mut events = space();
    events.extend([
        SpaceEvent::sync_started("s", Presence::Absent),
        SpaceEvent::sync_conflict("s", "d", "l", "r"),
    ]);
    given(events.clone())
        .when(|service| service.resolve_conflict_with("s", "d", "both"))
        .then([SpaceEvent::document_content_changed("s", "d", Presence::Null, hash("both"))]);
    given(events)
        .when(|service| service.batch("s").resolve_conflict_with("d", "both").commit())
        .then([SpaceEvent::document_content_changed("s", "d", Presence::Null, hash("both"))]);
}

#[test]
fn content_of_a_refused_command_is_not_kept() {
    /// Fails when anything of it is read.
    struct Untouched;
    impl io::Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("this was to be refused before it is read")
        }
    }
    let unknown = || Refusal::UnknownDocument { document_id: "x".to_owned() };
    given(space())
        .when(|service| {
            let refused = service.set_content("s", "x", "lost");
            let store = service.content_store().unwrap();
            assert!(!store.contains(&ContentHash::of(b"lost")).unwrap());
            refused
        })
        .then(unknown());
    given(space())
        .when(|service| service.set_content_from("s", "x", &mut Untouched))
        .then(unknown());
}

#[test]
fn without_a_content_store_only_hashes_are_taken() {
    let service = SpaceService::over(Arc::new(MemoryLog::new()));
    service.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    let refused = service.set_content("s", "d", "one");
    assert!(matches!(refused, Err(CommandError::NoContentStore)));
    let refused = service.batch("s").set_content("d", "one").set_variable("v", 1).commit();
    assert!(matches!(refused, Err(CommandError::NoContentStore)));
    assert_eq!(service.log().head(), Position::new(2));
    service.set_content_hash("s", "d", hash("one")).unwrap();
}

#[test]
fn content_that_an_event_of_others_names_is_kept_when_it_is_handed_in() {
    let mut events = space();
    events.push(SpaceEvent::document_content_changed("s", "d", Presence::Null, hash("one")));
    given(events)
        .when(|service| {
            let outcome = service.set_content("s", "d", "one");
            assert!(service.content_store().unwrap().contains(&ContentHash::of(b"one")).unwrap());
            outcome
        })
        .then_nothing();
}

/// Notes what happens in which order; syncs fail when told so.
#[derive(Default)]
struct Steps {
    content: MemoryContentStore,
    log: MemoryLog,
    steps: Mutex<Vec<&'static str>>,
    syncs_fail: bool,
    /// Another writer is faster before the next append.
    is_beaten: AtomicBool,
}

impl Steps {
    fn note(&self, step: &'static str) {
        self.steps.lock().unwrap().push(step);
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.steps.lock().unwrap())
    }
}

impl ContentStore for Steps {
    fn put(&self, content: &mut dyn io::Read) -> Result<StoredContent, ContentError> {
        self.note("put");
        self.content.put(content)
    }

    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        self.note("put hashed");
        self.content.put_hashed(content)
    }

    fn sync(&self) -> Result<(), ContentError> {
        self.note("sync");
        if self.syncs_fail {
            return Err(StorageError::new("syncing", "the power is out").into());
        }
        Ok(())
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        self.content.open(hash)
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        self.content.contains(hash)
    }
}

impl testing::LogWrapper for Steps {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.note("append");
        if self.is_beaten.swap(false, Ordering::SeqCst) {
            self.log.append(&AppendRequest::new(&[SpaceEvent::variable_set("s", "v", 1)]))?;
        }
        self.log.append(append)
    }

    /// What a service asks each time it takes the place of a space to decide.
    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.note("decide");
        self.log.revision(space_id)
    }
}

fn service(steps: &Arc<Steps>) -> SpaceService {
    let log: Arc<dyn EventLog> = Arc::<Steps>::clone(steps);
    let content: Arc<dyn ContentStore> = Arc::<Steps>::clone(steps);
    let service = SpaceService::over(log).with_content_store(content);
    service.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    steps.take();
    service
}

#[test]
fn content_is_durable_before_the_event_that_names_it() {
    let steps = Arc::new(Steps::default());
    let service = service(&steps);
    service.set_content("s", "d", "one").unwrap();
    assert_eq!(steps.take(), ["decide", "put hashed", "sync", "append"]);
    service.set_content("s", "d", "one").unwrap();
    assert_eq!(steps.take(), ["decide"]);
    // A stream is looked at only for a document that takes it, and nobody waits for it.
    service.set_content_from("s", "d", &mut &b"two"[..]).unwrap();
    assert_eq!(steps.take(), ["decide", "put", "sync", "decide", "append"]);
    let batch = service.batch("s").set_content("d", "three").add_document("e", "/e");
    batch.set_content("e", "three").commit().unwrap();
    assert_eq!(steps.take(), ["put", "put", "sync", "decide", "append"]);
    service.with_key("k").set_content("s", "d", "four").unwrap();
    assert_eq!(steps.take(), ["decide", "put hashed", "sync", "append"]);
    service.with_key("k").set_content("s", "d", "four").unwrap();
    assert_eq!(steps.take(), ["decide"]);
}

#[test]
fn content_of_a_command_that_is_refused_under_a_key_is_not_kept() {
    let steps = Arc::new(Steps::default());
    let service = service(&steps);
    let refused = service.with_key("k").set_content("s", "x", "lost");
    assert!(matches!(refused, Err(CommandError::Refused { .. })));
    assert_eq!(steps.take(), ["decide"]);
    service.with_key("k").set_content("s", "d", "one").unwrap();
    steps.take();
    let reused = service.with_key("k").set_content("s", "d", "two").unwrap_err();
    assert!(matches!(reused.refusal(), Some(Refusal::KeyReused { .. })), "{reused}");
}

#[test]
fn content_that_loses_a_race_is_kept_once() {
    let steps = Arc::new(Steps::default());
    let service = service(&steps);
    steps.is_beaten.store(true, Ordering::SeqCst);
    service.set_content("s", "d", "one").unwrap();
    let raced = ["decide", "put hashed", "sync", "append", "decide", "append"];
    assert_eq!(steps.take(), raced);
}

#[test]
fn nothing_is_recorded_when_content_does_not_become_durable() {
    let steps = Arc::new(Steps { syncs_fail: true, ..Steps::default() });
    let service = service(&steps);
    let failed = service.set_content("s", "d", "one");
    assert!(matches!(failed, Err(CommandError::Content(ContentError::Storage(_)))));
    let failed = service.batch("s").set_content("d", "one").commit();
    assert!(matches!(failed, Err(CommandError::Content(ContentError::Storage(_)))));
    assert!(!steps.take().contains(&"append"));
    assert_eq!(service.log().head(), Position::new(2));
}
