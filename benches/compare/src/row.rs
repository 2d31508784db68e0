//! The rows of the comparison: one file each.

mod append;
mod bulk;
mod open;
mod producers;
mod rebuild;
mod replay;
mod syncs;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Result;

use crate::{report::Sample, subject::Kind};

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

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Who takes part.
    pub(crate) subjects: Vec<Kind>,
    /// Events of a loaded store.
    pub(crate) events: u64,
    /// Distinct spaces, at the most.
    pub(crate) spaces: u64,
    /// Slices of the rows that interleave subjects within a process.
    pub(crate) slices: usize,
    /// Rounds of the rows that give every subject a process of its own.
    pub(crate) rounds: usize,
    /// A case begins no further slice after this time.
    pub(crate) limit: Duration,
    /// Where the stores are made.
    pub(crate) folder: PathBuf,
    /// What the events and the order of the subjects are drawn from.
    pub(crate) seed: u64,
    /// A share of the commits, for a quick look at whether it all works.
    pub(crate) smoke: bool,
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

impl Settings {
    /// The subjects in the order of a slice: another one each time, so that none always follows
    /// the same neighbour.
    fn order(&self, slice: usize) -> Vec<Kind> {
        let mut order = self.subjects.clone();
        fastrand::Rng::with_seed(self.seed + slice as u64).shuffle(&mut order);
        order
    }

    /// The subjects that keep what they are given.
    fn keepers(&self) -> Self {
        let mut keepers = self.clone();
        keepers.subjects.retain(|kind| kind.keeps_events());
        keepers
    }

    /// The settings for the record.
    pub(crate) fn describe(&self) -> BTreeMap<String, String> {
        let names: Vec<&str> = self.subjects.iter().map(|kind| kind.name()).collect();
        [
            ("subjects", names.join(",")),
            ("events", self.events.to_string()),
            ("spaces", self.spaces.to_string()),
            ("seed", self.seed.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
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
