//! Charts: paths in a plane of fixed size, stretched by the page.

use std::fmt::Write as _;

/// Columns that a chart is wide.
pub(crate) const COLUMNS: usize = 480;

/// Units that a chart is high.
pub(crate) const HEIGHT: u64 = 64;

/// Bars of these heights as one path. The root is drawn, so that a busy day does not hide the others;
/// what is not empty is seen.
pub(crate) fn bars(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut path = String::new();
    for (column, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = height(*count, most);
        let top = HEIGHT - height;
        // Writing to a string does not fail.
        let _ = write!(path, "M{column} {top}h1v{height}h-1z");
    }
    path
}

fn height(count: u64, most: u64) -> u64 {
    // In fixed point: heights are whole units.
    let share = (u128::from(count) * (1 << 16) / u128::from(most.max(1))).isqrt();
    let height = u64::try_from(share * u128::from(HEIGHT) / (1 << 8)).unwrap_or(HEIGHT);
    height.clamp(2, HEIGHT)
}

/// A mark in each of these columns, as one path.
pub(crate) fn ticks(columns: impl IntoIterator<Item = usize>) -> String {
    let mut path = String::new();
    let mut last = None;
    for column in columns {
        if last != Some(column) {
            let _ = write!(path, "M{column} 0h1.6v10h-1.6z");
            last = Some(column);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_seen_and_not_too_high() {
        assert_eq!(bars(&[0, 1, 1_000_000]), "M1 62h1v2h-1zM2 0h1v64h-1z");
        assert_eq!(bars(&[]), "");
        assert_eq!(height(u64::MAX, u64::MAX), HEIGHT);
        assert_eq!(ticks([3, 3, 5]), "M3 0h1.6v10h-1.6zM5 0h1.6v10h-1.6z");
    }
}
