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
    Append, AppendCondition, AppendError, EventFilter, EventLog, Position, Receipt, Revision,
    SpaceEvent,
};
use spacefold_projection::{LiveStates, SnapshotError, SpaceState};

use crate::{
    attribution::Attribution,
    command_error::CommandError,
    commands::{Commands, Decided, DecidedEvents},
    fold::fold,
    known_states::{Known, KnownStates},
    outcome::Outcome,
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

    /// Executes commands on a space, all or none.
    pub(crate) fn execute(
        &self,
        space_id: &str,
        commands: &Commands,
        attribution: &Attribution,
    ) -> Result<Outcome, CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.lock();
        let mut read = Revision::NONE;
        for _ in 0..MAX_ATTEMPTS {
            let known = self.current(space_id, &mut place)?;
            read = known.revision();
            let decided = match commands.decide(known, attribution)? {
                Decided::Events(decided) => decided,
                _ if self.is_behind(space_id, known)? => {
                    self.give_way(&mut place)?;
                    continue;
                }
                Decided::Nothing => {
                    let repeated = self.repeated(space_id, commands, attribution)?;
                    return Ok(repeated.unwrap_or(Outcome::unchanged(read)));
                }
                Decided::Refused(error) => {
                    return self.repeated(space_id, commands, attribution)?.ok_or(error);
                }
            };
            let condition = condition(space_id, known, attribution);
            match self.log.append(&Append::new(&decided.events).on(condition)) {
                Ok(receipt) => {
                    if receipt.is_durable() {
                        self.see(receipt.position());
                    }
                    if !known.advance(&decided.events, &receipt) {
                        *place = None;
                    }
                    return Ok(Outcome::recorded(decided.events, &receipt));
                }
                Err(AppendError::ConditionFailed { .. }) => self.give_way(&mut place)?,
                Err(error) => {
                    *place = None;
                    return self.failed(error, space_id, commands, &decided, attribution);
                }
            }
        }
        let found = self.log.revision(space_id)?;
        let space_id = space_id.to_owned();
        Err(CommandError::Conflict { space_id, attempts: MAX_ATTEMPTS, read, found })
    }

    /// The state of a space, with what this service has recorded.
    pub(crate) fn state(&self, space_id: &str) -> Result<Arc<SpaceState>, CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.lock();
        Ok(Arc::clone(&self.current(space_id, &mut place)?.state))
    }

    /// Whether commands would change a space as it is.
    pub(crate) fn check(
        &self,
        space_id: &str,
        commands: &Commands,
        attribution: &Attribution,
    ) -> Result<bool, CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.lock();
        for _ in 0..MAX_ATTEMPTS {
            let known = self.current(space_id, &mut place)?;
            match commands.decide(known, attribution)? {
                Decided::Events(_) => return Ok(true),
                _ if self.is_behind(space_id, known)? => self.give_way(&mut place)?,
                Decided::Nothing => return Ok(false),
                Decided::Refused(error) => return Err(error),
            }
        }
        // Executing them will tell.
        Ok(true)
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

    /// Whether the log has taken events of the space that cannot be read yet. An append finds that
    /// out by itself; a refusal has to ask.
    fn is_behind(&self, space_id: &str, known: &Known) -> Result<bool, CommandError> {
        // The durable head first: what is taken in between is asked for then.
        let durable_head = self.log.durable_head();
        if self.log.head() <= durable_head.max(known.position) {
            return Ok(false);
        }
        Ok(self.log.newest_revision(space_id)? != known.revision())
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
    fn advance(&mut self, events: &[SpaceEvent], receipt: &Receipt) -> bool {
        let follows = self.revision().plus(receipt.count()) == receipt.revision();
        let state = Arc::make_mut(&mut self.state);
        if !follows || fold(state, events, receipt.first_position(), receipt.recorded_at()).is_err()
        {
            return false;
        }
        self.position = receipt.position();
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
