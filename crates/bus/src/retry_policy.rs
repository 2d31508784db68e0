//! How often a handler that failed is tried again.

use std::time::Duration;

/// How often, and after which waits, a handler that failed is tried again before its event is
/// parked: each wait is twice as long as the one before.
///
/// While it waits, later events wait too, so that no handler sees the events of a space in another
/// order; what the other handlers do with this event is done before.
///
/// ```
/// use std::time::Duration;
/// use spacefold::bus::RetryPolicy;
/// let policy = RetryPolicy::new(3, Duration::from_millis(10));
/// assert_eq!(policy.wait_after(1), Some(Duration::from_millis(10)));
/// assert_eq!(policy.wait_after(2), Some(Duration::from_millis(20)));
/// assert_eq!(policy.wait_after(3), None);
/// assert_eq!(RetryPolicy::NEVER.wait_after(1), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    first_wait: Duration,
}

/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl RetryPolicy {
    /// One attempt and no more.
    pub const NEVER: Self = Self { attempts: 1, first_wait: Duration::ZERO };

    /// So many attempts in all, at least one, the second after `first_wait`; no wait is longer
    /// than 30 seconds.
    #[must_use]
    pub const fn new(attempts: u32, first_wait: Duration) -> Self {
        Self { attempts, first_wait }
    }

    /// As many attempts, without waits in between.
    pub(crate) const fn at_once(self) -> Self {
        Self { first_wait: Duration::ZERO, ..self }
    }

    /// How long to wait after so many attempts that failed; `None` when there is to be no further
    /// one.
    #[must_use]
    pub fn wait_after(&self, attempts: u32) -> Option<Duration> {
        let doublings = attempts.saturating_sub(1).min(31);
        (attempts < self.attempts)
            .then(|| self.first_wait.saturating_mul(1 << doublings).min(MAX_WAIT))
    }
}

impl Default for RetryPolicy {
    /// Three attempts: the second after 10 ms, the third 20 ms later.
    fn default() -> Self {
        Self::new(3, Duration::from_millis(10))
    }
}
