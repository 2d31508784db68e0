//! A follower beside the log on a simulated disk: it looks between any two calls of the log, and while
//! a write is half done, through kills, power cuts and failures. Whatever it has shown is in the log that
//! is found afterwards, at the same position; and it takes nothing for damage.

use std::{cell::Cell, path::Path, rc::Rc, sync::Arc};

use fastrand::Rng;
use spacefold_disk::{
    Access, Disk as _, SimDisk,
    sim::{
        Fault,
        crash::{self, CheckResult, Session, Subject},
    },
};
use spacefold_event_core::{
    AppendRequest, EventFilter, EventId, LogReader, LogWriter as _, Position, ReadRequest,
    SpaceEvent, lock::Lock,
};

use super::{Log, MemoryCopies, STORE, said};
use crate::{
    EmbeddedLog, Follower, FollowerOptions, OpenError,
    journal::frame::{FILE_HEADER_BYTES, FileHeader},
};

/// Disks that are looked at unless told otherwise.
const STATES: u64 = 4_000;
/// Of this many calls of the log one is looked at beforehand.
const CALLS_A_LOOK: u8 = 2;
/// Of this many looks one reads everything anew.
const LOOKS_AT_ALL: u8 = 16;
/// Of this many appends the log itself reads one back.
const APPENDS_A_READ: u8 = 8;

/// The log through a history, and who follows it all the while.
struct FollowedLog {
    log: Log,
    followed: Followed,
    totals: Rc<Cell<Looks>>,
}

/// What has been seen of a store that another process writes.
#[derive(Clone, Debug)]
struct Followed {
    inner: Arc<Lock<Onlooker>>,
}

#[derive(Debug)]
struct Onlooker {
    rng: Rng,
    follower: Option<Follower>,
    shown: Vec<EventId>,
    wrong: Option<String>,
    counts: Looks,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    looks: u64,
    openings: u64,
    news: u64,
    /// Disks with segments that were left.
    segments: u64,
    /// Sessions after which a file of the journal had been used again.
    reused: u64,
    /// Sessions in which a call failed, and the follower of the session before went on.
    outlived: u64,
}

impl FollowedLog {
    fn draw(totals: &Rc<Cell<Looks>>, rng: &mut Rng) -> Self {
        let log = Log { reads_one_of: APPENDS_A_READ, ..Log::draw(&Rc::default(), rng) };
        Self { log, followed: Followed::new(rng), totals: Rc::clone(totals) }
    }

    fn saw(&self, see: impl FnOnce(&mut Looks)) {
        let mut totals = self.totals.get();
        see(&mut totals);
        self.totals.set(totals);
    }

    /// Makes sure that a log has what was shown, before and after the power failed.
    fn compare(&self, shown: &[EventId], found: &[EventId]) -> CheckResult {
        compare(shown, found)?;
        compare(&self.followed.inner.lock().shown, found)
    }
}

impl Subject for FollowedLog {
    type Open = EmbeddedLog;

    fn session(&mut self, session: &mut Session) -> CheckResult<Option<EmbeddedLog>> {
        let beside = session.beside();
        let has_follower = self.followed.inner.lock().follower.is_some();
        self.followed.look_on(beside.clone());
        let used = self.log.session(session);
        let looks = self.followed.end(&beside)?;
        let store_id = self.followed.inner.lock().follower.as_ref().map(Follower::store_id);
        let is_reused = match store_id {
            Some(store_id) => uses_files_again(&beside, store_id).unwrap_or(false),
            None => false,
        };
        self.saw(|seen| {
            seen.looks += looks.looks;
            seen.openings += looks.openings;
            seen.news += looks.news;
            seen.reused += u64::from(is_reused);
            seen.outlived += u64::from(has_follower && session.has_failed());
        });
        used
    }

    /// Follows what is left, and holds it against what recovery makes of it.
    fn look_at(&mut self, disk: &SimDisk, rng: &mut Rng) -> CheckResult {
        let shown = look_at_left(disk)?;
        let copies = self.log.copies.after_power_cut(super::left(rng), rng);
        let log =
            super::open(disk, &copies).map_err(|error| format!("it does not open: {error}"))?;
        let found = read_from(&log, Position::new(1))?;
        self.log.compare(&found)?;
        self.compare(&shown, &found)?;
        self.saw(|seen| seen.segments += u64::from(log.info().sealed_bytes > 0));
        if rng.u8(..4) == 0 {
            let beside = read_from(&said(open(disk), "following")?, Position::new(1))?;
            self.compare(&beside, &found)?;
        }
        Ok(())
    }

