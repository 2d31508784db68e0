//! The thread that keeps the states folded up to the durable head.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use spacefold_bus::Feed;
use spacefold_event_core::{LogReader, Position, ReadError, StorageError};
use spacefold_projection::LiveStates;
use spacefold_store::EmbeddedLog;

use crate::{Options, commitments::Committing, views::Views};

/// How long one wait for new events lasts; the end of the log ends it at once.
const WAIT: Duration = Duration::from_secs(1);

/// How long nothing must be new before the past is gathered.
const IDLE: Duration = Duration::from_millis(20);

/// While there always is something new, the past is gathered once in so many rounds.
const BUSY_ROUNDS: u32 = 256;

/// How long folding rests after it has failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the handles of a store and its folding thread share.
pub(crate) struct Shared {
    pub(crate) log: EmbeddedLog,
    pub(crate) live: Arc<LiveStates>,
    pub(crate) views: Views,
    pub(crate) feed: Feed,
    pub(crate) closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(log: EmbeddedLog, options: &Options) -> Self {
        let (read, kept) = (Arc::new(log.clone()), Arc::new(log.clone()));
        let live = LiveStates::with_past(read, kept, options.past);
        let live = Arc::new(live.with_memory_bytes(options.states_memory_bytes));
        let views = Views::new(Arc::new(log.clone()), Arc::new(log.clone()));
        let mut feed = Feed::kept_in(Arc::new(log.clone()), Arc::new(log.clone()));
        if let Some(within) = options.sync_places_within {
            feed = feed.sync_places_within(within);
        }
        Self { log, live, views, feed, closing: AtomicBool::new(false) }
    }
}

/// Starts folding behind the durable head; the thread ends when the log is closed.
pub(crate) fn follow(
    shared: Arc<Shared>,
    committing: Committing,
) -> Result<JoinHandle<()>, StorageError> {
    shared.views.follow_what_comes();
    thread::Builder::new()
        .name("spacefold-fold".to_owned())
        .spawn(move || run(&shared, committing))
        .map_err(|error| StorageError::new("starting the folding thread", error))
}

fn run(shared: &Shared, mut committing: Committing) {
    let mut folded = Position::START;
    // While folding fails, whoever asks folds for himself, and is told why it fails.
    let mut followed = None;
    // Whether there may be a past that is not gathered.
    let mut is_past_left = true;
    let mut busy_rounds = 0;
    shared.views.follow_what_is_there();
    while !shared.closing.load(Ordering::Acquire) {
        let wait = if is_past_left { IDLE } else { WAIT };
        match shared.log.wait_durable(folded.next(), wait) {
            Err(ReadError::Closed) => return,
            Ok(durable) if durable <= folded => {
                is_past_left = is_past_left && gather_past(shared);
                continue;
            }
            Ok(durable) => shared.views.tell(durable),
            Err(_) => {}
        }
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        match shared.live.catch_up() {
            Ok(position) => {
                folded = position;
                followed.get_or_insert_with(|| shared.live.followed());
                committing.passed(folded, shared);
                shared.views.tell(position);
                is_past_left = true;
                busy_rounds += 1;
                if busy_rounds == BUSY_ROUNDS {
                    busy_rounds = 0;
                    gather_past(shared);
                }
            }
            // A log that is being closed ends the thread in the next round.
            Err(error) => {
                followed = None;
                if !shared.closing.load(Ordering::Acquire) {
                    tracing::warn!(%error, "the states of the spaces fall behind");
                    thread::park_timeout(REST_AFTER_FAILURE);
                }
            }
        }
    }
}

/// Gathers a part of the past, and answers whether more is left.
fn gather_past(shared: &Shared) -> bool {
    match shared.live.weave_past() {
        Ok(is_more_left) => is_more_left,
        Err(error) => {
            if !shared.closing.load(Ordering::Acquire) {
                tracing::warn!(%error, "states of the past will take longer");
            }
            false
        }
    }
}
