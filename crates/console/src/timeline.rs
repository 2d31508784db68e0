//! When how much happened in a space: what its scrubber shows.

use spacefold::{EventType, Timestamp};

/// Buckets that a timeline has at the most: when there are more, two become one.
const MAX_BUCKETS: usize = 4_096;

/// How long the first buckets are.
const FIRST_BUCKET_MICROS: i64 = 1_000;

/// What is marked in the history of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimelineTick {
    /// Something is created: the space, a document.
    Created = 1,
    /// Something has another name or place.
    Renamed = 2,
    /// Something is gone.
    Removed = 4,
    /// A conflict between two sides.
    Conflict = 8,
    /// A render failed.
    FailedRender = 16,
}

impl TimelineTick {
    pub(crate) const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Created, "created", "created"),
        (Self::Renamed, "renamed", "renamed or moved"),
        (Self::Removed, "removed", "removed"),
        (Self::Conflict, "conflict", "conflict"),
        (Self::FailedRender, "failed", "failed render"),
    ];

    /// What an event of this type is marked as.
    #[must_use]
    pub const fn of(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::SpaceCreated | EventType::DocumentAdded => Some(Self::Created),
            EventType::SpaceUpdated | EventType::DocumentMoved => Some(Self::Renamed),
            EventType::SpaceDeleted | EventType::DocumentRemoved => Some(Self::Removed),
            EventType::SyncConflict => Some(Self::Conflict),
            EventType::RenderFailed => Some(Self::FailedRender),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct TimelineBucket {
    events: u64,
    ticks: u8,
}

/// When how much happened, in buckets of time. It takes one event after the other, and does not grow
/// with them.
#[derive(Clone, Debug, Default)]
pub struct SpaceTimeline {
    buckets: Vec<TimelineBucket>,
    bucket_micros: i64,
    times: Option<(i64, i64)>,
    events: u64,
}

impl SpaceTimeline {
    /// Takes in the next event.
    pub fn add(&mut self, event_type: EventType, recorded_at: Timestamp) {
        let time = recorded_at.as_micros();
        let (first, last) = self.times.unwrap_or((time, time));
        let last = last.max(time);
        self.times = Some((first, last));
        self.bucket_micros = self.bucket_micros.max(FIRST_BUCKET_MICROS);
        while place(first, last, self.bucket_micros) >= MAX_BUCKETS {
            self.halve();
        }
        let index = place(first, time, self.bucket_micros);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, TimelineBucket::default());
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.events += 1;
            bucket.ticks |= TimelineTick::of(event_type).map_or(0, |tick| tick as u8);
        }
        self.events += 1;
    }

    fn halve(&mut self) {
        let pairs = self.buckets.chunks(2);
        let halved = pairs.map(|pair| {
            pair.iter().fold(TimelineBucket::default(), |sum, next| TimelineBucket {
                events: sum.events + next.events,
                ticks: sum.ticks | next.ticks,
            })
        });
        self.buckets = halved.collect();
        self.bucket_micros = self.bucket_micros.saturating_mul(2);
    }

    /// Events that it has taken in.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The time of the first event, and of the last.
    #[must_use]
    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = self.times?;
        Some((Timestamp::from_micros(first)?, Timestamp::from_micros(last)?))
    }

    /// The events of so many columns between the first time and the last.
    pub(crate) fn columns(&self, columns: usize) -> Vec<u64> {
        let mut counts = vec![0; columns];
        for (index, bucket) in self.buckets.iter().enumerate() {
            if let Some(count) = counts.get_mut(self.column(index, columns)) {
                *count += bucket.events;
            }
        }
        counts
    }

    /// The columns in which something is marked so.
    pub(crate) fn ticks(&self, tick: TimelineTick, columns: usize) -> Vec<usize> {
        let buckets = self.buckets.iter().enumerate();
        let marked = buckets.filter(|(_, bucket)| bucket.ticks & tick as u8 != 0);
        marked.map(|(index, _)| self.column(index, columns)).collect()
    }

    fn column(&self, bucket: usize, columns: usize) -> usize {
        let Some((first, last)) = self.times else { return 0 };
        let span = i128::from(last - first).max(1);
        let bucket = i128::try_from(bucket).unwrap_or(i128::MAX);
        let since = (bucket * i128::from(self.bucket_micros)).min(span);
        let most = i128::try_from(columns).unwrap_or(i128::MAX) - 1;
        // The nearest: a bucket begins a little before what is in it.
        usize::try_from(((since * most + span / 2) / span).clamp(0, most)).unwrap_or(0)
    }

    /// The years that begin in it, each with how far along, in thousandths.
    pub(crate) fn years(&self) -> Vec<(String, i64)> {
        let Some((first, last)) = self.times() else { return Vec::new() };
        let year =
            |time: Timestamp| time.to_string().get(..4).and_then(|it| it.parse::<u32>().ok());
        let (Some(from), Some(to)) = (year(first), year(last)) else { return Vec::new() };
        let step = ((to - from) / 12 + 1) as usize;
        let begins = (from + 1..=to).step_by(step).filter_map(|year| {
            let time: Timestamp = format!("{year:04}-01-01T00:00:00+00:00").parse().ok()?;
            Some((year.to_string(), self.thousandths(time)?))
        });
        begins.collect()
    }

    /// How far along a time is, in thousandths.
    pub(crate) fn thousandths(&self, time: Timestamp) -> Option<i64> {
        let (first, last) = self.times?;
        let span = i128::from(last - first).max(1);
        let since = i128::from(time.as_micros()) - i128::from(first);
        i64::try_from(since * 1_000 / span).ok().map(|share| share.clamp(0, 1_000))
    }
}

