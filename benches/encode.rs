//! What the work of a caller, of the writer and of a reader costs that touches no disk.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spacefold_event_core::{
    AppendRequest, Assignments, EncodedBody, EventId, MAX_APPEND_EVENTS, Position, Records,
    RecordsBuilder, Revision, Schemas, SpaceEvent, Timestamp, append_rules,
};

/// About what a block of a segment holds.
const BLOCK_EVENTS: usize = 512;
/// Events of an append when blocks are made of many.
const SMALL_APPEND_EVENTS: usize = 8;

criterion_group!(benches, propose, decode, seal);
criterion_main!(benches);

fn propose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("propose");
    for count in [1, 64, MAX_APPEND_EVENTS] {
        let events = events(count);
        group.throughput(elements(count));
        group.bench_function(format!("{count} events"), |bencher| {
            bencher.iter(|| {
                append_rules::propose(&AppendRequest::new(&events), Schemas::today()).unwrap()
            });
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for count in [BLOCK_EVENTS, MAX_APPEND_EVENTS] {
        let (body, records) = encode(&events(count));
        let spaces = records.spaces().count();
        group.throughput(elements(count));
        group.bench_function(format!("a run of {count}"), |bencher| {
            bencher.iter(|| Records::decode(body.bytes(), count, assignments(spaces)).unwrap());
        });
        group.bench_function(format!("events of a run of {count}"), |bencher| {
            bencher.iter(|| {
                for envelope in records.envelopes() {
                    black_box(envelope.decode().unwrap());
                }
            });
        });
    }
    group.finish();
}

/// Making a block of several appends, or of a part of one.
fn seal(criterion: &mut Criterion) {
    let events = events(MAX_APPEND_EVENTS);
    let (_, large) = encode(&events);
    let block = events.get(..BLOCK_EVENTS).unwrap();
    let small: Vec<Records> =
        block.chunks(SMALL_APPEND_EVENTS).map(|events| encode(events).1).collect();
    let mut group = criterion.benchmark_group("seal");
    group.throughput(elements(BLOCK_EVENTS));
    group.bench_function("appends of 8 events", |bencher| {
        bencher.iter(|| {
            let mut builder = RecordsBuilder::new();
            for records in &small {
                builder.extend_from(records, 0..records.len()).unwrap();
            }
            builder.finish_with_records().unwrap()
        });
    });
    group.bench_function("a part of a large append", |bencher| {
        bencher.iter(|| {
            let mut builder = RecordsBuilder::new();
            builder.extend_from(&large, 1_000..1_000 + BLOCK_EVENTS).unwrap();
            builder.finish_with_records().unwrap()
        });
    });
    group.finish();
}

fn elements(count: usize) -> Throughput {
    Throughput::Elements(u64::try_from(count).unwrap())
}

fn encode(events: &[SpaceEvent]) -> (EncodedBody, Records) {
    let mut builder = RecordsBuilder::new();
    for event in events {
        builder.push(event);
    }
    builder.finish_with_records().unwrap()
}

fn assignments(spaces: usize) -> Assignments {
    Assignments {
        first_position: Position::new(1),
        recorded_at: vec![Timestamp::MIN],
        base_revisions: vec![Revision::NONE; spaces],
    }
}

/// Events as editors and renderers of documents write them, the same ones in every run.
fn events(count: usize) -> Vec<SpaceEvent> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..count).map(|_| event(&mut random)).collect()
}

fn event(random: &mut fastrand::Rng) -> SpaceEvent {
    let space_id = format!("space-{:05}", random.u32(0..1_000) * random.u32(0..1_000) / 1_000);
    let document_id = format!("document-{:06}", random.u32(0..200_000));
    let event = match random.u8(0..10) {
        0..4 => {
            let old_hash = hash(random);
            SpaceEvent::document_content_changed(space_id, document_id, old_hash, hash(random))
        }
        4..6 => SpaceEvent::render_completed(space_id, document_id, hash(random)),
        6..8 => {
            let name = format!("variable-{}", random.u8(0..40));
            SpaceEvent::variable_set(space_id, name, words(random, 90))
        }
        _ => {
            let path = format!("/{}/{document_id}.md", words(random, 30));
            SpaceEvent::document_added(space_id, document_id, path)
        }
    };
    let event = event.with_source("editor");
    let id = EventId::from_bytes(random.u128(..).to_be_bytes());
    if random.bool() { event.with_correlation_id(id.to_string()) } else { event }
}

fn hash(random: &mut fastrand::Rng) -> String {
    format!("{:032x}{:032x}", random.u128(..), random.u128(..))
}

fn words(random: &mut fastrand::Rng, len: usize) -> String {
    let words = ["chapter-", "draft-", "figure-", "glossary-", "margin-", "note-", "river-"];
    let mut text = String::new();
    while text.len() < len {
        text.push_str(random.choice(words).unwrap_or_default());
    }
    text
}
