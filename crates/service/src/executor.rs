//! Executing commands: read the state, decide, append at the revision read; again when another
//! writer was first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use spacefold_event_core::{
    Append, AppendCondition, AppendError, EventFilter, EventLog, Position, RecordedEvent, Revision,
};
use spacefold_projection::{LiveStates, SnapshotError};
use spacefold_state::SpaceState;

use crate::{
    attribution::Attribution,
    command_error::CommandError,
    commands::{Commands, Decided, DecidedEvents},
    known_states::{Known, KnownStates},
    named_content::NamedContent,
    outcome::Outcome,
    refusal::Refusal,
    repeat,
};

/// How often a command is decided before the writers that were faster have won.
pub(crate) const MAX_ATTEMPTS: u32 = 16;

/// How long a command waits for what another writer has appended to become durable.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What the clones of a service share.
pub(crate) struct Executor {
    log: Arc<dyn EventLog>,
    states: Arc<LiveStates>,
    known: KnownStates,
    /// See [`Executor::seen`].
    seen: AtomicU64,
}

impl Executor {
    pub(crate) fn new(log: Arc<dyn EventLog>, states: Arc<LiveStates>) -> Self {
        Self { log, states, known: KnownStates::default(), seen: AtomicU64::new(0) }
    }

    pub(crate) const fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    pub(crate) const fn states(&self) -> &Arc<LiveStates> {
        &self.states
    }

    /// The newest durable position that was recorded or read.
    pub(crate) fn seen(&self) -> Position {
        Position::new(self.seen.load(Ordering::Acquire))
    }

    fn see(&self, position: Position) {
        self.seen.fetch_max(position.get(), Ordering::AcqRel);
    }

    #[cfg(test)]
    pub(crate) const fn known(&self) -> &KnownStates {
        &self.known
    }

