//! States that another build has kept.

use spacefold_event_core::{EventId, Presence};

use super::*;
use crate::{checkpoint::Checkpoint, kept_states::Marker, testing::NO_EFFECTS};

/// The hash that a build of version 1 gave the state.
const HASH: &str = "8683227a8f71e098e67809cc929203dfaa97577a3b37a65813fb9a8ccf00d355";

/// A document that was rendered, and moved since.
fn history() -> impl Iterator<Item = SpaceEvent> {
    let events = [
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_content_changed("s", "d", Presence::Absent, "h"),
        SpaceEvent::render_started("s", "d"),
        SpaceEvent::render_completed("s", "d", "out"),
        SpaceEvent::document_moved("s", "d", "/d", "/e"),
    ];
    let ids = (1..).map(|number| EventId::from_bytes([number; 16]));
    events.into_iter().zip(ids).map(|(event, id)| event.with_event_id(id))
}

#[test]
fn what_an_older_build_has_kept_is_made_anew_and_hashes_as_it_did() {
    let log = log_of(history());
    let disk = MemoryDisk::new();
    let older = over(&log, &disk);
    older.catch_up().unwrap();
    older.save().unwrap();
    let (mut kept, marker) = persisted_states(&disk.root());
    let version = marker.checkpoint.version - 1;
    let checkpoint = Checkpoint { version, ..marker.checkpoint };
    kept.write([&SpaceState::new("s")], &NO_EFFECTS, &Marker { checkpoint, ..marker }.encode())
        .unwrap();
    let states = over(&log, &disk);
    assert_eq!(states.checkpoints().unwrap()[0].position, Position::START, "it is believed");
    agree(&states, &log);
    let snapshot = states.snapshot("s").unwrap();
    assert!(!snapshot.needs_render("d"));
    assert_eq!(snapshot.state_hash().to_string(), HASH);
    states.save().unwrap();
    assert_eq!(generations(&disk.root(), "space-state"), ["2"], "the older set is gone");
    let again = over(&log, &disk);
    assert_eq!(again.checkpoints().unwrap()[0].position, at(6));
    assert!(!again.snapshot("s").unwrap().needs_render("d"));
    agree(&again, &log);
}
