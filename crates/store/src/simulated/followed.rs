//! A follower beside the log on a simulated disk: it looks between any two calls of the log, and while
//! a write is half done, through kills, power cuts and failures. Whatever it has shown is in the log that
//! is found afterwards, at the same position; and it takes nothing for damage.

use std::{path::Path, sync::Arc};

use fastrand::Rng;
use spacefold_disk::{SimDisk, sim::crash::CheckResult};
use spacefold_event_core::{
    EventFilter, EventId, LogReader as _, Position, ReadRequest, lock::Lock,
};

use super::{STORE, said};
use crate::{Follower, FollowerOptions, OpenError};

/// What has been seen of a store that another process writes.
#[derive(Clone, Debug)]
pub(super) struct Followed {
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
pub(super) struct Looks {
    pub(super) looks: u64,
    pub(super) openings: u64,
    pub(super) news: u64,
}

impl Followed {
    pub(super) fn new(rng: &mut Rng) -> Self {
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
    pub(super) fn look_on(&self, beside: SimDisk) {
        let (inner, disk) = (Arc::clone(&self.inner), beside.clone());
        beside.look_between_calls(Some(Box::new(move || inner.lock().look(&disk))));
    }

    /// Ends it: what was wrong, if anything. The follower stays, for whoever opens the store next.
    pub(super) fn end(&self, beside: &SimDisk) -> CheckResult {
        beside.look_between_calls(None);
        let mut onlooker = self.inner.lock();
        onlooker.look(beside);
        onlooker.wrong.take().map_or(Ok(()), Err)
    }

    /// The power has failed: there is no follower any more.
    pub(super) fn lose_power(&self) {
        self.inner.lock().follower = None;
    }

    /// Opens a follower of what is left on a disk, where nobody has the store.
    pub(super) fn look_at_left(&self, left: &SimDisk) -> CheckResult<Vec<EventId>> {
        let follower = match open(left) {
            Err(OpenError::NoStore { .. }) => return Ok(Vec::new()),
            follower => said(follower, "following what is left")?,
        };
        read_from(&follower, Position::new(1))
    }

    /// Makes sure that a log has what was shown.
    pub(super) fn compare(&self, found: &[EventId]) -> CheckResult {
        compare(&self.inner.lock().shown, found)
    }

    /// What came of looking since it was asked last.
    pub(super) fn take_counts(&self) -> Looks {
        std::mem::take(&mut self.inner.lock().counts)
    }
}

/// Makes sure that a log has what was shown.
pub(super) fn compare(shown: &[EventId], found: &[EventId]) -> CheckResult {
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
        if self.wrong.is_some() || self.rng.bool() {
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
        if self.rng.u8(..16) == 0 {
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

fn read_from(follower: &Follower, from: Position) -> CheckResult<Vec<EventId>> {
    let mut found = Vec::new();
    for page in follower.pages(ReadRequest::from(from)) {
        let page = said(page, "reading beside the log")?;
        found.extend(page.envelopes().map(|event| event.event_id));
    }
    Ok(found)
}
