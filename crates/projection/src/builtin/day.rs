//! Days, as they are in UTC.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use spacefold_event_core::Timestamp;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// A day in UTC: prints and reads as `2026-01-31`.
///
/// ```
/// use spacefold::projection::Day;
/// let day: Day = "2026-01-31".parse()?;
/// assert_eq!(Day::of("2026-01-31T23:59:59Z".parse()?), day);
/// assert_eq!(day.to_string(), "2026-01-31");
/// assert!("2026-02-30".parse::<Day>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day that a time falls on.
    #[must_use]
    pub const fn of(time: Timestamp) -> Self {
        Self(time.as_micros().div_euclid(DAY_MICROS))
    }

    /// A number that sorts as days do.
    pub(super) const fn to_number(self) -> u64 {
        self.0.cast_unsigned() ^ (1 << 63)
    }

    pub(super) const fn from_number(number: u64) -> Self {
        Self((number ^ (1 << 63)).cast_signed())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = self.0.checked_mul(DAY_MICROS).and_then(Timestamp::from_micros);
        match begin {
            Some(begin) => f.pad(begin.to_string().split('T').next().unwrap_or_default()),
            None => f.pad("no day"),
        }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDay { text: text.chars().take(80).collect() };
        let time: Timestamp = format!("{text}T00:00:00Z").parse().map_err(|_| invalid())?;
        let day = Self::of(time);
        // Nothing but a day stood there.
        if day.to_string() == text { Ok(day) } else { Err(invalid()) }
    }
}

/// A text that is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a day: expected one like 2026-01-31")]
pub struct InvalidDay {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_back_and_sort() {
        let days = ["0001-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"];
        let mut numbers = Vec::new();
        for text in days {
            let day: Day = text.parse().unwrap();
            assert_eq!(day.to_string(), text);
            assert_eq!(Day::from_number(day.to_number()), day);
            numbers.push(day.to_number());
        }
        assert!(numbers.is_sorted());
        for text in ["", "2024", "2023-02-29", "2024-01-01T00:00:00", "24-01-01", "2024-1-1"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
