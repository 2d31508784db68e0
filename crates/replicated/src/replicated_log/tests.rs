use std::sync::atomic::AtomicU64;

use spacefold_disk::{Disk, MemoryDisk};
use spacefold_event_core::{MemoryLog, SpaceEvent, StorageError};

use super::*;
use crate::{
    block_log::{BlockLogLimits, PutAnswer},
    error::ReplicatedOpenError,
    sim_blocks::SimBlocks,
};

const LIMITS: BlockLogLimits = BlockLogLimits { max_block_bytes: 1 << 20, max_in_flight: 4 };
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Blocks of which one is not given, though the backend says that it is there.
#[derive(Clone, Debug)]
struct Hiding {
    inner: SimBlocks,
    hidden: Arc<AtomicU64>,
}

impl BlockLog for Hiding {
    fn name(&self) -> String {
        "hiding blocks".to_owned()
    }

    fn limits(&self) -> BlockLogLimits {
        LIMITS
    }

    fn put_if_absent(&self, place: u64, block: Arc<[u8]>, answer: PutAnswer) {
        self.inner.put_if_absent(place, block, answer);
    }

    fn get(&self, from: u64) -> Result<Vec<Arc<[u8]>>, StorageError> {
        let mut blocks = self.inner.get(from)?;
        let hidden = self.hidden.load(Ordering::SeqCst);
        if hidden >= from {
            blocks.truncate(usize::try_from(hidden - from).unwrap());
        }
        Ok(blocks)
    }

    fn head_hint(&self) -> Result<u64, StorageError> {
        self.inner.head_hint()
    }

    fn wait_for(&self, place: u64, timeout: Duration) {
        self.inner.wait_for(place, timeout);
    }
}

fn calm() -> SimBlocks {
    let blocks = SimBlocks::new(fastrand::u64(..), LIMITS);
    blocks.calm();
    blocks
}

fn options() -> ReplicatedOptions {
    ReplicatedOptions::default().damage_after(SHORT).append_timeout(SHORT * 10)
}

fn open<B: BlockLog>(blocks: &(impl Fn() -> B + ?Sized)) -> ReplicatedLog<B> {
    ReplicatedLog::open(blocks(), Arc::new(MemoryLog::new()), options()).unwrap()
}

fn append<B: BlockLog>(log: &ReplicatedLog<B>, n: u64) -> Result<Receipt, AppendError> {
    log.append(&AppendRequest::new(&[SpaceEvent::variable_set("a", "n", n)]))
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what} has not come");
        thread::yield_now();
    }
}

#[test]
fn a_block_that_is_not_given_is_damage_and_never_absence() {
    let inner = calm();
    let writer = open(&|| inner.clone());
    let hidden = Arc::new(AtomicU64::new(0));
    let hiding = || Hiding { inner: inner.clone(), hidden: Arc::clone(&hidden) };
    let reader = open(&hiding);
    append(&writer, 1).unwrap();
    reader.wait_durable(Position::new(1), LONG).unwrap();
    let place = writer.blocks_read() + 1;
    hidden.store(place, Ordering::SeqCst);
    append(&writer, 2).unwrap();
    append(&writer, 3).unwrap();
    until(
        "the damage",
        || matches!(reader.damage(), Some(BlockDamage::Missing { place: found, .. }) if found == place),
    );
    assert_eq!(reader.durable_head(), Position::new(1), "something was taken in beyond it");
    let refused = append(&reader, 4).unwrap_err();
    assert!(refused.to_string().contains("damaged"), "{refused}");
    let again = ReplicatedLog::open(
        hiding(),
        Arc::new(MemoryLog::new()),
        options().open_timeout(SHORT * 4),
    );
    assert!(
        matches!(
            again,
            Err(ReplicatedOpenError::Damaged { cause: BlockDamage::Missing { .. }, .. })
        ),
        "{again:?}"
    );
    // Another replica has it.
    hidden.store(0, Ordering::SeqCst);
    reader.wait_durable(Position::new(3), LONG).unwrap();
    until("the cure", || reader.damage().is_none());
    assert_eq!(append(&reader, 5).unwrap().last_position(), Position::new(4));
}

