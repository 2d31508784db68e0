//! Tests of projections, over a log in memory.

use std::{fmt, sync::Arc};

use spacefold_event_core::{ContentStore, LogReader, MemoryLog, Position, SpaceEvent};

use crate::{
    derived_state::DerivedState,
    live_states::LiveStates,
    projection::Projection,
    projections::{CatchUpError, Paused, ProjectionHandle, Projections},
    rebuild::{RebuildError, RebuildMode, RebuildOptions, rebuild},
    single_value::{SingleValue, SingleValueProjection},
    table::TableError,
};

/// A log is cut into no more sessions than this, or each of its folds would read most of it anew.
const MAX_SESSIONS: u64 = 64;
/// How many events a session has, where the log is cut into sessions.
const SESSION_EVENTS: [u64; 5] = [1, 2, 3, 5, 8];

/// A projection over a log in memory: what it makes of given events, and whether it makes the same of
/// them again.
///
/// What does not hold panics, with the event that is to blame.
///
/// ```
/// use spacefold::{
///     EventType, SpaceEvent, event::{EventTypes, RecordedEventRef},
///     projection::{ApplyContext, ApplyError, SingleValueProjection, SingleValue},
///     testing::ProjectionTest,
/// };
///
/// /// How many documents were added.
/// struct DocumentCount;
///
/// impl SingleValue for DocumentCount {
///     type Value = u64;
///
///     fn name(&self) -> &'static str {
///         "document-count"
///     }
///
///     fn version(&self) -> u32 {
///         1
///     }
///
///     fn event_types(&self) -> EventTypes {
///         [EventType::DocumentAdded].into_iter().collect()
///     }
///
///     fn apply(
///         &self,
///         _event: &RecordedEventRef<'_>,
///         _context: &ApplyContext<'_>,
///         count: &mut u64,
///     ) -> Result<(), ApplyError> {
///         *count += 1;
///         Ok(())
///     }
/// }
///
/// let test = ProjectionTest::new(SingleValueProjection(DocumentCount)).given([
///     SpaceEvent::space_created("handbook", "Handbook"),
///     SpaceEvent::document_added("handbook", "intro", "/intro.md"),
/// ]);
/// assert_eq!(test.value(), 1);
/// test.assert_repeatable();
/// ```
pub struct ProjectionTest<P> {
    make: Box<dyn Fn() -> Arc<P>>,
    log: Arc<MemoryLog>,
    content: Option<Arc<dyn ContentStore>>,
    handle: ProjectionHandle<P>,
}

impl<P: Projection> ProjectionTest<P> {
    /// Of one projection, which every fold uses.
    ///
    /// # Panics
    /// When its name is none.
    #[must_use]
    #[track_caller]
    pub fn new(projection: P) -> Self {
        let projection = Arc::new(projection);
        Self::over(Box::new(move || Arc::clone(&projection)))
    }

    /// Of projections that `make` makes, one for each fold and session, as a program makes one each
    /// time it starts: for a projection with fields that could keep something between events.
    ///
    /// # Panics
    /// As [`ProjectionTest::new`].
    ///
    /// ```
    /// use spacefold::{SpaceEvent, projection::OpenProblems, testing::ProjectionTest};
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// ProjectionTest::from_fn(|| OpenProblems).given([created]).assert_repeatable();
    /// ```
    #[must_use]
    #[track_caller]
    pub fn from_fn(make: impl Fn() -> P + 'static) -> Self {
        Self::over(Box::new(move || Arc::new(make())))
    }

    #[track_caller]
    fn over(make: Box<dyn Fn() -> Arc<P>>) -> Self {
        let log = Arc::new(MemoryLog::new());
        let (_, handle) = session((&*make, &log, None), DerivedState::in_memory());
        Self { make, log, content: None, handle }
    }

    /// With the store of the content that the events name; to be said before anything is read.
    #[must_use]
    #[track_caller]
    pub fn with_content(mut self, content: Arc<dyn ContentStore>) -> Self {
        self.content = Some(content);
        (_, self.handle) = self.session(DerivedState::in_memory());
        self
    }

    /// Appends events to the log, after those that are there, each recorded at its own time.
    ///
    /// # Panics
    /// When the log refuses an event, which only one past a limit is.
    #[must_use]
    #[track_caller]
    pub fn given(self, events: impl IntoIterator<Item = SpaceEvent>) -> Self {
        if let Err(error) = self.log.record(events) {
            panic!("what is given cannot be recorded: {error}");
        }
        self
    }

    /// The projection, folded over all that is given: for queries.
    ///
    /// # Panics
    /// When it refuses an event, or panics itself.
    #[track_caller]
    pub fn handle(&self) -> &ProjectionHandle<P> {
        match self.handle.catch_up() {
            Ok(_) => &self.handle,
            Err(error) => self.fail(&error),
        }
    }

