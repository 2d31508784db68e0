//! The log on a simulated disk, with a stand-in for sled's copy: appends, blocks, segments,
//! closings and openings, in which any call fails or is the last one before the power goes, and
//! what may be left of it afterwards. One thread does all of it: the sealer is stepped.

mod followed;

use std::{cell::Cell, collections::HashMap, fmt::Display, path::Path, rc::Rc, sync::Arc};

use fastrand::Rng;
use spacefold_disk::{
    Access, Disk, Lie, SimDisk,
    sim::{
        Fault, Kept,
        crash::{self, CheckResult, Session, Subject},
    },
};
use spacefold_event_core::{
    AppendRequest, EventFilter, EventId, EventOrigin, EventType, LogIdentity, LogReader as _,
    LogWriter as _, Position, ReadError, ReadRequest, SpaceEvent, StorageError, Timestamp,
};

use crate::{
    EmbeddedLog, OnDamage, OpenError, StoreOptions, VerifyOptions, VerifyReport,
    environment::Environment,
    head::{self, format_version::FormatVersion},
    log_copy::memory::{MemoryCopies, lost::Left},
    verify::verify_in,
};

const STORE: &str = "/store";
/// Disks that are looked at unless told otherwise.
const STATES: u64 = 10_000;
/// Bytes of a journal file: so few that files are given up for sealed ones soon.
const FILE_BYTES: u64 = 32 << 10;

/// What the looks at disks have come across.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    blocks: u64,
    segments: u64,
    copies_made_anew: u64,
    to_be_read_only: u64,
    mended: u64,
    of_newer_format: u64,
    interrupted: u64,
}

/// A log through a history.
struct Log {
    seen: Rc<Cell<Seen>>,
    copies: MemoryCopies,
    /// Whether every power cut has left the copies as they were.
    are_copies_whole: bool,
    /// Whether the store that is open was opened to be read only.
    is_to_be_read: bool,
    /// The first append whose events have tags.
    first_tagged: usize,
    /// Every append that was tried.
    tried: Vec<Vec<SpaceEvent>>,
    /// The append that an event is of, and its place there.
    places: HashMap<EventId, (usize, usize)>,
    /// The events that are known to be durable, in order: each append is in it whole.
    known: Vec<EventId>,
    /// That of the log, once something in it is known.
    identity: Option<LogIdentity>,
    /// Of this many appends one is read back, with everything before it.
    reads_one_of: u8,
}

impl Log {
    fn draw(seen: &Rc<Cell<Seen>>, rng: &mut Rng) -> Self {
        Self {
            seen: Rc::clone(seen),
            copies: MemoryCopies::default(),
            are_copies_whole: true,
            is_to_be_read: false,
            first_tagged: rng.choice([0, 12, usize::MAX]).unwrap_or(0),
            tried: Vec::new(),
            places: HashMap::new(),
            known: Vec::new(),
            identity: None,
            reads_one_of: 1,
        }
    }

