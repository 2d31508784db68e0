//! How many events there were, by day, type and source.

use serde::Serialize;
use spacefold_event_core::{EventType, RecordedEventRef, TypeSelection};

use super::day::Day;
use crate::{
    apply_context::ApplyContext,
    apply_error::ApplyError,
    projection::Projection,
    projections::{CatchUpError, ProjectionHandle},
    table::{RowKey, RowKeyReader, Table, TableError, TableView},
};

/// First byte of a row: its key goes on with the day, the type, and the source.
const COUNT: u8 = b'a';
/// First byte of a row of the events that have a tag: its key goes on with the tag, and then as that
/// of all events.
const COUNT_TAGGED: u8 = b't';

/// The projection that counts events by type, source and day: the day, in UTC, on which the log
/// took them.
#[derive(Clone, Copy, Debug)]
pub struct Activity;

/// How many events of a type there were from a source on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActivityCount {
    /// The day.
    pub day: Day,
    /// The name of the type of the events.
    #[serde(rename = "event_type")]
    pub type_name: String,
    /// The source of the events.
    pub source: Option<String>,
    /// How many.
    pub events: u64,
}

/// Which counts one is interested in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// The first day; from the beginning, without it.
    pub from: Option<Day>,
    /// The last day; to the end, without it.
    pub to: Option<Day>,
    /// The types.
    pub types: TypeSelection,
    /// A tag that the events have; of all events, without it.
    pub tag: Option<String>,
}

impl Activity {
    /// The name of the projection.
    pub const NAME: &'static str = "activity";

    /// The counts that pass, by day, then in the order of the core types, those of an application's own
    /// behind them by their names, then by source, none first.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn counts(
        view: &TableView<'_>,
        filter: &ActivityFilter,
    ) -> Result<Vec<ActivityCount>, TableError> {
        let from = filter.from.map_or(0, Day::to_number);
        let to = filter.to.map_or(u64::MAX, |to| to.to_number().saturating_add(1));
        let mut counts = Vec::new();
        let tag = filter.tag.as_deref();
        for row in view.range(key_from(tag).number(from), key_from(tag).number(to))? {
            let (key, value) = row?;
            let count = decode(&key, &value)
                .ok_or_else(|| TableError::damaged("the row of a count does not decode"))?;
            if filter.types.selects(&count.type_name) {
                counts.push(count);
            }
        }
        Ok(counts)
    }
}

impl ProjectionHandle<Activity> {
    /// As [`Activity::counts`].
    ///
    /// # Errors
    /// [`CatchUpError::Table`].
    pub fn counts(&self, filter: &ActivityFilter) -> Result<Vec<ActivityCount>, CatchUpError> {
        self.read(|view| Activity::counts(view, filter))
    }
}

impl Projection for Activity {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let day = Day::of(event.recorded_at);
        let tags = event.tags.iter().map(Some);
        for tag in [None].into_iter().chain(tags) {
            let key = key_from(tag).number(day.to_number()).byte(event.event_type.code());
            let key = match event.payload.own_type_name() {
                Some(name) => key.text(name),
                None => key,
            };
            let key = match event.source {
                Some(source) => key.byte(1).text(source),
                None => key.byte(0),
            };
            let known = table.get(&key)?;
            let events = known.map_or(Some(0), |value| number(&value));
            let events = events.ok_or_else(|| TableError::damaged("a count does not decode"))?;
            table.put(key, events.saturating_add(1).to_le_bytes())?;
        }
        Ok(())
    }
}

/// What the keys of the counts of all events begin with, or of those that have a tag.
fn key_from(tag: Option<&str>) -> RowKey {
    match tag {
        None => RowKey::new(COUNT),
        Some(tag) => RowKey::new(COUNT_TAGGED).text(tag),
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<ActivityCount> {
    let mut parts = RowKeyReader::new(key);
    if key.first() == Some(&COUNT_TAGGED) {
        parts.text()?;
    }
    let day = Day::from_number(parts.number()?);
    let type_name = match EventType::from_code(parts.byte()?)? {
        EventType::Application => parts.text()?,
        core => core.name().to_owned(),
    };
    let source = match parts.byte()? {
        0 => None,
        _ => Some(parts.text()?),
    };
    Some(ActivityCount { day, type_name, source, events: number(value)? })
}

fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
