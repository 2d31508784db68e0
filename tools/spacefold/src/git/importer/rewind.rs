//! Going on from a history that was rewritten: back to the newest commit that both have.
//!
//! What the spaces held at that commit is in the log. So the way back is the difference between two
//! states, whatever git still has of the commits that are no more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use spacefold::{
    Position, SpaceEvent, Spacefold, Timestamp, Value,
    event::{Object, Payload},
};
use spacefold_event_core::bytes::to_u64;

use super::{
    appender::Appender,
    commit_events::{
        Documents, HEAD, REWOUND_FROM, REWOUND_TO, SOURCE, SpacePer, TrackedDocument, derived,
    },
    error::ImportGitError,
    imported::{self, Earlier},
};
use crate::git::{history, path, repository::Repository};

/// What was taken back before a rewritten history was imported.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rewound {
    /// The commit that was imported last; none when an import was stopped before its first.
    pub(crate) from: Option<String>,
    /// The newest commit that both histories have; none when they have none in common.
    pub(crate) to: Option<String>,
    pub(crate) events: u64,
}

/// Takes the spaces back to the newest commit of the branch that was ever imported, where the branch
/// does not lead on from what is there.
pub(super) fn onto(
    store: &Spacefold,
    repository: &Repository,
    name: &str,
    space_per: SpacePer,
    earlier: &Earlier,
) -> Result<Option<Rewound>, ImportGitError> {
    if earlier.head.is_none() && earlier.unfinished.events.is_empty() {
        return Ok(None);
    }
    let positions = imported::positions_of_commits(store, name, space_per)?;
    let fork = history::fork(repository, &|commit| positions.contains_key(commit))?;
    let leads_on = fork.commit == earlier.head
        && (earlier.unfinished.events.is_empty() || earlier.unfinished.commit == fork.next);
    if leads_on {
        return Ok(None);
    }
    let to = fork.commit.as_ref().and_then(|commit| positions.get(commit));
    let head_space = to.map(|(_, space_id)| space_id).or(earlier.space.as_ref());
    let mut rewind = Rewind {
        from: earlier.head.as_deref(),
        to: fork.commit.as_deref(),
        tip: &repository.tip,
        time: earlier.time.unwrap_or_else(Timestamp::now),
        began: store.durable_head(),
        events: Vec::new(),
        ends: Vec::new(),
    };
    let states = |at: Position| -> Result<BTreeMap<String, HeldBySpace>, ImportGitError> {
        let snapshots = imported::snapshots(store, name, space_per, at)?;
        let states = snapshots.iter().map(|snapshot| {
            let head = snapshot.variable(HEAD).and_then(Value::as_str).map(str::to_owned);
            let documents = by_id(imported::documents(snapshot));
            (snapshot.space_id().to_owned(), HeldBySpace { head, documents })
        });
        Ok(states.collect())
    };
    let mut then = to.map_or_else(|| Ok(BTreeMap::new()), |(at, _)| states(*at))?;
    let mut before = states(earlier.whole)?;
    let now = states(rewind.began)?;
    let head_space = head_space.or(now.keys().next()).cloned().unwrap_or_default();
    for (space_id, now) in now {
        let target = then.remove(&space_id).unwrap_or_default();
        let base = before.remove(&space_id).unwrap_or_default();
        let touched = earlier.unfinished.documents.iter();
        let touched = touched.filter(|(space, _)| *space == space_id).map(|(_, id)| id.as_str());
        rewind.space(&space_id, &base, &now, target, &touched.collect());
    }
    let mut appender = Appender::to(store);
    appender.push(rewind.finished(head_space));
    appender.hand_over()?;
    appender.settle()?;
    let (from, to) = (earlier.head.clone(), fork.commit);
    Ok(Some(Rewound { from, to, events: appender.appended }))
}

/// What a space holds.
#[derive(Default)]
struct HeldBySpace {
    head: Option<String>,
    documents: BTreeMap<String, At>,
}

/// A document, and the bytes of its path.
#[derive(Clone, PartialEq)]
struct At {
    path: Vec<u8>,
    document: TrackedDocument,
}

