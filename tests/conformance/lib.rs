//! What every event log must do, as functions that any log can be run through.
//!
//! A log takes part through a [`LogFactory`]; [`conformance_suite!`] makes one test of every
//! case. What a log promises beyond [`EventLog`] (surviving a crash, healing damage) is tested
//! where the log is.

pub mod append;
pub mod concurrency;
pub mod condition;
pub mod ingest;
pub mod language;
pub mod limits;
pub mod model;
pub mod origin;
pub mod query;
pub mod read;
pub mod reopen;
pub mod retry;
pub mod time;

use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventLog, Page, Position, ReadRequest, Receipt,
    RecordedEvent, Revision, SpaceEvent, Timestamp,
};

/// Makes logs of one kind.
pub trait LogFactory {
    /// A factory of its own: nothing that another one's logs hold is seen by its logs.
    fn new() -> Self;

    /// Opens the log of this factory.
    fn open(&self) -> Box<dyn EventLog>;

    /// Closes the log and opens it again; `None` when it does not outlive its handle.
    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>>;

    /// Whether the log outlives its handle: then random histories reopen and crash in the middle.
    fn outlives_its_handle(&self) -> bool {
        false
    }

    /// Goes on with what a process that is killed now would leave.
    fn crash(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        self.reopen(log)
    }

    /// How many random histories the log is compared with the model over.
    fn model_cases() -> u32;
}

/// Makes a module of tests, one for each case of the suite, over one kind of log.
#[macro_export]
macro_rules! conformance_suite {
    ($module:ident, $factory:ty) => {
        mod $module {
            $crate::conformance_suite!(@cases $factory,
                append::numbers_positions_and_revisions_from_one,
                append::keeps_an_append_whole_and_in_order,
                append::appends_to_several_spaces_at_once,
                append::refuses_an_append_without_events,
                append::keeps_every_part_of_an_event,
                condition::takes_appends_whose_expectations_hold,
                condition::names_every_part_that_fails,
                condition::writes_nothing_when_a_condition_fails,
                condition::sees_no_matching_event_after_a_position,
                condition::checks_spaces_that_the_append_does_not_touch,
                retry::answers_a_retry_under_an_exact_expectation,
                retry::answers_a_retry_under_no_expectation,
                retry::answers_a_retry_before_it_checks_the_condition,
                retry::answers_a_retry_of_long_ago_under_an_exact_expectation,
                retry::stores_an_id_once_whatever_the_condition,
                retry::answers_a_retry_whose_time_is_filled_in_anew,
                retry::compares_tags_and_passes_over_origins,
                retry::refuses_an_id_with_other_content,
                retry::refuses_a_retry_of_another_run,
                retry::refuses_an_id_twice_in_one_append,
                retry::refuses_new_events_that_are_stored,
                ingest::takes_events_as_they_were_recorded,
                ingest::takes_as_many_events_as_an_append,
                ingest::skips_events_that_are_stored,
                ingest::refuses_events_that_differ_from_the_stored,
                ingest::refuses_positions_that_do_not_follow,
                ingest::refuses_revisions_that_do_not_follow,
                ingest::refuses_times_that_go_back,
                ingest::refuses_ids_that_are_there_already,
                ingest::holds_the_limits_of_an_append,
                ingest::keeps_ingested_events_over_a_reopen,
                ingest::takes_each_event_once_from_many,
                language::keeps_events_of_ones_own_tags_and_origins,
                language::reads_by_names_tags_and_origins,
                language::decides_by_queries,
                language::holds_the_limits_of_names_tags_and_origins,
                language::takes_reserved_types_only_where_told,
                origin::stores_an_origin_once_whatever_the_condition,
                origin::answers_a_retry_whatever_its_origin,
                origin::refuses_an_origin_twice_in_one_append,
                origin::decides_on_origins_that_were_handed_over,
                origin::ingests_an_origin_once,
                origin::knows_origins_over_a_reopen,
                limits::holds_the_limits_of_ids_and_labels,
                limits::holds_the_limit_of_events_in_an_append,
                limits::holds_the_limit_of_an_event,
                limits::holds_the_limit_of_an_append,
                limits::holds_the_limit_of_nesting,
                limits::names_the_event_that_is_past_a_limit,
                query::reads_what_any_filter_of_a_query_selects,
                query::decides_on_what_a_query_selects,
                query::finds_the_few_that_have_a_tag_among_many,
                query::holds_a_boundary_over_several_spaces,
                query::holds_the_limits_of_queries,
                read::reads_ranges_with_both_ends,
                read::reads_in_pages_that_lead_on,
                read::lists_spaces_in_order,
                read::reads_what_a_filter_selects,
                read::tells_the_newest_of_a_space,
                read::finds_events_and_answers_conditions,
                read::finds_many_events_at_once,
                read::leads_on_over_pages_without_a_match,
                read::reads_a_space_by_revision,
                read::reads_nothing_from_an_empty_log,
                read::refuses_pages_of_nothing,
                read::looks_at_no_more_than_it_is_told,
                read::keeps_a_page_while_the_log_goes_on,
                time::finds_the_last_position_as_of_a_time,
                time::clamps_recording_times,
                time::never_records_backwards,
                time::refuses_another_number_of_times,
                time::waits_until_a_position_is_durable,
                time::stops_waiting_at_the_timeout,
                concurrency::lets_one_writer_win_each_revision,
                concurrency::keeps_parallel_appends_dense_and_whole,
                concurrency::shows_readers_whole_appends_only,
                reopen::keeps_events_over_a_reopen,
                reopen::keeps_revisions_and_conditions_over_a_reopen,
                reopen::recognises_retries_over_a_reopen,
                reopen::goes_on_over_many_reopens,
                model::agrees_with_the_model,
            );
        }
    };
    (@cases $factory:ty, $($group:ident :: $case:ident,)*) => {
        /// How many cases the suite has.
        pub const CASES: usize = [$(stringify!($case)),*].len();
        $(
            #[test]
            fn $case() {
                $crate::$group::$case(&<$factory as $crate::LogFactory>::new());
            }
        )*
    };
}

