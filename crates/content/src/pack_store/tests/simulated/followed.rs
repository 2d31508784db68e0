//! Content that is followed on a simulated disk: a follower looks between any two calls of the owner, and
//! while a write is half done, through collections, failures, power cuts and openings. What is
//! acknowledged and needed it finds all the while, and gives as it was put; it takes nothing for damage.

use std::{cell::Cell, io::Read as _, rc::Rc};

use spacefold_event_core::{ContentError, ContentReader, ContentStore as _};

use super::{
    Arc, CONTENTS, CheckResult, ContentHash, Contents, Known, Lock, PackStore, Path, Rng, STORE,
    Session, SimDisk, Subject, crash, open,
};
use crate::ContentFollower;

/// Disks that are looked at unless told otherwise.
const STATES: u64 = 1_000;
/// Of this many calls of the owner one is looked at beforehand.
const CALLS_A_LOOK: u8 = 3;
/// Of this many looks one is that of another follower.
const LOOKS_OF_ONE: u8 = 64;
/// Bytes of a content that is read over many looks that are read in each.
const BYTES_A_LOOK: u64 = 1_000;

/// A content store through a history, and who follows it.
struct Followed {
    contents: Contents,
    onlooker: Arc<Lock<Onlooker>>,
    totals: Rc<Cell<Looks>>,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    looks: u64,
    followers: u64,
    /// Contents that were read and had to be there.
    known: u64,
    /// Contents that were read to the end over several looks.
    slow: u64,
    /// Sessions in which packs went.
    collected: u64,
    /// Sessions in which a call failed, and the follower of the session before went on.
    outlived: u64,
}

struct Onlooker {
    rng: Rng,
    contents: Arc<Vec<Vec<u8>>>,
    known: Known,
    follower: Option<ContentFollower>,
    /// A content that is read a little at a time.
    slow: Option<SlowReading>,
    wrong: Option<String>,
    counts: Looks,
}

struct SlowReading {
    number: usize,
    reader: ContentReader,
    read: Vec<u8>,
}

impl Followed {
    fn draw(totals: &Rc<Cell<Looks>>, rng: &mut Rng) -> Self {
        let contents = Contents::draw(rng);
        let onlooker = Onlooker {
            rng: rng.fork(),
            contents: Arc::clone(&contents.contents),
            known: Arc::clone(&contents.known),
            follower: None,
            slow: None,
            wrong: None,
            counts: Looks::default(),
        };
        Self { contents, onlooker: Arc::new(Lock::new(onlooker)), totals: Rc::clone(totals) }
    }

    fn saw(&self, see: impl FnOnce(&mut Looks)) {
        let mut totals = self.totals.get();
        see(&mut totals);
        self.totals.set(totals);
    }
}

impl Subject for Followed {
    type Open = PackStore;

    fn session(&mut self, session: &mut Session) -> CheckResult<Option<PackStore>> {
        let beside = session.beside();
        let has_follower = self.onlooker.lock().follower.is_some();
        let packs = pack_names(&beside);
        let (onlooker, disk) = (Arc::clone(&self.onlooker), beside.clone());
        beside.look_between_calls(Some(Box::new(move || onlooker.lock().look(&disk))));
        let used = self.contents.session(session);
        beside.look_between_calls(None);
        let mut onlooker = self.onlooker.lock();
        onlooker.look(&beside);
        if let Some(wrong) = onlooker.wrong.take() {
            return Err(format!("beside the store: {wrong}"));
        }
        let looks = std::mem::take(&mut onlooker.counts);
        drop(onlooker);
        let left = pack_names(&beside);
        let are_collected = packs.iter().any(|name| !left.contains(name));
        self.saw(|seen| {
            seen.looks += looks.looks;
            seen.followers += looks.followers;
            seen.known += looks.known;
            seen.slow += looks.slow;
            seen.collected += u64::from(are_collected);
            seen.outlived += u64::from(has_follower && session.has_failed());
        });
        used
    }

    /// Follows what is left, then what recovery makes of it.
    fn look_at(&mut self, left: &SimDisk, rng: &mut Rng) -> CheckResult {
        let mut onlooker = self.onlooker.lock().another(rng);
        onlooker.read_all(left).map_err(|wrong| format!("what is left: {wrong}"))?;
        let store = open(Arc::new(left.clone()));
        let store = store.map_err(|error| format!("it does not open: {error}"))?;
        onlooker.read_all(left).map_err(|wrong| format!("opened again: {wrong}"))?;
        drop(store);
        Ok(())
    }

    fn lose_power(&mut self, _rng: &mut Rng) {
        // There is no follower any more.
        let mut onlooker = self.onlooker.lock();
        (onlooker.follower, onlooker.slow) = (None, None);
    }

    fn known(&self) -> String {
        self.contents.known()
    }

    fn acknowledged(&self) -> u64 {
        self.contents.acknowledged()
    }
}

