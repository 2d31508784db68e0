//! Where one is in the history of a space, and where one goes from there.

use spacefold::{
    Moment, Position, Revision, Snapshot, SnapshotError, Timestamp, event::RecordedEvent,
};
use spacefold_console::Steps;

use crate::{parameters::invalid, problem::HttpProblem, served_store::ServedStore};

const DAY_MICROS: i64 = 86_400_000_000;

/// A step from a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpaceStep {
    /// The last event before the day of this one.
    DayBack,
    /// The first event after the day of this one.
    DayOn,
}

impl SpaceStep {
    pub(super) fn of(name: Option<&str>) -> Result<Option<Self>, HttpProblem> {
        match name {
            None => Ok(None),
            Some("day-back") => Ok(Some(Self::DayBack)),
            Some("day-on") => Ok(Some(Self::DayOn)),
            Some(_) => Err(invalid("step", "expected day-back or day-on")),
        }
    }
}

/// Where one is.
pub(super) struct StepPlace {
    /// None before the first event.
    pub(super) state: Option<Snapshot>,
    pub(super) event: Option<RecordedEvent>,
    pub(super) at: Position,
    pub(super) steps: Steps,
}

/// The events of a space from a revision on.
pub(super) fn events(
    store: &ServedStore,
    space_id: &str,
    from: Revision,
    limit: usize,
) -> Result<Vec<RecordedEvent>, HttpProblem> {
    let page = store.log().read_space(space_id, from.max(Revision::new(1)), limit)?;
    page.events().map(|event| Ok(event?.to_owned_event())).collect()
}

/// Where a space is at a moment.
pub(super) fn place(
    store: &ServedStore,
    space_id: &str,
    moment: Moment,
) -> Result<StepPlace, HttpProblem> {
    let newest = store.log().revision(space_id)?;
    if newest == Revision::NONE {
        return Err(HttpProblem::unknown_space(space_id));
    }
    let position = store.at(moment).position()?;
    let state = match store.at(position).snapshot(space_id) {
        Err(SnapshotError::UnknownSpace { .. }) => None,
        state => Some(state?),
    };
    let revision = state.as_ref().map_or(Revision::NONE, |state| state.revision());
    let mut around = events(store, space_id, revision.previous(), 3)?;
    let found = |wanted: Revision| {
        around.iter().find(|event| event.revision == wanted).map(|event| event.position)
    };
    let mut steps = Steps { next: found(revision.next()), ..Steps::default() };
    if revision > Revision::new(1) {
        steps.previous = found(revision.previous());
    }
    let one = |revision| -> Result<Option<Position>, HttpProblem> {
        Ok(events(store, space_id, revision, 1)?.first().map(|event| event.position))
    };
    (steps.first, steps.last) = (one(Revision::new(1))?, one(newest)?);
    let index = around.iter().position(|event| event.revision == revision);
    let event = index.map(|index| around.swap_remove(index));
    let at = event.as_ref().map_or(position, |event| event.position);
    Ok(StepPlace { state, event, at, steps })
}

/// Where a step leads; the first event and the last are as far as one gets.
pub(super) fn stepped(
    store: &ServedStore,
    space_id: &str,
    from: StepPlace,
    step: SpaceStep,
) -> Result<StepPlace, HttpProblem> {
    let Some(event) = &from.event else { return Ok(from) };
    let day = event.recorded_at.as_micros().div_euclid(DAY_MICROS);
    let end = match step {
        SpaceStep::DayBack => day * DAY_MICROS - 1,
        SpaceStep::DayOn => (day + 1) * DAY_MICROS - 1,
    };
    let end = Timestamp::from_micros(end).unwrap_or(Timestamp::MAX);
    let there = place(store, space_id, end.into())?;
    let leads_to = match step {
        SpaceStep::DayBack => {
            if there.event.is_some() {
                None
            } else {
                there.steps.first
            }
        }
        SpaceStep::DayOn => there.steps.next.or(there.steps.last),
    };
    match leads_to {
        Some(position) => place(store, space_id, position.into()),
        None => Ok(there),
    }
}
