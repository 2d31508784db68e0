//! The thread that keeps the states folded up to the durable head.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use spacefold_event_core::{Position, ReadError, StorageError};

use crate::{commitments::Committing, engine::Engine};

/// How long one wait for new events lasts; the end of the log ends it at once.
const WAIT: Duration = Duration::from_secs(1);

/// How long nothing must be new before more of the history is gathered.
const IDLE: Duration = Duration::from_millis(20);

/// While there always is something new, more of the history is gathered once in this many rounds.
const BUSY_ROUNDS: u32 = 256;

/// How long folding rests after it has failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Starts folding behind the durable head, and committing to the states where that is to be done;
/// the thread ends when the log is closed.
pub(crate) fn start(
    engine: &Arc<Engine>,
    committing: Option<Committing>,
) -> Result<(), StorageError> {
    engine.views.follow_what_comes();
    let folded = Arc::clone(engine);
    let thread = thread::Builder::new()
        .name("spacefold-fold".to_owned())
        .spawn(move || run(&folded, committing))
        .map_err(|error| StorageError::new("starting the folding thread", error))?;
    *engine.folding.lock() = Some(thread);
    Ok(())
}

fn run(engine: &Engine, mut committing: Option<Committing>) {
    let mut folded = Position::START;
    // While folding fails, whoever asks folds for himself, and is told why it fails.
    let mut followed = None;
    // Whether there may be history that is not gathered.
    let mut is_history_left = true;
    let mut busy_rounds = 0;
    engine.views.follow_what_is_there();
    while !engine.closing.load(Ordering::Acquire) {
        let wait = if is_history_left { IDLE } else { WAIT };
        let mut has_failed = false;
        match engine.log.wait_durable(folded.next(), wait) {
            Err(ReadError::Closed) => return,
            Ok(durable) if durable <= folded => {
                is_history_left = is_history_left && gather_history(engine);
                continue;
            }
            Ok(durable) => engine.views.tell(durable),
            // What is durable is folded all the same.
            Err(_) => has_failed = true,
        }
        if engine.closing.load(Ordering::Acquire) {
            return;
        }
        match engine.live.catch_up() {
            // Nothing comes of a log that takes nothing any more, and nothing is waited for.
            Ok(position) if has_failed && position == folded => {
                thread::park_timeout(REST_AFTER_FAILURE);
            }
            Ok(position) => {
                folded = position;
                followed.get_or_insert_with(|| engine.live.followed());
                if let Some(committing) = &mut committing {
                    committing.passed(folded, &engine.live);
                }
                engine.views.tell(position);
                is_history_left = true;
                busy_rounds += 1;
                if busy_rounds == BUSY_ROUNDS {
                    busy_rounds = 0;
                    gather_history(engine);
                }
            }
            // A log that is being closed ends the thread in the next round.
            Err(error) => {
                followed = None;
                if !engine.closing.load(Ordering::Acquire) {
                    tracing::warn!(%error, "the states of the spaces fall behind");
                    thread::park_timeout(REST_AFTER_FAILURE);
                }
            }
        }
    }
}

/// Gathers a part of the history, and answers whether more is left.
fn gather_history(engine: &Engine) -> bool {
    match engine.past.gather_history() {
        Ok(is_more_left) => is_more_left,
        Err(error) => {
            if !engine.closing.load(Ordering::Acquire) {
                tracing::warn!(%error, "states of the past will take longer");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests;
