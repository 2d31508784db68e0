use spacefold_event_core::{AppendRequest, LogWriter as _, SpaceEvent};

use super::*;

/// Text that does not compress, another for each number.
fn noise(number: u32, len: usize) -> String {
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b'0' + u8::try_from(state >> 26).unwrap())
    };
    (0..len).map(letter).collect()
}

#[test]
fn an_append_that_begins_in_a_segment_and_ends_behind_it_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    // Three events fill a block, and the sixteenth of an append shares one with the next append:
    // wherever a segment ends, it is within an append.
    for append in 0..40_u32 {
        let event = |index: u32| {
            let text = noise(append * 16 + index, 20_000);
            SpaceEvent::variable_set("handbook", format!("v-{index}"), text)
        };
        let events: Vec<_> = (0..16).map(event).collect();
        log.append(&AppendRequest::new(&events)).unwrap();
    }
    log.close().unwrap();
    let store_id = HeadFile::open(&StoreFolder::at(&path)).unwrap().head().store_id;
    let sealed_through = Segments::open(&StoreFolder::at(&path), store_id).unwrap().end();
    assert!(
        sealed_through.get() > 0 && !sealed_through.get().is_multiple_of(16),
        "{sealed_through}"
    );
    let report = verify(&path, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}
