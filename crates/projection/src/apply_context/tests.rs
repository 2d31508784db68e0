//! What a projection is told beside the event, and what becomes of it when there is nothing to tell.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use spacefold_disk::MemoryDisk;
use spacefold_event_core::{
    ContentReader, ContentStore, HashedContent, LogReader, MemoryContentStore, MemoryLog, Payload,
    ReadError, RecordedEventRef, SpaceEvent, StoredContent,
};
use spacefold_state::testing::{log_of, misfits, recorded};

use super::*;
use crate::{
    CatchUpError, PauseKind, Projection, ProjectionHandle, RebuildMode, RebuildOptions, Table,
    Verdict, rebuild,
    testing::{CorruptLog, projections_in, registered},
};

/// Keeps the effect of every event.
struct EffectOf {
    declares: bool,
}

impl Projection for EffectOf {
    fn name(&self) -> &'static str {
        "effects"
    }

    fn version(&self) -> u32 {
        1
    }

    fn uses_effects(&self) -> bool {
        self.declares
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let mut bytes = Vec::new();
        context.effect()?.encode(&mut bytes);
        Ok(table.put(event.position.get().to_be_bytes(), bytes)?)
    }
}

fn effects_in(handle: &ProjectionHandle<EffectOf>) -> Vec<Vec<u8>> {
    let rows = handle.read(|view| view.scan(b"")?.collect::<Result<Vec<_>, _>>());
    rows.unwrap().into_iter().map(|(_, value)| value).collect()
}

/// The effects of all events of a log, from a plain fold.
fn effects_of(log: &MemoryLog) -> Vec<Vec<u8>> {
    let mut states = spacefold_state::SpaceStates::new();
    let effects = recorded(log).into_iter().map(|event| {
        let mut bytes = Vec::new();
        states.apply(&event.as_event_ref()).encode(&mut bytes);
        bytes
    });
    effects.collect()
}

#[test]
fn every_event_comes_with_its_effect_live_and_in_a_rebuild() {
    let log = log_of(misfits());
    let small = Arc::new(CorruptLog { inner: Arc::clone(&log), corrupt: Position::START });
    let projections = projections_in(&small, MemoryDisk::new().root());
    let handle = projections.register(EffectOf { declares: true }).unwrap();
    handle.catch_up_to(Position::new(7)).unwrap();
    let options = RebuildOptions::new(RebuildMode::Check);
    for names in [vec!["effects".to_owned()], vec![]] {
        handle.catch_up().unwrap();
        let outcomes = rebuild(&projections, &names, &options).unwrap();
        assert!(outcomes.iter().any(|it| (it.name, it.verdict) == ("effects", Verdict::Identical)));
    }
    let effects = effects_in(&handle);
    assert_eq!(effects, effects_of(&log));
    let kinds: std::collections::BTreeSet<u8> = effects.iter().map(|it| it[0]).collect();
    assert_eq!(kinds.len(), 8, "not every kind and reason is there: {kinds:x?}");
}

#[test]
fn who_does_not_declare_effects_gets_none() {
    let log = log_of([SpaceEvent::space_created("s", "S")]);
    let projections = projections_in(&log, MemoryDisk::new().root());
    let handle = projections.register(EffectOf { declares: false }).unwrap();
    let Err(CatchUpError::Paused(paused)) = handle.catch_up() else { panic!("it was told") };
    assert_eq!(paused.kind, PauseKind::Refused);
    assert!(paused.reason.contains("Projection::uses_effects"), "{paused}");
}

#[test]
fn effects_end_where_the_states_cannot_be_folded() {
    let inner = log_of((0..9).map(|n| SpaceEvent::variable_set("s", "n", n)));
    let log = Arc::new(CorruptLog { inner, corrupt: Position::new(6) });
    let projections = projections_in(&log, MemoryDisk::new().root());
    let handle = projections.register(EffectOf { declares: true }).unwrap();
    let Err(CatchUpError::Paused(paused)) = handle.catch_up() else { panic!("it goes on") };
    assert_eq!((paused.position, paused.kind), (Position::new(6), PauseKind::Undecodable));
    assert_eq!(effects_in(&handle).len(), 5);
    // What comes after an event that is left out has no effects: it says so, and stays where it is.
    let skipped = projections.skip("effects");
    let Err(CatchUpError::Read(ReadError::Corrupt { position, .. })) = skipped else {
        panic!("it goes on: {skipped:?}")
    };
    assert_eq!(position, Position::new(6));
    assert_eq!((effects_in(&handle).len(), handle.info().paused), (5, None));
}

