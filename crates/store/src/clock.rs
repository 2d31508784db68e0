//! The system's clock, where it stands otherwise than a store needs it to.

use std::{fmt, time::Duration};

use spacefold_event_core::{LogReader, Position, ReadError, Timestamp};

use crate::{error::OpenError, folder::now};

/// How far ahead of the clock the newest event may have been recorded without a word: clocks differ,
/// and are set.
const UNREMARKABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The newest events were recorded ahead of the clock, as when it stood in the future for a while.
///
/// The times of a log never decrease: until the clock gets there, every event is recorded at the
/// time of the newest one, and states as of a time from now on to then are all that of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AheadOfClock {
    /// The position of the first event that was recorded ahead of the clock.
    pub since: Position,
    /// When the newest event was recorded.
    pub newest: Timestamp,
    /// Where the clock is.
    pub now: Timestamp,
}

impl AheadOfClock {
    /// Whether the newest durable events of a log were recorded ahead of the clock, since when, and by
    /// how much.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    pub fn of(log: &dyn LogReader) -> Result<Option<Self>, ReadError> {
        let page = log.page_at(log.durable_head())?;
        let newest = page.as_ref().and_then(|page| Some(page.envelopes().next()?.recorded_at));
        let now = now();
        let Some(newest) = newest.filter(|newest| *newest > now) else { return Ok(None) };
        let since = log.position_as_of(now)?.next();
        Ok(Some(Self { since, newest, now }))
    }

    /// By how much.
    #[must_use]
    pub fn by(&self) -> Duration {
        distance(self.now, self.newest)
    }

    /// Whether it is by more than a day: worth a warning.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.by() > UNREMARKABLE
    }
}

impl fmt::Display for AheadOfClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, newest, now } = self;
        let seconds = self.by().as_secs();
        write!(f, "the events from position {since} on were recorded up to {newest}, ")?;
        match seconds {
            172_800.. => write!(f, "{} days", seconds / 86_400),
            7_200.. => write!(f, "{} hours", seconds / 3_600),
            _ => write!(f, "{seconds} seconds"),
        }?;
        write!(f, " ahead of the clock, which is at {now}")
    }
}

/// Fails on a clock before 1970, on which sled panics: nothing is touched then.
pub(crate) fn check() -> Result<(), OpenError> {
    let now = now();
    if now.as_micros() < 0 {
        return Err(OpenError::ClockBefore1970 { now });
    }
    Ok(())
}

/// From one instant to a later one; nothing when it is no later.
fn distance(from: Timestamp, to: Timestamp) -> Duration {
    let micros = to.as_micros().saturating_sub(from.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
