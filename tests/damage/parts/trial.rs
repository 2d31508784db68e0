//! One case: parts of a copy are exchanged, it is verified and opened, and what happens is judged.

use std::{
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use spacefold::{
    OpenError, SpaceEvent,
    admin::{VerifyOptions, verify},
    content::{ContentHash, verify_content},
};

use super::{
    Case, Part, Source,
    answers::{Answers, open},
    making::Store,
};
use crate::{
    case::{Outcome, take_panics},
    layout::Layout,
    stores::{Image, files},
};

/// A store whose parts are exchanged, read once.
#[derive(Debug)]
pub struct Subject {
    store: Store,
    image: Image,
}

/// What opening and asking for everything came to.
enum Opened {
    Answers(Answers),
    Refused(String),
    Restart,
}

/// What a check of both log and content said.
struct Checked {
    /// What is wrong with the log, or that it does not even read.
    log: Option<String>,
    /// What is wrong with the content.
    content: Option<String>,
    /// The named contents that are not whole by it.
    unsound: Vec<String>,
}

impl Subject {
    /// A subject out of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let image = Image::read(&store.image());
        Self { store, image }
    }

    /// Runs a case in a scratch folder. What an earlier process left of it is begun anew.
    pub fn run(&self, case: &Case, scratch: &Path) -> Outcome {
        let mut trial = Trial { subject: self, case, scratch, outcome: Outcome::default() };
        let run = panic::catch_unwind(AssertUnwindSafe(|| trial.run()));
        let mut outcome = trial.outcome;
        if run.is_err() {
            outcome.violations.push("it panicked".to_owned());
        }
        outcome.violations.extend(take_panics());
        if outcome.restart {
            outcome.violations.clear();
        }
        outcome
    }
}

struct Trial<'s> {
    subject: &'s Subject,
    case: &'s Case,
    scratch: &'s Path,
    outcome: Outcome,
}

