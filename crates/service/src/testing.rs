//! Given, when, then: tests of what is commanded, over a log in memory.
//!
//! What is given are events, as the log has them; what is done are commands; what is expected are
//! the events that they record, or the rule that refuses them.
//!
//! ```
//! use spacefold::{Refusal, SpaceEvent, testing::given};
//!
//! let created = SpaceEvent::space_created("handbook", "Handbook");
//!
//! given([created.clone()])
//!     .when(|service| service.add_document("handbook", "intro", "/intro.md"))
//!     .then([SpaceEvent::document_added("handbook", "intro", "/intro.md")])
//!     .then_state("handbook", |state| assert!(state.has_path("/intro.md")));
//!
//! given([created.clone()])
//!     .when(|service| service.rename_space("handbook", "Handbook"))
//!     .then_nothing();
//!
//! given([created])
//!     .when(|service| service.remove_document("handbook", "intro"))
//!     .then(Refusal::UnknownDocument { document_id: "intro".to_owned() });
//! ```
//!
//! Events are compared by space, payload, source and correlation id. Expectations that do not hold
//! panic, with what was expected and what was found as lines of JSON.

use std::{fmt::Write, sync::Arc};

use spacefold_event_core::{
    MAX_APPEND_EVENTS, MemoryContentStore, MemoryLog, Position, ReadRequest, SpaceEvent,
};
use spacefold_state::SpaceState;

use crate::{
    command_error::CommandError, outcome::Outcome, refusal::Refusal, space_service::SpaceService,
};

/// A service over a log in memory that has these events.
///
/// # Panics
/// When the log refuses an event, which only one past a limit is.
#[must_use]
#[track_caller]
pub fn given(events: impl IntoIterator<Item = SpaceEvent>) -> Given {
    let log = Arc::new(MemoryLog::new());
    if let Err(error) = log.record(events) {
        panic!("what is given cannot be recorded: {error}");
    }
    let content = Arc::new(MemoryContentStore::new());
    let service = SpaceService::over(log).with_content_store(content);
    Given { service }
}

/// What is there before the commands. See [`given`].
#[derive(Debug)]
pub struct Given {
    service: SpaceService,
}

impl Given {
    /// Does something with the service, in memory: gives commands, one or several.
    #[must_use]
    pub fn when(self, act: impl FnOnce(&SpaceService) -> Result<Outcome, CommandError>) -> Then {
        let before = self.service.log().head();
        let outcome = act(&self.service);
        Then { service: self.service, before, outcome }
    }
}

/// What came of the commands.
#[derive(Debug)]
pub struct Then {
    service: SpaceService,
    before: Position,
    outcome: Result<Outcome, CommandError>,
}

impl Then {
    /// Expects that these events were recorded, or that this refused the last command and nothing
    /// was recorded.
    ///
    /// # Panics
    /// When it is not so.
    #[allow(clippy::must_use_candidate, reason = "the expectation is checked already")]
    #[track_caller]
    pub fn then(self, expected: impl Into<Expected>) -> Self {
        let recorded = self.recorded();
        match (expected.into(), &self.outcome) {
            (Expected::Events(events), Ok(_)) => check_events(&events, &recorded),
            (Expected::Events(events), Err(error)) => {
                panic!("expected:\n{}found an error: {error}", lines(&events))
            }
            (Expected::Refusal(expected), Err(error)) => {
                assert_eq!(error.refusal(), Some(&expected), "{error}");
                check_events(&[], &recorded);
            }
            (Expected::Refusal(expected), Ok(_)) => {
                panic!("expected a refusal: {expected}\nfound:\n{}", lines(&recorded))
            }
        }
        self
    }

    /// Expects that the commands succeeded, and nothing was recorded.
    ///
    /// # Panics
    /// When it is not so.
    #[allow(clippy::must_use_candidate, reason = "the expectation is checked already")]
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then(Vec::new())
    }

    /// Expects that the last command failed, and shows the error.
    ///
    /// # Panics
    /// When it succeeded, and when `check` does.
    #[allow(clippy::must_use_candidate, reason = "the expectation is checked already")]
    #[track_caller]
    pub fn then_error(self, check: impl FnOnce(&CommandError)) -> Self {
        match &self.outcome {
            Err(error) => check(error),
            Ok(_) => panic!("expected an error\nfound:\n{}", lines(&self.recorded())),
        }
        self
    }

    /// Shows the state of a space after the commands.
    ///
    /// # Panics
    /// When there is no such space, and when `check` does.
    #[allow(clippy::must_use_candidate, reason = "the expectation is checked already")]
    #[track_caller]
    pub fn then_state(self, space_id: &str, check: impl FnOnce(&SpaceState)) -> Self {
        match self.service.states().snapshot(space_id) {
            Ok(snapshot) => check(&snapshot),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// The events that the commands recorded, in order.
    #[must_use]
    #[track_caller]
    pub fn recorded(&self) -> Vec<SpaceEvent> {
        let log = self.service.log();
        let mut recorded = Vec::new();
        let read = ReadRequest::from(self.before.next()).limit(MAX_APPEND_EVENTS);
        for page in log.pages(read) {
            let page = match page {
                Ok(page) => page,
                Err(error) => panic!("what was recorded cannot be read: {error}"),
            };
            for event in page.events() {
                match event {
                    Ok(event) => recorded.push(event.to_owned_event().event),
                    Err(error) => panic!("what was recorded does not decode: {error}"),
                }
            }
        }
        recorded
    }

    /// What the last command answered.
    ///
    /// # Errors
    /// The error of the last command.
    pub fn into_outcome(self) -> Result<Outcome, CommandError> {
        self.outcome
    }
}

/// What is expected of commands: events, or a refusal.
#[derive(Clone, Debug)]
pub enum Expected {
    /// These events are recorded.
    Events(Vec<SpaceEvent>),
    /// The command is refused, for this reason.
    Refusal(Refusal),
}

impl<const N: usize> From<[SpaceEvent; N]> for Expected {
    fn from(events: [SpaceEvent; N]) -> Self {
        Self::Events(events.into())
    }
}

impl From<Vec<SpaceEvent>> for Expected {
    fn from(events: Vec<SpaceEvent>) -> Self {
        Self::Events(events)
    }
}

impl From<Refusal> for Expected {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

#[track_caller]
fn check_events(expected: &[SpaceEvent], found: &[SpaceEvent]) {
    let same = |(expected, found): (&SpaceEvent, &SpaceEvent)| {
        expected.space_id == found.space_id
            && expected.payload == found.payload
            && expected.source == found.source
            && expected.correlation_id == found.correlation_id
    };
    if expected.len() != found.len() || !expected.iter().zip(found).all(same) {
        panic!("expected:\n{}found:\n{}", lines(expected), lines(found));
    }
}

/// Events as lines of JSON, without what is not compared.
fn lines(events: &[SpaceEvent]) -> String {
    if events.is_empty() {
        return "  nothing\n".to_owned();
    }
    let mut lines = String::new();
    for event in events {
        let by = (event.source.as_deref(), event.correlation_id.as_deref());
        let _ = match by {
            (None, None) => writeln!(lines, "  {event}"),
            by => writeln!(lines, "  {event} {by:?}"),
        };
    }
    lines
}

#[cfg(test)]
mod tests;
