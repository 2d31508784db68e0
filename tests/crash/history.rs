//! What is known to be stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    message::{Acknowledged, Place},
    workload::{AppendKey, Profile, Workload},
};

/// The writer of the appends that checks make.
pub const CHECKER: u32 = u32::MAX;

/// What is known of one store over all that happened to it: every append that was acknowledged, or
/// found stored once.
#[derive(Clone, Debug)]
pub struct History {
    workload: Workload,
    stored: BTreeMap<AppendKey, Place>,
    /// Appends that may be missing between others of their writer.
    failed: BTreeSet<(u32, u32)>,
    checks: u32,
}

impl History {
    /// Nothing is stored yet of the workload of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let workload = Workload::new(seed);
        Self { workload, stored: BTreeMap::new(), failed: BTreeSet::new(), checks: 0 }
    }

    /// The workload.
    #[must_use]
    pub const fn workload(&self) -> Workload {
        self.workload
    }

    /// Notes that an append is stored there.
    pub fn note(&mut self, Acknowledged { key, place }: Acknowledged) {
        self.stored.insert(key, place);
    }

    /// Notes that an append failed: its writer may have gone on with the next all the same.
    pub fn note_failed(&mut self, key: AppendKey) {
        self.failed.insert((key.writer, key.n));
    }

    /// Whether an append failed.
    #[must_use]
    pub fn has_failed(&self, writer: u32, n: u32) -> bool {
        self.failed.contains(&(writer, n))
    }

    /// How many checks there have been.
    #[must_use]
    pub const fn checks(&self) -> u32 {
        self.checks
    }

    /// Every append that is known to be stored, and where.
    pub fn stored(&self) -> impl ExactSizeIterator<Item = Acknowledged> {
        self.stored.iter().map(|(key, place)| Acknowledged { key: *key, place: *place })
    }

    /// The append that the next check makes.
    pub(crate) fn next_check(&mut self) -> AppendKey {
        let key = AppendKey { writer: CHECKER, n: self.checks, profile: Profile::Small };
        self.checks += 1;
        key
    }
}
