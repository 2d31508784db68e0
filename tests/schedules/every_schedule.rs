//! Every schedule of a few threads, up to two preemptions: exhaustive where it is feasible.

#[path = "../../crates/store/src/writer/budget.rs"]
mod budget;
#[path = "../../crates/store/src/progress.rs"]
mod progress;
mod scenarios;

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

mod thread {
    pub(crate) use loom::thread::{spawn, yield_now};
}

use scenarios::{Announces, LooksAtTail};

/// Tries every schedule with at most two preemptions.
fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

#[test]
fn nobody_waits_for_ever_for_the_durable_head() {
    check(|| scenarios::durable_head(Announces::AfterSync));
}

#[test]
#[should_panic(expected = "acknowledged before it was synced")]
fn an_early_acknowledgement_is_found() {
    check(|| scenarios::durable_head(Announces::BeforeSync));
}

#[test]
fn a_failure_wakes_everybody() {
    check(scenarios::failure_and_close);
}

#[test]
fn a_long_tail_holds_the_writer_up_no_longer_than_it_is_long() {
    check(|| scenarios::room_in_the_tail(LooksAtTail::UnderTheLock));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_found() {
    check(|| scenarios::room_in_the_tail(LooksAtTail::Before));
}

#[test]
fn a_full_journal_holds_the_writer_up_until_a_file_is_given_up() {
    check(scenarios::room_in_the_journal);
}

#[test]
fn one_sealed_file_is_made_after_the_other() {
    check(scenarios::filing);
}

#[test]
fn everybody_gets_through_the_byte_budget() {
    check(|| scenarios::byte_budget([4, 8, 30]));
}