    /// Draws the next append: mostly a few small events, now and then what fills a block.
    fn propose(&mut self, rng: &mut Rng) -> Vec<SpaceEvent> {
        let (count, bytes) = match rng.u8(..8) {
            0 => (1, rng.usize(20_000..60_000)),
            1 => (rng.usize(200..600), rng.usize(0..40)),
            _ => (rng.usize(1..6), rng.usize(0..400)),
        };
        let append = self.tried.len();
        let is_own = rng.u8(..16) == 0;
        // A store without tags, one whose later blocks have some, and one that has had them always.
        let are_tagged = append >= self.first_tagged;
        let events = (0..count).map(|place| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(append as u64 + 1).to_be_bytes());
            id[8..].copy_from_slice(&(place as u64).to_be_bytes());
            let text: String = std::iter::repeat_with(|| rng.alphanumeric()).take(bytes).collect();
            self.places.insert(EventId::from_bytes(id), (append, place));
            let tags = [format!("tag-{}", rng.u8(..5)), format!("append-{append}")];
            let tags = if are_tagged { &tags[..rng.usize(..=2)] } else { &[] };
            let space = format!("space-{}", rng.u8(..5));
            let event = match is_own {
                false => SpaceEvent::variable_set(space, "v", text),
                true => own_event(space, text).with_origin(origin(append, place)),
            };
            event
                .with_tags(tags)
                .with_event_id(EventId::from_bytes(id))
                .with_timestamp(time(append))
        });
        let events: Vec<SpaceEvent> = events.collect();
        self.tried.push(events.clone());
        events
    }

    fn use_log(&mut self, mut log: EmbeddedLog, session: &mut Session) -> CheckResult<EmbeddedLog> {
        self.is_to_be_read = log.shared().progress.failure().is_some();
        self.read(&log, session)?;
        for _ in 0..session.rng.usize(1..16) {
            match session.rng.u8(..16) {
                0..=9 => self.append(&log, session)?,
                10 => log.step(session.rng.bool()),
                11..=13 => self.read(&log, session)?,
                14 => self.append_again(&log, session)?,
                _ => {
                    session.tolerate("close", log.close())?;
                    let opened = open_on(session.disk(), &self.copies);
                    match session.tolerate("opening again", opened)? {
                        Some(opened) => log = opened,
                        None => return Ok(log),
                    }
                    self.is_to_be_read = log.shared().progress.failure().is_some();
                    self.read(&log, session)?;
                }
            }
        }
        Ok(log)
    }

    fn append(&mut self, log: &EmbeddedLog, session: &mut Session) -> CheckResult {
        make_room(log)?;
        let events = self.propose(&mut session.rng);
        let times = vec![time(self.tried.len()); events.len()];
        let appended = log.append(&AppendRequest::new(&events).recorded_at(&times));
        if let Some(receipt) = session.tolerate("append", appended)? {
            if !receipt.is_durable() {
                return Err(format!("it is not durable: {receipt:?}"));
            }
            // What could not be read since it was opened may stand before it.
            if receipt.first_position().get() == self.known.len() as u64 + 1 {
                self.known.extend(events.iter().map(|event| event.event_id));
            }
            if session.rng.u8(..self.reads_one_of) == 0 {
                self.read(log, session)?;
            }
        }
        if session.rng.u8(..4) > 0 || log.shared().journal_files.are_full() {
            log.step(session.rng.u8(..4) == 0);
        }
        Ok(())
    }

    /// Tries an append once more: it is there once, whatever became of it before.
    fn append_again(&mut self, log: &EmbeddedLog, session: &mut Session) -> CheckResult {
        make_room(log)?;
        let Some(events) = session.rng.choice(&self.tried).cloned() else { return Ok(()) };
        let before = self.known.iter().position(|known| *known == events[0].event_id);
        let appended = log.append(&AppendRequest::new(&events));
        if let Some(receipt) = session.tolerate("append again", appended)? {
            if before.is_some_and(|before| before as u64 + 1 != receipt.first_position().get()) {
                return Err(format!("{before:?} is appended twice: {receipt:?}"));
            }
            self.read(log, session)?;
        }
        Ok(())
    }

    /// Reads everything: what was read is durable, unless the store was opened where nothing can be
    /// written, and so nothing be synced.
    fn read(&mut self, log: &EmbeddedLog, session: &Session) -> CheckResult {
        if let Some(found) = session.tolerate("read", everything(log))? {
            self.compare(&found)?;
            self.compare_identity(log)?;
            if !self.is_to_be_read {
                self.known = found;
            }
        }
        Ok(())
    }

    /// Whether a log holds what is known, and else appends that were tried, each of them whole.
    fn compare(&self, found: &[EventId]) -> CheckResult {
        if !found.starts_with(&self.known) {
            let differs = found.iter().zip(&self.known).position(|(found, known)| found != known);
            return Err(format!("{} of {} events, at {differs:?}", found.len(), self.known.len()));
        }
        let mut rest = found;
        let mut seen = std::collections::HashSet::new();
        while let Some(first) = rest.first() {
            let Some((append, 0)) = self.places.get(first) else {
                return Err(format!("{first:?} begins no append"));
            };
            let ids: Vec<EventId> =
                self.tried[*append].iter().map(|event| event.event_id).collect();
            if !rest.starts_with(&ids) || !seen.insert(append) {
                return Err(format!("append {append} is there in part, or twice"));
            }
            rest = &rest[ids.len()..];
        }
        Ok(())
    }

    /// Whether a log is still the one that was created.
    fn compare_identity(&mut self, log: &EmbeddedLog) -> CheckResult {
        let found = log.identity();
        if self.known.is_empty() {
            // It may yet be made again.
            self.identity = Some(found);
        }
        match self.identity.filter(|known| *known != found) {
            Some(known) => Err(format!("{known:?} has become {found:?}")),
            None => Ok(()),
        }
    }

    /// Whether an earlier program refuses the store by name, if it holds what such a one cannot read:
    /// whichever slot of HEAD is lost.
    fn compare_versions(&self, slots: &[Option<FormatVersion>], found: &[EventId]) -> CheckResult {
        let places = found.iter().filter_map(|id| self.places.get(id));
        let mut events = places.filter_map(|(append, place)| self.tried.get(*append)?.get(*place));
        if !events.any(|event| event.event_type() == EventType::Application) {
            return Ok(());
        }
        self.saw(|seen| seen.of_newer_format += 1);
        match slots.iter().flatten().all(|version| *version == FormatVersion::Second) {
            true => Ok(()),
            false => Err(format!("HEAD says {slots:?} of what the first version cannot hold")),
        }
    }

    fn look(&mut self, disk: &SimDisk, left: Left, rng: &mut Rng) -> CheckResult {
        let slots = format_versions(disk)?;
        let copies = self.copies.after_power_cut(left, rng);
        let is_whole = left == Left::Whole && self.are_copies_whole;
        // The copy may be of another time than what is on the disk, and not be there at all.
        let tolerates = |kind: &str| !is_whole && matches!(kind, "sled" | "read-only");
        self.verified(disk, &copies, OnDamage::Report, tolerates)?;
        harm_index(disk, rng)?;
        let log = open(disk, &copies).map_err(|error| format!("it does not open: {error}"))?;
        let found = said(everything(&log), "read")?;
        self.compare(&found)?;
        self.compare_identity(&log)?;
        self.compare_versions(&slots, &found)?;
        let info = log.info();
        self.saw(|seen| {
            seen.blocks += info.blocks;
            seen.segments += u64::from(info.sealed_bytes > 0);
            seen.copies_made_anew += info.healed;
            seen.to_be_read_only += u64::from(log.refusal().is_some());
        });
        let mut expected = found;
        if left == Left::Refused {
            // It is told when the copy is needed.
        } else if log.refusal().is_none() {
            let tried = self.tried.len();
            let events = self.propose(rng);
            let outcome = self.append_to(&log, &events, &mut expected);
            for event in self.tried.drain(tried..).flatten() {
                self.places.remove(&event.event_id);
            }
            outcome?;
        } else {
            return Err(format!("it is to be read only: {:?}", log.refusal()));
        }
        said(log.close(), "close")?;
        drop(log);
        let log =
            open(disk, &copies).map_err(|error| format!("it does not open again: {error}"))?;
        if said(everything(&log), "read")? != expected {
            return Err("another log after it was closed".to_owned());
        }
        said(log.close(), "close")?;
        drop(log);
        if left == Left::Refused {
            return Ok(());
        }
        if !is_whole {
            // What nobody has read since may still be wrong.
            self.verified(disk, &copies, OnDamage::Heal, |kind| kind == "sled")?;
        }
        self.verified(disk, &copies, OnDamage::Report, |_| false)
    }

    fn saw(&self, see: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.get();
        see(&mut seen);
        self.seen.set(seen);
    }

    /// Damages a file, and has it mended; once more with a call that fails on the way, or is the
    /// last one before the power goes. What was mended without that is mended after it too.
    fn heal(&self, disk: &SimDisk, rng: &mut Rng) -> CheckResult {
        let damaged = damage(disk, rng)?;
        let copies = || self.copies.after_power_cut(Left::Whole, &mut Rng::with_seed(0));
        let same = |rng: &mut Rng| disk.after_power_cut(Kept::Everything, rng);
        let (first, first_copies) = (same(rng), copies());
        let before = first.calls();
        let mended = self.mend(&first, &first_copies)?;
        let calls = first.calls() - before;
        let (second, second_copies) = (same(rng), copies());
        let fault = rng.choice(Fault::ALL).unwrap_or(Fault::PowerCut);
        let call = second.calls() + rng.u64(1..=calls);
        second.fail_call(call, fault);
        let interrupted = verify(&second, &second_copies, OnDamage::Heal);
        let what = || format!("{fault:?} at call {call}, {:?}", interrupted.as_ref().err());
        let kept = rng.choice(Kept::ALL).unwrap_or(Kept::Everything);
        let left = second.after_power_cut(kept, rng);
        let again =
            self.mend(&left, &second_copies).map_err(|wrong| format!("{}: {wrong}", what()))?;
        self.saw(|seen| {
            seen.mended += u64::from(mended.is_ok());
            seen.interrupted += u64::from(mended.is_ok() && interrupted.is_err());
        });
        let Ok(mended) = mended else { return Ok(()) };
        if again.as_ref().is_ok_and(|again| again.starts_with(&mended)) {
            return Ok(());
        }
        let (before, after) = (mended.len(), again.map(|again| again.len()));
        Err(format!("{damaged}: {before} events, {after:?} after {}, {kept:?} kept", what()))
    }

    /// Has a store mended; what it holds then, if that can be done: all that is known, but for the
    /// last append where nothing tells its damage from a write that was cut off.
    fn mend(
        &self,
        disk: &SimDisk,
        copies: &MemoryCopies,
    ) -> CheckResult<Result<Vec<EventId>, String>> {
        match verify(disk, copies, OnDamage::Heal) {
            Ok(report) if report.is_ok() => {}
            Ok(report) => return Ok(Err(format!("{:?}", report.problems))),
            Err(error) => return Ok(Err(error.to_string())),
        }
        let log =
            open(disk, copies).map_err(|error| format!("mended, it does not open: {error}"))?;
        let found = said(everything(&log), "read")?;
        let last = self.known.last().and_then(|last| self.places.get(last));
        let last = last.and_then(|(append, _)| self.tried.get(*append)).map_or(0, Vec::len);
        let without_last = self.known.len().saturating_sub(last);
        if found != self.known[..without_last] {
            self.compare(&found)?;
        }
        said(log.close(), "close")?;
        drop(log);
        self.verified(disk, copies, OnDamage::Report, |_| false)?;
        Ok(Ok(found))
    }

    fn append_to(
        &self,
        log: &EmbeddedLog,
        events: &[SpaceEvent],
        expected: &mut Vec<EventId>,
    ) -> CheckResult {
        log.step(false);
        said(log.append(&AppendRequest::new(events)), "append")?;
        log.step(true);
        expected.extend(events.iter().map(|event| event.event_id));
        if said(everything(log), "read")? != *expected {
            return Err("another log after an append".to_owned());
        }
        Ok(())
    }

    /// Makes sure that `verify` finds nothing, but for what is tolerated.
    fn verified(
        &self,
        disk: &SimDisk,
        copies: &MemoryCopies,
        damage: OnDamage,
        tolerates: impl Fn(&str) -> bool,
    ) -> CheckResult {
        let report = match verify(disk, copies, damage) {
            // It was being made.
            Err(OpenError::NoStore { .. }) if self.known.is_empty() => return Ok(()),
            report => said(report, "verify")?,
        };
        let mut problems = report.problems.iter();
        match problems.find(|found| found.kind != "needs-recovery" && !tolerates(found.kind)) {
            Some(problem) => Err(format!("verify finds {problem:?}")),
            None => Ok(()),
        }
    }
}