    /// Executes commands on a space, all or none. The content that they name is kept once they are
    /// decided, before the event that names it: of what is refused nothing is.
    pub(crate) fn execute(
        &self,
        space_id: &str,
        commands: &Commands,
        attribution: &Attribution,
        mut content: Option<NamedContent<'_>>,
    ) -> Result<Outcome, CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.lock();
        let mut read = Revision::NONE;
        for _ in 0..MAX_ATTEMPTS {
            let known = self.current(space_id, &mut place)?;
            read = known.revision();
            let condition = condition(space_id, known, attribution);
            let decided = match commands.decide(known, attribution) {
                Decided::Events(decided) => decided,
                _ if self.is_behind(known, &condition)? => {
                    self.give_way(&mut place)?;
                    continue;
                }
                undecided => {
                    let repeated = self.repeated(space_id, commands, attribution)?;
                    let outcome = match (repeated, undecided) {
                        (None, Decided::Refused(error)) => return Err(error),
                        (repeated, _) => repeated.unwrap_or(Outcome::unchanged(read)),
                    };
                    content.as_mut().map_or(Ok(()), NamedContent::keep_missing)?;
                    return Ok(outcome);
                }
            };
            content.as_mut().map_or(Ok(()), NamedContent::keep)?;
            match self.log.append(&Append::new(&decided.events).on(condition)) {
                Ok(receipt) => {
                    if receipt.is_durable() {
                        self.see(receipt.last_position());
                    }
                    let outcome = Outcome::recorded(decided.events, &receipt);
                    if !known.advance(outcome.events()) {
                        *place = None;
                    }
                    return Ok(outcome);
                }
                Err(AppendError::ConditionFailed { .. }) => self.give_way(&mut place)?,
                Err(error) => {
                    *place = None;
                    return self.failed(error, space_id, commands, &decided, attribution);
                }
            }
        }
        let found = self.log.newest_revision(space_id)?;
        let space_id = space_id.to_owned();
        Err(CommandError::Conflict { space_id, attempts: MAX_ATTEMPTS, read, found })
    }

    /// The state of a space, with what this service has recorded.
    pub(crate) fn state(&self, space_id: &str) -> Result<Arc<SpaceState>, CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.lock();
        Ok(Arc::clone(&self.current(space_id, &mut place)?.state))
    }

    /// Whether a space is as `rule` has it, before what may take long is done for a command.
    pub(crate) fn check(
        &self,
        space_id: &str,
        rule: impl Fn(&SpaceState) -> Result<(), Refusal>,
    ) -> Result<(), CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.lock();
        for _ in 0..MAX_ATTEMPTS {
            let known = self.current(space_id, &mut place)?;
            let Err(refusal) = rule(&known.state) else { return Ok(()) };
            if !self.is_behind(known, &AppendCondition::exact(space_id, known.revision()))? {
                let space_id = space_id.to_owned();
                return Err(CommandError::Refused { space_id, index: None, refusal });
            }
            self.give_way(&mut place)?;
        }
        // Executing the command will tell.
        Ok(())
    }

    /// What is known of a space, read anew when the log has more.
    fn current<'a>(
        &self,
        space_id: &str,
        place: &'a mut Option<Known>,
    ) -> Result<&'a mut Known, CommandError> {
        let revision = self.log.revision(space_id)?;
        Ok(match place.take() {
            Some(known) if known.revision() >= revision => place.insert(known),
            _ => place.insert(self.read(space_id)?),
        })
    }

    /// The state of a space at the durable head.
    fn read(&self, space_id: &str) -> Result<Known, CommandError> {
        let head = self.log.durable_head();
        match self.states.snapshot_after(space_id, head, MAX_WAIT) {
            Ok(snapshot) => {
                let position = snapshot.position();
                self.see(position);
                Ok(Known { state: Arc::clone(snapshot.state()), position })
            }
            Err(SnapshotError::UnknownSpace { .. }) => {
                Ok(Known { state: Arc::new(SpaceState::new(space_id)), position: head })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the log has taken events of the space that cannot be read yet, so that an append
    /// would not meet its condition. An append finds that out by itself; a refusal has to ask.
    fn is_behind(&self, known: &Known, condition: &AppendCondition) -> Result<bool, CommandError> {
        // The durable head first: what is taken in between is asked for then.
        let durable_head = self.log.durable_head();
        if self.log.head() <= durable_head.max(known.position) {
            return Ok(false);
        }
        Ok(!self.log.meets(condition)?)
    }

    /// Lets those pass who were first: what they have appended is read next.
    fn give_way(&self, place: &mut Option<Known>) -> Result<(), CommandError> {
        *place = None;
        self.log.wait_durable(self.log.head(), MAX_WAIT)?;
        Ok(())
    }

    /// What the commands did before, under the same key: the state may have gone on since.
    fn repeated(
        &self,
        space_id: &str,
        commands: &Commands,
        attribution: &Attribution,
    ) -> Result<Option<Outcome>, CommandError> {
        match &attribution.key {
            Some(key) => repeat::find(&*self.log, key, space_id, commands),
            None => Ok(None),
        }
    }

    /// What an append that failed for another reason than a lost race means to the commands.
    fn failed(
        &self,
        error: AppendError,
        space_id: &str,
        commands: &Commands,
        decided: &DecidedEvents,
        attribution: &Attribution,
    ) -> Result<Outcome, CommandError> {
        match (error, &attribution.key) {
            (AppendError::EventIdReused { position, .. }, Some(key)) => {
                repeat::stored(&*self.log, key, position, space_id, commands)
            }
            (AppendError::Limit { limit, index }, _) => {
                let last = commands.as_slice().len().saturating_sub(1);
                let index = decided.commands.get(index).copied().unwrap_or(last);
                Err(commands.refused(space_id, index, limit.into()))
            }
            (error, _) => Err(error.into()),
        }
    }
}

impl Known {
    /// Goes on by events that the service itself has appended; `false` when they do not follow.
    fn advance(&mut self, events: &[RecordedEvent]) -> bool {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return true };
        if first.revision != self.revision().next() {
            return false;
        }
        let state = Arc::make_mut(&mut self.state);
        events.iter().for_each(|event| drop(state.apply(&event.as_event_ref())));
        self.position = last.position;
        true
    }
}

/// What must hold so that the decision does. Under a key the log is to look for the event ids among
/// its newest, which it does under conditions that name no exact revision.
fn condition(space_id: &str, known: &Known, attribution: &Attribution) -> AppendCondition {
    if attribution.key.is_none() {
        return AppendCondition::exact(space_id, known.revision());
    }
    let filter = EventFilter::all().spaces([space_id]);
    AppendCondition::no_event_matching(filter, known.position)
}
