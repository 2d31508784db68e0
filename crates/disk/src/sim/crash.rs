//! Histories of something durable on a simulated disk: it is opened and used in sessions, one call
//! fails or is the last before the power goes, and after each session many of the disks that may be
//! left are looked at. All of it follows from a seed.
//!
//! `SPACEFOLD_DISK_STATES` and `SPACEFOLD_DISK_SEED` make a soak another size, or the same again.

use std::{env, fmt::Display, sync::Arc};

use fastrand::Rng;

use super::{Fault, SimDisk, cut::Kept};
use crate::{
    disk::Disk,
    lying::{Lie, LyingDisk},
};

/// Sessions of a history: each ends with a look at what may be left, and goes on from there.
const SESSIONS: usize = 4;
/// Histories within which a lie is to be found.
const HISTORIES_TO_FIND: u64 = 1_000;
/// Histories that are made twice to see that they are the same.
const HISTORIES_TO_REPEAT: u64 = 20;

/// What was found to be wrong, if anything.
pub type CheckResult<T = ()> = Result<T, String>;

/// Something durable that is used on a simulated disk.
pub trait Subject {
    /// What is still open while what may be left is looked at.
    type Open;

    /// Opens what is on the disk and uses it, as the session has it drawn; `None` when it does not
    /// open for what has failed.
    ///
    /// # Errors
    /// What is wrong, and not to be explained by what has failed.
    fn session(&mut self, session: &mut Session) -> CheckResult<Option<Self::Open>>;

    /// Looks at a disk after the power came back: what was acknowledged is there, and nothing is
    /// damaged.
    ///
    /// # Errors
    /// What is wrong.
    fn look_at(&mut self, left: &SimDisk, rng: &mut Rng) -> CheckResult;

    /// The power has failed: what is not on the simulated disk is what the next look would find.
    fn lose_power(&mut self, _rng: &mut Rng) {}

    /// What is known by now to be durable: the same of two histories with one seed.
    fn known(&self) -> String;

    /// How much that is.
    fn acknowledged(&self) -> u64;
}

/// A session of a history.
#[derive(Debug)]
pub struct Session {
    /// What everything in it is drawn from.
    pub rng: Rng,
    /// The disk that it is on.
    disk: SimDisk,
    lie: Option<Lie>,
    /// The call that fails, and how.
    fault: Option<(u64, Fault)>,
}

impl Session {
    /// What it is on, as it is told to be.
    #[must_use]
    pub fn disk(&self) -> Arc<dyn Disk> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        match self.lie {
            Some(lie) => Arc::new(LyingDisk::over(disk, lie)),
            None => disk,
        }
    }

    /// The disk that it is on, whatever lies over it, as another process has it.
    #[must_use]
    pub fn beside(&self) -> SimDisk {
        self.disk.beside()
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

    /// Whether a call has failed by now.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.fault.is_some_and(|(call, _)| self.disk.calls() >= call)
    }

    /// What a call came to; `None` of an error that something on the disk has led to.
    ///
    /// # Errors
    /// The error, when nothing on the disk has failed.
    pub fn tolerate<T>(
        &self,
        doing: &str,
        result: Result<T, impl Display>,
    ) -> CheckResult<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(_) if self.has_failed() => Ok(None),
            Err(error) => Err(format!("{doing}: {error}")),
        }
    }

    fn is_without_power(&self) -> bool {
        matches!(self.fault, Some((_, Fault::PowerCut)))
    }
}

/// What a soak came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookedAt {
    /// Histories.
    pub histories: u64,
    /// Disks that were looked at.
    pub states: u64,
    /// What was known to be durable at the ends of the histories.
    pub acknowledged: u64,
}