impl Subject for Log {
    type Open = EmbeddedLog;

    fn session(&mut self, session: &mut Session) -> CheckResult<Option<EmbeddedLog>> {
        let log = session.tolerate("opening", open_on(session.disk(), &self.copies))?;
        log.map(|log| self.use_log(log, session)).transpose()
    }

    fn look_at(&mut self, disk: &SimDisk, rng: &mut Rng) -> CheckResult {
        if rng.u8(..8) == 0 {
            return self.heal(disk, rng).map_err(|wrong| format!("healing: {wrong}"));
        }
        let left = left(rng);
        self.look(disk, left, rng).map_err(|wrong| format!("{left:?} copy: {wrong}"))
    }

    fn lose_power(&mut self, rng: &mut Rng) {
        let left = [Left::Whole, Left::Older, Left::Damaged, Left::Nothing];
        let left = rng.choice(left).unwrap_or(Left::Whole);
        self.are_copies_whole &= left == Left::Whole;
        self.copies = self.copies.after_power_cut(left, rng);
    }

    fn known(&self) -> String {
        format!("{:?}", self.known)
    }

    fn acknowledged(&self) -> u64 {
        self.known.len() as u64
    }
}

/// What is left of sled's copy: mostly it is well, or of a while ago.
fn left(rng: &mut Rng) -> Left {
    match rng.u8(..8) {
        0..=2 => Left::Whole,
        3 | 4 => Left::Older,
        _ => rng.choice(Left::ALL).unwrap_or(Left::Whole),
    }
}

