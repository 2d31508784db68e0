//! What an import hands to the log, many events at a time.

use std::mem;

use spacefold::{
    SpaceEvent, Spacefold, Timestamp,
    admin::Clamped,
    content::ContentStore as _,
    event::{MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES},
    log::{AppendRequest, PendingAppend},
};

use super::error::ImportGitError;

/// This many events fit one append, however large they are.
const EVENTS_OF_ANY_SIZE: usize = MAX_APPEND_BYTES / MAX_EVENT_BYTES;

/// Appends events together, after the content that they name.
pub(super) struct Appender<'a> {
    store: &'a Spacefold,
    batch: Vec<Vec<SpaceEvent>>,
    /// Events that wait in the batch.
    pub(super) waiting: usize,
    in_flight: Vec<(String, Vec<Timestamp>, PendingAppend)>,
    /// Events that are durable.
    pub(super) appended: u64,
    /// Of these, events that were recorded at another time than their commits say.
    pub(super) clamped: u64,
    /// The commit of the first of them.
    pub(super) first_clamped: Option<String>,
}

impl<'a> Appender<'a> {
    pub(super) const fn to(store: &'a Spacefold) -> Self {
        Self {
            store,
            batch: Vec::new(),
            waiting: 0,
            in_flight: Vec::new(),
            appended: 0,
            clamped: 0,
            first_clamped: None,
        }
    }

    /// Adds events to the batch: as one append, or several if they are too many.
    pub(super) fn push(&mut self, events: Vec<SpaceEvent>) {
        if events.len() <= EVENTS_OF_ANY_SIZE {
            self.waiting += events.len();
            self.batch.extend((!events.is_empty()).then_some(events));
            return;
        }
        let mut append = Vec::new();
        let mut bytes = 0;
        for event in events {
            let event_bytes = event.encoded_len();
            if append.len() == MAX_APPEND_EVENTS || bytes + event_bytes > MAX_APPEND_BYTES {
                self.batch.push(mem::take(&mut append));
                bytes = 0;
            }
            bytes += event_bytes;
            self.waiting += 1;
            append.push(event);
        }
        if !append.is_empty() {
            self.batch.push(append);
        }
    }

    /// Makes the content that was put durable, then hands the batch to the log.
    pub(super) fn hand_over(&mut self) -> Result<(), ImportGitError> {
        self.store.content().sync()?;
        self.settle()?;
        for events in mem::take(&mut self.batch) {
            let commit =
                events.first().and_then(|event| event.correlation_id.clone()).unwrap_or_default();
            let times: Vec<Timestamp> = events.iter().map(|event| event.timestamp).collect();
            let append = AppendRequest::new(&events).recorded_at(&times);
            match self.store.log().submit(&append) {
                Ok(pending) => self.in_flight.push((commit, times, pending)),
                Err(error) => {
                    self.settle()?;
                    return Err(ImportGitError::Append { commit, error });
                }
            }
        }
        self.waiting = 0;
        Ok(())
    }

    /// Waits until the events that the log was handed are durable.
    pub(super) fn settle(&mut self) -> Result<(), ImportGitError> {
        let mut outcome = Ok(());
        for (commit, times, pending) in self.in_flight.drain(..) {
            match pending.wait() {
                Ok(receipt) => {
                    self.appended += receipt.count();
                    if let Some(clamped) = Clamped::of(self.store.log(), &receipt, &times)? {
                        self.clamped += clamped.events;
                        self.first_clamped.get_or_insert(commit);
                    }
                }
                Err(error) => outcome = outcome.and(Err(ImportGitError::Append { commit, error })),
            }
        }
        outcome
    }
}