    /// All rows, in order of their keys.
    ///
    /// # Panics
    /// As [`ProjectionTest::handle`].
    #[must_use]
    #[track_caller]
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.handle().read(|view| view.scan(b"")?.collect::<Result<_, TableError>>());
        self.expect(rows)
    }

    /// The value of the row under a key, if there is one.
    ///
    /// # Panics
    /// As [`ProjectionTest::handle`].
    #[must_use]
    #[track_caller]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.expect(self.handle().read(|view| view.get(key)))
    }

    /// The event that it cannot take in, if there is one, and why.
    ///
    /// # Panics
    /// When the fold fails for another reason.
    #[must_use]
    #[track_caller]
    pub fn paused(&self) -> Option<Paused> {
        match self.handle.catch_up() {
            Ok(_) => None,
            Err(CatchUpError::Paused(paused)) => Some(paused),
            Err(error) => self.fail(&error),
        }
    }

    /// Checks that a fold over all that is given has the same rows as a rebuild from the first event,
    /// however it is cut: in one go, and in short sessions that each read several pages and go on from
    /// the checkpoint of the one before.
    ///
    /// Finds what a store would find when it is rebuilt: an outcome that depends on a clock, on random
    /// numbers, on the order of a hash map, on what a field of the projection has kept. Each is found
    /// only where it makes a difference: a clock that is read by the second mostly does not.
    ///
    /// # Panics
    /// When the rows differ, with the first event after which they do. When it refuses an event.
    #[track_caller]
    pub fn assert_repeatable(&self) {
        let head = self.log.head();
        let shortest = head.get() / MAX_SESSIONS + 1;
        let cut = SESSION_EVENTS.map(|events| events.max(shortest));
        for events in [head.get()].into_iter().chain(cut) {
            self.assert_rebuilt((head, events));
        }
    }

    /// Folds in sessions of this many events, and compares with a rebuild.
    #[track_caller]
    fn assert_rebuilt(&self, (head, events): (Position, u64)) {
        let derived = DerivedState::in_memory();
        let mut position = Position::START;
        while position < head {
            let (projections, handle) = self.session(derived.clone());
            for page in [events / 2, events - events / 2] {
                position = position.plus(page).min(head);
                self.expect(handle.catch_up_to(position));
            }
            self.expect(projections.save());
        }
        let (projections, handle) = self.session(derived);
        let name = handle.info().name;
        let options = RebuildOptions::new(RebuildMode::Check);
        let outcomes = match rebuild(&projections, &[name.to_owned()], &options) {
            Ok(outcomes) => outcomes,
            Err(RebuildError::Undecodable { cause, .. }) => self.fail(&CatchUpError::Paused(cause)),
            Err(error) => panic!("{error}"),
        };
        if let Some(parting) = outcomes.into_iter().find_map(|outcome| outcome.first_divergence) {
            let how = if events < head.get() {
                format!("in sessions of {events} events")
            } else {
                "in one session".to_owned()
            };
            let event = self.event_at(parting.position);
            panic!(
                "projection {name} has other rows when it is folded {how} than after a rebuild: \
                 they part at {event}"
            );
        }
    }

    #[track_caller]
    fn session(&self, derived: DerivedState) -> (Projections, ProjectionHandle<P>) {
        session((&*self.make, &self.log, self.content.as_ref()), derived)
    }

    #[track_caller]
    fn expect<T>(&self, result: Result<T, CatchUpError>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => self.fail(&error),
        }
    }

    #[track_caller]
    fn fail(&self, error: &CatchUpError) -> ! {
        match error {
            CatchUpError::Paused(paused) => panic!("{error}: {}", self.event_at(paused.position)),
            error => panic!("{error}"),
        }
    }

    /// A position, and the event that is there.
    fn event_at(&self, position: Position) -> String {
        let page = self.log.page_at(position).ok().flatten();
        let event = page.as_ref().and_then(|page| page.events().next()).and_then(Result::ok);
        let event =
            event.map_or_else(String::new, |event| event.to_owned_event().event.to_string());
        format!("position {position}: {event}")
    }
}

impl<P: SingleValue> ProjectionTest<SingleValueProjection<P>> {
    /// The value.
    ///
    /// # Panics
    /// As [`ProjectionTest::handle`].
    #[must_use]
    #[track_caller]
    pub fn value(&self) -> P::Value {
        self.expect(self.handle().value()).0
    }
}

impl<P> fmt::Debug for ProjectionTest<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionTest").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// What a fold is made of: the projection, the log, the content.
type FoldInputs<'a, P> =
    (&'a dyn Fn() -> Arc<P>, &'a Arc<MemoryLog>, Option<&'a Arc<dyn ContentStore>>);

/// The projection, registered by a program that has just started.
#[track_caller]
fn session<P: Projection>(
    (make, log, content): FoldInputs<'_, P>,
    derived: DerivedState,
) -> (Projections, ProjectionHandle<P>) {
    let mut projections = Projections::new(Arc::new(LiveStates::new(log.clone(), derived)));
    if let Some(content) = content {
        projections = projections.with_content(Arc::clone(content));
    }
    match projections.register_shared(make()) {
        Ok(handle) => (projections, handle),
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests;