/// An event that the first format version of a store cannot hold.
fn own_event(space: String, text: String) -> SpaceEvent {
    let payload = [("text".to_owned(), text.into())].into_iter().collect();
    SpaceEvent::application(space, "com.example.noted", payload).unwrap()
}

/// Where an event of an append is said to come from, if it comes from elsewhere.
fn origin(append: usize, place: usize) -> EventOrigin {
    let position = Position::new((append * 1_000 + place + 1) as u64);
    EventOrigin { store_id: [9; 16], timeline: [8; 16], position }
}

/// What the intact slots of HEAD say of the format of the store.
fn format_versions(disk: &SimDisk) -> CheckResult<Vec<Option<FormatVersion>>> {
    let Some(folder) = said(disk.folder(Path::new(STORE)), "reading HEAD")? else {
        return Ok(Vec::new());
    };
    let file = said(folder.open("HEAD", Access::Read), "reading HEAD")?;
    Ok(head::slots(&said(file.read_all(), "reading HEAD")?))
}

/// Changes a byte of one of the files, or removes a sealed one, as nothing but a broken disk does.
fn damage(disk: &SimDisk, rng: &mut Rng) -> CheckResult<String> {
    let part = rng.choice(["", "journal", "sealed"]).unwrap_or("");
    let folder = said(disk.folder(&Path::new(STORE).join(part)), "damaging")?;
    let Some(folder) = folder else { return Ok(String::new()) };
    let names = said(folder.names(), "damaging")?;
    let Some(name) = rng.choice(names) else { return Ok(String::new()) };
    if part == "sealed" && rng.u8(..4) == 0 {
        said(folder.remove(&name), "damaging")?;
        return Ok(format!("{name} removed"));
    }
    let Ok(Some(file)) = folder.find(&name, Access::ReadWrite) else { return Ok(String::new()) };
    let mut bytes = said(file.read_all(), "damaging")?;
    // Where something was written: the end of a file is zeros.
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let place = rng.usize(..written.max(1));
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << rng.u8(..8);
    }
    said(file.write_all_at(&bytes, 0), "damaging")?;
    Ok(format!("byte {place} of {name} changed"))
}