/// Appends on a condition.
///
/// # Errors
/// Those of the log.
pub fn append_on(
    log: &dyn EventLog,
    events: &[SpaceEvent],
    condition: AppendCondition,
) -> Result<Receipt, AppendError> {
    log.append(&AppendRequest::new(events).on(condition))
}

/// Appends what must succeed.
#[track_caller]
pub fn append(log: &dyn EventLog, events: &[SpaceEvent]) -> Receipt {
    append_on(log, events, AppendCondition::none()).unwrap()
}

/// Appends `count` events to a space, one by one.
#[track_caller]
pub fn fill(log: &dyn EventLog, space_id: &str, count: u64) {
    for n in 0..count {
        append(log, &[set(space_id, "n", n)]);
    }
}

/// Some event of a space that carries a number.
#[must_use]
pub fn set(space_id: &str, name: &str, number: u64) -> SpaceEvent {
    SpaceEvent::variable_set(space_id, name, number)
}

/// The time so many seconds after the beginning of 2020.
#[must_use]
pub fn second(number: i64) -> Timestamp {
    Timestamp::from_micros((1_577_836_800 + number) * 1_000_000).unwrap()
}

/// The events of a page, owned.
#[track_caller]
#[must_use]
pub fn events_of(page: &Page) -> Vec<RecordedEvent> {
    let events: Vec<_> = page.events().map(|event| event.unwrap().to_owned_event()).collect();
    assert_eq!(events.len(), page.len());
    assert_eq!(events.is_empty(), page.is_empty());
    events
}

/// Every event of a read, page by page as a reader goes on, with the laws of pages checked.
#[track_caller]
#[must_use]
pub fn read_all(log: &dyn EventLog, read: &ReadRequest) -> Vec<RecordedEvent> {
    let mut all: Vec<RecordedEvent> = Vec::new();
    let mut next = read.from;
    let last = log.durable_head().min(read.to);
    while next <= last {
        let page = log.read(&ReadRequest { from: next, ..read.clone() }).unwrap();
        let events = events_of(&page);
        assert!(events.len() <= read.limit, "a page past its limit");
        assert!(page.next() > next, "a read that gets nowhere at {next}");
        page.check_progress(&ReadRequest { from: next, to: last, ..read.clone() }).unwrap();
        for event in &events {
            assert!(event.position >= next && event.position < page.next());
            assert!(event.position <= read.to);
            assert!(read.query.selects(&event.event));
            assert!(all.last().is_none_or(|before| before.position < event.position));
        }
        next = page.next();
        all.extend(events);
    }
    all
}

/// Every event of the log.
#[track_caller]
#[must_use]
pub fn whole_log(log: &dyn EventLog) -> Vec<RecordedEvent> {
    let all = read_all(log, &ReadRequest::from(Position::new(1)));
    assert_numbered(&all);
    assert_eq!(all.last().map_or(Position::START, |event| event.position), log.durable_head());
    all
}

/// Checks that positions are dense from 1, revisions dense in every space, and times in order.
#[track_caller]
pub fn assert_numbered(events: &[RecordedEvent]) {
    let mut revisions = std::collections::HashMap::new();
    let mut last = Timestamp::MIN;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.position, Position::new(index as u64 + 1));
        let revision = revisions.entry(event.event.space_id.as_str()).or_insert(Revision::NONE);
        *revision = revision.next();
        assert_eq!(event.revision, *revision, "{:?}", event.event.space_id);
        assert!(event.recorded_at >= last, "recorded_at goes back");
        last = event.recorded_at;
    }
}

/// Checks that the log holds exactly these events, numbered from 1.
#[track_caller]
pub fn assert_holds(log: &dyn EventLog, expected: &[SpaceEvent]) {
    let held: Vec<SpaceEvent> = whole_log(log).into_iter().map(|event| event.event).collect();
    assert_eq!(held, expected);
    assert_eq!(log.head(), Position::new(expected.len() as u64));
}
