//! What a durable append and a read of a page cost.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use spacefold_event_core::{
    AppendCondition, AppendRequest, EventLog, MAX_APPEND_EVENTS, MemoryLog, Position, ReadRequest,
    SpaceEvent,
};
use spacefold_store::EmbeddedLog;

/// Events in the log that is read from.
const READ_EVENTS: u64 = 4_096;

criterion_group!(benches, append, read);
criterion_main!(benches);

fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path().join("store")).unwrap();
    let mut group = criterion.benchmark_group("durable append");
    for count in [1, 64] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} per append"), |bencher| {
            let events = || events(count);
            bencher.iter_batched(events, |events| append_to(&log, &events), BatchSize::SmallInput);
        });
    }
    group.finish();
    log.close().unwrap();
}

fn read(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let embedded = EmbeddedLog::open(folder.path().join("store")).unwrap();
    let memory = MemoryLog::new();
    let events = events(READ_EVENTS);
    append_to(&embedded, &events);
    append_to(&memory, &events);
    let logs: [(&str, &dyn EventLog); 2] = [("embedded", &embedded), ("memory", &memory)];
    let mut group = criterion.benchmark_group("read and decode");
    group.throughput(Throughput::Elements(READ_EVENTS));
    for (name, log) in logs {
        group.bench_function(name, |bencher| bencher.iter(|| read_all(log)));
    }
    group.finish();
    embedded.close().unwrap();
}

fn append_to(log: &dyn EventLog, events: &[SpaceEvent]) {
    let append = AppendRequest::new(events).on(AppendCondition::none());
    log.append(&append).unwrap();
}

fn read_all(log: &dyn EventLog) -> u64 {
    let mut read = 0;
    for page in log.pages(ReadRequest::from(Position::new(1)).limit(MAX_APPEND_EVENTS)) {
        read += page.unwrap().events().map(|event| u64::from(event.is_ok())).sum::<u64>();
    }
    assert_eq!(read, READ_EVENTS);
    read
}

fn events(count: u64) -> Vec<SpaceEvent> {
    let event = |n: u64| {
        let document_id = format!("document-{}", n % 97);
        let new_hash = format!("{n:064x}");
        SpaceEvent::document_content_changed("bench", document_id, None::<String>, new_hash)
    };
    (0..count).map(event).collect()
}
