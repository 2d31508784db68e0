//! The process that puts, syncs, collects, and opens again, telling what is known after each.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{File, OpenOptions},
    io::{self, Write as _},
};

use rustix::process::{Signal, set_parent_process_death_signal};
use spacefold_content::PackStore;
use spacefold_event_core::{ContentError, ContentHash, ContentStore as _};

use super::content_options;
use crate::child::ChildOptions;

/// What the process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// These contents are durable.
    Synced(Vec<u64>),
    /// These are needed no more, and are about to be collected.
    Dropping(Vec<u64>),
    /// Something failed, as it may when a call does.
    Failed(String),
    /// Something failed that may not.
    Broken(String),
}

impl Told {
    fn line(&self) -> String {
        let numbers =
            |numbers: &[u64]| numbers.iter().map(|number| format!(" {number}")).collect::<String>();
        match self {
            Self::Synced(synced) => format!("synced{}\n", numbers(synced)),
            Self::Dropping(dropped) => format!("dropping{}\n", numbers(dropped)),
            Self::Failed(what) => format!("failed {}\n", what.replace('\n', " ")),
            Self::Broken(what) => format!("broken {}\n", what.replace('\n', " ")),
        }
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (what, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let numbers = || -> Option<Vec<u64>> {
            rest.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
        };
        match what {
            "synced" => numbers().map(Self::Synced),
            "dropping" => numbers().map(Self::Dropping),
            "failed" => Some(Self::Failed(rest.to_owned())),
            "broken" => Some(Self::Broken(rest.to_owned())),
            _ => None,
        }
    }
}

/// The content with a number: most of them small, some in chunks, neighbours much alike.
pub(super) fn content(seed: u64, number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed ^ (number / 2));
    let bytes = if number % 13 < 2 { 150_000 } else { random.usize(0..6_000) };
    let mut content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(bytes).collect();
    content.extend(number.to_le_bytes());
    content
}

/// Works as the options say: `appends` steps in each of the `openings`.
///
/// # Errors
/// When there is nowhere to tell it.
pub fn run(options: &ChildOptions) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let path = options.receipts.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
    let marks = OpenOptions::new().create(true).append(true).open(path)?;
    let mut subject = Subject {
        options,
        marks,
        random: fastrand::Rng::with_seed(options.seed),
        next: 0,
        put: Vec::new(),
        kept: BTreeSet::new(),
    };
    for _ in 0..options.openings {
        subject.session()?;
    }
    Ok(0)
}

struct Subject<'o> {
    options: &'o ChildOptions,
    marks: File,
    random: fastrand::Rng,
    next: u64,
    /// Put, and not yet synced.
    put: Vec<u64>,
    /// Durable, and still needed.
    kept: BTreeSet<u64>,
}

impl Subject<'_> {
    fn tell(&mut self, told: &Told) -> io::Result<()> {
        self.marks.write_all(told.line().as_bytes())
    }

    fn session(&mut self) -> io::Result<()> {
        self.put.clear();
        let store = match PackStore::open_with(&self.options.store, content_options()) {
            Ok(store) => store,
            // The one call that fails may be one of opening: the next time it opens.
            Err(error) => return self.tell(&Told::Failed(error.to_string())),
        };
        for _ in 0..self.options.appends {
            let done = match self.random.u8(..8) {
                0..=3 => self.put(&store),
                4..=6 => self.sync(&store)?,
                _ => self.collect(&store)?,
            };
            if let Err(error) = done {
                self.tell(&Told::Failed(error.to_string()))?;
                break;
            }
        }
        for number in self.kept.clone() {
            let expected = content(self.options.seed, number);
            let found = store.get(&ContentHash::of(&expected), u64::MAX);
            if !found.is_ok_and(|found| found == expected) {
                self.tell(&Told::Broken(format!("content {number} is not there")))?;
            }
        }
        if let Err(error) = store.close() {
            self.tell(&Told::Failed(error.to_string()))?;
        }
        Ok(())
    }

    fn put(&mut self, store: &PackStore) -> Result<(), ContentError> {
        for _ in 0..self.random.u8(1..6) {
            let number = self.next;
            self.next += 1;
            store.put(&mut &*content(self.options.seed, number))?;
            self.put.push(number);
        }
        Ok(())
    }

    fn sync(&mut self, store: &PackStore) -> io::Result<Result<(), ContentError>> {
        if let Err(error) = store.sync() {
            return Ok(Err(error));
        }
        let synced = std::mem::take(&mut self.put);
        self.kept.extend(&synced);
        self.tell(&Told::Synced(synced))?;
        Ok(Ok(()))
    }

    fn collect(&mut self, store: &PackStore) -> io::Result<Result<(), ContentError>> {
        let random = &mut self.random;
        let dropped: Vec<u64> = self.kept.iter().filter(|_| random.u8(..4) == 0).copied().collect();
        self.kept.retain(|number| !dropped.contains(number));
        self.tell(&Told::Dropping(dropped))?;
        let seed = self.options.seed;
        let needed: HashSet<ContentHash> =
            self.kept.iter().map(|number| ContentHash::of(&content(seed, *number))).collect();
        Ok(store.collect_garbage(&needed).map(drop))
    }
}
