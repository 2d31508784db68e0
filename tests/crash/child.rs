//! The writer: a process that appends and says so, until it is done or killed.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::process::{Signal, getpid, kill_process, set_parent_process_death_signal};
use spacefold_disk::{Lie, LyingDisk, RealDisk};
use spacefold_event_core::{AppendError, AppendRequest, LogReader, PendingAppend, Receipt};
use spacefold_projection::{DerivedState, LiveStates};
use spacefold_store::{EmbeddedLog, OpenError, StoreOptions, testing::open_on};

use crate::{
    message::{Acknowledged, Failed, Message, Messenger, Outcome, Place},
    workload::{AppendKey, Profile, Workload},
};

/// What a writer does.
#[derive(Clone, Debug, clap::Args)]
pub struct ChildOptions {
    /// The folder of the store.
    #[arg(long)]
    pub store: PathBuf,
    /// The seed of the workload.
    #[arg(long)]
    pub seed: u64,
    /// The number of its first thread among the writers of the store.
    #[arg(long, default_value_t = 0)]
    pub first_writer: u32,
    /// Threads that append.
    #[arg(long, default_value_t = 1)]
    pub threads: u32,
    /// Appends of each thread each time that the store is open.
    #[arg(long, default_value_t = u32::MAX)]
    pub appends: u32,
    /// Appends of a thread that are under way at a time.
    #[arg(long, default_value_t = 1)]
    pub under_way: usize,
    /// What the events look like.
    #[arg(long, value_enum, default_value = "mixed")]
    pub profile: Profile,
    /// Bytes of a journal file.
    #[arg(long)]
    pub journal_file_bytes: Option<u64>,
    /// How often the store is opened and closed.
    #[arg(long, default_value_t = 1)]
    pub openings: u32,
    /// Folds the states after so many acknowledgements, and persists them.
    #[arg(long)]
    pub fold_every: Option<u64>,
    /// Kills itself right after it has told of so many acknowledgements.
    #[arg(long)]
    pub die_after: Option<u64>,
    /// Tells a file instead of the standard output.
    #[arg(long)]
    pub receipts: Option<PathBuf>,
    /// Bytes of disk that the store sets aside, if not the default.
    #[arg(long)]
    pub reserve_bytes: Option<u64>,
    /// Has the disk say what is not so, which the others must find out.
    #[arg(long, env = "SPACEFOLD_TORTURE_LIE", value_parser = lie)]
    pub lie: Option<Lie>,
}

fn lie(name: &str) -> Result<Lie, String> {
    let named = Lie::ALL.into_iter().find(|lie| lie.name() == name);
    named.ok_or_else(|| format!("one of {}", Lie::ALL.map(Lie::name).join(", ")))
}

impl ChildOptions {
    /// A writer that appends in some way, for as long as it lives.
    #[must_use]
    pub fn draw(store: &Path, seed: u64, first_writer: u32, rng: &mut fastrand::Rng) -> Self {
        let profile = [
            Profile::Small,
            Profile::Small,
            Profile::Small,
            Profile::Mixed,
            Profile::Mixed,
            Profile::Mixed,
            Profile::Bulk,
            Profile::Large,
        ];
        let profile = rng.choice(profile).unwrap_or(Profile::Small);
        let most_under_way = if profile == Profile::Small { 8 } else { 2 };
        Self {
            store: store.to_owned(),
            seed,
            first_writer,
            threads: rng.u32(1..=8),
            appends: u32::MAX,
            under_way: rng.usize(1..=most_under_way),
            profile,
            openings: 1,
            fold_every: rng.bool().then(|| rng.u64(1..40)),
            die_after: None,
            receipts: None,
            journal_file_bytes: rng.bool().then(|| (128 << 10) << rng.u32(0..4)),
            reserve_bytes: None,
            lie: None,
        }
    }

    /// The arguments that give these options.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--store={}", self.store.display()),
            format!("--seed={}", self.seed),
            format!("--first-writer={}", self.first_writer),
            format!("--threads={}", self.threads),
            format!("--appends={}", self.appends),
            format!("--under-way={}", self.under_way),
            format!("--profile={}", self.profile.name()),
            format!("--openings={}", self.openings),
        ];
        arguments.extend(self.fold_every.map(|every| format!("--fold-every={every}")));
        arguments.extend(self.die_after.map(|after| format!("--die-after={after}")));
        let receipts = self.receipts.as_ref();
        arguments.extend(receipts.map(|path| format!("--receipts={}", path.display())));
        let bytes = self.journal_file_bytes;
        arguments.extend(bytes.map(|bytes| format!("--journal-file-bytes={bytes}")));
        let bytes = self.reserve_bytes;
        arguments.extend(bytes.map(|bytes| format!("--reserve-bytes={bytes}")));
        arguments
    }

    /// How the store is opened.
    #[must_use]
    pub fn store_options(&self) -> StoreOptions {
        let options = StoreOptions::default();
        let options = match self.journal_file_bytes {
            Some(bytes) => options.journal_file_bytes(bytes),
            None => options,
        };
        match self.reserve_bytes {
            Some(bytes) => options.reserve_bytes(bytes),
            None => options,
        }
    }
}

