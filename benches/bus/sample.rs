//! Events to measure with, and figures to print.

use std::{fs, time::Duration};

use spacefold_event_core::{AppendRequest, EventLog, SpaceEvent};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Enough to see that it runs.
    Smoke,
    Full,
}

impl Size {
    pub(crate) const fn pick<T: Copy>(self, smoke: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Full => full,
        }
    }
}

/// Appends so many events in appends of so many, over 97 documents of 13 spaces.
pub(crate) fn fill(log: &dyn EventLog, events: usize, per_append: usize) {
    let mut appended = 0;
    while appended < events {
        let count = per_append.min(events - appended);
        let batch: Vec<SpaceEvent> = (appended..appended + count).map(event).collect();
        log.append(&AppendRequest::new(&batch)).unwrap();
        appended += count;
    }
}

pub(crate) fn event(n: usize) -> SpaceEvent {
    let space_id = format!("space-{}", n % 13);
    let document_id = format!("document-{}", n % 97);
    SpaceEvent::document_content_changed(space_id, document_id, None::<String>, format!("{n:064x}"))
}

/// The middle of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// A quantile of some figures.
pub(crate) fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, reason = "a place among a few thousand")]
    let place = (sorted.len() - 1) as f64 * part;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the list")]
    let place = place.round() as usize;
    sorted[place]
}

/// So many things in a time, by the second.
#[allow(clippy::cast_precision_loss, reason = "a rate is shown rounded")]
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// What this process has resident, as Linux knows it.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