/// The bucket of a time.
fn place(first: i64, time: i64, bucket_micros: i64) -> usize {
    usize::try_from(time.saturating_sub(first).max(0) / bucket_micros.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn it_does_not_grow_with_the_events_and_loses_none() {
        let mut timeline = SpaceTimeline::default();
        for n in 0..50_000_i64 {
            timeline.add(EventType::VariableSet, at(n * n * 1_000));
        }
        assert!(timeline.buckets.len() <= MAX_BUCKETS, "{}", timeline.buckets.len());
        assert_eq!(timeline.columns(480).iter().sum::<u64>(), 50_000);
        let few = timeline.columns(10);
        assert!(few.first() > few.last(), "squares thin out: {few:?}");
    }

    #[test]
    fn what_is_marked_is_where_it_happened() {
        let mut timeline = SpaceTimeline::default();
        let second = 1_000_000;
        timeline.add(EventType::SpaceCreated, at(0));
        timeline.add(EventType::DocumentMoved, at(50 * second));
        timeline.add(EventType::SyncConflict, at(100 * second));
        assert_eq!(timeline.ticks(TimelineTick::Created, 101), [0]);
        assert_eq!(timeline.ticks(TimelineTick::Renamed, 101), [50]);
        assert_eq!(timeline.ticks(TimelineTick::Conflict, 101), [100]);
        assert!(timeline.ticks(TimelineTick::FailedRender, 101).is_empty());
        assert_eq!(timeline.thousandths(at(25 * second)), Some(250));
    }

    #[test]
    fn events_of_one_moment_are_one_column() {
        let mut timeline = SpaceTimeline::default();
        for _ in 0..3 {
            timeline.add(EventType::DocumentAdded, at(7));
        }
        assert_eq!(timeline.columns(4), [3, 0, 0, 0]);
        assert_eq!(SpaceTimeline::default().columns(2), [0, 0]);
        assert!(SpaceTimeline::default().years().is_empty());
    }

    #[test]
    fn years_are_named_where_they_begin() {
        let mut timeline = SpaceTimeline::default();
        for time in ["2015-12-11T22:50:02+00:00", "2026-07-14T01:25:25+00:00"] {
            timeline.add(EventType::SpaceCreated, time.parse().unwrap());
        }
        let years = timeline.years();
        assert_eq!(years.first().map(|(year, _)| year.as_str()), Some("2016"));
        assert_eq!(years.len(), 11);
        assert!(years.is_sorted_by_key(|(_, share)| *share));
    }
}