/// Damages a file of the index of the blocks or of ids, makes it an older one or loses it, or leaves it
/// all alone.
fn harm_index(disk: &SimDisk, rng: &mut Rng) -> CheckResult {
    let index = if rng.bool() { "derived/block-index" } else { "derived/event-ids" };
    let path = Path::new(STORE).join(index);
    let Some(folder) = said(disk.folder(&path), "harming")? else { return Ok(()) };
    let Some(name) = rng.choice(said(folder.names(), "harming")?) else { return Ok(()) };
    let file = said(folder.open(&name, Access::ReadWrite), "harming")?;
    let mut bytes = said(file.read_all(), "harming")?;
    match rng.u8(..8) {
        0 => said(folder.remove(&name), "harming"),
        1 => said(file.set_len(rng.u64(..=bytes.len() as u64)), "harming"),
        2..=4 => {
            if let Some(byte) = rng.choice(bytes.iter_mut()) {
                *byte ^= 1 << rng.u8(..8);
            }
            said(file.write_all_at(&bytes, 0), "harming")
        }
        _ => Ok(()),
    }
}

/// Steps the sealer where an append would wait for it: nobody steps it meanwhile. Opening may have
/// found all files full.
fn make_room(log: &EmbeddedLog) -> CheckResult {
    if log.shared().journal_files.are_full() {
        log.step(false);
    }
    match log.shared().progress.are_files_full() && log.refusal().is_none() {
        true => Err("the sealer makes no room for appends".to_owned()),
        false => Ok(()),
    }
}

fn time(append: usize) -> Timestamp {
    let micros = 1_700_000_000_000_000 + i64::try_from(append).unwrap();
    Timestamp::from_micros(micros).unwrap()
}

fn open(disk: &SimDisk, copies: &MemoryCopies) -> Result<EmbeddedLog, OpenError> {
    open_on(Arc::new(disk.clone()), copies)
}

fn open_on(disk: Arc<dyn Disk>, copies: &MemoryCopies) -> Result<EmbeddedLog, OpenError> {
    let environment = Environment::stepped(disk, Arc::new(copies.clone()));
    let mut options = StoreOptions::default().reserve_bytes(0);
    options.journal_file_bytes = FILE_BYTES;
    EmbeddedLog::open_in(&environment, Path::new(STORE), &options)
}

fn verify(
    disk: &SimDisk,
    copies: &MemoryCopies,
    damage: OnDamage,
) -> Result<VerifyReport, OpenError> {
    let options = VerifyOptions { damage, ..VerifyOptions::default() };
    let environment = Environment::stepped(Arc::new(disk.clone()), Arc::new(copies.clone()));
    verify_in(&environment, Path::new(STORE), options, None)
}

