//! The content of a store, against itself and against what the events name.

use std::{collections::HashMap, path::Path};

use spacefold::{
    OpenError, Position,
    content::{ContentHash, ContentProblem, ContentReport, visit_named_content},
    log::{EmbeddedLog, LogReader, StoreOptions},
};
use spacefold_event_core::bytes::to_u64;

use super::{PrintedProblem, machine_kind};
use crate::{
    error::Failure,
    output::{Output, grouped},
};

/// What is known of the content after a check.
#[derive(Debug, Default)]
pub(super) struct CheckedContent {
    /// Entries that are sound.
    entries: u64,
    /// Contents that events name and that are here.
    named: u64,
    /// Contents that events name and that were never put here, as after an import of events.
    absent: u64,
    /// Contents without some of their chunks that no event names: garbage of a collection that was
    /// stopped.
    leftovers: u64,
}

/// The id of a store, and every content that an event of it names, with the position of the first that
/// does.
type FirstNames = (String, HashMap<ContentHash, Position>);

/// Judges what a check of the content found, against what the events name where `names` tells that.
pub(super) fn check(
    store: &Path,
    report: Result<ContentReport, OpenError>,
    names: Option<impl FnOnce() -> Result<FirstNames, Failure>>,
    problems: &mut Vec<PrintedProblem>,
) -> Result<CheckedContent, Failure> {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let Some(kind) = machine_kind(&error) else { return Err(error.into()) };
            problems.push(unchecked(kind, format!("the content was not checked: {error}")));
            return Ok(CheckedContent::default());
        }
    };
    let mut checked = CheckedContent { entries: report.entries, ..CheckedContent::default() };
    let mut named = HashMap::new();
    let mut problems_found = report.problems.len();
    if let Some(names) = names {
        let (store_id, found) = names()?;
        named = found;
        if let Some(bound) = report.store.filter(|bound| bound.to_string() != store_id) {
            problems_found += 1;
            problems.push(PrintedProblem {
                position: None,
                file: Some(store.join("content/MANIFEST").display().to_string()),
                offset: None,
                kind: "content".to_owned(),
                detail: format!("it is of the content of another store, {bound}"),
                healed: false,
            });
        }
        checked.named = to_u64(named.keys().filter(|hash| report.is_sound(hash)).count());
    }
    let is_named =
        |found: &&ContentProblem| found.hash.is_some_and(|hash| named.contains_key(&hash));
    let (incomplete, leftovers): (Vec<_>, Vec<_>) = report.incomplete.iter().partition(is_named);
    checked.leftovers = to_u64(leftovers.len());
    problems_found += incomplete.len();
    // What is missing while nothing is damaged was never here.
    if problems_found == 0 {
        checked.absent = to_u64(named.len()).saturating_sub(checked.named);
    }
    let found = report.problems.iter().chain(incomplete);
    problems.extend(found.map(|problem| damaged(problem, &named)));
    if problems_found > 0 {
        problems.extend(lost(&report, &named));
    }
    Ok(checked)
}

fn unchecked(kind: &str, detail: String) -> PrintedProblem {
    let kind = kind.to_owned();
    PrintedProblem { position: None, file: None, offset: None, kind, detail, healed: false }
}

/// The names in a store that nobody has.
pub(super) fn names_in_closed(store: &Path) -> Result<FirstNames, Failure> {
    let log = EmbeddedLog::open_existing_with(store, &StoreOptions::default())?;
    let names = names_in(&log, log.info().store_id);
    log.close()?;
    names
}

/// The names in the log of the store with this id.
pub(super) fn names_in(log: &dyn LogReader, store_id: String) -> Result<FirstNames, Failure> {
    let mut names = HashMap::new();
    visit_named_content(log, &mut |position, hash| {
        names.entry(hash).or_insert(position);
    })?;
    Ok((store_id, names))
}

fn damaged(problem: &ContentProblem, names: &HashMap<ContentHash, Position>) -> PrintedProblem {
    let position = problem.hash.and_then(|hash| names.get(&hash));
    PrintedProblem {
        position: position.map(|position| position.get()),
        file: Some(problem.file.display().to_string()),
        offset: problem.offset,
        kind: "content".to_owned(),
        detail: match problem.hash {
            Some(hash) => format!("{hash}: {}", problem.detail),
            None => problem.detail.clone(),
        },
        healed: false,
    }
}

/// The contents that events name and that are not here, where some were lost.
fn lost(report: &ContentReport, names: &HashMap<ContentHash, Position>) -> Vec<PrintedProblem> {
    let told = |hash: &ContentHash| {
        let mut all = report.problems.iter().chain(&report.incomplete);
        all.any(|problem| problem.hash == Some(*hash))
    };
    let mut lost: Vec<_> =
        names.iter().filter(|(hash, _)| !report.is_sound(hash) && !told(hash)).collect();
    lost.sort_unstable_by_key(|(hash, position)| (**position, **hash));
    let problem = |(hash, position): (&ContentHash, &Position)| PrintedProblem {
        position: Some(position.get()),
        file: None,
        offset: None,
        kind: "content-missing".to_owned(),
        detail: format!("content {hash} is not here: it was lost, or never put here"),
        healed: false,
    };
    lost.into_iter().map(problem).collect()
}

impl CheckedContent {
    pub(super) fn print(&self, output: &mut Output) -> Result<(), Failure> {
        if self.entries == 0 && self.absent == 0 && self.leftovers == 0 {
            return Ok(());
        }
        let (entries, named) = (grouped(self.entries), grouped(self.named));
        output
            .line(&format!("content: {entries} sound entries, {named} contents named by events"))?;
        if self.absent > 0 {
            let absent = grouped(self.absent);
            // Older packs under a manifest of no later time look the same.
            let or_lost =
                if self.entries > 0 { ", or are gone with all of their packs" } else { "" };
            output.line(&format!(
                "content: {absent} contents that events name were never put here{or_lost}"
            ))?;
        }
        if self.leftovers > 0 {
            let leftovers = grouped(self.leftovers);
            output.line(&format!(
                "content: {leftovers} contents without all of their chunks, garbage of a collection \
                 that was stopped"
            ))?;
        }
        Ok(())
    }
}