/// Appends as the options say; the exit code is 0 when everything went well.
///
/// # Errors
/// When the messages have nowhere to go.
pub fn run(options: &ChildOptions) -> std::io::Result<u8> {
    // A writer whose parent is gone would go on for ever.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let messenger = match &options.receipts {
        Some(path) => Messenger::file(path)?,
        None => Messenger::stdout()?,
    };
    let child = Child { options, messenger, acknowledged: AtomicU64::new(0) };
    for opening in 0..options.openings {
        if let Err(why) = child.open_once(opening) {
            child.messenger.say(&Message::Broken(why));
            return Ok(1);
        }
    }
    Ok(0)
}

struct Child<'o> {
    options: &'o ChildOptions,
    messenger: Messenger,
    acknowledged: AtomicU64,
}

impl Child<'_> {
    fn open(&self) -> Result<EmbeddedLog, OpenError> {
        let (path, options) = (&self.options.store, self.options.store_options());
        match self.options.lie {
            Some(lie) => {
                open_on(Arc::new(LyingDisk::over(Arc::new(RealDisk), lie)), path, &options)
            }
            None => EmbeddedLog::open_with(path, &options),
        }
    }

    /// Opens the store, appends to it, and closes it.
    fn open_once(&self, opening: u32) -> Result<(), String> {
        self.messenger.say(&Message::Opening);
        let log = self.open().map_err(|error| error.to_string())?;
        self.messenger.say(&Message::Open(log.durable_head()));
        let states =
            LiveStates::new(Arc::new(log.clone()), DerivedState::in_folder(log.derived_folder()));
        let first_n = opening.saturating_mul(self.options.appends);
        let complete = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.options.threads)
                .map(|thread| self.options.first_writer + thread)
                .map(|writer| {
                    let (log, states) = (&log, &states);
                    scope.spawn(move || self.append_all(log, states, writer, first_n))
                })
                .collect();
            threads.into_iter().all(|thread| thread.join().is_ok_and(|complete| complete))
        });
        self.messenger.say(&Message::Closing);
        drop(states);
        log.close().map_err(|error| error.to_string())?;
        self.messenger.say(&Message::Closed);
        if complete { Ok(()) } else { Err("appends failed".to_owned()) }
    }

    /// Makes the appends of one thread, in order, until one fails; whether none did.
    fn append_all(
        &self,
        log: &EmbeddedLog,
        states: &LiveStates,
        writer: u32,
        first_n: u32,
    ) -> bool {
        let workload = Workload::new(self.options.seed);
        let mut under_way: VecDeque<(AppendKey, PendingAppend)> = VecDeque::new();
        for n in first_n..first_n.saturating_add(self.options.appends) {
            let key = AppendKey { writer, n, profile: self.options.profile };
            match log.submit(&AppendRequest::new(&workload.events(key))) {
                Ok(pending) => under_way.push_back((key, pending)),
                Err(error) => {
                    self.settle_all(under_way, states);
                    self.say_failed(key, &error);
                    return false;
                }
            }
            if under_way.len() >= self.options.under_way
                && let Some((key, pending)) = under_way.pop_front()
                && !self.settle(key, pending, states)
            {
                self.settle_all(under_way, states);
                return false;
            }
        }
        self.settle_all(under_way, states)
    }

    /// Waits for appends; whether all went well.
    fn settle_all(
        &self,
        under_way: VecDeque<(AppendKey, PendingAppend)>,
        states: &LiveStates,
    ) -> bool {
        under_way.into_iter().fold(true, |well, (key, pending)| {
            // Every one is waited for.
            self.settle(key, pending, states) && well
        })
    }

    fn settle(&self, key: AppendKey, pending: PendingAppend, states: &LiveStates) -> bool {
        match pending.wait() {
            Ok(receipt) => {
                self.say_acknowledged(key, &receipt, states);
                true
            }
            Err(error) => {
                self.say_failed(key, &error);
                false
            }
        }
    }

    fn say_acknowledged(&self, key: AppendKey, receipt: &Receipt, states: &LiveStates) {
        let place = Place { first: receipt.first_position(), count: receipt.count() };
        self.messenger.say(&Message::Acknowledged(Acknowledged { key, place }));
        let so_far = self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
        if self.options.die_after.is_some_and(|after| so_far >= after) {
            // There is nobody to tell when this does not work.
            let _ = kill_process(getpid(), Signal::KILL);
        }
        if self.options.fold_every.is_some_and(|every| so_far.is_multiple_of(every.max(1))) {
            let folded = states.catch_up().and_then(|_| states.save());
            if let Err(error) = folded {
                self.messenger.say(&Message::Broken(format!("folding: {error}")));
            }
        }
    }

    fn say_failed(&self, key: AppendKey, error: &AppendError) {
        let (outcome, why) = (Outcome::of(error), error.to_string());
        self.messenger.say(&Message::Failed(Failed { key, outcome, why }));
    }
}