/// Keeps the content of every change of content.
struct Contents;

impl Projection for Contents {
    fn name(&self) -> &'static str {
        "contents"
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let Payload::DocumentContentChanged { new_hash, .. } = &event.payload else {
            return Ok(());
        };
        let content = context.content(new_hash)?;
        Ok(table.put(event.position.get().to_be_bytes(), content.as_deref().unwrap_or(b"none"))?)
    }
}

/// A content store that fails when it is told.
#[derive(Default)]
struct Failing {
    inner: MemoryContentStore,
    fails: AtomicBool,
}

impl ContentStore for Failing {
    fn put(&self, content: &mut dyn std::io::Read) -> Result<StoredContent, ContentError> {
        self.inner.put(content)
    }

    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        self.inner.put_hashed(content)
    }

    fn sync(&self) -> Result<(), ContentError> {
        self.inner.sync()
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(StorageError::new("reading", "the disk is gone").into()),
            false => self.inner.open(hash),
        }
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        self.inner.contains(hash)
    }
}

fn changes_to(hashes: &[String]) -> Arc<MemoryLog> {
    let change =
        |hash: &String| SpaceEvent::document_content_changed("s", "d", None::<String>, hash);
    log_of(hashes.iter().map(change))
}

#[test]
fn content_that_an_event_names_is_read() {
    let store = Arc::new(Failing::default());
    let stored = store.put(&mut &b"# Hello"[..]).unwrap().hash.to_string();
    let elsewhere = ContentHash::of(b"elsewhere").to_string();
    let log = changes_to(&[stored, elsewhere, "no hash".to_owned()]);
    let projections =
        projections_in(&log, MemoryDisk::new().root()).with_content(Arc::clone(&store) as _);
    let handle = projections.register(Contents).unwrap();
    store.fails.store(true, Ordering::Relaxed);
    // The storage has failed, not the event: it is tried again without anybody's resuming it.
    let failed = handle.catch_up().unwrap_err();
    assert!(matches!(failed, CatchUpError::Table(TableError::Storage(_))), "{failed}");
    assert_eq!((handle.position(), handle.info().paused), (Position::START, None));
    store.fails.store(false, Ordering::Relaxed);
    assert_eq!(handle.catch_up().unwrap(), log.durable_head());
    let rows = handle.read(|view| view.scan(b"")?.collect::<Result<Vec<_>, _>>()).unwrap();
    let contents: Vec<_> = rows.iter().map(|(_, value)| &**value).collect();
    assert_eq!(contents, [&b"# Hello"[..], b"none", b"none"]);
}

#[test]
fn content_past_the_limit_pauses_who_cannot_do_without() {
    let store = MemoryContentStore::new();
    let limit = usize::try_from(MAX_APPLY_CONTENT_BYTES).unwrap();
    let stored = |bytes: usize| {
        let content = vec![b'x'; bytes];
        store.put(&mut &*content).unwrap().hash
    };
    let too_large = stored(limit + 1);
    let log = changes_to(&[too_large.to_string()]);
    let projections = projections_in(&log, MemoryDisk::new().root()).with_content(Arc::new(store));
    let handle = projections.register(Contents).unwrap();
    let Err(CatchUpError::Paused(paused)) = handle.catch_up() else { panic!("it was read") };
    assert_eq!(paused.kind, PauseKind::Refused);
    assert!(paused.reason.contains("16777217 bytes"), "{paused}");
}

#[test]
fn without_a_content_store_none_is_read() {
    let log = changes_to(&["h".to_owned()]);
    let projections = projections_in(&log, MemoryDisk::new().root());
    let handle = projections.register(Contents).unwrap();
    let Err(CatchUpError::Paused(paused)) = handle.catch_up() else { panic!("it was read") };
    assert!(paused.reason.contains("there is no content store"), "{paused}");
    // Who asks for nothing needs none.
    let log = log_of([SpaceEvent::space_created("s", "S")]);
    assert_eq!(registered(&log, Contents).1.position(), Position::new(1));
}
