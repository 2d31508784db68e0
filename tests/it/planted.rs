//! The conformance suite finds faults that are planted in a log.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use conformance::{
    LogFactory, append, concurrency, condition, ingest, limits, model, read, retry, time,
};
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventId, EventLog, Ingested, LogReader, LogWriter,
    MemoryLog, Page, Position, ReadError, ReadRequest, Receipt, RecordedEvent, Revision,
    SpaceEvent, Timestamp, testing,
};

/// What is wrong with a log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    SkipsACheck,
    SplitsAppends,
    ForgetsRetries,
    DropsTheLastEvent,
    EndsAtAnEmptyPage,
    StartsBehindFrom,
    SkipsARevision,
    IgnoresTheTimeAsked,
    LosesRecordingTimes,
    AnswersBeforeDurable,
    AppendsWhatItIngests,
}

struct Planted<const FAULT: usize>;

const FAULTS: [Fault; 11] = [
    Fault::SkipsACheck,
    Fault::SplitsAppends,
    Fault::ForgetsRetries,
    Fault::DropsTheLastEvent,
    Fault::EndsAtAnEmptyPage,
    Fault::StartsBehindFrom,
    Fault::SkipsARevision,
    Fault::IgnoresTheTimeAsked,
    Fault::LosesRecordingTimes,
    Fault::AnswersBeforeDurable,
    Fault::AppendsWhatItIngests,
];

struct Faulty {
    log: MemoryLog,
    fault: Fault,
}

impl<const FAULT: usize> LogFactory for Planted<FAULT> {
    fn new() -> Self {
        Self
    }

    fn open(&self) -> Box<dyn EventLog> {
        let fault = FAULTS[FAULT];
        Box::new(Faulty { log: MemoryLog::new(), fault })
    }

    fn reopen(&self, _: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        None
    }

    fn model_cases() -> u32 {
        100
    }
}

impl testing::LogWrapper for Faulty {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        match self.fault {
            Fault::AnswersBeforeDurable => Ok(self.log.durable_head()),
            _ => self.log.wait_durable(position, timeout),
        }
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        match self.fault {
            Fault::DropsTheLastEvent => self
                .log
                .read(&ReadRequest { to: read.to.min(self.log.head().previous()), ..read.clone() }),
            Fault::StartsBehindFrom => {
                self.log.read(&ReadRequest { from: read.from.next(), ..read.clone() })
            }
            Fault::EndsAtAnEmptyPage => {
                let page = self.log.read(read)?;
                Ok(if page.is_empty() { Page::empty(read.from) } else { page })
            }
            _ => self.log.read(read),
        }
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        let from = match self.fault {
            Fault::SkipsARevision => from.next(),
            _ => from,
        };
        self.log.read_space(space_id, from, limit)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        match self.fault {
            Fault::IgnoresTheTimeAsked => Ok(self.log.head()),
            _ => self.log.position_as_of(time),
        }
    }

    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        match self.fault {
            Fault::SkipsACheck => {
                let append = append.clone().on(AppendCondition::none());
                self.log.append(&append)
            }
            Fault::SplitsAppends if append.times().is_none() => {
                let mut receipts = append
                    .events()
                    .iter()
                    .map(|event| self.log.append(&AppendRequest::new(std::slice::from_ref(event))));
                let first = receipts.next().ok_or(AppendError::Empty)??;
                receipts.try_fold(first, |first, next| {
                    // As long as a disk would take, so that others come in between.
                    std::thread::park_timeout(Duration::from_millis(1));
                    let next = next?;
                    let (position, revision) = (next.last_position(), next.revision());
                    let (begin, time) = (first.first_position(), next.recorded_at());
                    Ok(Receipt::new(begin, position, revision, time, true))
                })
            }
            Fault::LosesRecordingTimes => {
                let now = AppendRequest::new(append.events()).on(append.condition().clone());
                self.log.append(&now)
            }
            Fault::ForgetsRetries => {
                // What is stored is taken for new.
                let mut events = append.events().to_vec();
                for event in &mut events {
                    if self.log.find_event(event.event_id)?.is_some() {
                        event.event_id = EventId::new();
                    }
                }
                self.log.append(&AppendRequest::new(&events).on(append.condition().clone()))
            }
            _ => self.log.append(append),
        }
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        if self.fault != Fault::AppendsWhatItIngests {
            return self.log.ingest(records);
        }
        let (events, times): (Vec<SpaceEvent>, Vec<Timestamp>) =
            records.iter().map(|record| (record.event.clone(), record.recorded_at)).unzip();
        let receipt = self.log.append(&AppendRequest::new(&events).recorded_at(&times))?;
        Ok(Ingested::new(0, Some(receipt)))
    }
}

/// Sees a case fail over the log with this fault.
#[track_caller]
fn fails<const FAULT: usize>(case: fn(&Planted<FAULT>)) {
    let outcome = catch_unwind(AssertUnwindSafe(|| case(&Planted)));
    assert!(outcome.is_err(), "the fault went unnoticed");
}

#[test]
fn skipped_checks_are_noticed() {
    fails::<0>(condition::names_every_part_that_fails);
    fails::<0>(condition::writes_nothing_when_a_condition_fails);
    fails::<0>(condition::sees_no_matching_event_after_a_position);
    fails::<0>(concurrency::lets_one_writer_win_each_revision);
    fails::<0>(model::agrees_with_the_model);
}

#[test]
fn split_appends_are_noticed() {
    fails::<1>(concurrency::keeps_parallel_appends_dense_and_whole);
    fails::<1>(concurrency::shows_readers_whole_appends_only);
    fails::<1>(limits::names_the_event_that_is_past_a_limit);
    fails::<1>(retry::refuses_an_id_twice_in_one_append);
}

#[test]
fn forgotten_retries_are_noticed() {
    fails::<2>(retry::answers_a_retry_under_no_expectation);
    fails::<2>(retry::answers_a_retry_of_long_ago_under_an_exact_expectation);
    fails::<2>(retry::stores_an_id_once_whatever_the_condition);
    fails::<2>(retry::refuses_an_id_with_other_content);
    fails::<2>(retry::refuses_a_retry_of_another_run);
    fails::<2>(model::agrees_with_the_model);
}

#[test]
fn lost_events_are_noticed() {
    fails::<3>(append::numbers_positions_and_revisions_from_one);
    fails::<3>(append::keeps_every_part_of_an_event);
    fails::<3>(read::reads_ranges_with_both_ends);
    fails::<4>(read::leads_on_over_pages_without_a_match);
    fails::<5>(read::reads_ranges_with_both_ends);
    fails::<5>(read::reads_in_pages_that_lead_on);
    fails::<6>(read::reads_a_space_by_revision);
    fails::<6>(model::agrees_with_the_model);
}

#[test]
fn wrong_times_are_noticed() {
    fails::<7>(time::finds_the_last_position_as_of_a_time);
    fails::<8>(time::clamps_recording_times);
    fails::<9>(time::waits_until_a_position_is_durable);
}

#[test]
fn appending_in_place_of_ingesting_is_noticed() {
    fails::<10>(ingest::skips_events_that_are_stored);
    fails::<10>(ingest::refuses_events_that_differ_from_the_stored);
    fails::<10>(ingest::refuses_positions_that_do_not_follow);
    fails::<10>(ingest::refuses_revisions_that_do_not_follow);
    fails::<10>(ingest::refuses_times_that_go_back);
}
