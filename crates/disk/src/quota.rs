//! How many bytes a store may take: one limit for its log and its content, looked at before either grows.

use std::sync::atomic::{AtomicU64, Ordering};

/// Stands for no limit.
const NONE: u64 = u64::MAX;

/// What a store takes of the disk, as far as that is counted, and what it may. Threads share it.
///
/// It is looked at before something is written, not reserved: what is under way may go past it by as
/// much as that is.
#[derive(Debug)]
pub struct SpaceQuota {
    max: AtomicU64,
    log: AtomicU64,
    content: AtomicU64,
}

/// More is taken than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastQuota {
    /// Bytes that are taken.
    pub used: u64,
    /// The limit.
    pub max: u64,
}

impl SpaceQuota {
    /// With a limit, or none.
    #[must_use]
    pub fn new(max: Option<u64>) -> Self {
        let max = AtomicU64::new(max.unwrap_or(NONE));
        Self { max, log: AtomicU64::new(0), content: AtomicU64::new(0) }
    }

    /// The limit, if there is one.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        Some(self.max.load(Ordering::Relaxed)).filter(|max| *max != NONE)
    }

    /// Sets another limit, or none.
    pub fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// Bytes that are taken, as far as they are counted: nothing is while there is no limit.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.log.load(Ordering::Relaxed).saturating_add(self.content.load(Ordering::Relaxed))
    }

    /// Says how many bytes the log takes.
    pub fn set_log(&self, bytes: u64) {
        self.log.store(bytes, Ordering::Relaxed);
    }

    /// Says that the log has grown.
    pub fn add_log(&self, bytes: u64) {
        self.log.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says how many bytes the content takes.
    pub fn set_content(&self, bytes: u64) {
        self.content.store(bytes, Ordering::Relaxed);
    }

    /// Says that the content has grown.
    pub fn add_content(&self, bytes: u64) {
        self.content.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether something may be written.
    ///
    /// # Errors
    /// [`PastQuota`] where as much as the limit, or more, is taken.
    pub fn check(&self) -> Result<(), PastQuota> {
        let Some(max) = self.max() else { return Ok(()) };
        let used = self.used();
        if used < max { Ok(()) } else { Err(PastQuota { used, max }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_the_limit_is_too_much_and_it_can_be_raised() {
        let quota = SpaceQuota::new(Some(100));
        quota.set_log(60);
        quota.add_content(39);
        assert_eq!((quota.check(), quota.used()), (Ok(()), 99));
        quota.add_log(1);
        assert_eq!(quota.check(), Err(PastQuota { used: 100, max: 100 }));
        quota.set_max(Some(101));
        assert_eq!(quota.check(), Ok(()));
        quota.set_content(u64::MAX);
        assert_eq!(quota.check(), Err(PastQuota { used: u64::MAX, max: 101 }));
        quota.set_max(None);
        assert_eq!((quota.check(), quota.max()), (Ok(()), None));
    }
}
