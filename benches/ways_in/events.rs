//! JSON lines in and out, beside bulk appends and a replay of the same events.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read as _, Write as _},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use spacefold::{Folding, Options, Spacefold, admin::ImportOptions};
use spacefold_event_core::{
    AppendRequest, EventId, JsonReader, LogReader, LogWriter, MAX_APPEND_EVENTS, Position,
    ReadRequest, SpaceEvent, Timestamp,
};
use spacefold_store::EmbeddedLog;

use crate::{Bench, measure::run};

/// The history of a book, whose events come again under new ids until there are enough.
const BOOK: &[u8] = include_bytes!("../../tests/fixtures/book.jsonl.gz");
/// Microseconds between two events.
const PACE: i64 = 150_000_000;

pub(crate) fn import_row(bench: &Bench) {
    let (lines, store) = (bench.folder.join("events.jsonl"), bench.folder.join("store"));
    write_lines(&lines, bench.events);
    let bytes = lines.metadata().unwrap().len() / bench.events;
    println!("\n## Import of JSON lines, {} events of {bytes} bytes\n", bench.events);
    let child = |what: &str| {
        bench.forget(&store);
        run(bench.child(what).arg(&lines).arg(&store).arg(bench.events.to_string()));
    };
    bench.compare(
        ("event", bench.events as f64),
        &mut [
            ("bulk append", &mut || child("bulk")),
            ("import of the library", &mut || child("import")),
            ("the same, states folded", &mut || child("import-live")),
            ("`spacefold import`", &mut || {
                bench.forget(&store);
                run(bench.spacefold(&store).args(["import", "--json"]).arg(&lines));
            }),
        ],
    );
}

pub(crate) fn export_row(bench: &Bench) {
    let (lines, store) = (bench.folder.join("events.jsonl"), bench.folder.join("store"));
    bench.forget(&store);
    write_lines(&lines, bench.events);
    run(bench.child("bulk").arg(&lines).arg(&store).arg(bench.events.to_string()));
    println!("\n## Export of JSON lines, {} events\n", bench.events);
    bench.compare(
        ("event", bench.events as f64),
        &mut [
            ("replay", &mut || run(bench.child("replay").arg(&store))),
            ("`spacefold export`", &mut || run(bench.spacefold(&store).arg("export"))),
        ],
    );
}

/// A store of the book as it is.
pub(crate) fn import_book(bench: &Bench, store: &Path) {
    let lines = bench.folder.join("book.jsonl");
    let mut text = Vec::new();
    MultiGzDecoder::new(BOOK).read_to_end(&mut text).unwrap();
    fs::write(&lines, text).unwrap();
    run(bench.spacefold(store).args(["import", "--json"]).arg(&lines));
}

/// What a process of its own does.
pub(crate) fn child(arguments: &[&str]) {
    match arguments {
        ["bulk", _, store, events] => bulk(store, events.parse().unwrap()),
        ["import", lines, store, _] => import(lines, store, Folding::OnDemand),
        ["import-live", lines, store, _] => import(lines, store, Folding::Live),
        ["replay", store] => replay(store),
        _ => panic!("no such child: {arguments:?}"),
    }
}

fn bulk(store: &str, events: u64) {
    let mut source = Events::new();
    let log = EmbeddedLog::open(store).unwrap();
    let mut appended = 0;
    while appended < events {
        let count = usize::try_from(events - appended).unwrap().min(MAX_APPEND_EVENTS);
        let receipt = log.append(&AppendRequest::new(source.take(count))).unwrap();
        appended += receipt.count();
    }
    log.close().unwrap();
}

fn import(lines: &str, store: &str, folding: Folding) {
    let spaces = Options::new(store).folding(folding).open().unwrap();
    let input = BufReader::with_capacity(256 << 10, File::open(lines).unwrap());
    spaces.import(input, &ImportOptions::default(), &mut ()).unwrap();
    close(&spaces);
}

fn close(spaces: &Spacefold) {
    spaces.close().unwrap();
}

/// Decodes every event, and looks at what it borrows.
fn replay(store: &str) {
    let log = EmbeddedLog::open_existing(store).unwrap();
    let mut bytes = 0;
    let read = ReadRequest::from(Position::new(1)).limit(MAX_APPEND_EVENTS);
    for page in log.pages(read) {
        for event in page.unwrap().events() {
            let event = event.unwrap();
            bytes += event.space_id.len() + event.payload.extra().len();
        }
    }
    println!("{bytes}");
    log.close().unwrap();
}

fn write_lines(path: &Path, events: u64) {
    if path.exists() {
        return;
    }
    let mut source = Events::new();
    let mut out = BufWriter::new(File::create(path).unwrap());
    let mut left = usize::try_from(events).unwrap();
    while left > 0 {
        let count = left.min(MAX_APPEND_EVENTS);
        for event in source.take(count) {
            writeln!(out, "{}", event.to_json()).unwrap();
        }
        left -= count;
    }
    out.flush().unwrap();
}

/// The events of the book again and again, each under an id of its own and later than the one before.
struct Events {
    ready: Vec<SpaceEvent>,
    next: u64,
}

impl Events {
    fn new() -> Self {
        let mut text = String::new();
        MultiGzDecoder::new(BOOK).read_to_string(&mut text).unwrap();
        let read = |line: &str| JsonReader::default().read(line.as_bytes()).unwrap().event;
        Self { ready: text.lines().map(read).collect(), next: 0 }
    }

    /// The next events; where the rest of the book is shorter it begins anew.
    fn take(&mut self, count: usize) -> &[SpaceEvent] {
        let place = usize::try_from(self.next).unwrap() % self.ready.len();
        let start = if place + count > self.ready.len() { 0 } else { place };
        let events = self.ready.get_mut(start..start + count).unwrap();
        for event in &mut *events {
            event.event_id = event_id(self.next);
            *event = std::mem::replace(event, SpaceEvent::space_activated(""))
                .with_timestamp(timestamp(self.next));
            self.next += 1;
        }
        events
    }
}

/// A UUID of version 7, as programs draw them: the millisecond, a count inside of it, and bits that
/// look random.
fn event_id(number: u64) -> EventId {
    const VERSION: u128 = 7 << 76;
    const VARIANT: u128 = 2 << 62;
    let millis = u128::from(1_700_000_000_000 + number / 1_000);
    let count = u128::from(number % 1_000) << 64;
    let bits = u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2);
    EventId::from_bytes((millis << 80 | VERSION | count | VARIANT | bits).to_be_bytes())
}

fn timestamp(number: u64) -> Timestamp {
    const FIRST: i64 = 1_400_000_000_000_000;
    let micros = i64::try_from(number).unwrap() * PACE % (300_000_000 * 1_000_000);
    Timestamp::from_micros(FIRST + micros).unwrap()
}
