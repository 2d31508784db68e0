//! Instants: microseconds since 1970-01-01T00:00:00Z.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, NaiveDate, NaiveTime, Timelike, Utc};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// An instant with microsecond resolution, in the years 1 to 9999 UTC.
///
/// Prints as RFC 3339 with `+00:00` and six fractional digits or none. Reads that, what Python's
/// `datetime.isoformat()` writes, `Z`, and a space for `T`; digits finer than a microsecond are
/// cut; without an offset it is read as UTC. A date alone is its first instant.
///
/// ```
/// use spacefold::Timestamp;
/// let t: Timestamp = "2015-12-11 23:50:02.5+01:00".parse()?;
/// assert_eq!(t.to_string(), "2015-12-11T22:50:02.500000+00:00");
/// let day: Timestamp = "2015-12-11".parse()?;
/// assert_eq!(day.to_string(), "2015-12-11T00:00:00+00:00");
/// assert!("yesterday".parse::<Timestamp>().is_err());
/// # Ok::<(), spacefold::event::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// What to add to UTC to get a local time, in seconds; at most a day either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset {
    micros: i64,
}

impl UtcOffset {
    /// No offset: UTC itself.
    pub const UTC: Self = Self { micros: 0 };
}

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest instant.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z, the latest instant.
    pub const MAX: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z, or `None` outside the years
    /// 1 to 9999.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 { None } else { Some(Self(micros)) }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The present instant by the system's clock, right or wrong.
    #[must_use]
    pub fn now() -> Self {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        };
        Self(micros).clamp(Self::MIN, Self::MAX)
    }

    /// Reads a timestamp as [`FromStr`] does, but takes one without an offset to be at `naive`.
    ///
    /// # Errors
    /// [`InvalidTimestamp`] when `text` is no timestamp or lies outside the years 1 to 9999.
    pub fn parse_with(text: &str, naive: UtcOffset) -> Result<Self, InvalidTimestamp> {
        Self::parse_told(text, naive).map(|parsed| parsed.time)
    }

    /// As [`Timestamp::parse_with`], and tells whether the text had an offset.
    pub(crate) fn parse_told(text: &str, naive: UtcOffset) -> Result<Parsed, InvalidTimestamp> {
        parse(text, naive)
            .map_err(|fault| InvalidTimestamp { text: text.chars().take(80).collect(), fault })
    }
}

/// A time as a text states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) time: Timestamp,
    /// The text has no offset.
    pub(crate) is_naive: bool,
}

/// A text that is no timestamp, or one outside the years 1 to 9999.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {fault}")]
pub struct InvalidTimestamp {
    text: String,
    fault: TimestampFault,
}

/// What is wrong with a text that is to be a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimestampFault {
    /// It has another form, or names a day or an hour that does not exist.
    Form,
    TooEarly,
    TooLate,
}

impl fmt::Display for TimestampFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                f.write_str("is no timestamp: expected one like 2015-12-11T22:50:02+00:00")
            }
            Self::TooEarly => {
                write!(
                    f,
                    "is before {}, the earliest instant of the years 1 to 9999 in UTC",
                    Timestamp::MIN
                )
            }
            Self::TooLate => {
                write!(
                    f,
                    "is after {}, the latest instant of the years 1 to 9999 in UTC",
                    Timestamp::MAX
                )
            }
        }
    }
}

/// A text that is not an offset from UTC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an offset from UTC: expected one like +09:00")]
pub struct InvalidUtcOffset {
    text: String,
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_with(text, UtcOffset::UTC)
    }
}

impl FromStr for UtcOffset {
    type Err = InvalidUtcOffset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_offset(text).ok_or_else(|| InvalidUtcOffset { text: text.chars().take(80).collect() })
    }
}

impl From<DateTime<Utc>> for Timestamp {
    /// Cuts what is finer than a microsecond, and clamps to the years 1 to 9999.
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros()).clamp(Self::MIN, Self::MAX)
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        // Every instant from MIN to MAX is one that chrono can hold.
        DateTime::from_timestamp_micros(time.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.write_str(std::str::from_utf8(text.as_bytes()).map_err(|_| fmt::Error)?)
    }
}

/// The text of a time.
pub(crate) struct TimeText {
    bytes: [u8; LONGEST],
    len: usize,
}