#[test]
fn several_writers_come_to_one_log() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let blocks = SimBlocks::new(seed, LIMITS);
    let logs: Vec<_> = (0..3)
        .map(|_| {
            let own = Arc::new(MemoryLog::new());
            ReplicatedLog::open(blocks.clone(), own, ReplicatedOptions::default()).unwrap()
        })
        .collect();
    thread::scope(|scope| {
        for (of, log) in (0..).zip(&logs) {
            scope.spawn(move || {
                for n in 0..30 {
                    let receipt = append(log, of * 1_000 + n).unwrap();
                    assert!(
                        log.durable_head() >= receipt.last_position(),
                        "an own write is not read"
                    );
                }
            });
        }
    });
    let ends: Vec<_> = logs
        .iter()
        .map(|log| {
            log.wait_durable(Position::new(90), LONG).unwrap();
            assert_eq!(log.head(), Position::new(90));
            let page = log.read(&ReadRequest::from(Position::new(1))).unwrap();
            page.envelopes().map(|event| event.event_id).collect::<Vec<_>>()
        })
        .collect();
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(logs.windows(2).all(|pair| pair[0].identity() == pair[1].identity()));
}

#[test]
fn a_log_that_holds_other_events_is_refused() {
    let blocks = calm();
    append(&open(&|| blocks.clone()), 1).unwrap();
    let other = Arc::new(MemoryLog::new());
    other.append(&AppendRequest::new(&[SpaceEvent::variable_set("z", "n", 1_u64)])).unwrap();
    let opened = ReplicatedLog::open(
        blocks.clone(),
        Arc::clone(&other) as Arc<dyn EventLog>,
        options().open_timeout(SHORT * 4),
    );
    assert!(
        matches!(
            opened,
            Err(ReplicatedOpenError::Damaged { cause: BlockDamage::Divergent { .. }, .. })
        ),
        "{opened:?}"
    );
    // One that has events beyond the blocks is none of theirs either.
    let empty = ReplicatedLog::open(calm(), other, options().open_timeout(SHORT * 4));
    assert!(matches!(empty, Err(ReplicatedOpenError::Damaged { .. })), "{empty:?}");
}

#[test]
fn a_closed_log_takes_nothing() {
    let log = open(&calm);
    append(&log, 1).unwrap();
    log.close();
    assert!(matches!(append(&log, 2), Err(AppendError::Closed)));
}

#[test]
fn a_bookmark_is_read_again_and_nonsense_is_none() {
    let folder = || {
        let disk = MemoryDisk::default();
        disk.create_folders(std::path::Path::new("/replica")).unwrap();
        disk.folder(std::path::Path::new("/replica")).unwrap().unwrap()
    };
    let folder = folder();
    assert!(bookmark::read(&folder).unwrap().is_none());
    let (blocks, own) = (calm(), Arc::new(MemoryLog::new()));
    let open = |options: ReplicatedOptions| {
        let own = Arc::clone(&own) as Arc<dyn EventLog>;
        ReplicatedLog::open(blocks.clone(), own, options).unwrap()
    };
    let log = open(options().bookmark_in(Arc::clone(&folder)));
    append(&log, 1).unwrap();
    log.close();
    let tail = bookmark::read(&folder).unwrap().unwrap();
    assert_eq!((tail.next, tail.head), (log.blocks_read() + 1, Position::new(1)));
    assert_eq!(tail.identity, Some(log.identity()));
    let log = open(options().bookmark_in(Arc::clone(&folder)));
    assert_eq!(append(&log, 2).unwrap().last_position(), Position::new(2));
    log.close();
    spacefold_disk::NewFile::replace(&folder, "replica", b"nonsense").unwrap();
    assert!(bookmark::read(&folder).unwrap().is_none());
    let log = open(options().bookmark_in(Arc::clone(&folder)));
    assert_eq!(append(&log, 3).unwrap().last_position(), Position::new(3));
}