fn by_id(documents: Documents) -> BTreeMap<String, At> {
    let at =
        |(path, document): (Vec<u8>, TrackedDocument)| (document.id.clone(), At { path, document });
    documents.into_iter().map(at).collect()
}

/// Writes the events of a rewinding.
struct Rewind<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
    tip: &'a str,
    time: Timestamp,
    /// The head of the log: no two rewindings begin at one position.
    began: Position,
    events: Vec<SpaceEvent>,
    /// What comes last: the spaces' heads.
    ends: Vec<SpaceEvent>,
}

impl Rewind<'_> {
    /// What brings a space from what it is now to what it was then. What others did to documents
    /// that the history did not change between the two stays.
    fn space(
        &mut self,
        space_id: &str,
        base: &HeldBySpace,
        now: &HeldBySpace,
        mut then: HeldBySpace,
        touched: &HashSet<&str>,
    ) {
        let of_history = |id: &str, then: &HeldBySpace| {
            touched.contains(id) || base.documents.get(id) != then.documents.get(id)
        };
        let ids = now.documents.keys().chain(then.documents.keys()).cloned();
        let mut changed: BTreeSet<String> = ids.filter(|id| of_history(id, &then)).collect();
        give_way(&mut changed, base, now, &mut then);
        changed.retain(|id| now.documents.get(id) != then.documents.get(id));
        if changed.is_empty() && now.head == then.head {
            return;
        }
        self.push(SpaceEvent::sync_started(space_id, Some("pull".to_owned())));
        for id in &changed {
            if let (Some(at), None) = (now.documents.get(id), then.documents.get(id)) {
                let path = Some(path::text_of(&at.path));
                self.push(SpaceEvent::document_removed(space_id, id, path));
            }
        }
        self.moves(space_id, now, &then, &changed);
        for id in &changed {
            if let Some(at) = then.documents.get(id) {
                self.document(space_id, now.documents.get(id), at);
            }
        }
        let mut completed = SpaceEvent::sync_completed(space_id);
        if let Payload::SyncCompleted { extra, .. } = &mut completed.payload {
            let documents = to_u64(changed.len());
            extra.insert("documents", Value::from(documents));
            extra.insert(REWOUND_FROM, text_or_null(self.from));
            extra.insert(REWOUND_TO, text_or_null(self.to));
            extra.insert("tip", Value::from(self.tip));
        }
        self.push(completed);
        let head = match then.head {
            Some(head) => {
                let mut set = SpaceEvent::variable_set(space_id, HEAD, head.as_str());
                if let Payload::VariableSet { extra, .. } = &mut set.payload {
                    extra.insert(REWOUND_FROM, text_or_null(self.from));
                }
                set
            }
            None => SpaceEvent::variable_deleted(space_id, HEAD),
        };
        self.ends.push(head);
    }

    /// Moves documents, each when its place is free; of those that go round in a circle one steps
    /// aside.
    fn moves(
        &mut self,
        space_id: &str,
        now: &HeldBySpace,
        then: &HeldBySpace,
        changed: &BTreeSet<String>,
    ) {
        let mut held: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (id, at) in &now.documents {
            if !changed.contains(id) || then.documents.contains_key(id) {
                held.insert(at.path.clone(), id.clone());
            }
        }
        // Who waits for a path, and where he is.
        let mut waiting: BTreeMap<Vec<u8>, (String, Vec<u8>)> = BTreeMap::new();
        for id in changed {
            if let (Some(at), Some(to)) = (now.documents.get(id), then.documents.get(id))
                && at.path != to.path
            {
                waiting.insert(to.path.clone(), (id.clone(), at.path.clone()));
            }
        }
        let free = |held: &BTreeMap<Vec<u8>, String>, path: &Vec<u8>| !held.contains_key(path);
        let mut ready: Vec<Vec<u8>> =
            waiting.keys().filter(|to| free(&held, to)).cloned().collect();
        loop {
            while let Some(to) = ready.pop() {
                let Some((id, from)) = waiting.remove(&to) else { continue };
                self.move_document(space_id, &id, &from, &to);
                held.remove(&from);
                held.insert(to, id);
                if waiting.contains_key(&from) {
                    ready.push(from);
                }
            }
            let Some((to, (id, from))) = waiting.pop_first() else { return };
            let aside = id.clone().into_bytes();
            if from == aside {
                // Somebody else's document stays where it is.
                self.move_document(space_id, &id, &from, &to);
                continue;
            }
            self.move_document(space_id, &id, &from, &aside);
            held.remove(&from);
            waiting.insert(to, (id, aside));
            if waiting.contains_key(&from) {
                ready.push(from);
            }
        }
    }

    fn move_document(&mut self, space_id: &str, id: &str, from: &[u8], to: &[u8]) {
        let (old, new) = (Some(path::text_of(from)), path::text_of(to));
        self.push(SpaceEvent::document_moved(space_id, id, old, new));
    }

    /// Gives a document, which is at its place if it is there, what it had.
    fn document(&mut self, space_id: &str, now: Option<&At>, then: &At) {
        let id = then.document.id.as_str();
        if now.is_none() {
            self.push(SpaceEvent::document_added(space_id, id, path::text_of(&then.path)));
        }
        let none = Object::new();
        let held = now.map_or(&none, |at| &at.document.attributes);
        let mut changes = Object::new();
        for (key, value) in then.document.attributes.iter() {
            if held.get(key) != Some(value) {
                changes.insert(key, value.clone());
            }
        }
        for key in held.keys().filter(|key| then.document.attributes.get(key).is_none()) {
            changes.insert(key, Value::Null);
        }
        if !changes.is_empty() {
            self.push(SpaceEvent::document_updated(space_id, id, changes));
        }
        let old = now.and_then(|at| at.document.content_hash.clone());
        if let Some(hash) = &then.document.content_hash
            && old.as_ref() != Some(hash)
        {
            let changed = SpaceEvent::document_content_changed(space_id, id, old, hash.as_str());
            self.push(changed);
        }
    }

    fn push(&mut self, event: SpaceEvent) {
        self.events.push(event);
    }

    /// All events, with what each of them has. The last says where the import goes on.
    fn finished(mut self, head_space: String) -> Vec<SpaceEvent> {
        let mut last = SpaceEvent::variable_set(head_space, HEAD, text_or_null(self.to));
        if let Payload::VariableSet { extra, .. } = &mut last.payload {
            extra.insert(REWOUND_FROM, text_or_null(self.from));
            extra.insert(REWOUND_TO, text_or_null(self.to));
        }
        let mut events = std::mem::take(&mut self.events);
        events.append(&mut self.ends);
        events.push(last);
        let (from, to) = (self.from.unwrap_or_default(), self.to.unwrap_or_default());
        let began = self.began.to_string();
        let finish = |(index, event): (usize, SpaceEvent)| {
            let kind = event.event_type().name();
            let parts = ["rewind", kind, from, to, began.as_str()];
            let id = derived(&parts, index.to_string().as_bytes());
            event
                .with_event_id(id.into())
                .with_timestamp(self.time)
                .with_source(SOURCE)
                .with_correlation_id(self.to.unwrap_or(self.tip))
        };
        events.into_iter().enumerate().map(finish).collect()
    }
}

/// Where somebody has put a document of his own in a place that one of the history has to have again,
/// his becomes that one, as it does when a commit adds a file there.
fn give_way(
    changed: &mut BTreeSet<String>,
    base: &HeldBySpace,
    now: &HeldBySpace,
    then: &mut HeldBySpace,
) {
    let strangers: HashMap<&[u8], &String> = now
        .documents
        .iter()
        .filter(|(id, _)| !changed.contains(*id) && !base.documents.contains_key(*id))
        .map(|(id, at)| (at.path.as_slice(), id))
        .collect();
    let taken: Vec<(String, String)> = then
        .documents
        .iter()
        .filter(|(id, _)| changed.contains(*id))
        .filter_map(|(id, at)| Some((id.clone(), (*strangers.get(at.path.as_slice())?).clone())))
        .collect();
    for (id, stranger) in taken {
        if let Some(mut at) = then.documents.remove(&id) {
            at.document.id.clone_from(&stranger);
            changed.insert(stranger.clone());
            then.documents.insert(stranger, at);
        }
    }
}

fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}
