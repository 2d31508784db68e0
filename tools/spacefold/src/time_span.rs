//! Spans of time on the command line.

use std::time::Duration;

/// A time as people write it.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no time such as 10s, 5m, 1h or 30d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        let read = |text| parse_time(text).ok().map(|time| time.as_millis());
        assert_eq!(
            ["10s", "5m", "1h", "20ms", "30d"].map(read),
            [10_000, 300_000, 3_600_000, 20, 2_592_000_000].map(Some)
        );
        assert_eq!(
            ["10", "s", "", "-1s", "1w", "1.5s", "99999999999999999999h"].map(read),
            [None; 7]
        );
    }
}