    fn lose_power(&mut self, rng: &mut Rng) {
        // There is no follower any more.
        self.followed.inner.lock().follower = None;
        self.log.lose_power(rng);
    }

    fn known(&self) -> String {
        self.log.known()
    }

    fn acknowledged(&self) -> u64 {
        self.log.acknowledged()
    }
}

impl Followed {
    fn new(rng: &mut Rng) -> Self {
        let onlooker = Onlooker {
            rng: rng.fork(),
            follower: None,
            shown: Vec::new(),
            wrong: None,
            counts: Looks::default(),
        };
        Self { inner: Arc::new(Lock::new(onlooker)) }
    }

    /// Looks at a disk between all calls from now on.
    fn look_on(&self, beside: SimDisk) {
        let (inner, disk) = (Arc::clone(&self.inner), beside.clone());
        beside.look_between_calls(Some(Box::new(move || inner.lock().look(&disk))));
    }

    /// Ends it: what came of it. The follower stays, for whoever opens the store next.
    fn end(&self, beside: &SimDisk) -> CheckResult<Looks> {
        beside.look_between_calls(None);
        let mut onlooker = self.inner.lock();
        onlooker.look(beside);
        onlooker.wrong.take().map_or_else(|| Ok(std::mem::take(&mut onlooker.counts)), Err)
    }
}

/// What a follower shows of what is left on a disk, where nobody has the store.
fn look_at_left(left: &SimDisk) -> CheckResult<Vec<EventId>> {
    let follower = match open(left) {
        Err(OpenError::NoStore { .. }) => return Ok(Vec::new()),
        follower => said(follower, "following what is left")?,
    };
    read_from(&follower, Position::new(1))
}

/// Whether a file of the journal has been used again: then there are fewer than were begun.
fn uses_files_again(disk: &SimDisk, store_id: [u8; 16]) -> CheckResult<bool> {
    let path = Path::new(STORE).join("journal");
    let Some(folder) = said(disk.folder(&path), "counting files")? else { return Ok(false) };
    let names = said(folder.names(), "counting files")?;
    let mut newest = 0;
    for name in &names {
        let file = said(folder.open(name, Access::Read), "counting files")?;
        let bytes = said(file.read_begin(FILE_HEADER_BYTES), "counting files")?;
        let number = FileHeader::parse(&bytes, store_id).map_or(0, |header| header.file_number);
        newest = newest.max(number);
    }
    Ok(newest >= names.len() as u64)
}

/// Makes sure that a log has what was shown.
fn compare(shown: &[EventId], found: &[EventId]) -> CheckResult {
    if found.starts_with(shown) {
        return Ok(());
    }
    let differs = found.iter().zip(shown).position(|(found, shown)| found != shown);
    let (found, shown) = (found.len(), shown.len());
    Err(format!(
        "a follower has shown {shown} events, {found} are found; they differ at {differs:?}"
    ))
}

impl Onlooker {
    fn look(&mut self, disk: &SimDisk) {
        if self.wrong.is_some() || self.rng.u8(..CALLS_A_LOOK) > 0 {
            return;
        }
        self.counts.looks += 1;
        if let Err(wrong) = self.try_to_look(disk)
            // Without power nothing is read.
            && !wrong.contains("the power is off")
        {
            self.wrong = Some(format!("beside the log: {wrong}"));
        }
    }