impl Onlooker {
    /// One that knows the same, and has looked at nothing.
    fn another(&self, rng: &mut Rng) -> Self {
        Self {
            rng: rng.fork(),
            contents: Arc::clone(&self.contents),
            known: Arc::clone(&self.known),
            follower: None,
            slow: None,
            wrong: None,
            counts: Looks::default(),
        }
    }

    fn look(&mut self, disk: &SimDisk) {
        if self.wrong.is_some() || self.rng.u8(..CALLS_A_LOOK) > 0 {
            return;
        }
        self.counts.looks += 1;
        let number = self.rng.usize(..CONTENTS);
        let looked = self.read(disk, number).and_then(|()| self.read_slowly(disk));
        if let Err(wrong) = looked
            // Without power nothing is read.
            && !wrong.contains("the power is off")
        {
            self.wrong = Some(wrong);
        }
    }

    fn read_all(&mut self, disk: &SimDisk) -> CheckResult {
        (0..CONTENTS).try_for_each(|number| self.read(disk, number))
    }

    fn follower(&mut self, disk: &SimDisk) -> CheckResult<&ContentFollower> {
        if self.rng.u8(..LOOKS_OF_ONE) == 0 {
            self.follower = None;
        }
        let follower = match self.follower.take() {
            Some(follower) => follower,
            None => {
                self.counts.followers += 1;
                ContentFollower::at(Arc::new(disk.beside()), Path::new(STORE))
                    .map_err(|error| format!("following: {error}"))?
            }
        };
        Ok(self.follower.insert(follower))
    }

    fn is_known(&self, number: usize) -> bool {
        self.known.lock().contains(&number)
    }

    fn read(&mut self, disk: &SimDisk, number: usize) -> CheckResult {
        let hash = ContentHash::of(&self.contents[number]);
        let found = self.follower(disk)?.get(&hash, u64::MAX);
        let is_known = self.is_known(number);
        self.counts.known += u64::from(is_known);
        match found {
            Ok(found) if found == self.contents[number] => Ok(()),
            Ok(_) => Err(format!("content {number} is another")),
            Err(error) => {
                tolerate(&error, is_known).map_err(|wrong| format!("content {number}: {wrong}"))
            }
        }
    }

    /// Reads a little more of a content that was begun before, or begins with one.
    fn read_slowly(&mut self, disk: &SimDisk) -> CheckResult {
        let Some(mut slow) = self.slow.take() else {
            let number = self.rng.usize(..CONTENTS);
            let hash = ContentHash::of(&self.contents[number]);
            // Another look tells what is wrong with one that does not open.
            let reader = self.follower(disk)?.open(&hash).ok();
            self.slow = reader.map(|reader| SlowReading { number, reader, read: Vec::new() });
            return Ok(());
        };
        let mut bytes = Vec::new();
        let what = format!("content {}, byte {} on", slow.number, slow.read.len());
        if let Err(error) = slow.reader.by_ref().take(BYTES_A_LOOK).read_to_end(&mut bytes) {
            let is_known = self.is_known(slow.number);
            let error = error.downcast::<ContentError>().map_err(|error| error.to_string())?;
            return tolerate(&error, is_known).map_err(|wrong| format!("{what}: {wrong}"));
        }
        slow.read.extend(&bytes);
        if !self.contents[slow.number].starts_with(&slow.read) {
            return Err(format!("{what} is another"));
        }
        if bytes.is_empty() {
            let is_whole = slow.read == self.contents[slow.number];
            self.counts.slow += 1;
            return if is_whole { Ok(()) } else { Err(format!("{what} ends too early")) };
        }
        self.slow = Some(slow);
        Ok(())
    }
}

/// What was not acknowledged may be missing, or be there in part; nothing else may be wrong.
fn tolerate(error: &ContentError, is_known: bool) -> CheckResult {
    match error {
        ContentError::Missing { .. } | ContentError::Damaged { .. } if !is_known => Ok(()),
        error => Err(error.to_string()),
    }
}

fn pack_names(disk: &SimDisk) -> Vec<String> {
    use spacefold_disk::Disk as _;
    let folder = disk.folder(Path::new(STORE)).ok().flatten();
    let names = folder.and_then(|folder| folder.names().ok()).unwrap_or_default();
    names.into_iter().filter(|name| name.ends_with(".pack")).collect()
}

#[test]
fn what_is_needed_is_found_beside_the_owner_whatever_becomes_of_it() {
    let totals = Rc::default();
    let looked_at = crash::soak(STATES, |rng| Followed::draw(&totals, rng));
    let looked_at = looked_at.unwrap_or_else(|wrong| panic!("{wrong}"));
    let seen = totals.get();
    println!("{looked_at:?} {seen:?}");
    let Looks { looks, followers, known, slow, collected, outlived } = seen;
    let counts = [looks, followers, known, slow, collected, outlived];
    assert!(counts.into_iter().min() > Some(0), "{seen:?}");
}
