//! What a command costs beside the bare append of its event.
//!
//! ```text
//! cargo bench -p spacefold-benches --bench service
//! ```
//!
//! The two take turns, so that they ran in the same moments; the medians are what counts, and their
//! difference is the cost of the service. In the stores that sync in the background that cost can be
//! seen; beside an fdatasync it cannot. A plain `cargo test` runs everything at a size that says
//! nothing.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]
#![allow(clippy::indexing_slicing, reason = "a bench that fails may panic")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use spacefold_event_core::{
    AppendCondition, AppendRequest, EventLog, MemoryLog, Revision, SpaceEvent,
};
use spacefold_projection::{DerivedState, LiveStates};
use spacefold_service::SpaceService;
use spacefold_store::{Durability, EmbeddedLog, StoreOptions};

/// The space that is commanded, and the one that is appended to.
const COMMANDED: &str = "commanded";
const BARE: &str = "bare";

fn main() {
    let is_full = std::env::args().any(|argument| argument == "--bench");
    let (documents, turns) = if is_full { ([10, 100_000], 20_000) } else { ([3, 50], 20) };
    println!(
        "{:42} {:>10} {:>10} {:>10}",
        "median of one command, µs", "append", "command", "more"
    );
    for documents in documents {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        measure(&format!("in memory, {documents} documents"), &log, documents, turns);
        for (name, durability, turns) in [
            ("store, synced every second", Durability::Interval(Duration::from_secs(1)), turns),
            ("store, synced each time", Durability::Sync, turns / 10),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let options = StoreOptions::default().durability(durability);
            let store = EmbeddedLog::open_with(folder.path().join("store"), &options).unwrap();
            let log: Arc<dyn EventLog> = Arc::new(store.clone());
            measure(&format!("{name}, {documents} documents"), &log, documents, turns);
            drop(log);
            store.close().unwrap();
        }
    }
}

/// Measures commands that give documents other content, and the bare appends of like events.
fn measure(name: &str, log: &Arc<dyn EventLog>, documents: usize, turns: usize) {
    for space_id in [COMMANDED, BARE] {
        fill(&**log, space_id, documents);
    }
    log.wait_durable(log.head(), Duration::from_secs(60)).unwrap();
    let states = LiveStates::new(log.clone(), DerivedState::in_memory());
    let service = SpaceService::new(Arc::clone(log), Arc::new(states));
    // Warm: the state is known.
    service.set_variable(COMMANDED, "warm", true).unwrap();
    let mut revision = log.revision(BARE).unwrap();
    let (mut appends, mut commands, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns {
        let document_id = format!("document-{}", fastrand::usize(..documents));
        let hash = format!("{turn:064x}");
        let event = SpaceEvent::document_content_changed(
            BARE,
            document_id.as_str(),
            None::<String>,
            hash.as_str(),
        );
        appends.push(timed(|| append(&**log, event, revision)));
        revision = revision.next();
        let set = || service.set_content_hash(COMMANDED, document_id.as_str(), hash.as_str());
        commands.push(timed(|| assert!(!black_box(set()).unwrap().is_unchanged())));
        quiet.push(timed(|| assert!(black_box(set()).unwrap().is_unchanged())));
    }
    let [append, command, quiet] = [appends, commands, quiet].map(median);
    let more = command - append;
    println!("{name:42} {append:>10.2} {command:>10.2} {more:>10.2}   (unchanged: {quiet:.2})");
}

fn append(log: &dyn EventLog, event: SpaceEvent, revision: Revision) {
    let condition = AppendCondition::exact(BARE, revision);
    black_box(log.append(&AppendRequest::new(&[event]).on(condition))).unwrap();
}

fn fill(log: &dyn EventLog, space_id: &str, documents: usize) {
    let created = [SpaceEvent::space_created(space_id, space_id)];
    log.append(&AppendRequest::new(&created)).unwrap();
    let added: Vec<SpaceEvent> = (0..documents)
        .map(|n| SpaceEvent::document_added(space_id, format!("document-{n}"), format!("/{n}.md")))
        .collect();
    for added in added.chunks(1_024) {
        log.append(&AppendRequest::new(added)).unwrap();
    }
}

/// How many µs it takes.
fn timed(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64() * 1e6
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