impl Trial<'_> {
    fn store(&self) -> &Store {
        &self.subject.store
    }

    fn violation(&mut self, what: impl Into<String>) {
        self.outcome.violations.push(what.into());
    }

    /// A copy of the store with its parts exchanged.
    fn exchanged(&self, name: &str) -> PathBuf {
        let copy = self.scratch.join(name);
        let _ = fs::remove_dir_all(&copy);
        self.subject.image.write(&copy);
        for (part, source) in &self.case.exchanges {
            part.take_from(self.store().of(*source).as_deref(), &copy);
        }
        copy
    }

    fn run(&mut self) {
        let checked = self.check(&self.exchanged("checked"));
        let copy = self.exchanged("copy");
        let before = digests(&copy);
        let mut parts: Vec<Part> = self.case.exchanges.iter().map(|(part, _)| *part).collect();
        match ask(&copy) {
            Opened::Restart => return self.outcome.restart = true,
            Opened::Refused(why) => {
                self.outcome.what = format!("refused: {}", first_words(&why));
                self.refused(&copy, &why, &before, &checked);
            }
            Opened::Answers(answers) => {
                self.outcome.what = self.judge(&answers, &checked).to_owned();
                self.append_one(&answers);
                self.has_lost_no_pack(&copy);
                self.has_lost_no_segment(&copy, &before);
                if answers.events == self.store().answers.events {
                    // The log is whole and has gone on: what it had before is older now.
                    parts.retain(|part| part.is_beside_the_log());
                } else {
                    // It has gone on as another log: that is no failed attempt.
                    parts = Part::ALL.to_vec();
                }
            }
        }
        if !self.outcome.restart {
            self.put_back(&copy, &parts);
        }
    }

    /// Nothing has changed, the next attempt is refused as well, and verifying says so too.
    fn refused(
        &mut self,
        copy: &Path,
        why: &str,
        before: &BTreeMap<String, String>,
        checked: &Checked,
    ) {
        let names = ["HEAD", "journal", "sealed", "sled", "content"];
        if !names.iter().any(|name| why.contains(name)) {
            self.violation(format!("refused without naming a part: {why}"));
        }
        if !self.touches_log() {
            self.violation(format!("refused for what is beside the log: {why}"));
        }
        self.is_unchanged(copy, before, "refused");
        match ask(copy) {
            Opened::Restart => self.outcome.restart = true,
            Opened::Answers(_) => self.violation("refused, then opened"),
            Opened::Refused(_) => self.is_unchanged(copy, before, "refused twice"),
        }
        if checked.log.is_none() {
            self.violation(format!("verify finds the log sound, opening refuses: {why}"));
        }
    }

    /// Opening removes no pack and shortens none: it may be the only copy of something.
    fn has_lost_no_pack(&mut self, copy: &Path) {
        let before = self.exchanged("looked-at");
        for name in Part::Packs.files(&before) {
            let path = |store: &Path| Part::Packs.path(store).join(&name);
            let left = fs::read(path(copy)).unwrap_or_default();
            if !left.starts_with(&fs::read(path(&before)).unwrap()) {
                self.violation("opening takes content away");
            }
        }
    }

    /// Opening removes no segment, whoever it is of: it is where it was, or set aside.
    fn has_lost_no_segment(&mut self, copy: &Path, before: &BTreeMap<String, String>) {
        let after = digests(copy);
        let mut sealed = before.iter().filter(|(name, _)| name.starts_with("sealed/"));
        if let Some((name, _)) = sealed.find(|(_, digest)| !after.values().any(|is| is == *digest))
        {
            self.violation(format!("opening takes {name} away"));
        }
    }

    fn is_unchanged(&mut self, copy: &Path, before: &BTreeMap<String, String>, when: &str) {
        let after = digests(copy);
        let mut names = before.keys().chain(after.keys());
        let changed = names.find(|name| before.get(*name) != after.get(*name));
        if let Some(name) = changed {
            // Sled's files have long names.
            let name = name.split('.').next().unwrap_or(name);
            self.violation(format!("{when}, yet {name} has changed"));
        }
    }

    fn touches_log(&self) -> bool {
        self.case.exchanges.iter().any(|(part, _)| !part.is_beside_the_log())
    }

    fn is_exchanged(&self, part: Part) -> bool {
        self.case.exchanges.iter().any(|(exchanged, _)| *exchanged == part)
    }

    /// Judges what was answered without an error.
    fn judge(&mut self, answers: &Answers, checked: &Checked) -> &'static str {
        for fault in &answers.faults {
            self.violation(format!("answered without an error: {fault}"));
        }
        let verdict = if answers.events == self.store().answers.events {
            if !self.is_exchanged(Part::Packs) && !answers.contents.values().all(|here| *here) {
                self.violation("contents are missing though every pack is there");
            }
            "all of it"
        } else if let Some(source) = self.whole(answers) {
            if source == Source::Older && !self.is_exchanged(Part::Sled) {
                self.violation("an older log, though derived state is past its head");
            }
            match source {
                Source::Older => "all of an older log",
                Source::Sibling => "all of a sibling's log",
                _ => "all of another log",
            }
        } else {
            let count = answers.events.len();
            self.violation(format!("other events without an error, {count} of them"));
            "other events"
        };
        let place = self.expected_place(answers);
        if verdict != "other events" && answers.place != place {
            let found = answers.place;
            self.violation(format!("the subscription is at {found:?}, expected was {place:?}"));
        }
        self.compare(answers, checked);
        if answers.contents.values().all(|is_here| *is_here) {
            return verdict;
        }
        match verdict {
            "all of it" => "all events, contents missing",
            verdict => verdict,
        }
    }

    /// Where the durable subscription is: where the file of the places says where that is of the log
    /// that is answered, whatever else is exchanged; at the start where there is none; `None` where it
    /// is of another log, or past the head of this one.
    fn expected_place(&self, answers: &Answers) -> Option<u64> {
        let mut exchanges = self.case.exchanges.iter();
        let of = exchanges.find(|(part, _)| *part == Part::Places).map(|(_, source)| *source);
        let relative = |source: Source| {
            let mut relatives = self.store().relatives.iter();
            relatives.find(|(of, _)| *of == source).map(|(_, relative)| relative)
        };
        let places = match of {
            Some(Source::Missing) => return Some(0),
            Some(source) => relative(source),
            None => Some(&self.store().answers),
        };
        places.filter(|of| answers.events.starts_with(&of.events))?.place
    }

    /// Whose whole log the folder holds and answers with: HEAD, journal and segments are all of
    /// one store, or HEAD, journal and sled, from which segments are mended. Of HEAD the newest
    /// slot counts; of an own older journal it may be a newer one that knows of no later event, and so
    /// may the segments.
    fn whole(&self, answers: &Answers) -> Option<Source> {
        let copy = self.exchanged("looked-at");
        let layout = Layout::of(&copy);
        let slot = if layout.newest_slot.start == 0 { Part::FirstSlot } else { Part::SecondSlot };
        let mut relatives = self.store().relatives.iter();
        let found = relatives.find(|(source, relative)| {
            let Some(other) = self.store().of(*source) else { return false };
            let is_of = |part: Part| part.digest(&copy) == part.digest(&other);
            let knows_no_later = || {
                *source == Source::Older
                    && slot.digest(&copy) == slot.digest(&self.store().image())
                    && layout.durable_head <= relative.events.len() as u64
            };
            // What was sealed since is what was in the journal then.
            let seals_no_later = || {
                *source == Source::Older
                    && Part::Segments.digest(&copy) == Part::Segments.digest(&self.store().image())
                    && layout.sealed_through <= relative.events.len() as u64
            };
            relative.events == answers.events
                && is_of(Part::Journal)
                && (is_of(Part::Segments) || is_of(Part::Sled) || seals_no_later())
                && (is_of(slot) || knows_no_later())
        });
        found.map(|(source, _)| *source)
    }

    /// Verifying agrees with what opening gave.
    fn compare(&mut self, answers: &Answers, checked: &Checked) {
        if let Some(problem) = checked.log.as_ref().filter(|_| !self.touches_log()) {
            self.violation(format!("verify finds the log damaged: {problem}"));
        }
        if checked.log.is_none() {
            for (hash, is_here) in &answers.contents {
                if *is_here == checked.unsound.contains(hash) {
                    self.violation("verify finds other contents whole than are given");
                    break;
                }
            }
        }
        let packs_are_right = !self.is_exchanged(Part::Packs) && !self.is_exchanged(Part::Manifest);
        if let Some(problem) = checked.content.as_ref().filter(|_| packs_are_right) {
            self.violation(format!("verify finds the content damaged: {problem}"));
        }
    }

    /// What is opened can be gone on with, and is sound then.
    fn append_one(&mut self, before: &Answers) {
        let copy = self.exchanged("appended");
        let appended = open(&copy).map_err(|error| error.to_string()).and_then(|spaces| {
            let event = SpaceEvent::space_archived("space-1");
            spaces.append([event]).map_err(|error| error.to_string())?;
            spaces.close().map_err(|error| error.to_string())
        });
        if let Err(why) = appended {
            self.outcome.restart = wants_restart(&why);
            return self.violation(format!("it takes no event: {why}"));
        }
        let checked = self.check(&copy);
        if let Some(problem) = checked.log {
            self.violation(format!("after an append, verify finds: {problem}"));
        }
        match ask(&copy) {
            Opened::Restart => self.outcome.restart = true,
            Opened::Refused(why) => self.violation(format!("after an append it is refused: {why}")),
            Opened::Answers(after) => {
                let is_same = after.events.len() == before.events.len() + 1
                    && after.events.starts_with(&before.events)
                    && after.contents == before.contents
                    && after.faults.is_empty();
                if !is_same {
                    let count = after.events.len();
                    let faults = after.faults;
                    self.violation(format!("after an append: {count} events, {faults:?}"));
                }
            }
        }
    }

    /// With the right parts in their places again everything is there, whatever was tried meanwhile.
    fn put_back(&mut self, copy: &Path, parts: &[Part]) {
        for part in parts {
            part.put_back(&self.store().image(), copy);
        }
        match ask(copy) {
            Opened::Restart => self.outcome.restart = true,
            Opened::Refused(why) => self.violation(format!("put back, it is refused: {why}")),
            Opened::Answers(answers) => {
                let expected = &self.store().answers;
                if answers.events != expected.events {
                    let count = answers.events.len();
                    self.violation(format!("put back, it has other events: {count}"));
                } else if answers.contents != expected.contents {
                    let missing = answers.contents.values().filter(|is_here| !**is_here).count();
                    self.violation(format!("put back, contents are missing: {missing}"));
                }
                for fault in answers.faults {
                    self.violation(format!("put back: {fault}"));
                }
            }
        }
    }

    /// Verifies; nothing that counts is changed by it.
    fn check(&mut self, copy: &Path) -> Checked {
        let own = |copy: &Path| -> BTreeMap<String, String> {
            let all = digests(copy).into_iter();
            all.filter(|(name, _)| !name.starts_with("sled")).collect()
        };
        let before = own(copy);
        let log = match verify(copy, VerifyOptions::default()) {
            Ok(report) => report.problems.first().map(|problem| problem.detail.clone()),
            Err(error) => Some(error.to_string()),
        };
        let (content, sound) = match verify_content(copy) {
            Ok(report) => {
                let problem = report.problems.first().map(|problem| problem.detail.clone());
                (problem, Some(report))
            }
            Err(error) => (Some(error.to_string()), None),
        };
        if own(copy) != before {
            self.violation("verifying has changed something");
        }
        let is_sound = |hash: &String| {
            let hash: ContentHash = hash.parse().unwrap();
            sound.as_ref().is_some_and(|report| report.is_sound(&hash))
        };
        let relatives = self.store().relatives.iter().map(|(_, answers)| answers);
        let named = relatives.chain([&self.store().answers]);
        let named = named.flat_map(|answers| answers.contents.keys());
        let unsound = named.filter(|hash| !is_sound(hash)).cloned().collect();
        if log.as_deref().is_some_and(wants_restart) {
            self.outcome.restart = true;
        }
        Checked { log, content, unsound }
    }
}

