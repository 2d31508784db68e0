use spacefold_disk::MemoryDisk;
use spacefold_event_core::{
    AppendRequest, EventLog, LogReader, LogWriter, MemoryLog, Position, SpaceEvent,
};
use spacefold_objects::FolderStorage;

use super::*;
use crate::{BlockDamage, ReplicatedLog, ReplicatedOpenError, ReplicatedOptions};

fn storage() -> Arc<dyn ObjectStorage> {
    Arc::new(FolderStorage::on(Arc::new(MemoryDisk::default()), "/objects"))
}

fn blocks(storage: &Arc<dyn ObjectStorage>) -> ObjectBlocks {
    ObjectBlocks::open(Arc::clone(storage)).unwrap().poll_every(Duration::from_millis(1))
}

fn put(blocks: &ObjectBlocks, place: u64, bytes: &[u8]) -> PutOutcome {
    let (say, heard) = std::sync::mpsc::channel();
    let answer = PutAnswer::new(move |outcome| say.send(outcome).unwrap());
    blocks.put_if_absent(place, bytes.into(), answer);
    heard.recv().unwrap()
}

#[test]
fn a_place_is_taken_once() {
    let storage = storage();
    let (one, other) = (blocks(&storage), blocks(&storage));
    assert_eq!((one.head_hint().unwrap(), one.get(1).unwrap().len()), (0, 0));
    assert_eq!(put(&one, 1, b"first"), PutOutcome::Landed);
    assert_eq!(put(&other, 1, b"second"), PutOutcome::Refused);
    assert_eq!(&*other.get(1).unwrap()[0], b"first");
    assert_eq!(other.head_hint().unwrap(), 1);
}

#[test]
fn blocks_are_read_over_folders_and_the_head_is_found_from_anywhere() {
    let storage = storage();
    let one = blocks(&storage);
    for place in 1..=2_000 {
        assert_eq!(put(&one, place, &place.to_le_bytes()), PutOutcome::Landed);
        if [998, 999, 1_000, 1_999, 2_000].contains(&place) {
            assert_eq!(blocks(&storage).head_hint().unwrap(), place);
        }
    }
    let (mut next, other) = (1_u64, blocks(&storage));
    loop {
        let blocks = other.get(next).unwrap();
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            assert_eq!(*block, next.to_le_bytes());
            next += 1;
        }
    }
    assert_eq!(next, 2_001);
    assert_eq!(put(&one, MAX_PLACE + 1, b"beyond"), PutOutcome::Refused);
}

#[test]
fn an_object_that_is_gone_is_damage() {
    let storage = storage();
    let options = || ReplicatedOptions::default().damage_after(Duration::ZERO);
    let own = Arc::new(MemoryLog::new());
    let log = ReplicatedLog::open(blocks(&storage), own, options()).unwrap();
    for n in 0..3_u64 {
        log.append(&AppendRequest::new(&[SpaceEvent::variable_set("a", "n", n)])).unwrap();
    }
    log.close();
    storage.remove(&[key_of(3).unwrap()]).unwrap();
    let own: Arc<MemoryLog> = Arc::new(MemoryLog::new());
    let opened = ReplicatedLog::open(
        blocks(&storage),
        Arc::clone(&own) as Arc<dyn EventLog>,
        options().open_timeout(Duration::from_millis(50)),
    );
    assert!(
        matches!(
            opened,
            Err(ReplicatedOpenError::Damaged { cause: BlockDamage::Missing { place: 3, .. }, .. })
        ),
        "{opened:?}"
    );
    assert_eq!(own.head(), Position::new(1), "something was taken in beyond it");
}
