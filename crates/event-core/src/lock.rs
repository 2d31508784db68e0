//! Locks that a panic does not poison.
//!
//! The locks of the standard library are poisoned when a thread panics while it holds one, since what
//! they guard may be left half changed. Under these it may not: what they guard is whole after every
//! step, or is put in place in one, and some guard nothing but a turn. Where code of users runs under
//! one, as when a projection folds, its panics are caught. So a panic, which a thread may survive,
//! does not end everything that shares a lock with it.
//!
//! Where a change can be left halfway, what happens then is said there: the writer of the store, whose
//! lock is one of the standard library, ends, and the service forgets the state of a space.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        TryLockError, WaitTimeoutResult,
    },
    time::Duration,
};

/// A mutex that is never poisoned; the [module](self) says why it need not be.
#[derive(Debug, Default)]
pub struct Lock<T: ?Sized>(Mutex<T>);

impl<T> Lock<T> {
    /// A lock over a value.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
}

impl<T: ?Sized> Lock<T> {
    /// Waits for the value, and has it until the guard is dropped.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, unless another thread has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A lock of many readers or one writer that is never poisoned; the [module](self) says why it need
/// not be.
#[derive(Debug, Default)]
pub struct SharedLock<T: ?Sized>(RwLock<T>);

impl<T> SharedLock<T> {
    /// A lock over a value.
    pub const fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }
}

impl<T: ?Sized> SharedLock<T> {
    /// Waits for the value, and shares it with other readers until the guard is dropped.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shares the value, unless a writer has it or waits for it.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits for the value, and has it alone until the guard is dropped.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What threads wait for with the guard of a [`Lock`], until another thread notifies them.
#[derive(Debug, Default)]
pub struct Condition(Condvar);

impl Condition {
    /// Nobody waits yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Condvar::new())
    }

    /// Waits to be notified; wakes up without it now and then.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits to be notified, for this long at the most; wakes up without it now and then.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `goes_on` says, which is asked whenever there is a notification.
    pub fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        goes_on: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.0.wait_while(guard, goes_on).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `goes_on` says, and for this long at the most.
    pub fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        goes_on: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.0.wait_timeout_while(guard, timeout, goes_on).unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies one of those who wait.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes every thread that waits.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::AssertUnwindSafe, panic::catch_unwind};

    use super::*;

    #[test]
    fn a_panic_under_a_lock_leaves_it_usable() {
        let (lock, shared) = (Lock::new(1), SharedLock::new(1));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (mut one, mut other) = (lock.lock(), shared.write());
            (*one, *other) = (2, 2);
            panic!("while both are held");
        }));
        assert!(panicked.is_err());
        assert_eq!((*lock.lock(), *shared.read()), (2, 2));
        assert_eq!(
            (lock.try_lock().as_deref(), shared.try_read().as_deref()),
            (Some(&2), Some(&2))
        );
        *shared.write() = 3;
        let (guard, waited) = Condition::new().wait_timeout(lock.lock(), Duration::ZERO);
        assert_eq!((*guard, waited.timed_out()), (2, true));
    }
}