/// What a history came to, all of which follows from the seed.
#[derive(Debug, Default, PartialEq, Eq)]
struct HistoryResult {
    /// Disks that were looked at.
    states: u64,
    acknowledged: u64,
    /// Of each session the calls that were made, the one that was failed, and what is known.
    trace: Vec<(u64, Option<&'static str>, String)>,
}

fn history<S: Subject>(
    seed: u64,
    lie: Option<Lie>,
    make: &impl Fn(&mut Rng) -> S,
) -> CheckResult<HistoryResult> {
    let mut rng = Rng::with_seed(seed);
    let mut subject = make(&mut rng);
    let mut session = Session { rng, disk: SimDisk::default(), lie, fault: None };
    let mut history = HistoryResult::default();
    for _ in 0..SESSIONS {
        session.plan_fault();
        let outcome = one_session(&mut subject, &mut session, &mut history.states);
        outcome.map_err(|wrong| {
            let (calls, failed) = (session.disk.calls(), session.disk.failed_call());
            format!(
                "SPACEFOLD_DISK_SEED={seed}: {wrong} (planned {:?}, failed {failed:?}, call {calls})",
                session.fault
            )
        })?;
        history.trace.push((session.disk.calls(), session.disk.failed_call(), subject.known()));
        if session.is_without_power() || session.rng.bool() {
            let kept = session.rng.choice(Kept::ALL).unwrap_or(Kept::Nothing);
            session.disk = left(&mut session, kept);
            subject.lose_power(&mut session.rng);
        }
    }
    history.acknowledged = subject.acknowledged();
    Ok(history)
}

fn one_session<S: Subject>(
    subject: &mut S,
    session: &mut Session,
    states: &mut u64,
) -> CheckResult {
    let open = subject.session(session)?;
    let open = open.filter(|_| session.rng.bool());
    for kept in Kept::ALL {
        *states += 1;
        let left = left(session, kept);
        let looked = subject.look_at(&left, &mut session.rng);
        looked.map_err(|wrong| format!("{kept:?} kept: {wrong}"))?;
    }
    drop(open);
    Ok(())
}

fn left(session: &mut Session, kept: Kept) -> SimDisk {
    session.disk.after_power_cut(kept, &mut Rng::with_seed(session.rng.u64(..)))
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The seeds of histories.
fn seeds() -> impl Iterator<Item = u64> {
    let first = setting("SPACEFOLD_DISK_SEED").unwrap_or_else(|| fastrand::u64(..));
    std::iter::successors(Some(first), |seed| Some(seed.wrapping_add(1)))
}

/// Looks at this many disks, unless the environment says another number, until something is wrong.
///
/// # Errors
/// What is wrong, with the seed of its history.
pub fn soak<S: Subject>(states: u64, make: impl Fn(&mut Rng) -> S) -> CheckResult<LookedAt> {
    let wanted = setting("SPACEFOLD_DISK_STATES").unwrap_or(states);
    let mut looked_at = LookedAt::default();
    for seed in seeds() {
        let history = history(seed, None, &make)?;
        looked_at.histories += 1;
        looked_at.states += history.states;
        looked_at.acknowledged += history.acknowledged;
        if looked_at.states >= wanted {
            break;
        }
    }
    Ok(looked_at)
}

/// Makes the history of one seed.
///
/// # Errors
/// What is wrong.
pub fn replay<S: Subject>(seed: u64, make: impl Fn(&mut Rng) -> S) -> CheckResult {
    history(seed, None, &make).map(drop)
}

/// What is found of a disk that lies; `None` when nothing is.
pub fn found_of<S: Subject>(lie: Lie, make: impl Fn(&mut Rng) -> S) -> Option<String> {
    let mut seeds = seeds().take(usize::try_from(HISTORIES_TO_FIND).unwrap_or(0));
    seeds.find_map(|seed| history(seed, Some(lie), &make).err())
}

/// Makes histories twice.
///
/// # Errors
/// The seed of one that was another one the second time.
pub fn repeats<S: Subject>(make: impl Fn(&mut Rng) -> S) -> CheckResult {
    for seed in seeds().take(usize::try_from(HISTORIES_TO_REPEAT).unwrap_or(0)) {
        let (first, second) = (history(seed, None, &make)?, history(seed, None, &make)?);
        if first != second {
            return Err(format!("SPACEFOLD_DISK_SEED={seed}: {first:?}, then {second:?}"));
        }
    }
    Ok(())
}
