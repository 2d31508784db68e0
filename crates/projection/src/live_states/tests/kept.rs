//! States that another build has kept.

use spacefold_event_core::{EventId, Presence};

use super::*;
use crate::checkpoint::MARKER_KEY;

/// What a build that kept version 1 left of [`history`].
const MARKER_1: &str = "010000000100000000000000060000000000000001000000000000000606060606060606\
     060606060606060680ad7ee5c3790300b379f57a348048e9f2f0afb19f3e467ba6bc8d55f627d5255c245e551d1f53\
     6d";
const BLOB_1: &str = "010000000600000000000000010100000000000000730101000000000000005301060000000000\
     0000406232e5c379030080ad7ee5c379030000000000000000000100000000000000010000000000000064020000000\
     00000002f650101000000000000006800000000000000000200000000000000060000000000000000000000000000000\
     000000000000000010000000000000001010000000000000064020103000000000000006f7574000500000000000000\
     000000000000000000000000000000000000000000000000000000000000000000007e128396d98c543b3b635869b93\
     22759d01948d37119d6fee508710c28c6bacb";
/// The hash that build gave the state.
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

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn what_an_older_build_has_kept_is_made_anew_and_hashes_as_it_did() {
    let log = log_of(history());
    let store = Arc::new(MemoryStateStore::new());
    store.put(MARKER_KEY, &bytes_of(MARKER_1)).unwrap();
    store.put(&blob_key(1, "s"), &bytes_of(BLOB_1)).unwrap();
    let states = over(&log, &store);
    assert_eq!(states.checkpoints().unwrap()[0].position, Position::START, "it is believed");
    agree(&states, &log);
    let snapshot = states.snapshot("s").unwrap();
    assert!(!snapshot.needs_render("d"));
    assert_eq!(snapshot.state_hash().to_string(), HASH);
    states.save().unwrap();
    let keys: Vec<_> = contents(&*store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [MARKER_KEY.to_vec(), blob_key(2, "s")], "the older set is gone");
    let again = over(&log, &store);
    assert_eq!(again.checkpoints().unwrap()[0].position, at(6));
    assert!(!again.snapshot("s").unwrap().needs_render("d"));
    agree(&again, &log);
}
