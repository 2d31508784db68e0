//! The process whose calls fail: it appends on after an error, reads all there is, and closes.

use std::io;

use rustix::process::{Signal, set_parent_process_death_signal};
use spacefold_event_core::{AppendRequest, LogReader as _, LogWriter as _};
use spacefold_store::EmbeddedLog;

use crate::{
    child::ChildOptions,
    history::History,
    message::{Acknowledged, Failed, Message, Messenger, Outcome, Place},
    walk::walk,
    workload::AppendKey,
};

/// Appends that are tried after one that failed.
const TRIES_AFTER_FAILURE: u32 = 3;

/// What did not work, before the words that say why.
pub mod stage {
    /// Opening.
    pub const OPEN: &str = "open: ";
    /// Reading everything.
    pub const READ: &str = "read: ";
    /// Closing.
    pub const CLOSE: &str = "close: ";
}

/// Opens a store, appends, reads everything, and closes it, telling how each went.
///
/// # Errors
/// When the messages have nowhere to go.
pub fn run(options: &ChildOptions) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let messenger = match &options.receipts {
        Some(path) => Messenger::file(path)?,
        None => Messenger::stdout()?,
    };
    let broken = |stage: &str, error: &dyn std::fmt::Display| {
        messenger.say(&Message::Broken(format!("{stage}{error}")));
    };
    messenger.say(&Message::Opening);
    let log = match EmbeddedLog::open_with(&options.store, &options.store_options()) {
        Ok(log) => log,
        Err(error) => {
            broken(stage::OPEN, &error);
            return Ok(1);
        }
    };
    messenger.say(&Message::Open(log.durable_head()));
    let history = append_all(&log, options, &messenger);
    match walk(&log, &history) {
        // Of the store as it was opened nothing is known here but that it is one.
        Ok(contents) if history.stored().all(|known| contents.appends.contains(&known)) => {}
        Ok(_) => broken(stage::READ, &"an append that was acknowledged is missing"),
        Err(error) => broken(stage::READ, &error),
    }
    messenger.say(&Message::Closing);
    match log.close() {
        Ok(()) => messenger.say(&Message::Closed),
        Err(error) => broken(stage::CLOSE, &error),
    }
    Ok(0)
}

/// Appends one after the other; some more after the first that fails.
fn append_all(log: &EmbeddedLog, options: &ChildOptions, messenger: &Messenger) -> History {
    let mut history = History::new(options.seed);
    let mut tries = TRIES_AFTER_FAILURE;
    let mut has_failed = false;
    for n in 0..options.appends {
        if has_failed {
            let Some(left) = tries.checked_sub(1) else { break };
            tries = left;
        }
        let key = AppendKey { writer: options.first_writer, n, profile: options.profile };
        match log.append(&AppendRequest::new(&history.workload().events(key))) {
            Ok(receipt) => {
                let place = Place { first: receipt.first_position(), count: receipt.count() };
                let acknowledged = Acknowledged { key, place };
                messenger.say(&Message::Acknowledged(acknowledged));
                history.note(acknowledged);
            }
            Err(error) => {
                let (outcome, why) = (Outcome::of(&error), error.to_string());
                messenger.say(&Message::Failed(Failed { key, outcome, why }));
                history.note_failed(key);
                has_failed = true;
            }
        }
    }
    history
}
