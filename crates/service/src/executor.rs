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
    AppendCondition, AppendError, EventLog, Position, Receipt, RecordedEvent, Revision,
};
use spacefold_projection::{LiveStates, SnapshotError};
use spacefold_state::SpaceState;

use crate::{
    attribution::Attribution,
    command_error::CommandError,
    commands::{Commands, Decided, DecidedEvents},
    condition::{Conditions, FailedPrecondition},
    known_states::{KnownState, KnownStates},
    named_content::NamedContent,
    outcome::Outcome,
    refusal::Refusal,
    repeat,
};

/// How often a command is decided before the writers that were faster have won.
pub(crate) const MAX_ATTEMPTS: u32 = 16;

/// How long a command waits for what another writer has appended to become durable.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Commands on a space, who gives them, and on which conditions.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) space_id: &'a str,
    pub(crate) commands: &'a Commands,
    pub(crate) attribution: &'a Attribution,
    pub(crate) conditions: &'a Conditions,
}

/// What is next for an order.
pub(crate) enum AttemptStep {
    /// These events are to be appended on this condition.
    Append { decided: DecidedEvents, condition: AppendCondition },
    /// Nothing is to be appended.
    Answer(Outcome),
    /// Others have appended what cannot be read yet.
    GiveWay,
}

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

    pub(crate) const fn known(&self) -> &KnownStates {
        &self.known
    }

    /// Executes an order, all of its commands or none. The content that they name is kept once they
    /// are decided, before the event that names it: of what is refused nothing is.
    pub(crate) fn execute(
        &self,
        order: Order<'_>,
        content: Option<NamedContent<'_>>,
    ) -> Result<Outcome, CommandError> {
        let place = self.known.place(order.space_id);
        self.execute_in(&mut place.take(), order, content)
    }

    /// As [`Executor::execute`], by who has the turn at the space.
    pub(crate) fn execute_in(
        &self,
        place: &mut Option<KnownState>,
        order: Order<'_>,
        mut content: Option<NamedContent<'_>>,
    ) -> Result<Outcome, CommandError> {
        let mut read = Revision::NONE;
        for _ in 0..MAX_ATTEMPTS {
            match self.decide(order, place, content.is_some())? {
                AttemptStep::Append { decided, condition } => {
                    read = place.as_ref().map_or(Revision::NONE, KnownState::revision);
                    let keep = match decided.is_unchanged {
                        false => NamedContent::keep,
                        true => NamedContent::keep_missing,
                    };
                    content.as_mut().map_or(Ok(()), keep)?;
                    let appended = self.log.append(&decided.append(condition));
                    if let Some(outcome) = self.answer(order, place, decided, appended)? {
                        return Ok(outcome);
                    }
                    self.give_way(place)?;
                }
                AttemptStep::Answer(outcome) => {
                    content.as_mut().map_or(Ok(()), NamedContent::keep_missing)?;
                    return Ok(outcome);
                }
                AttemptStep::GiveWay => {
                    read = place.as_ref().map_or(Revision::NONE, KnownState::revision);
                    self.give_way(place)?;
                }
            }
        }
        let found = self.log.newest_revision(order.space_id)?;
        let space_id = order.space_id.to_owned();
        Err(CommandError::Conflict { space_id, attempts: MAX_ATTEMPTS, read, found })
    }

    /// Decides an order once, in what is known of its space.
    ///
    /// A repetition under a key goes before the condition, and the condition before the rules of the
    /// commands. Where there is something to append it is the append that looks at the condition,
    /// unless that would be too late, for content, which is kept before it. Nothing is appended to ask
    /// whether it was appended: what changes nothing is looked for under its key by reading.
    pub(crate) fn decide(
        &self,
        order: Order<'_>,
        place: &mut Option<KnownState>,
        has_content: bool,
    ) -> Result<AttemptStep, CommandError> {
        let Order { space_id, commands, attribution, conditions } = order;
        let durable_head = self.log.durable_head();
        let known = self.current(space_id, place)?;
        let own = AppendCondition::exact(space_id, known.revision());
        let failed_in_state = conditions.failed_in_state(&*self.log, known);
        let decided = match failed_in_state.is_empty() {
            true => match commands.decide(known, attribution) {
                Decided::Nothing => commands
                    .unchanged(space_id, attribution)
                    .map_or(Decided::Nothing, Decided::Events),
                decided => decided,
            },
            false => Decided::Nothing,
        };
        if let Decided::Events(decided) = decided {
            let asks = decided.is_unchanged || has_content && !conditions.is_none();
            if asks && let Some(answer) = self.answered_already(order)? {
                return Ok(AttemptStep::Answer(answer));
            }
            let condition = own.and(conditions.of_append(space_id));
            return Ok(AttemptStep::Append { decided, condition });
        }
        // Before it is asked whether the decision still holds, so that both held at once.
        let mut failed = conditions.failed_in_log(&*self.log, space_id)?;
        if failed.is_empty() && self.is_behind(known, &own, durable_head)? {
            return Ok(AttemptStep::GiveWay);
        }
        failed.extend(failed_in_state);
        match (self.repeated(order)?, decided) {
            (Some(outcome), _) => Ok(AttemptStep::Answer(outcome)),
            _ if !failed.is_empty() => Err(self.condition_failed(space_id, failed)),
            (_, Decided::Refused(error)) => Err(error),
            _ => Ok(AttemptStep::Answer(Outcome::unchanged(known.revision()))),
        }
    }

    /// The events of an order, and the condition to append them on, where that is all there is to it and
    /// the state of the space is known: nothing is waited for. Else it is to be [decided](Self::decide).
    pub(crate) fn decide_at_once(
        &self,
        order: Order<'_>,
        place: &mut Option<KnownState>,
    ) -> Option<(DecidedEvents, AppendCondition)> {
        let Order { space_id, commands, attribution, conditions } = order;
        if !conditions.is_none() {
            return None;
        }
        let known = self.known_at_once(space_id, place).ok()??;
        let known = place.insert(known);
        match commands.decide(known, attribution) {
            Decided::Events(decided) => {
                Some((decided, AppendCondition::exact(space_id, known.revision())))
            }
            _ => None,
        }
    }

    /// What an append of what was decided came to; `None` when others were first, and it is to be
    /// decided anew.
    pub(crate) fn answer(
        &self,
        order: Order<'_>,
        place: &mut Option<KnownState>,
        decided: DecidedEvents,
        appended: Result<Receipt, AppendError>,
    ) -> Result<Option<Outcome>, CommandError> {
        match appended {
            Ok(receipt) => Ok(Some(self.recorded(place, decided, &receipt))),
            Err(AppendError::ConditionFailed { .. }) if order.conditions.is_none() => Ok(None),
            Err(AppendError::ConditionFailed { .. }) => self.answered_already(order),
            Err(error) => {
                *place = None;
                self.failed(error, order, &decided).map(Some)
            }
        }
    }

    /// The outcome of an append that was taken.
    pub(crate) fn recorded(
        &self,
        place: &mut Option<KnownState>,
        decided: DecidedEvents,
        receipt: &Receipt,
    ) -> Outcome {
        if receipt.is_durable() {
            self.see(receipt.last_position());
        }
        let outcome = Outcome::recorded(decided.events, receipt);
        if !place.as_mut().is_some_and(|known| known.advance(outcome.events())) {
            *place = None;
        }
        if decided.is_unchanged { outcome.without_events() } else { outcome }
    }

    /// What an order is answered whatever it would come to: what it did before, under the same key,
    /// or that its condition does not hold.
    fn answered_already(&self, order: Order<'_>) -> Result<Option<Outcome>, CommandError> {
        let failed = order.conditions.failed_in_log(&*self.log, order.space_id)?;
        match self.repeated(order)? {
            None if !failed.is_empty() => Err(self.condition_failed(order.space_id, failed)),
            repeated => Ok(repeated),
        }
    }

    fn condition_failed(&self, space_id: &str, failed: Vec<FailedPrecondition>) -> CommandError {
        // The caller is to see what was found.
        self.see(self.log.durable_head());
        let (space_id, refusal) = (space_id.to_owned(), Refusal::ConditionFailed { failed });
        CommandError::Refused { space_id, index: None, refusal }
    }

    /// The state of a space, with what this service has recorded.
    pub(crate) fn state(&self, space_id: &str) -> Result<Arc<SpaceState>, CommandError> {
        let place = self.known.place(space_id);
        let mut place = place.take();
        Ok(Arc::clone(&self.current(space_id, &mut place)?.state))
    }

    /// Whether a space is as conditions and `rule` have it, before what may take long is done for a
    /// command.
    pub(crate) fn check(
        &self,
        space_id: &str,
        conditions: &Conditions,
        rule: impl Fn(&SpaceState) -> Result<(), Refusal>,
    ) -> Result<(), CommandError> {
        let failed = conditions.failed_in_log(&*self.log, space_id)?;
        if !failed.is_empty() {
            return Err(self.condition_failed(space_id, failed));
        }
        let place = self.known.place(space_id);
        let mut place = place.take();
        for _ in 0..MAX_ATTEMPTS {
            let durable_head = self.log.durable_head();
            let known = self.current(space_id, &mut place)?;
            let failed = conditions.failed_in_state(&*self.log, known);
            let checked = rule(&known.state);
            if failed.is_empty() && checked.is_ok() {
                return Ok(());
            }
            let own = AppendCondition::exact(space_id, known.revision());
            if self.is_behind(known, &own, durable_head)? {
                self.give_way(&mut place)?;
                continue;
            }
            return match checked {
                Err(refusal) if failed.is_empty() => {
                    let space_id = space_id.to_owned();
                    Err(CommandError::Refused { space_id, index: None, refusal })
                }
                _ => Err(self.condition_failed(space_id, failed)),
            };
        }
        // Executing the command will tell.
        Ok(())
    }

    /// What is known of a space, read anew when the log has more.
    fn current<'a>(
        &self,
        space_id: &str,
        place: &'a mut Option<KnownState>,
    ) -> Result<&'a mut KnownState, CommandError> {
        let known = match self.known_at_once(space_id, place)? {
            Some(known) => known,
            None => self.read(space_id)?,
        };
        Ok(place.insert(known))
    }

    /// What is known of a space without reading its events: all of it, unless the log has more. Of one
    /// without events there is nothing to read. The log is asked for the revision of the space, which may
    /// read a page of an index where the space was not used lately.
    fn known_at_once(
        &self,
        space_id: &str,
        place: &mut Option<KnownState>,
    ) -> Result<Option<KnownState>, CommandError> {
        let durable_head = self.log.durable_head();
        let revision = self.log.revision(space_id)?;
        let known = place.take().filter(|known| known.revision() >= revision);
        let is_empty = known.is_none() && revision == Revision::NONE;
        Ok(known.or_else(|| is_empty.then(|| KnownState::empty(space_id, durable_head))))
    }

    /// The state of a space at the durable head.
    fn read(&self, space_id: &str) -> Result<KnownState, CommandError> {
        let head = self.log.durable_head();
        match self.states.snapshot_after(space_id, head, MAX_WAIT) {
            Ok(snapshot) => {
                let position = snapshot.position();
                self.see(position);
                Ok(KnownState { state: Arc::clone(snapshot.state()), position })
            }
            Err(SnapshotError::UnknownSpace { .. }) => Ok(KnownState::empty(space_id, head)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the log has taken events of the space that cannot be read yet, so that an append
    /// would not meet its condition. An append finds that out by itself; a refusal has to ask. The
    /// durable head is that of before the state was read: whatever is taken since is asked for.
    fn is_behind(
        &self,
        known: &KnownState,
        condition: &AppendCondition,
        durable_head: Position,
    ) -> Result<bool, CommandError> {
        if self.log.head() <= durable_head.max(known.position) {
            return Ok(false);
        }
        Ok(!self.log.meets(condition)?)
    }

    /// Lets those pass who were first: what they have appended is read next.
    fn give_way(&self, place: &mut Option<KnownState>) -> Result<(), CommandError> {
        *place = None;
        self.log.wait_durable(self.log.head(), MAX_WAIT)?;
        Ok(())
    }

    /// What the commands did before, under the same key: the state may have gone on since.
    fn repeated(&self, order: Order<'_>) -> Result<Option<Outcome>, CommandError> {
        match &order.attribution.key {
            Some(key) => {
                let added = &order.attribution.extra;
                repeat::find(&*self.log, key, order.space_id, order.commands, added)
            }
            None => Ok(None),
        }
    }

    /// What an append that failed for another reason than a lost race means to the commands.
    fn failed(
        &self,
        error: AppendError,
        order: Order<'_>,
        decided: &DecidedEvents,
    ) -> Result<Outcome, CommandError> {
        let Order { space_id, commands, attribution, .. } = order;
        match (error, &attribution.key) {
            (AppendError::EventIdReused { id, position }, Some(key)) if id == key.event_id(0) => {
                let added = &attribution.extra;
                repeat::stored(&*self.log, key, position, space_id, commands, added)
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

impl KnownState {
    /// That of a space without events up to a position.
    fn empty(space_id: &str, position: Position) -> Self {
        Self { state: Arc::new(SpaceState::new(space_id)), position }
    }

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