/// The ids of all events, which the log has by space and by tag, and finds by id and by origin, too.
fn everything(log: &EmbeddedLog) -> Result<Vec<EventId>, ReadError> {
    let events = read(log, EventFilter::all())?;
    let space = format!("space-{}", events.len() % 5);
    let own = ids(events.iter().filter(|event| event.space_id == space));
    let found = ids(&read(log, EventFilter::all().spaces([space.as_str()]))?);
    let revision = log.revision(&space)?.get();
    if found != own || revision != own.len() as u64 {
        let counts = (found.len(), revision, own.len());
        let what = format!("{space} has {counts:?} events by filter, revision and all");
        return Err(StorageError::new("reading a space", what).into());
    }
    let all = ids(&events);
    let found = log.find_events(&all)?;
    let positions = (1..).map(|position| Some(Position::new(position)));
    if !found.iter().copied().eq(positions.take(all.len())) {
        let what = format!("the ids of {} events are found at {found:?}", all.len());
        return Err(StorageError::new("finding events", what).into());
    }
    let newest = events.iter().rev().find_map(|event| event.tags.last().cloned());
    for tag in [Some(format!("tag-{}", events.len() % 5)), newest].into_iter().flatten() {
        let own = ids(events.iter().filter(|event| event.tags.contains(&tag)));
        let found = ids(&read(log, EventFilter::all().tags([tag.as_str()]))?);
        if found != own {
            let counts = (found.len(), own.len());
            let what = format!("{tag} has {counts:?} events by filter and all");
            return Err(StorageError::new("reading by a tag", what).into());
        }
    }
    check_origins(log)?;
    Ok(all)
}

/// Finds each event that has an origin by it.
fn check_origins(log: &EmbeddedLog) -> Result<(), ReadError> {
    let (mut origins, mut expected) = (Vec::new(), Vec::new());
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        for event in page?.envelopes() {
            if let Some(origin) = event.origin() {
                origins.push(*origin);
                expected.push(Some(event.position));
            }
        }
    }
    // One that no event has.
    origins.push(origin(0, 5_000_000));
    expected.push(None);
    let found = log.find_origins(&origins)?;
    if found != expected {
        let what = format!("events that are at {expected:?} are found by origin at {found:?}");
        return Err(StorageError::new("finding origins", what).into());
    }
    Ok(())
}

fn ids<'e>(events: impl IntoIterator<Item = &'e SpaceEvent>) -> Vec<EventId> {
    events.into_iter().map(|event| event.event_id).collect()
}

/// Each event that passes.
fn read(log: &EmbeddedLog, filter: EventFilter) -> Result<Vec<SpaceEvent>, ReadError> {
    let mut found = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1)).matching(filter)) {
        for event in page?.events() {
            let event = event.map_err(|error| StorageError::new("decoding", error.to_string()))?;
            found.push(event.to_owned_event().event);
        }
    }
    Ok(found)
}

fn said<T>(result: Result<T, impl Display>, doing: &str) -> CheckResult<T> {
    result.map_err(|error| format!("{doing}: {error}"))
}

#[test]
fn what_was_acknowledged_is_on_every_disk_that_may_be_left_and_nothing_is_damaged() {
    let seen = Rc::default();
    let looked_at = crash::soak(STATES, |rng| Log::draw(&seen, rng));
    let looked_at = looked_at.unwrap_or_else(|wrong| panic!("{wrong}"));
    let seen = seen.get();
    println!("{looked_at:?} {seen:?}");
    assert!(looked_at.acknowledged > 0, "nothing was ever acknowledged");
    let Seen { blocks, segments, copies_made_anew, to_be_read_only, .. } = seen;
    let Seen { mended, of_newer_format, interrupted, .. } = seen;
    let counts = [blocks, segments, copies_made_anew, to_be_read_only];
    let counts = counts.into_iter().chain([mended, of_newer_format, interrupted]);
    assert!(counts.min() > Some(0), "{seen:?}");
}

#[test]
fn a_disk_that_does_not_do_what_it_says_is_found_out() {
    for lie in Lie::ALL {
        let found = crash::found_of(lie, |rng| Log::draw(&Rc::default(), rng));
        println!("{lie:?}: {}", found.unwrap_or_else(|| panic!("{lie:?} is not noticed")));
    }
}

#[test]
fn a_history_follows_from_its_seed() {
    crash::repeats(|rng| Log::draw(&Rc::default(), rng)).unwrap_or_else(|wrong| panic!("{wrong}"));
}
