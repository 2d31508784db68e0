//! How fast a rebuild reads, when it is to end, and how far it is.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use spacefold_event_core::lock::Lock;

use super::RebuildError;

/// How long one rest lasts at the most, so that a rebuild ends soon after it is told to.
const REST: Duration = Duration::from_millis(50);

/// What every reader of a rebuild asks before it reads on.
pub(super) struct Pace<'a> {
    max_rate: Option<NonZeroU64>,
    cancel: Option<&'a AtomicBool>,
    progress: &'a (dyn Fn(u64) + Sync),
    furthest: AtomicU64,
    spent: Lock<Spent>,
}

struct Spent {
    since: Instant,
    events: u64,
}

impl<'a> Pace<'a> {
    pub(super) fn new(
        max_rate: Option<NonZeroU64>,
        cancel: Option<&'a AtomicBool>,
        progress: &'a (dyn Fn(u64) + Sync),
    ) -> Self {
        let spent = Lock::new(Spent { since: Instant::now(), events: 0 });
        Self { max_rate, cancel, progress, furthest: AtomicU64::new(0), spent }
    }

    /// Says how far the log was read, and rests for as long as that many events are to take, unless
    /// the rebuild is to end.
    pub(super) fn read(&self, up_to: u64, events: u64) {
        let furthest = self.furthest.fetch_max(up_to, Ordering::Relaxed).max(up_to);
        (self.progress)(furthest);
        let Some(rate) = self.max_rate else {
            return;
        };
        let due = {
            let mut spent = self.spent.lock();
            spent.events = spent.events.saturating_add(events);
            spent.since + time_of(spent.events, rate)
        };
        while self.check().is_ok()
            && let Some(left) = due.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            thread::sleep(left.min(REST));
        }
    }

    /// Whether the rebuild is to end.
    pub(super) fn check(&self) -> Result<(), RebuildError> {
        match self.cancel.is_some_and(|cancel| cancel.load(Ordering::Acquire)) {
            true => Err(RebuildError::Cancelled),
            false => Ok(()),
        }
    }
}

/// How long this many events take at this rate.
fn time_of(events: u64, rate: NonZeroU64) -> Duration {
    let seconds = events / rate;
    let nanos = u128::from(events % rate) * 1_000_000_000 / u128::from(rate.get());
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_take_their_time() {
        let rate = |rate| NonZeroU64::new(rate).unwrap();
        assert_eq!(time_of(0, rate(7)), Duration::ZERO);
        assert_eq!(time_of(1_500, rate(1_000)), Duration::from_millis(1_500));
        assert_eq!(time_of(u64::MAX, rate(u64::MAX)), Duration::from_secs(1));
    }

    #[test]
    fn who_is_told_to_end_does_not_rest_first() {
        let cancel = AtomicBool::new(false);
        let pace = Pace::new(NonZeroU64::new(1), Some(&cancel), &|_| {});
        cancel.store(true, Ordering::Release);
        // A thousand seconds, at one event a second.
        pace.read(1_000, 1_000);
        assert!(matches!(pace.check(), Err(RebuildError::Cancelled)));
    }
}
