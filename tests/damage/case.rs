//! One case: a copy of a store is harmed, then opened or verified, and what happens is judged.

use std::{
    collections::HashMap,
    fs,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use spacefold::{
    OpenError, SpaceEvent,
    admin::{OnDamage, VerifyOptions, VerifyReport, verify},
};

use crate::{
    contents::{Contents, Likeness, OpenStore},
    harm::Harm,
    layout::{Layout, Part},
    stores::{Image, Kind, Store, copy_folder, files},
};

/// What is done with the harmed copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It is opened, read, and appended to.
    Open,
    /// It is verified, mended where that is possible, and opened.
    Verify,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Which store.
    pub kind: Kind,
    /// What is done to it.
    pub harm: Harm,
    /// What is done with it.
    pub action: Action,
}

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In a word or two, to be counted.
    pub what: String,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// The process must be started again before anything more can be said.
    pub restart: bool,
}

/// Messages of panics that nobody caught, since they were last taken.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the message of every panic that reaches the hook: those that the store catches from sled
/// do not.
pub fn watch_for_panics() {
    panic::set_hook(Box::new(|info| {
        let message = format!("{} in {:?}", info, std::thread::current().name());
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }));
}

pub(crate) fn take_panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A store with what is worked out of its files once.
#[derive(Debug)]
pub struct Subject {
    store: Store,
    layout: Layout,
    image: Image,
}

impl Subject {
    /// A subject out of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let layout = Layout::of(&store.image());
        let image = Image::read(&store.image());
        Self { store, layout, image }
    }

    /// Runs a case in a scratch folder. With `again` the copy that an earlier process left there
    /// is gone on with.
    pub fn run(&self, case: &Case, scratch: &Path, again: bool) -> Outcome {
        let copy = scratch.join("copy");
        if !again {
            for left in [&copy, &scratch.join("before"), &scratch.join("beside")] {
                let _ = fs::remove_dir_all(left);
            }
            self.image.write(&copy);
            case.harm.apply(&self.store, &copy);
        }
        let harmed = self.layout.harmed(&case.harm, &self.store);
        let mut trial = Trial { subject: self, case, harmed, outcome: Outcome::default() };
        let run = panic::catch_unwind(AssertUnwindSafe(|| match case.action {
            Action::Open => trial.open(&copy),
            Action::Verify => trial.verify(&copy, scratch),
        }));
        let mut outcome = trial.outcome;
        if run.is_err() {
            outcome.violations.push("it panicked".to_owned());
        }
        outcome.violations.extend(take_panics());
        outcome
    }
}

/// What opening a store and reading everything gave.
enum Opened {
    Contents { contents: Contents, healed: u64 },
    Refused(String),
    ReadFailed(String),
    Restart,
}

struct Trial<'s> {
    subject: &'s Subject,
    case: &'s Case,
    harmed: Vec<(String, Range<u64>)>,
    outcome: Outcome,
}

