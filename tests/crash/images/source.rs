//! The recordings that images are made of.

use std::{io, path::Path};

use crate::{
    child::ChildOptions,
    entry::Entry,
    preload::{Preload, Program, Recording},
    workload::Profile,
};

/// The name of the store in the folder that is recorded.
pub(super) const STORE: &str = "store";

const PROFILES: [Profile; 3] = [Profile::Small, Profile::Mixed, Profile::Bulk];

/// A kind of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// A few writers on one store, each opened a few times, some of which die.
    Small,
    /// Writers with much to append, so that blocks go to segments, and journal files are given
    /// up and used again.
    Sealing,
    /// A sync of the first writer fails: what it was to bring to the disk never comes there, but
    /// reads as if it had. The second writer goes on with that.
    FailedSync,
}

impl Scene {
    /// Records the scene.
    ///
    /// # Errors
    /// When the writers do not start.
    pub(super) fn record(
        self,
        preload: &Preload,
        recording: &Recording,
        seed: u64,
        rng: &mut fastrand::Rng,
    ) -> io::Result<()> {
        let writers = match self {
            Self::Small => rng.u32(1..=3),
            Self::Sealing | Self::FailedSync => 2,
        };
        let mut first_writer = 0;
        for _ in 0..writers {
            let options = self.writer(recording, seed, first_writer, rng);
            first_writer += options.threads;
            let fails = self == Self::FailedSync && options.first_writer == 0;
            if fails {
                let fault = format!("sync:{}:EIO:store/", rng.u32(1..60));
                preload.run(Program::Subject, recording, &options, Some(&fault))?;
            } else {
                preload.run(Program::Writer, recording, &options, None)?;
            }
        }
        Ok(())
    }

    fn writer(
        self,
        recording: &Recording,
        seed: u64,
        first_writer: u32,
        rng: &mut fastrand::Rng,
    ) -> ChildOptions {
        let dies = rng.bool();
        let options = writer(&recording.root.join(STORE), seed, first_writer);
        match self {
            Self::Small => {
                let threads = rng.u32(1..=4);
                let appends = rng.u32(2..=12);
                ChildOptions {
                    threads,
                    appends,
                    under_way: rng.usize(1..=4),
                    profile: rng.choice(PROFILES).unwrap_or(Profile::Small),
                    openings: rng.u32(1..=3),
                    fold_every: rng.bool().then(|| rng.u64(2..20)),
                    die_after: dies.then(|| rng.u64(1..=u64::from(threads * appends))),
                    ..options
                }
            }
            Self::FailedSync => ChildOptions {
                appends: rng.u32(2..40),
                profile: rng.choice(PROFILES).unwrap_or(Profile::Small),
                ..options
            },
            Self::Sealing => ChildOptions {
                threads: 2,
                appends: rng.u32(10..30),
                under_way: 2,
                profile: rng.choice([Profile::Bulk, Profile::Large]).unwrap_or(Profile::Bulk),
                die_after: dies.then(|| rng.u64(10..40)),
                journal_file_bytes: Some((128 << 10) << rng.u32(0..3)),
                ..options
            },
        }
    }
}

/// A writer that opens a store, appends a little, and closes it.
#[must_use]
pub(crate) fn writer(store: &Path, seed: u64, first_writer: u32) -> ChildOptions {
    ChildOptions {
        store: store.to_owned(),
        seed,
        first_writer,
        threads: 1,
        appends: 3,
        under_way: 1,
        profile: Profile::Small,
        openings: 1,
        fold_every: None,
        die_after: None,
        receipts: None,
        // Small, so that files are used again and again; and so that images are.
        journal_file_bytes: Some(128 << 10),
        reserve_bytes: Some(64 << 10),
        lie: None,
    }
}

/// Entries around a change to names, within which moments are looked for.
const NEAR: usize = 6;

/// Moments to cut a recording at, ascending: each is how many of its entries have happened. Half of
/// them are close to something that happens rarely: a file is created, renamed or removed.
#[must_use]
pub(crate) fn moments(entries: &[Entry], count: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let is_rare = |entry: &Entry| {
        matches!(
            entry,
            Entry::Create { .. }
                | Entry::CreateFolder { .. }
                | Entry::Rename { .. }
                | Entry::Remove { .. }
                | Entry::Truncate { .. }
        )
    };
    let rare: Vec<usize> =
        entries.iter().enumerate().filter(|(_, entry)| is_rare(entry)).map(|(at, _)| at).collect();
    let moment = |rng: &mut fastrand::Rng| match rng.choice(&rare) {
        Some(at) if rng.bool() => rng.usize(at.saturating_sub(NEAR)..=entries.len().min(at + NEAR)),
        _ => rng.usize(0..=entries.len()),
    };
    // Before the store is in its place there is little to lose: fewer moments there.
    let created = entries.iter().position(|entry| matches!(entry, Entry::Rename { .. }));
    let mut drawn = |_| match moment(rng) {
        early if Some(early) <= created && rng.u8(0..8) > 0 => moment(rng),
        moment => moment,
    };
    let mut moments: Vec<usize> = (0..count).map(&mut drawn).collect();
    moments.sort_unstable();
    moments
}
