//! As of when a state is asked for: `at` a position, `as_of` a time, or now.

use spacefold::{Moment, Position, Timestamp};

use crate::{
    app::App,
    entity_tag::{CacheRule, EntityTag},
    parameters::{Parameters, invalid},
    problem::HttpProblem,
    selection::check_timeline,
    served_store::ServedStore,
};

/// As of when, and whether the URL names the timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedMoment {
    pub(crate) moment: Option<Moment>,
    names_timeline: bool,
}

impl AskedMoment {
    pub(crate) fn of(given: &mut Parameters, app: &App) -> Result<Self, HttpProblem> {
        let at = given.number("at")?.map(Position::new);
        let as_of: Option<Timestamp> = given.value("as_of")?;
        let names_timeline = check_timeline(app, given.text("timeline")?.as_deref())?;
        let moment = match (at, as_of) {
            (Some(_), Some(_)) => return Err(invalid("as_of", "of at and as_of there is one")),
            (at, as_of) => at.map(Moment::from).or(as_of.map(Moment::from)),
        };
        Ok(Self { moment, names_timeline })
    }

    /// How long an answer holds.
    pub(crate) const fn cache(self) -> CacheRule {
        match self.moment {
            Some(Moment::Position(_)) if self.names_timeline => CacheRule::Immutable,
            _ => CacheRule::Revalidate,
        }
    }

    /// The position, where one is asked for, which may lie beyond the head.
    pub(crate) fn position(self, store: &ServedStore) -> Result<Option<Position>, HttpProblem> {
        let Some(moment) = self.moment else { return Ok(None) };
        Ok(Some(store.at(moment).position()?))
    }

    /// The position, where one is asked for, and what its answer is known by.
    pub(crate) fn tagged(
        self,
        store: &ServedStore,
    ) -> Result<Option<(Position, EntityTag)>, HttpProblem> {
        let Some(position) = self.position(store)? else { return Ok(None) };
        let head = store.durable_head();
        if position > head {
            return Err(HttpProblem::beyond_head(position, head));
        }
        let timeline = store.log().identity().timeline;
        Ok(Some((position, EntityTag::of_position(timeline, position))))
    }
}