impl Trial<'_> {
    fn violation(&mut self, what: impl Into<String>) {
        self.outcome.violations.push(what.into());
    }

    fn parts(&self) -> Vec<Part> {
        self.subject.layout.parts_of(&self.harmed)
    }

    /// Whether what the promises rest on was harmed: anything but sled's copy and filler. HEAD has
    /// one length.
    fn harms_journal(&self) -> bool {
        self.is_cut_head()
            || self.parts().iter().any(|part| !matches!(part, Part::Sled | Part::Filler))
    }

    fn is_cut_head(&self) -> bool {
        self.case.harm.kind() == "cut" && self.case.harm.file() == "HEAD"
    }

    /// Whether all that is harmed is the newest slot of HEAD: a crash while the store is closed
    /// leaves the same.
    fn is_like_a_crash_in_head(&self) -> bool {
        let page = &self.subject.layout.newest_slot;
        self.harmed.iter().all(|(file, bytes)| {
            file == "HEAD" && page.start <= bytes.start && bytes.end <= page.end
        })
    }

    fn open(&mut self, copy: &Path) {
        let before = stored_files(copy);
        let aside = set_aside(copy);
        match open(copy, AndThen::Append) {
            Opened::Restart => self.outcome.restart = true,
            Opened::Refused(name) => {
                if !self.harms_journal() {
                    self.violation(format!("refused though the journal is intact: {name}"));
                }
                if self.is_mendable() {
                    self.violation(format!("refused though one copy has it all: {name}"));
                }
                if let Some(file) = difference(&before, &stored_files(copy)) {
                    self.violation(format!("refused with {name}, yet {file} has changed"));
                }
                if set_aside(copy) != aside {
                    self.violation(format!("refused with {name}, yet sled's copy was set aside"));
                }
                self.outcome.what = format!("refused: {name}");
            }
            Opened::ReadFailed(why) => {
                if !self.harms_journal() {
                    self.violation(format!("does not read though the journal is intact: {why}"));
                }
                self.outcome.what = "opened, reading refused".to_owned();
            }
            Opened::Contents { contents, healed } => {
                let verdict = self.judge(&contents);
                let how = if healed > self.healed_before() { ", healed" } else { "" };
                self.outcome.what = format!("{verdict}{how}");
                if !how.is_empty() || !self.case.kind.is_closed() {
                    self.reopen(copy, &contents);
                }
            }
        }
    }

    /// What was mended, or recovered after a kill, is on disk as it was read, and so is the event
    /// that was appended to it.
    fn reopen(&mut self, copy: &Path, before: &Contents) {
        match open(copy, AndThen::Nothing) {
            Opened::Restart => self.violation("sled panics in what was recovered"),
            Opened::Refused(why) | Opened::ReadFailed(why) => {
                self.violation(format!("what was recovered does not open again: {why}"));
            }
            Opened::Contents { contents, .. } => {
                let is_same = contents.events.len() == before.events.len() + 1
                    && contents.events.starts_with(&before.events)
                    && contents.states == contents.folded;
                if !is_same {
                    let count = contents.events.len();
                    self.violation(format!("opened again, it has other contents: {count} events"));
                }
            }
        }
    }

    /// Judges contents that were read without an error.
    fn judge(&mut self, contents: &Contents) -> &'static str {
        match contents.likeness(&self.subject.store.contents) {
            Likeness::Identical => "identical",
            Likeness::EndsAfter(end) => {
                let least = self.least_end();
                if self.case.kind.is_closed() || end < least {
                    self.violation(format!(
                        "it ends after {end} events without an error, {least} are certain"
                    ));
                }
                "ends early, nothing witnessed the rest"
            }
            Likeness::Different => {
                let end = contents.events.len();
                self.violation(format!("other contents without an error, {end} events"));
                "different"
            }
        }
    }

    /// Up to where events of a killed store must be there, or an error: what HEAD or a frame that
    /// is left says was synced, and what stands before the harm.
    fn least_end(&self) -> u64 {
        let layout = &self.subject.layout;
        let head_is_harmed = self.parts().contains(&Part::Head);
        let mut least = if head_is_harmed { 0 } else { layout.durable_head };
        let mut contiguous = layout.sealed_through;
        for frame in &layout.frames {
            let is_left = !layout.is_touched(frame, &self.harmed);
            if is_left {
                least = least.max(frame.synced_through);
                if frame.first <= contiguous + 1 {
                    contiguous = contiguous.max(frame.last);
                }
            }
        }
        least.max(contiguous)
    }

    /// Whether sled's copy has what was harmed: then it must be mended.
    fn is_mendable(&self) -> bool {
        let through = self.subject.store.sled_through;
        let layout = &self.subject.layout;
        let frames_in_sled = layout
            .frames
            .iter()
            .filter(|frame| layout.is_touched(frame, &self.harmed))
            .all(|frame| frame.last <= through || !self.is_in_harm(frame));
        let parts = self.parts();
        self.case.kind.is_closed()
            && frames_in_sled
            && !self.is_cut_head()
            && (!parts.contains(&Part::Head) || self.is_like_a_crash_in_head())
            && !parts.contains(&Part::Sled)
    }

    fn is_in_harm(&self, frame: &crate::layout::Frame) -> bool {
        self.harmed.iter().any(|(file, bytes)| {
            *file == frame.file && bytes.start < frame.end && frame.start < bytes.end
        })
    }

    fn verify(&mut self, copy: &Path, scratch: &Path) {
        let before = scratch.join("before");
        if !before.exists() {
            copy_folder_with_links(copy, &before);
        }
        let found = match check(copy, OnDamage::Report) {
            Checked::Restart => return self.outcome.restart = true,
            checked => checked,
        };
        self.compare_with_opening(&found, &before, scratch);
        if self.outcome.restart {
            return;
        }
        let is_damaged = match &found {
            Checked::Report(report) => !report.problems.is_empty(),
            _ => true,
        };
        let word = match &found {
            Checked::Refused(name) => format!("refused: {name}"),
            Checked::Report(report) => report
                .problems
                .first()
                .map_or("clean".to_owned(), |problem| problem.kind.to_owned()),
            Checked::Restart => return,
        };
        if !is_damaged {
            self.outcome.what = "clean".to_owned();
            return;
        }
        let _ = fs::remove_dir_all(copy);
        copy_folder_with_links(&before, copy);
        self.mend(copy, &word);
    }

    /// Verifying agrees with what was done, and with what opening makes of it.
    fn compare_with_opening(&mut self, found: &Checked, before: &Path, scratch: &Path) {
        let parts = self.parts();
        let is_damaged = !matches!(found, Checked::Report(report) if report.problems.is_empty());
        let harms_journal = self.harms_journal();
        let must_tell = harms_journal && !self.is_like_a_crash_in_head();
        if must_tell && self.case.kind.is_closed() && !is_damaged {
            self.violation(format!("verify finds nothing wrong with {parts:?}"));
        }
        if !harms_journal && !parts.contains(&Part::Sled) && is_damaged {
            self.violation(format!("verify reports damage where there is none: {found:?}"));
        }
        if !is_damaged || !harms_journal {
            let beside = scratch.join("beside");
            let _ = fs::remove_dir_all(&beside);
            copy_folder_with_links(before, &beside);
            match open(&beside, AndThen::Nothing) {
                Opened::Restart => self.outcome.restart = true,
                Opened::Refused(name) if !is_damaged => {
                    self.violation(format!("verify finds nothing wrong, opening refuses: {name}"));
                }
                Opened::ReadFailed(why) if !is_damaged => {
                    self.violation(format!("verify finds nothing wrong, reading fails: {why}"));
                }
                Opened::Refused(_) | Opened::ReadFailed(_) => {}
                Opened::Contents { contents, healed } => {
                    self.judge(&contents);
                    let has_healed = healed > self.healed_before();
                    // What a killed process had not synced of sled's copy is filled up again, which
                    // is no healing; to verify it is missing.
                    let is_short = is_damaged && !self.case.kind.is_closed();
                    if has_healed != is_damaged && !is_short {
                        self.violation(format!("opening healed: {has_healed}, verify: {found:?}"));
                    }
                }
            }
        }
    }

    fn mend(&mut self, copy: &Path, found: &str) {
        let before = stored_files(copy);
        let report = match check(copy, OnDamage::Heal) {
            Checked::Restart => return self.outcome.restart = true,
            Checked::Refused(name) => {
                if self.is_mendable() {
                    self.violation(format!("verify --heal refuses what one copy has: {name}"));
                }
                if let Some(file) = difference(&before, &stored_files(copy)) {
                    self.violation(format!("verify --heal refused, yet {file} has changed"));
                }
                self.outcome.what = format!("{found}, heal refused: {name}");
                return;
            }
            Checked::Report(report) => report,
        };
        if !report.is_ok() {
            if self.is_mendable() {
                self.violation(format!(
                    "verify --heal does not mend what one copy has: {report:?}"
                ));
            }
            if !self.parts().contains(&Part::Head)
                && let Some(file) = difference(&before, &stored_files(copy))
            {
                self.violation(format!("nothing was mended, yet {file} has changed"));
            }
            self.outcome.what = format!("{found}, not mendable");
            return;
        }
        match open(copy, AndThen::Append) {
            Opened::Restart => self.outcome.restart = true,
            Opened::Contents { contents, .. } => {
                let verdict = self.judge(&contents);
                self.outcome.what = format!("{found}, mended: {verdict}");
            }
            Opened::Refused(why) | Opened::ReadFailed(why) => {
                self.violation(format!("said to be mended, but: {why}"));
            }
        }
        match check(copy, OnDamage::Report) {
            Checked::Report(report) if report.problems.is_empty() => {}
            other => self.violation(format!("said to be mended, then verified: {other:?}")),
        }
    }

    /// How often the undamaged store has healed itself.
    fn healed_before(&self) -> u64 {
        self.subject.layout.healed
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AndThen {
    Nothing,
    Append,
}

/// Opens a store, reads everything, and appends once more.
fn open(path: &Path, and_then: AndThen) -> Opened {
    let spaces = match OpenStore::open(path) {
        Ok(spaces) => spaces,
        Err(OpenError::ProcessRestartRequired { .. }) => return Opened::Restart,
        Err(error) => return Opened::Refused(name_of(&error)),
    };
    let contents = match Contents::of(&spaces) {
        Ok(contents) => contents,
        Err(why) if wants_restart(&why) => return Opened::Restart,
        Err(why) => return Opened::ReadFailed(why),
    };
    let healed = spaces.log().info().healed;
    if and_then == AndThen::Append {
        match append(&spaces, &contents) {
            Ok(()) => {}
            Err(why) if wants_restart(&why) => return Opened::Restart,
            Err(why) => return Opened::ReadFailed(why),
        }
    }
    match spaces.close() {
        Ok(()) => Opened::Contents { contents, healed },
        Err(error) if wants_restart(&error.to_string()) => Opened::Restart,
        Err(error) => Opened::ReadFailed(error.to_string()),
    }
}

/// One more append follows what is there, and is folded.
fn append(spaces: &OpenStore, before: &Contents) -> Result<(), String> {
    let event = SpaceEvent::space_archived("space-1");
    let appended = spaces.append(&[event]);
    let receipt = appended.map_err(|error| error.to_string())?;
    let after = Contents::of(spaces)?;
    let follows = receipt.last_position().get() == before.events.len() as u64 + 1
        && after.events.len() == before.events.len() + 1
        && after.events.starts_with(&before.events)
        && after.states == after.folded;
    if follows { Ok(()) } else { Err("an append that does not follow what is there".to_owned()) }
}

#[derive(Debug)]
enum Checked {
    Report(VerifyReport),
    Refused(String),
    Restart,
}

fn check(path: &Path, damage: OnDamage) -> Checked {
    match verify(path, VerifyOptions { damage, ..VerifyOptions::default() }) {
        Ok(report) if report.problems.iter().any(|problem| wants_restart(&problem.detail)) => {
            Checked::Restart
        }
        Ok(report) => Checked::Report(report),
        Err(OpenError::ProcessRestartRequired { .. }) => Checked::Restart,
        Err(error) => Checked::Refused(name_of(&error)),
    }
}

/// The one thing that a message is asked for: sled has died in this process. Where it turns up in
/// an error of another type, its text is all there is.
fn wants_restart(message: &str) -> bool {
    message.contains("restart the process")
}

fn name_of(error: &OpenError) -> String {
    match error {
        OpenError::JournalDamaged { .. } => "JournalDamaged".to_owned(),
        OpenError::NotAStore { .. } => "NotAStore".to_owned(),
        OpenError::NoStore { .. } => "NoStore".to_owned(),
        OpenError::UnknownFormat { .. } => "UnknownFormat".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The files that a refusal must leave as they are: all but the lock and sled's.
fn stored_files(folder: &Path) -> HashMap<String, Vec<u8>> {
    let own = |name: &String| name != "LOCK" && !name.starts_with("sled");
    let read = |name: String| (name.clone(), fs::read(folder.join(&name)).unwrap_or_default());
    files(folder).into_iter().filter(own).map(read).collect()
}

/// Copies of sled's that were set aside.
fn set_aside(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> = names.filter(|name| name.starts_with("sled.")).collect();
    found.sort();
    found
}

fn difference(
    before: &HashMap<String, Vec<u8>>,
    after: &HashMap<String, Vec<u8>>,
) -> Option<String> {
    let names = before.keys().chain(after.keys());
    names.into_iter().find(|name| before.get(*name) != after.get(*name)).cloned()
}

/// Copies a folder in which there may be links to nowhere.
fn copy_folder_with_links(from: &Path, to: &Path) {
    let sled = from.join("sled");
    match fs::read_link(&sled) {
        Ok(target) => {
            fs::remove_file(&sled).unwrap();
            copy_folder(from, to);
            std::os::unix::fs::symlink(&target, to.join("sled")).unwrap();
            std::os::unix::fs::symlink(target, sled).unwrap();
        }
        Err(_) => copy_folder(from, to),
    }
}