/// Opens a store, asks for everything, and closes it.
fn ask(path: &Path) -> Opened {
    let spaces = match open(path) {
        Ok(spaces) => spaces,
        Err(OpenError::ProcessRestartRequired { .. }) => return Opened::Restart,
        Err(error) => return Opened::Refused(error.to_string()),
    };
    let answers = Answers::of(&spaces).and_then(|answers| {
        spaces.close().map_err(|error| error.to_string())?;
        Ok(answers)
    });
    match answers {
        Ok(answers) => Opened::Answers(answers),
        Err(why) if wants_restart(&why) => Opened::Restart,
        Err(why) => Opened::Answers(Answers {
            faults: vec![format!("opened, then: {why}")],
            ..Answers::default()
        }),
    }
}

fn wants_restart(message: &str) -> bool {
    message.contains("restart the process")
}

/// What a message says before it comes to numbers and names.
fn first_words(message: &str) -> String {
    let is_word = |word: &&str| !word.contains(['/', '(', '0', '1', '2', '3', '4']);
    message.split(' ').take_while(is_word).collect::<Vec<_>>().join(" ")
}

/// Every file but the locks by the hash of its bytes, and every folder.
fn digests(folder: &Path) -> BTreeMap<String, String> {
    let digest = |name: String| {
        let bytes = fs::read(folder.join(&name)).unwrap_or_default();
        (name, blake3::hash(&bytes).to_string())
    };
    let own = |name: &String| !name.ends_with("LOCK");
    let mut found: BTreeMap<String, String> =
        files(folder).into_iter().filter(own).map(digest).collect();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        found.entry(entry.file_name().to_string_lossy().into_owned()).or_default();
    }
    found.remove("LOCK");
    found
}
