//! How a bus works.

use std::num::NonZeroUsize;

use crate::retry_policy::RetryPolicy;

/// How a bus works.
///
/// ```
/// use std::num::NonZeroUsize;
/// use spacefold::{EventBus, bus::{BusOptions, RetryPolicy}};
/// let options = BusOptions::new().history(100).retry(RetryPolicy::NEVER).lanes(NonZeroUsize::MIN);
/// let bus = EventBus::with_options(options);
/// assert!(bus.history().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusOptions {
    pub(crate) lanes: NonZeroUsize,
    pub(crate) history: usize,
    pub(crate) retry: RetryPolicy,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl BusOptions {
    /// One lane, no history, three attempts.
    #[must_use]
    pub fn new() -> Self {
        Self { lanes: NonZeroUsize::MIN, history: 0, retry: RetryPolicy::default() }
    }

    /// Handles stored events in so many threads, which share the spaces between them. The events
    /// of a space stay in order; of two spaces either may be ahead.
    #[must_use]
    pub const fn lanes(mut self, lanes: NonZeroUsize) -> Self {
        self.lanes = lanes;
        self
    }

    /// Keeps the newest events that were handled in memory, so many of them.
    #[must_use]
    pub const fn history(mut self, events: usize) -> Self {
        self.history = events;
        self
    }

    /// What happens when a handler fails that does not say so itself.
    #[must_use]
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}
