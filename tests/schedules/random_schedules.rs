//! Random schedules: 50,000 in all by default, `SPACEFOLD_SCHEDULES` as many of each scenario. A
//! failure prints the schedule, which replays it.

#[path = "../../crates/store/src/writer/budget.rs"]
mod budget;
#[path = "../../crates/store/src/progress.rs"]
mod progress;
mod scenarios;

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

mod thread {
    pub(crate) use shuttle::thread::{spawn, yield_now};
}

use scenarios::{Announces, LooksAtTail};

/// How many schedules of each scenario are tried by default.
const SCHEDULES: usize = 10_000;

fn check(scenario: fn()) {
    let wanted = std::env::var("SPACEFOLD_SCHEDULES").ok().and_then(|text| text.parse().ok());
    shuttle::check_random(scenario, wanted.unwrap_or(SCHEDULES));
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
