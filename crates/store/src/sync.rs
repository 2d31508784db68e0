//! The primitives that threads wait with. The files that use nothing else of the kind are compiled
//! a second time against a model checker's, by the tests that try every schedule.
//!
//! These locks are not those of `spacefold_event_core::lock`, and why they need no poison either is
//! said there.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
