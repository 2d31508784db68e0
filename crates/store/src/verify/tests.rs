use spacefold_event_core::{Append, EventLog as _, SpaceEvent};

use super::*;
use crate::StoreOptions;

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
fn an_append_that_begins_in_a_sealed_file_and_ends_behind_it_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // Few and long journal files: none is given up before there are 8 MiB of blocks.
    let options = StoreOptions::default().journal_file_bytes(64 << 20);
    let log = EmbeddedLog::open_with(&path, &options).unwrap();
    // Each event fills a block of its own; 8 MiB of them make a sealed file, which ends within an
    // append.
    for append in 0..12_u32 {
        let event = |index: u32| {
            let text = noise(append * 17 + index, 60_000);
            SpaceEvent::variable_set("handbook", format!("v-{index}"), text)
        };
        let events: Vec<_> = (0..17).map(event).collect();
        log.append(&Append::new(&events)).unwrap();
    }
    log.close().unwrap();
    let store_id = HeadFile::open(&path.join("HEAD"), &path).unwrap().head().store_id;
    let sealed_through = SealedFiles::open(&Folder::new(&path), store_id).unwrap().end();
    assert!(
        sealed_through.get() > 0 && !sealed_through.get().is_multiple_of(17),
        "{sealed_through}"
    );
    let report = verify(&path, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}
