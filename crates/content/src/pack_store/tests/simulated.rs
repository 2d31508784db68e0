//! Content on a simulated disk: puts, syncs, collections and openings, in which any call fails or
//! is the last one before the power goes, and what may be left of it afterwards.
//!
//! `SPACEFOLD_DISK_STATES` and `SPACEFOLD_DISK_SEED` make it another size, or the same again.

use std::{collections::BTreeSet, env, fmt::Display, path::Path, sync::Arc};

use spacefold_disk::{
    SimDisk,
    sim::{Fault, Kept, Lie},
};

use super::{ContentHash, ContentReport, HashSet, OpenContentError, PackStore, Rng, SMALL, noise};
use crate::verify::verify_on;
use spacefold_event_core::ContentStore as _;

const STORE: &str = "/content";
/// Contents that a history puts, again and again.
const CONTENTS: usize = 20;
/// Sessions of a history: each ends with a look at what may be left, and goes on from there.
const SESSIONS: usize = 4;
/// Disks that are looked at unless told otherwise.
const STATES: u64 = 2_000;

type Outcome<T = ()> = Result<T, String>;

/// What happened in a session, all of which follows from the seed.
type Trace = (u64, Option<&'static str>, BTreeSet<usize>);

/// A history of a store.
struct History {
    rng: Rng,
    contents: Vec<Vec<u8>>,
    lie: Option<Lie>,
    disk: SimDisk,
    /// The call that fails in this session, and how.
    fault: Option<(u64, Fault)>,
    /// Contents that were acknowledged, and that no collection was free to remove.
    known: BTreeSet<usize>,
    /// Disks that were looked at.
    states: u64,
    trace: Vec<Trace>,
}

impl History {
    fn new(seed: u64, lie: Option<Lie>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let content = |_| {
            let bytes = match rng.u8(..8) {
                0 => 66_000..110_000,
                1..=3 => 4_000..30_000,
                _ => 0..2_000,
            };
            noise(rng.usize(bytes), rng.u64(..))
        };
        let contents = (0..CONTENTS).map(content).collect();
        let mut history = Self {
            rng,
            contents,
            lie,
            disk: SimDisk::default(),
            fault: None,
            known: BTreeSet::new(),
            states: 0,
            trace: Vec::new(),
        };
        history.go_on_with(SimDisk::default());
        history
    }

    fn run(&mut self) -> Outcome {
        for _ in 0..SESSIONS {
            self.plan_fault();
            self.session().map_err(|wrong| {
                let (calls, failed) = (self.disk.calls(), self.disk.failed_call());
                format!("{wrong} (planned {:?}, failed {failed:?}, call {calls})", self.fault)
            })?;
            self.trace.push((self.disk.calls(), self.disk.failed_call(), self.known.clone()));
        }
        Ok(())
    }

    /// Lets one of the next calls fail, early ones as often as late ones, or none.
    fn plan_fault(&mut self) {
        let most = 1 << self.rng.u32(1..9);
        let call = self.disk.calls() + self.rng.u64(1..=most);
        let fault = self.rng.choice(Fault::ALL).unwrap_or(Fault::PowerCut);
        self.fault = (self.rng.u8(..5) > 0).then_some((call, fault));
        // Calls count from 1. One that was to fail before and was not made does not fail any more.
        let (call, fault) = self.fault.unwrap_or((0, Fault::Broken));
        self.disk.fail_call(call, fault);
    }

    fn has_failed(&self) -> bool {
        self.fault.is_some_and(|(call, _)| self.disk.calls() >= call)
    }

    /// What a call came to; `None` of an error that something on the disk has led to.
    fn tolerate<T>(&self, doing: &str, result: Result<T, impl Display>) -> Outcome<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(_) if self.has_failed() => Ok(None),
            Err(error) => Err(format!("{doing}: {error}")),
        }
    }

    fn session(&mut self) -> Outcome {
        let mut store = self.tolerate("opening", open(&self.disk))?;
        if let Some(store) = &store {
            self.use_store(store)?;
        }
        if self.rng.bool() {
            store = None;
        }
        for kept in Kept::ALL {
            self.states += 1;
            let left = self.disk.after_power_cut(kept, &mut Rng::with_seed(self.rng.u64(..)));
            self.look_at(&left).map_err(|wrong| format!("{kept:?} kept: {wrong}"))?;
        }
        drop(store);
        let has_power = !matches!(self.fault, Some((_, Fault::PowerCut)));
        if !has_power || self.rng.bool() {
            let kept = self.rng.choice(Kept::ALL).unwrap_or(Kept::Nothing);
            let left = self.disk.after_power_cut(kept, &mut Rng::with_seed(self.rng.u64(..)));
            self.go_on_with(left);
        }
        Ok(())
    }

    fn go_on_with(&mut self, disk: SimDisk) {
        if let Some(lie) = self.lie {
            disk.lie(lie);
        }
        self.disk = disk;
    }

    fn use_store(&mut self, store: &PackStore) -> Outcome {
        // What the store was given, or has said to have, and not yet synced; and all of that.
        let (mut unsynced, mut here) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..self.rng.usize(1..24) {
            let number = self.rng.usize(..CONTENTS);
            match self.rng.u8(..12) {
                0..=5 => {
                    let put = store.put(&mut &*self.contents[number]);
                    if self.tolerate("put", put)?.is_some() {
                        unsynced.insert(number);
                        here.insert(number);
                    }
                }
                6..=7 => {
                    let synced = self.tolerate("sync", store.sync())?;
                    if synced.is_some() {
                        self.known.append(&mut unsynced);
                    }
                }
                8 => {
                    let needed: BTreeSet<usize> =
                        self.known.iter().copied().filter(|_| self.rng.u8(..3) > 0).collect();
                    self.known.retain(|number| needed.contains(number) || here.contains(number));
                    let collected = store.collect_garbage(&self.hashes(&needed));
                    self.tolerate("collect", collected)?;
                }
                9 => {
                    let said = store.contains(&self.hash(number));
                    if self.tolerate("contains", said)?.unwrap_or(false) {
                        self.read(store, number)?;
                        unsynced.insert(number);
                        here.insert(number);
                    }
                }
                _ if self.known.contains(&number) => self.read(store, number)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&self, store: &PackStore, number: usize) -> Outcome {
        match self.tolerate("get", store.get(&self.hash(number), u64::MAX))? {
            Some(found) if found != self.contents[number] => {
                Err(format!("content {number} is another"))
            }
            _ => Ok(()),
        }
    }

    /// Looks at a disk after the power came back: nothing is damaged, everything that is known is
    /// there, what is said to be there is, and a collection leaves what is needed and nothing else.
    fn look_at(&self, disk: &SimDisk) -> Outcome {
        verified(disk)?;
        let store = open(disk).map_err(|error| format!("it does not open: {error}"))?;
        for number in 0..CONTENTS {
            let hash = self.hash(number);
            let said = store.contains(&hash).map_err(|error| format!("contains: {error}"))?;
            match store.get(&hash, u64::MAX) {
                Ok(found) if found != self.contents[number] => {
                    return Err(format!("content {number} is another"));
                }
                Ok(_) if said => {}
                Err(_) if !said && !self.known.contains(&number) => {}
                found => {
                    let is_known = self.known.contains(&number);
                    return Err(format!(
                        "content {number}, known: {is_known}, said to be there: {said}, read: {:?}",
                        found.map(|bytes| bytes.len())
                    ));
                }
            }
        }
        drop(store);
        let store = open(disk).map_err(|error| format!("it does not open again: {error}"))?;
        let collected = store.collect_garbage(&self.hashes(&self.known));
        collected.map_err(|error| format!("it does not collect: {error}"))?;
        drop(store);
        let report = verified(disk)?;
        let is_sound = |number: usize| report.is_sound(&self.hash(number));
        match (0..CONTENTS).find(|number| is_sound(*number) != self.known.contains(number)) {
            Some(number) if is_sound(number) => Err(format!("content {number} was not collected")),
            Some(number) => Err(format!("content {number} was collected")),
            None if report.incomplete.is_empty() => Ok(()),
            None => Err(format!("a collection leaves parts: {:?}", report.incomplete)),
        }
    }

    fn hash(&self, number: usize) -> ContentHash {
        ContentHash::of(&self.contents[number])
    }

    fn hashes(&self, numbers: &BTreeSet<usize>) -> HashSet<ContentHash> {
        numbers.iter().map(|number| self.hash(*number)).collect()
    }
}

fn open(disk: &SimDisk) -> Result<PackStore, OpenContentError> {
    PackStore::prepare_on(Arc::new(disk.clone()), Path::new(STORE))?.open(SMALL, None)
}

fn verified(disk: &SimDisk) -> Outcome<ContentReport> {
    let report = verify_on(Arc::new(disk.clone()), Path::new(STORE));
    let report = report.map_err(|error| format!("verify: {error}"))?;
    match report.problems.first() {
        Some(problem) => Err(format!("verify finds damage: {problem:?}")),
        None => Ok(report),
    }
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The seeds of histories.
fn seeds() -> impl Iterator<Item = u64> {
    let first = setting("SPACEFOLD_DISK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SPACEFOLD_DISK_SEED={first}");
    std::iter::successors(Some(first), |seed| Some(seed.wrapping_add(1)))
}

#[test]
fn what_was_acknowledged_is_on_every_disk_that_may_be_left_and_nothing_is_damaged() {
    let wanted = setting("SPACEFOLD_DISK_STATES").unwrap_or(STATES);
    let (mut states, mut known) = (0, 0);
    for seed in seeds() {
        let mut history = History::new(seed, None);
        if let Err(wrong) = history.run() {
            panic!("SPACEFOLD_DISK_SEED={seed}: {wrong}");
        }
        states += history.states;
        known += history.known.len();
        if states >= wanted {
            break;
        }
    }
    assert!(known > 0, "nothing was ever acknowledged");
    println!("{states} disks");
}

/// A session that puts a content, on a disk of which one call fails; whether that was acknowledged,
/// and the store, which is still open.
fn put_while_failing(
    disk: &SimDisk,
    call: u64,
    content: &[u8],
    tries: usize,
) -> (bool, Option<PackStore>) {
    disk.fail_call(disk.calls() + call, Fault::Broken);
    let Ok(store) = open(disk) else { return (false, None) };
    let put = |_| store.put(&mut &*content).and_then(|_| store.sync()).is_ok();
    ((0..tries).any(put), Some(store))
}

#[test]
fn calls_that_fail_in_two_sessions_lose_nothing_that_was_acknowledged_in_them() {
    let contents = [noise(100, 1), noise(200, 2)];
    let (mut acknowledged, mut rng) = (0, Rng::with_seed(1));
    let calls = (1..32).flat_map(|first| (1..32).map(move |second| [first, second]));
    for (calls, tries) in calls.flat_map(|calls| [(calls, 1), (calls, 2)]) {
        let disk = SimDisk::default();
        let (first, closed) = put_while_failing(&disk, calls[0], &contents[0], tries);
        drop(closed);
        let (second, _open) = put_while_failing(&disk, calls[1], &contents[1], 2);
        let known = [first, second];
        let kept = [Kept::Nothing, Kept::Everything].into_iter().chain([Kept::Subset; 4]);
        for kept in kept {
            let said = || format!("calls {calls:?} fail, {tries} tries, {kept:?} kept");
            let left = disk.after_power_cut(kept, &mut rng);
            verified(&left).unwrap_or_else(|wrong| panic!("{}: {wrong}", said()));
            let store = open(&left).unwrap();
            for (content, _) in contents.iter().zip(known).filter(|(_, known)| *known) {
                let found = store.get(&ContentHash::of(content), u64::MAX);
                assert!(found.is_ok_and(|found| found == *content), "{}", said());
                acknowledged += 1;
            }
        }
    }
    assert!(acknowledged > 10_000, "{acknowledged}");
}

#[test]
fn a_disk_that_does_not_do_what_it_says_is_found_out() {
    for lie in [Lie::SkipsSyncs, Lie::ForgetsLastSector] {
        let first = seeds().next().unwrap();
        let found =
            (0..100).any(|at| History::new(first.wrapping_add(at), Some(lie)).run().is_err());
        assert!(found, "{lie:?} is not noticed, SPACEFOLD_DISK_SEED={first}");
    }
}

#[test]
fn a_history_follows_from_its_seed() {
    let trace = |seed| {
        let mut history = History::new(seed, None);
        history.run().unwrap_or_else(|wrong| panic!("SPACEFOLD_DISK_SEED={seed}: {wrong}"));
        history.trace
    };
    for seed in seeds().take(20) {
        assert_eq!(trace(seed), trace(seed), "SPACEFOLD_DISK_SEED={seed}");
    }
}