    fn try_to_look(&mut self, disk: &SimDisk) -> CheckResult {
        if self.follower.is_none() || self.rng.u8(..64) == 0 {
            let follower = match open(disk) {
                Err(OpenError::NoStore { .. }) if self.shown.is_empty() => return Ok(()),
                follower => said(follower, "following")?,
            };
            self.counts.openings += 1;
            // What another one has seen may be more: a hint that is gone by now.
            let found = read_from(&follower, Position::new(1))?;
            let common = found.len().min(self.shown.len());
            compare(&self.shown[..common], &found)?;
            self.follower = Some(follower);
        }
        let Some(follower) = self.follower.clone() else { return Ok(()) };
        let head = said(follower.refresh(), "refreshing")?;
        let shown = self.shown.len() as u64;
        if head.get() > shown {
            self.counts.news += 1;
            self.shown.extend(read_from(&follower, Position::new(shown + 1))?);
        }
        if self.rng.u8(..LOOKS_AT_ALL) == 0 {
            let found = read_from(&follower, Position::new(1))?;
            let common = found.len().min(self.shown.len());
            compare(&self.shown[..common], &found)?;
            self.read_a_space(&follower, head)?;
        }
        Ok(())
    }

    /// A space reads as the log does.
    fn read_a_space(&mut self, follower: &Follower, head: Position) -> CheckResult {
        let space = format!("space-{}", self.rng.u8(..5));
        let filter = EventFilter::all().spaces([space.as_str()]);
        let (mut by_filter, mut all) = (Vec::new(), Vec::new());
        let read = ReadRequest::from(Position::new(1)).to(head);
        for page in follower.pages(read.clone().matching(filter)) {
            let page = said(page, "reading a space beside the log")?;
            by_filter.extend(page.envelopes().map(|event| event.position));
        }
        for page in follower.pages(read) {
            let page = said(page, "reading beside the log")?;
            let own = page.envelopes().filter(|event| event.space_id == space);
            all.extend(own.map(|event| event.position));
        }
        let revision = said(follower.revision(&space), "reading a revision beside the log")?;
        match by_filter == all && revision.get() >= all.len() as u64 {
            true => Ok(()),
            false => Err(format!("{space} reads otherwise than the log")),
        }
    }
}

fn open(disk: &SimDisk) -> Result<Follower, OpenError> {
    Follower::open_on(Arc::new(disk.clone()), Path::new(STORE), &FollowerOptions::default())
}

fn read_from(log: &dyn LogReader, from: Position) -> CheckResult<Vec<EventId>> {
    let mut found = Vec::new();
    for page in log.pages(ReadRequest::from(from)) {
        let page = said(page, "reading beside the log")?;
        found.extend(page.envelopes().map(|event| event.event_id));
    }
    Ok(found)
}

#[test]
fn whatever_a_follower_has_shown_is_there_afterwards() {
    let totals = Rc::default();
    let looked_at = crash::soak(STATES, |rng| FollowedLog::draw(&totals, rng));
    let looked_at = looked_at.unwrap_or_else(|wrong| panic!("{wrong}"));
    let seen = totals.get();
    println!("{looked_at:?} {seen:?}");
    let Looks { looks, openings, news, segments, reused, outlived } = seen;
    let counts = [looks, openings, news, segments, reused, outlived];
    assert!(counts.into_iter().min() > Some(0), "{seen:?}");
}

#[test]
fn a_call_that_fails_while_all_is_read_anew_is_made_again() {
    let (disk, copies) = (SimDisk::default(), MemoryCopies::default());
    let log = super::open(&disk, &copies).unwrap();
    while log.info().sealed_bytes == 0 {
        let events = (0..200).map(|n| SpaceEvent::variable_set(format!("s{}", n % 7), "v", n));
        log.append(&AppendRequest::new(&events.collect::<Vec<_>>())).unwrap();
        log.step(true);
    }
    let all = read_from(&log, Position::new(1)).unwrap();
    log.close().unwrap();
    drop(log);
    let follower = open(&disk).unwrap();
    let before = disk.calls();
    follower.look_anew().unwrap();
    for call in 1..=disk.calls() - before {
        disk.fail_call(disk.calls() + call, Fault::Broken);
        follower.look_anew().unwrap_or_else(|error| panic!("call {call} fails: {error}"));
        assert_eq!(read_from(&follower, Position::new(1)).unwrap(), all);
    }
}

/// A segment whose name was not synced, since that failed, in a session that appended nothing: the next one
/// found a store that was closed, and had HEAD say that the segment is there.
#[test]
fn nothing_is_said_of_a_segment_before_its_name_is_durable() {
    let seed = 5_316_149_388_693_105_821;
    let replayed = crash::replay(seed, |rng| FollowedLog::draw(&Rc::default(), rng));
    replayed.unwrap_or_else(|wrong| panic!("{wrong}"));
}
