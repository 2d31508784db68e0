//! Content on a simulated disk: puts, syncs, collections and openings, in which any call fails or
//! is the last one before the power goes, and what may be left of it afterwards.
//!
//! The form of it, and what makes it longer, are in `sim/crash.rs` of disk.

mod followed;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use spacefold_disk::{
    Disk, Lie, SimDisk,
    sim::{
        Fault, Kept,
        crash::{self, CheckResult, Session, Subject},
    },
};

use super::{ContentHash, ContentReport, HashSet, OpenContentError, PackStore, Rng, SMALL, noise};
use crate::verify::verify_on;
use spacefold_event_core::{ContentStore as _, lock::Lock};

const STORE: &str = "/content";
/// Contents that a history puts, again and again.
const CONTENTS: usize = 20;
/// Disks that are looked at unless told otherwise.
const STATES: u64 = 2_000;

/// A content store through a history.
struct Contents {
    contents: Arc<Vec<Vec<u8>>>,
    /// Contents that were acknowledged, and that no collection was free to remove.
    known: Known,
}

/// Contents by their numbers, as whoever looks meanwhile knows them too.
type Known = Arc<Lock<BTreeSet<usize>>>;

impl Contents {
    fn draw(rng: &mut Rng) -> Self {
        let content = |_| {
            let bytes = match rng.u8(..8) {
                0 => 66_000..110_000,
                1..=3 => 4_000..30_000,
                _ => 0..2_000,
            };
            noise(rng.usize(bytes), rng.u64(..))
        };
        Self { contents: Arc::new((0..CONTENTS).map(content).collect()), known: Known::default() }
    }

    fn use_store(&mut self, store: &PackStore, session: &mut Session) -> CheckResult {
        // What the store was given, or has said to have, and not yet synced; and all of that.
        let (mut unsynced, mut here) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..session.rng.usize(1..24) {
            let number = session.rng.usize(..CONTENTS);
            match session.rng.u8(..12) {
                0..=5 => {
                    let put = store.put(&mut &*self.contents[number]);
                    if session.tolerate("put", put)?.is_some() {
                        unsynced.insert(number);
                        here.insert(number);
                    }
                }
                6..=7 => {
                    let synced = session.tolerate("sync", store.sync())?;
                    if synced.is_some() {
                        self.known.lock().append(&mut unsynced);
                    }
                }
                8 => {
                    let mut needed = self.known.lock().clone();
                    needed.retain(|_| session.rng.u8(..3) > 0);
                    let stays = |number: &usize| needed.contains(number) || here.contains(number);
                    self.known.lock().retain(stays);
                    let collected = store.collect_garbage(&self.hashes(&needed));
                    session.tolerate("collect", collected)?;
                }
                9 => {
                    let said = store.contains(&self.hash(number));
                    if session.tolerate("contains", said)?.unwrap_or(false) {
                        self.read(store, number, session)?;
                        unsynced.insert(number);
                        here.insert(number);
                    }
                }
                _ if self.is_known(number) => self.read(store, number, session)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&self, store: &PackStore, number: usize, session: &Session) -> CheckResult {
        match session.tolerate("get", store.get(&self.hash(number), u64::MAX))? {
            Some(found) if found != self.contents[number] => {
                Err(format!("content {number} is another"))
            }
            _ => Ok(()),
        }
    }

    fn is_known(&self, number: usize) -> bool {
        self.known.lock().contains(&number)
    }

    fn hash(&self, number: usize) -> ContentHash {
        ContentHash::of(&self.contents[number])
    }

    fn hashes(&self, numbers: &BTreeSet<usize>) -> HashSet<ContentHash> {
        numbers.iter().map(|number| self.hash(*number)).collect()
    }
}

impl Subject for Contents {
    type Open = PackStore;

    fn session(&mut self, session: &mut Session) -> CheckResult<Option<PackStore>> {
        let store = session.tolerate("opening", open(session.disk()))?;
        if let Some(store) = &store {
            self.use_store(store, session)?;
        }
        Ok(store)
    }

    /// Looks at a disk after the power came back: nothing is damaged, everything that is known is
    /// there, what is said to be there is, and a collection leaves what is needed and nothing else.
    fn look_at(&mut self, disk: &SimDisk, _rng: &mut Rng) -> CheckResult {
        verified(disk)?;
        let store =
            open(Arc::new(disk.clone())).map_err(|error| format!("it does not open: {error}"))?;
        for number in 0..CONTENTS {
            let hash = self.hash(number);
            let said = store.contains(&hash).map_err(|error| format!("contains: {error}"))?;
            match store.get(&hash, u64::MAX) {
                Ok(found) if found != self.contents[number] => {
                    return Err(format!("content {number} is another"));
                }
                Ok(_) if said => {}
                Err(_) if !said && !self.is_known(number) => {}
                found => {
                    let is_known = self.is_known(number);
                    return Err(format!(
                        "content {number}, known: {is_known}, said to be there: {said}, read: {:?}",
                        found.map(|bytes| bytes.len())
                    ));
                }
            }
        }
        drop(store);
        let store = open(Arc::new(disk.clone()))
            .map_err(|error| format!("it does not open again: {error}"))?;
        let needed = self.hashes(&self.known.lock());
        let collected = store.collect_garbage(&needed);
        collected.map_err(|error| format!("it does not collect: {error}"))?;
        drop(store);
        let report = verified(disk)?;
        let is_sound = |number: usize| report.is_sound(&self.hash(number));
        match (0..CONTENTS).find(|number| is_sound(*number) != self.is_known(*number)) {
            Some(number) if is_sound(number) => Err(format!("content {number} was not collected")),
            Some(number) => Err(format!("content {number} was collected")),
            None if report.incomplete.is_empty() => Ok(()),
            None => Err(format!("a collection leaves parts: {:?}", report.incomplete)),
        }
    }

    fn known(&self) -> String {
        format!("{:?}", self.known.lock())
    }

    fn acknowledged(&self) -> u64 {
        u64::try_from(self.known.lock().len()).unwrap_or(0)
    }
}

fn open(disk: Arc<dyn Disk>) -> Result<PackStore, OpenContentError> {
    PackStore::prepare_on(disk, Path::new(STORE))?.open(SMALL, None)
}

fn verified(disk: &SimDisk) -> CheckResult<ContentReport> {
    let report = verify_on(Arc::new(disk.clone()), Path::new(STORE));
    let report = report.map_err(|error| format!("verify: {error}"))?;
    match report.problems.first() {
        Some(problem) => Err(format!("verify finds damage: {problem:?}")),
        None => Ok(report),
    }
}

#[test]
fn what_was_acknowledged_is_on_every_disk_that_may_be_left_and_nothing_is_damaged() {
    let looked_at = crash::soak(STATES, Contents::draw).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{looked_at:?}");
    assert!(looked_at.acknowledged > 0, "nothing was ever acknowledged");
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
    let Ok(store) = open(Arc::new(disk.clone())) else { return (false, None) };
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
            let store = open(Arc::new(left.clone())).unwrap();
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
    for lie in Lie::ALL {
        let found = crash::found_of(lie, Contents::draw);
        println!("{lie:?}: {}", found.unwrap_or_else(|| panic!("{lie:?} is not noticed")));
    }
}

#[test]
fn a_history_follows_from_its_seed() {
    crash::repeats(Contents::draw).unwrap_or_else(|wrong| panic!("{wrong}"));
}
