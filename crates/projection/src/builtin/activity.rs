//! How many events there were, by day, type and source.

use serde::Serialize;
use spacefold_event_core::{EventType, EventTypes, RecordedEventRef};

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

/// The projection that counts events by type, source and day: the day, in UTC, on which the log
/// took them.
#[derive(Clone, Copy, Debug)]
pub struct Activity;

/// How many events of a type there were from a source on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActivityCount {
    /// The day.
    pub day: Day,
    /// The type of the events.
    pub event_type: EventType,
    /// The source of the events.
    pub source: Option<String>,
    /// How many.
    pub events: u64,
}

/// Which counts one is interested in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityFilter {
    /// The first day; from the beginning, without it.
    pub from: Option<Day>,
    /// The last day; to the end, without it.
    pub to: Option<Day>,
    /// The types.
    pub types: EventTypes,
}

impl Default for ActivityFilter {
    fn default() -> Self {
        Self { from: None, to: None, types: EventTypes::ALL }
    }
}

impl Activity {
    /// The name of the projection.
    pub const NAME: &'static str = "activity";

    /// The counts that pass, by day, then in the order of the types, then by source, none first.
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
        for row in view.range(RowKey::new(COUNT).number(from), RowKey::new(COUNT).number(to))? {
            let (key, value) = row?;
            let count = decode(&key, &value)
                .ok_or_else(|| TableError::damaged("the row of a count does not decode"))?;
            if filter.types.contains(count.event_type) {
                counts.push(count);
            }
        }
        let place = |count: &ActivityCount| (count.day, count.event_type);
        counts.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.source.cmp(&b.source)));
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
        let key = RowKey::new(COUNT).number(day.to_number()).byte(event.event_type.code());
        let key = match event.source {
            Some(source) => key.byte(1).text(source),
            None => key.byte(0),
        };
        let known = table.get(&key)?;
        let events = known.map_or(Some(0), |value| number(&value));
        let events = events.ok_or_else(|| TableError::damaged("a count does not decode"))?;
        Ok(table.put(key, events.saturating_add(1).to_le_bytes())?)
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<ActivityCount> {
    let mut parts = RowKeyReader::new(key);
    let day = Day::from_number(parts.number()?);
    let event_type = EventType::from_code(parts.byte()?)?;
    let source = match parts.byte()? {
        0 => None,
        _ => Some(parts.text()?),
    };
    Some(ActivityCount { day, event_type, source, events: number(value)? })
}

fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
