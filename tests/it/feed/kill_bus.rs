//! A durable bus in a process that is killed while it runs.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use spacefold::{
    EventBus, Options, Position, SpaceEvent, Spacefold, StorageError, Subscription,
    bus::{BusOptions, Handler},
    log::{AppendRequest, EmbeddedLog, LogWriter},
    subscribe::{Feed, PlaceFile, PlaceStore},
};

use crate::bus::LONG;

const FOLDER: &str = "SPACEFOLD_BUS_KILLED_IN";
const BY: &str = "SPACEFOLD_BUS_SYNCED_BY";
const NAME: &str = "mail";
const EVENTS: u64 = 201;

/// The places of a feed, which say when they were synced, and how many places were put before.
struct Noted {
    places: PlaceFile,
    puts: AtomicU64,
}

impl PlaceStore for Noted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.places.get(key)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.places.put(key, value)?;
        self.puts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.places.remove(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        self.places.keys(prefix)
    }

    fn sync(&self) -> Result<(), StorageError> {
        let puts = self.puts.load(Ordering::SeqCst);
        self.places.sync()?;
        println!("synced {puts}");
        Ok(())
    }
}

fn open(feed: &Feed, calls: &Arc<AtomicU64>) -> EventBus {
    let bus = EventBus::durable(feed, NAME, &Subscription::from_start(), BusOptions::new());
    let (bus, calls) = (bus.unwrap(), Arc::clone(calls));
    let count = Handler::new(move |_| {
        calls.fetch_add(1, Ordering::SeqCst);
    });
    bus.register(count.named("count")).unwrap();
    bus.start().unwrap();
    bus
}

/// Handles all events, and waits until the place says so.
fn handle_all(feed: &Feed) -> EventBus {
    let head = Position::new(EVENTS);
    let bus = open(feed, &Arc::default());
    assert_eq!(bus.wait_handled(head, LONG).unwrap(), head);
    let place = || feed.durable_subscriptions().unwrap()[0].position;
    while place() != Some(head) {
        std::thread::yield_now();
    }
    bus
}

fn activated() -> Vec<SpaceEvent> {
    (0..EVENTS).map(|n| SpaceEvent::space_activated(format!("s{}", n % 7))).collect()
}

/// What is synced by itself, within the second that is the default.
fn by_itself(path: &Path) -> ! {
    let log = EmbeddedLog::open(path).unwrap();
    log.append(&AppendRequest::new(&activated())).unwrap();
    let places = PlaceFile::in_folder(log.subscriptions_folder());
    let store = Arc::new(Noted { places, puts: AtomicU64::new(0) });
    let feed = Feed::kept_in(Arc::new(log), store.clone());
    let _bus = handle_all(&feed);
    println!("kept {}", store.puts.load(Ordering::SeqCst));
    wait_for_the_end();
}

/// What is synced when it is told to.
fn told(path: &Path, sync: impl FnOnce(&Spacefold, &EventBus)) -> ! {
    let spaces = Options::new(path).sync_places_within(LONG).open().unwrap();
    spaces.append(activated()).unwrap();
    let bus = handle_all(spaces.feed());
    sync(&spaces, &bus);
    println!("kept 0\nsynced 0");
    wait_for_the_end();
}

/// Waits to be killed; whoever does not kill it in time waits for what does not come.
fn wait_for_the_end() -> ! {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        std::thread::park_timeout(LONG);
    }
    std::process::abort();
}

/// The process that is killed. Does nothing unless the test below runs it, in a process of its own.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let folder = PathBuf::from(folder);
    match std::env::var(BY).as_deref() {
        Ok("save") => told(&folder, |spaces, _| spaces.save().unwrap()),
        Ok("bus") => told(&folder, |_, bus| bus.sync().unwrap()),
        Ok("feed") => told(&folder, |spaces, _| spaces.feed().sync().unwrap()),
        _ => by_itself(&folder),
    }
}

#[test]
fn what_a_bus_has_handled_is_not_handled_again_after_a_kill() {
    for by in ["itself", "save", "bus", "feed"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "feed::kill_bus::child", "--nocapture"])
            .env(FOLDER, &path)
            .env(BY, by)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut kept, mut synced) = (None, None);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            let number = |what: &str| line.rsplit_once(what)?.1.parse::<u64>().ok();
            kept = number("kept ").or(kept);
            synced = number("synced ").or(synced);
            if kept.is_some() && synced >= kept {
                break;
            }
        }
        assert!(kept.is_some() && synced >= kept, "by {by}: {kept:?} kept, {synced:?} synced");
        // SIGKILL: nothing of the process runs any more.
        child.kill().unwrap();
        child.wait().unwrap();

        let spaces = Spacefold::open_existing(&path).unwrap();
        let again = Arc::default();
        let bus = open(spaces.feed(), &again);
        let more = spaces.append([SpaceEvent::space_activated("s")]);
        let head = more.unwrap().last_position();
        assert_eq!(bus.wait_handled(head, Duration::from_secs(60)).unwrap(), head);
        bus.close();
        assert_eq!(again.load(Ordering::SeqCst), 1, "by {by}");
        spaces.close().unwrap();
    }
}
