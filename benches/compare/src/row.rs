//! The rows of the comparison: one file each.

mod append;
mod bulk;
mod open;
mod producers;
mod rebuild;
mod replay;
mod syncs;

use anyhow::Result;

use crate::{report::Sample, settings::Settings};

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Row {
    /// Durable appends of one producer: 1, 64, 512 and 4,096 events each.
    Append,
    /// Durable appends of 16 and 64 producers, one event each.
    Producers,
    /// Loading: 4,096 events an append, each durable, until the store is closed.
    Bulk,
    /// Opening after a kill, to the first event.
    Open,
    /// Reading and decoding everything in a fresh process.
    Replay,
    /// Folding the state of every space in a fresh process.
    Rebuild,
    /// System calls a commit, counted by strace.
    Syncs,
}

impl Row {
    /// The name on the command line and in the results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Producers => "producers",
            Self::Bulk => "bulk",
            Self::Open => "open",
            Self::Replay => "replay",
            Self::Rebuild => "rebuild",
            Self::Syncs => "syncs",
        }
    }

    /// Measures.
    pub(crate) fn measure(self, settings: &Settings) -> Result<Vec<Sample>> {
        match self {
            Self::Append => append::measure(settings),
            Self::Producers => producers::measure(settings),
            Self::Bulk => bulk::measure(settings),
            Self::Open => open::measure(settings),
            Self::Replay => replay::measure(settings),
            Self::Rebuild => rebuild::measure(settings),
            Self::Syncs => syncs::measure(settings),
        }
    }
}

/// The value at a share of the way through numbers that get sorted.
pub(crate) fn quantile(numbers: &mut [f64], share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length, rounded down"
    )]
    let place = (numbers.len().saturating_sub(1) as f64 * share) as usize;
    numbers.get(place).copied().unwrap_or(f64::NAN)
}
