//! What a process made of a call that failed, and whether that is right.

use std::{collections::BTreeSet, path::Path};

use spacefold_store::StoreOptions;

use crate::{
    check::check,
    entry::Entry,
    faults::subject::stage,
    history::History,
    message::{Message, Outcome},
};

/// What a process did.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The path of each call that failed, and its kind.
    pub(super) hits: Vec<(String, String)>,
    /// What it told.
    pub(super) messages: Vec<Message>,
    /// Files that were synced again after a sync of them had failed.
    pub(super) synced_again: BTreeSet<String>,
}

impl Run {
    /// Reads it off what was recorded.
    ///
    /// # Errors
    /// What it told, when that is no message.
    pub(super) fn of(entries: &[Entry]) -> Result<Self, String> {
        let mut run = Self::default();
        let mut failed_syncs: BTreeSet<String> = BTreeSet::new();
        for entry in entries {
            match entry {
                Entry::Mark { bytes } => {
                    let line = String::from_utf8_lossy(bytes);
                    let message: Result<Message, _> = line.trim_end().parse();
                    run.messages.push(message.map_err(|error| error.to_string())?);
                }
                Entry::Fault { path, call, .. } => {
                    if call == "sync" {
                        failed_syncs.insert(path.clone());
                    }
                    run.hits.push((path.clone(), call.clone()));
                }
                // Opening begins anew once what was set aside is given back.
                Entry::Remove { path } if path.ends_with("reserve") => failed_syncs.clear(),
                // What is derived is made anew: files come and go, and the next sync is theirs. Nothing
                // that the failed one was for is built on.
                Entry::Create { path, .. }
                | Entry::Rename { to: path, .. }
                | Entry::Remove { path } => {
                    if let Some(folder) = derived_folder_of(path) {
                        failed_syncs.remove(folder);
                        failed_syncs.remove(path);
                    }
                }
                Entry::SyncBegins { path, .. } if failed_syncs.contains(path) => {
                    run.synced_again.insert(path.clone());
                }
                _ => {}
            }
        }
        Ok(run)
    }

    /// Whether the call that failed was sled's.
    fn hit_sled(&self) -> bool {
        self.hits.iter().any(|(path, _)| is_sleds(path))
    }

    /// Whether it noticed nothing of the failed call.
    #[must_use]
    pub(super) fn went_well(&self) -> bool {
        self.messages.last() == Some(&Message::Closed)
            && !self
                .messages
                .iter()
                .any(|message| matches!(message, Message::Failed(_) | Message::Broken(_)))
    }
}

/// The folder of a file, where it is among what is derived from the log.
fn derived_folder_of(path: &str) -> Option<&str> {
    let (folder, _) = path.rsplit_once('/')?;
    folder.contains("/derived/").then_some(folder)
}

fn is_sleds(path: &str) -> bool {
    path.contains("/sled/") || path.ends_with("/sled")
}

/// What is wrong with how a process took a call that failed. `is_transparent`: it should not have
/// noticed.
///
/// # Errors
/// What is wrong.
pub(super) fn judge(run: &Run, is_transparent: bool) -> Result<(), String> {
    // What becomes of a call that sled makes is up to sled, as long as nothing is lost.
    if is_transparent && !run.hit_sled() && !run.went_well() {
        return Err(format!("it was not taken up again: {:?}", run.messages.last()));
    }
    // After an interruption, which is no failure, the standard library itself tries again.
    let again = run.synced_again.iter().find(|path| !is_sleds(path) && !is_transparent);
    if let Some(path) = again {
        return Err(format!("a sync of {path} failed, and was tried again"));
    }
    let mut refused_since = None;
    for message in &run.messages {
        match message {
            // What an append had to be checked against could not be read from sled.
            Message::Failed(failed) if failed.outcome == Outcome::Nothing && run.hit_sled() => {}
            Message::Failed(failed) if failed.outcome == Outcome::Nothing => {
                return Err(format!("{} fails with {}", failed.key, failed.why));
            }
            Message::Failed(failed) => {
                if refused_since.is_some() && failed.outcome != Outcome::Refused {
                    return Err(format!("{} is not refused: {}", failed.key, failed.why));
                }
                refused_since.get_or_insert(failed.key);
            }
            Message::Acknowledged(later) => {
                if let Some(failed) = refused_since {
                    return Err(format!("{failed} failed, and {} was taken", later.key));
                }
            }
            Message::Broken(why) if why.starts_with(stage::READ) && !run.hit_sled() => {
                return Err(format!("reading does not go on: {why}"));
            }
            _ => {}
        }
    }
    let ended = run.messages.last().is_some_and(|message| match message {
        Message::Closed => true,
        Message::Broken(why) => [stage::OPEN, stage::CLOSE].iter().any(|at| why.starts_with(at)),
        _ => false,
    });
    if ended { Ok(()) } else { Err(format!("it ended after {:?}", run.messages.last())) }
}

/// What is wrong with the store afterwards, opened without a failing call.
///
/// # Errors
/// What is wrong.
pub(super) fn judge_store(store: &Path, history: &mut History, run: &Run) -> Result<(), String> {
    for message in &run.messages {
        match message {
            Message::Acknowledged(acknowledged) => history.note(*acknowledged),
            Message::Failed(failed) => history.note_failed(failed.key),
            _ => {}
        }
    }
    let checked = check(store, &StoreOptions::default(), history);
    checked.map(drop).map_err(|violation| format!("opened again: {violation}"))
}

#[cfg(test)]
mod tests;
