//! Every schedule of a few threads, up to two preemptions: exhaustive where it is feasible.

#[path = "../../crates/store/src/writer/budget.rs"]
mod budget;
#[allow(dead_code, reason = "the whole file is compiled, for the parts under test")]
#[path = "../../crates/store/src/progress.rs"]
mod progress;
// What the scenarios do not need is there for the crate.
#[allow(dead_code, reason = "the whole file is compiled, for the parts under test")]
#[path = "../../crates/bus/src/head_watch.rs"]
mod head_watch;
#[allow(dead_code, reason = "the whole file is compiled, for the parts under test")]
#[path = "../../crates/bus/src/signal.rs"]
mod signal;

mod bus_scenarios;
mod store_scenarios;

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

mod thread {
    pub(crate) use loom::thread::{spawn, yield_now};
}

use bus_scenarios::LooksAt;
use store_scenarios::{Announces, LooksAtTail};

/// Tries every schedule with at most two preemptions.
fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

#[test]
fn nobody_waits_for_ever_for_the_durable_head() {
    check(|| store_scenarios::durable_head(Announces::AfterSync));
}

#[test]
#[should_panic(expected = "acknowledged before it was synced")]
fn an_early_acknowledgement_is_found() {
    check(|| store_scenarios::durable_head(Announces::BeforeSync));
}

#[test]
fn a_failure_wakes_everybody() {
    check(store_scenarios::failure_and_close);
}

#[test]
fn a_long_tail_holds_the_writer_up_no_longer_than_it_is_long() {
    check(|| store_scenarios::room_in_the_tail(LooksAtTail::UnderTheLock));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_found() {
    check(|| store_scenarios::room_in_the_tail(LooksAtTail::Before));
}

#[test]
fn a_full_journal_holds_the_writer_up_until_a_file_is_given_up() {
    check(store_scenarios::room_in_the_journal);
}

#[test]
fn one_segment_is_made_after_the_other() {
    check(store_scenarios::archiving);
}

#[test]
fn everybody_gets_through_the_byte_budget() {
    check(|| store_scenarios::byte_budget([4, 8, 30]));
}

#[test]
fn subscribers_get_every_event_that_they_want() {
    check(|| bus_scenarios::every_event_arrives(LooksAt::All));
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_event_that_is_passed_over_is_found() {
    check(|| bus_scenarios::every_event_arrives(LooksAt::TheLast));
}

#[test]
fn a_subscription_is_closed_from_either_side() {
    check(bus_scenarios::closing_from_either_side);
}

#[test]
fn a_subscription_is_closed_from_both_sides_at_once() {
    check(bus_scenarios::closing_from_both_sides);
}

#[test]
fn a_subscriber_that_is_closed_takes_nobody_with_it() {
    check(bus_scenarios::closing_beside_others);
}

#[test]
fn a_failure_to_follow_the_log_loses_no_event() {
    check(bus_scenarios::a_failure_between_events);
}

#[test]
fn a_subscriber_is_never_without_a_watcher() {
    check(bus_scenarios::a_watcher_that_is_relieved);
}