/// The length of a time with its fraction.
const LONGEST: usize = 32;
/// The length of a time without one.
const WITHOUT_FRACTION: usize = 25;

impl TimeText {
    /// The text, which is ASCII.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

impl Timestamp {
    /// How it prints. Times are most of what there is to do when events are printed, and this takes a
    /// fifth of what going through chrono's types does.
    pub(crate) fn text(self) -> TimeText {
        let micros = self.0.abs_diff(Self::MIN.0);
        let (date, micros) =
            (CalendarDate::after(micros / MICROS_PER_DAY), micros % MICROS_PER_DAY);
        let (second, micros) = (micros / 1_000_000, micros % 1_000_000);
        let [y, z] = two_digits_of(date.year / 100);
        let [u, v] = two_digits_of(date.year % 100);
        let [m, n] = two_digits_of(date.month);
        let [d, e] = two_digits_of(date.day);
        let [h, i] = two_digits_of(second / 3_600);
        let [k, l] = two_digits_of(second / 60 % 60);
        let [s, t] = two_digits_of(second % 60);
        let [a, b] = two_digits_of(micros / 10_000);
        let [c, f] = two_digits_of(micros / 100 % 100);
        let [g, j] = two_digits_of(micros % 100);
        if micros == 0 {
            let bytes = [
                y, z, u, v, b'-', m, n, b'-', d, e, b'T', h, i, b':', k, l, b':', s, t, b'+', b'0',
                b'0', b':', b'0', b'0', 0, 0, 0, 0, 0, 0, 0,
            ];
            return TimeText { bytes, len: WITHOUT_FRACTION };
        }
        let bytes = [
            y, z, u, v, b'-', m, n, b'-', d, e, b'T', h, i, b':', k, l, b':', s, t, b'.', a, b, c,
            f, g, j, b'+', b'0', b'0', b':', b'0', b'0',
        ];
        TimeText { bytes, len: LONGEST }
    }
}

const MICROS_PER_DAY: u64 = 86_400_000_000;

/// A day of the Gregorian calendar.
struct CalendarDate {
    year: u64,
    month: u64,
    day: u64,
}

impl CalendarDate {
    /// The date this many days after 0001-01-01: counted from 1 March of the year 0 on, so that a leap
    /// day is the last of its year, in cycles of 400 years.
    const fn after(days: u64) -> Self {
        let days = days + 306;
        let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
        let leap_days = day_of_cycle / 1_460 + day_of_cycle / 146_096 - day_of_cycle / 36_524;
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let is_next_year = month_from_march >= 10;
        let month = if is_next_year { month_from_march - 9 } else { month_from_march + 3 };
        let year = 400 * cycle + year_of_cycle + if is_next_year { 1 } else { 0 };
        Self { year, month, day }
    }
}

/// A number below 100 in two digits.
fn two_digits_of(number: u64) -> [u8; 2] {
    let number = u8::try_from(number).unwrap_or(0);
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

fn parse(text: &str, naive: UtcOffset) -> Result<Parsed, TimestampFault> {
    // A date alone is the instant at which it begins.
    let (date, rest) = match text.bytes().position(|byte| byte == b'T' || byte == b' ') {
        Some(place) => (text.get(..place), text.get(place + 1..)),
        None => (Some(text), Some("00:00")),
    };
    let (Some(date), Some(rest)) = (date, rest) else { return Err(TimestampFault::Form) };
    let clock_len = rest.bytes().position(|byte| matches!(byte, b'Z' | b'+' | b'-'));
    let clock_len = clock_len.unwrap_or(rest.len());
    let (clock, offset) = rest.split_at_checked(clock_len).ok_or(TimestampFault::Form)?;
    let is_naive = offset.is_empty();
    let offset = if is_naive { naive } else { parse_offset(offset).ok_or(TimestampFault::Form)? };
    let (clock, micros) = parse_clock(clock).ok_or(TimestampFault::Form)?;
    let date = parse_date(date)?;
    let local = date.and_time(clock).and_utc().timestamp() * MICROS_PER_SECOND;
    let time = local + micros - offset.micros;
    match Timestamp::from_micros(time) {
        Some(time) => Ok(Parsed { time, is_naive }),
        None if time < Timestamp::MIN.0 => Err(TimestampFault::TooEarly),
        None => Err(TimestampFault::TooLate),
    }
}

/// `YYYY-MM-DD`; a year of another number of digits is one that there is not.
fn parse_date(text: &str) -> Result<NaiveDate, TimestampFault> {
    if let [y, z, u, v, b'-', m, n, b'-', d, e] = *text.as_bytes()
        && let (Some(century), Some(year)) = (two_digits([y, z]), two_digits([u, v]))
        && let (Some(month), Some(day)) = (two_digits([m, n]), two_digits([d, e]))
        && let Ok(year @ 1..) = i32::try_from(century * 100 + year)
    {
        return NaiveDate::from_ymd_opt(year, month, day).ok_or(TimestampFault::Form);
    }
    let mut parts = text.split('-');
    let mut part = || parts.next().ok_or(TimestampFault::Form);
    let (year, month, day) = (part()?, part()?, part()?);
    let month = digits(month, 2).ok_or(TimestampFault::Form)?;
    let day = digits(day, 2).ok_or(TimestampFault::Form)?;
    if parts.next().is_some() {
        return Err(TimestampFault::Form);
    }
    let year = match digits(year, 4) {
        Some(0) => return Err(TimestampFault::TooEarly),
        Some(year) => year,
        None if year.len() > 4 && year.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(TimestampFault::TooLate);
        }
        None => return Err(TimestampFault::Form),
    };
    let year = i32::try_from(year).map_err(|_| TimestampFault::TooLate)?;
    NaiveDate::from_ymd_opt(year, month, day).ok_or(TimestampFault::Form)
}

/// `HH:MM[:SS[.fraction]]` as a time of day and the microseconds beyond its second.
fn parse_clock(text: &str) -> Option<(NaiveTime, i64)> {
    if let [h, i, b':', m, n, b':', s, t] = *text.as_bytes() {
        let (hour, minute, second) =
            (two_digits([h, i])?, two_digits([m, n])?, two_digits([s, t])?);
        return Some((NaiveTime::from_hms_opt(hour, minute, second)?, 0));
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut parts = whole.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = match parts.next() {
        Some(second) => digits(second, 2)?,
        None if fraction.is_none() => 0,
        None => return None,
    };
    if parts.next().is_some() {
        return None;
    }
    let micros = fraction.map_or(Some(0), parse_fraction)?;
    Some((NaiveTime::from_hms_opt(hour, minute, second)?, micros))
}

/// The microseconds that a decimal fraction of a second stands for, finer digits cut.
fn parse_fraction(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = text.get(..text.len().min(6))?;
    let missing = u32::try_from(6 - kept.len()).ok()?;
    Some(kept.parse::<i64>().ok()? * 10_i64.pow(missing))
}

/// `Z`, or a sign and `HH:MM[:SS[.ffffff]]`.
fn parse_offset(text: &str) -> Option<UtcOffset> {
    if text == "Z" || text == "+00:00" {
        return Some(UtcOffset::UTC);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (clock, micros) = parse_clock(rest)?;
    let seconds = i64::from(clock.num_seconds_from_midnight());
    Some(UtcOffset { micros: sign * (seconds * MICROS_PER_SECOND + micros) })
}

/// What almost every part of a time is.
fn two_digits([tens, ones]: [u8; 2]) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

fn digits(text: &str, count: usize) -> Option<u32> {
    if text.len() != count || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;

    #[track_caller]
    fn reads(text: &str, printed: &str) {
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), printed, "{text}");
    }

    #[test]
    fn reads_every_form_of_the_contract() {
        reads("2015-12-11T22:50:02+00:00", "2015-12-11T22:50:02+00:00");
        reads("2015-12-11T22:50:02", "2015-12-11T22:50:02+00:00");
        reads("2015-12-11 22:50:02Z", "2015-12-11T22:50:02+00:00");
        reads("2015-12-11T22:50", "2015-12-11T22:50:00+00:00");
        reads("2015-12-11T22:50:02.1", "2015-12-11T22:50:02.100000+00:00");
        reads("2015-12-11T22:50:02.123456789", "2015-12-11T22:50:02.123456+00:00");
        reads("2015-12-11T22:50:02.0000009", "2015-12-11T22:50:02+00:00");
        reads("2015-12-11T22:50:02-08:30", "2015-12-12T07:20:02+00:00");
        reads("2015-12-11T22:50:02+01:00:30.000001", "2015-12-11T21:49:31.999999+00:00");
        reads("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999+00:00");
        reads("0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00");
        reads("9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999+00:00");
        reads("2022-01-01", "2022-01-01T00:00:00+00:00");
        reads("0001-01-01", "0001-01-01T00:00:00+00:00");
    }

    #[test]
    fn refuses_what_is_no_instant_of_the_contract() {
        for text in [
            "",
            "T",
            "2015",
            "2015-12",
            "2015-12-1",
            "2015-02-29",
            "2015-12-11Z",
            "2015-12-11T",
            "2015-12-11 ",
            "2015-13-11T00:00:00",
            "2015-02-29T00:00:00",
            "2015-12-11T24:00:00",
            "2015-12-11T00:60:00",
            "2015-12-11T00:00:60",
            "2015-12-11T00:00:00.",
            "2015-12-11T00:00.5",
            "2015-12-11T00:00:00+1:00",
            "2015-12-11T00:00:00+24:00",
            "0000-01-01T00:00:00",
            "10000-01-01T00:00:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2015-12-11T00:00:00z",
            "２015-12-11T00:00:00",
            "2015-12-11T00:00:00Ü",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn says_why_it_refuses_what_lies_outside_the_years() {
        let refused = |text: &str| text.parse::<Timestamp>().unwrap_err().to_string();
        let early = " is before 0001-01-01T00:00:00+00:00, the earliest instant of the years 1 to \
                     9999 in UTC";
        for text in ["0001-01-01T00:00:00+00:01", "0000-12-31T23:59:59", "0000-06-01"] {
            assert_eq!(refused(text), format!("{text:?}{early}"));
        }
        let late = " is after 9999-12-31T23:59:59.999999+00:00, the latest instant of the years 1 \
                    to 9999 in UTC";
        for text in ["9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "99999999999-01-01"] {
            assert_eq!(refused(text), format!("{text:?}{late}"));
        }
        let form = " is no timestamp: expected one like 2015-12-11T22:50:02+00:00";
        for text in ["015-01-01T00:00:00", "12345-01", "9999-12-31T23:59:60-00:01"] {
            assert_eq!(refused(text), format!("{text:?}{form}"));
        }
        let offset: UtcOffset = "+09:00".parse().unwrap();
        assert!(Timestamp::parse_with("0001-01-01T08:59:59", offset).is_err());
        assert_eq!(Timestamp::parse_with("0001-01-01T09:00:00", offset), Ok(Timestamp::MIN));
    }

    #[test]
    fn every_day_has_the_date_that_it_has_in_chrono() {
        let mut date = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
        for days in
            0..=Timestamp::MAX.as_micros().abs_diff(Timestamp::MIN.as_micros()) / MICROS_PER_DAY
        {
            let CalendarDate { year, month, day } = CalendarDate::after(days);
            let expected = (u64::try_from(date.year()).unwrap(), date.month(), date.day());
            assert_eq!(
                (year, u32::try_from(month).unwrap(), u32::try_from(day).unwrap()),
                expected
            );
            date = date.succ_opt().unwrap();
        }
    }

    #[test]
    fn prints_as_chrono_does() {
        let mut micros = Timestamp::MIN.as_micros();
        while let Some(time) = Timestamp::from_micros(micros) {
            let date_time = DateTime::<Utc>::from(time);
            let is_whole = micros.rem_euclid(MICROS_PER_SECOND) == 0;
            let form = if is_whole { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%.6f" };
            assert_eq!(time.to_string(), format!("{}+00:00", date_time.format(form)));
            // Some days and seconds, now and then microseconds too.
            micros += 700 * 86_399_000_000 + micros.rem_euclid(3) * 7;
        }
    }

    #[test]
    fn reads_naive_times_at_the_offset_it_is_told() {
        let offset: UtcOffset = "+09:00".parse().unwrap();
        let time = Timestamp::parse_with("2020-01-01T09:00:00", offset).unwrap();
        assert_eq!(time.to_string(), "2020-01-01T00:00:00+00:00");
        let stated = Timestamp::parse_with("2020-01-01T09:00:00Z", offset).unwrap();
        assert_eq!(stated.to_string(), "2020-01-01T09:00:00+00:00");
        let day = Timestamp::parse_with("2020-01-01", offset).unwrap();
        assert_eq!(day.to_string(), "2019-12-31T15:00:00+00:00");
    }
}
