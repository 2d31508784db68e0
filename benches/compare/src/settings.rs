//! How much is measured, and of whom.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::subject::Kind;

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

impl Settings {
    /// The subjects in the order of a slice: another one each time, so that none always follows
    /// the same neighbour.
    pub(crate) fn order(&self, slice: usize) -> Vec<Kind> {
        let mut order = self.subjects.clone();
        fastrand::Rng::with_seed(self.seed + slice as u64).shuffle(&mut order);
        order
    }

    /// The subjects that keep what they are given.
    pub(crate) fn keepers(&self) -> Self {
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
