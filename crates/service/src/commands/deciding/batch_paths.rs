//! The paths of documents in a batch, of which only how the batch leaves them has to fit.
//!
//! The events of a batch are folded one after the other, though, and none of them may put a document
//! where another one is. So whoever is in the way moves on first, and where documents wait for one
//! another in a ring, one of them steps aside: to a path that nobody has or wants, which it leaves
//! within the same append.

use std::{collections::BTreeSet, ops::Range};

use rapidhash::{RapidHashMap, RapidHashSet};
use spacefold_event_core::{Payload, SpaceEvent};
use spacefold_state::SpaceState;

use super::{Deciding, RefusedCommand};
use crate::{command::Command, decide::check_but_for_path, refusal::Refusal};

/// Where documents are and are going to be, as far as was asked.
#[derive(Default)]
pub(super) struct Paths<'a> {
    /// Which documents are at each path, once it is asked for.
    holders: Option<RapidHashMap<String, BTreeSet<String>>>,
    /// Where the commands put documents, once it is asked for.
    targets: Option<RapidHashSet<&'a str>>,
}

impl Paths<'_> {
    /// Takes in an event that was decided.
    pub(super) fn follow(&mut self, event: &SpaceEvent) {
        let Some(holders) = &mut self.holders else { return };
        let (document_id, from, to) = match &event.payload {
            Payload::DocumentAdded { document_id, space_path, .. } => {
                (document_id, None, Some(space_path))
            }
            Payload::DocumentMoved { document_id, old_path, new_path, .. } => {
                (document_id, old_path.as_deref(), Some(new_path))
            }
            Payload::DocumentRemoved { document_id, space_path, .. } => {
                (document_id, space_path.as_deref(), None)
            }
            Payload::SpaceDeleted { .. } => return holders.clear(),
            _ => return,
        };
        if let Some(at) = from.and_then(|from| holders.get_mut(from)) {
            at.remove(document_id);
        }
        if let Some(to) = to {
            holders.entry(to.clone()).or_default().insert(document_id.clone());
        }
    }
}

/// Of every path the documents that are there.
fn holders(state: &SpaceState) -> RapidHashMap<String, BTreeSet<String>> {
    let mut holders: RapidHashMap<String, BTreeSet<String>> = RapidHashMap::default();
    for (id, document) in state.documents() {
        holders.entry(document.path().to_owned()).or_default().insert(id.to_owned());
    }
    holders
}

impl<'a> Deciding<'a> {
    /// Decides moves that follow one another: each after that of the document that is at its path.
    pub(super) fn moves(&mut self, range: Range<usize>) -> Result<(), RefusedCommand> {
        let Some(moving) = self.moving(range.clone()) else {
            // A document twice, or a path: their order counts.
            return range.into_iter().try_for_each(|index| self.one(index));
        };
        let mut waiting: RapidHashSet<usize> = range.clone().collect();
        // Each waits for the one behind it.
        let mut chain: Vec<usize> = Vec::new();
        for first in range {
            // Whatever else it breaks, it does so before those that it would wait for.
            if let Some(command) = self.commands.get(first) {
                let checked = check_but_for_path(self.state(), command);
                checked.map_err(|refusal| RefusedCommand { index: first, refusal })?;
            }
            chain.extend(waiting.remove(&first).then_some(first));
            while let Some(&last) = chain.last() {
                let in_the_way = self.in_the_way(last)?;
                let next = in_the_way.and_then(|id| Some((*moving.get(id.as_str())?, id)));
                match next {
                    Some((next, _)) if waiting.remove(&next) => {
                        chain.push(next);
                        continue;
                    }
                    // It waits for this one: a ring.
                    Some((next, id)) if next != last && chain.contains(&next) => {
                        self.step_aside(last, &id)?;
                    }
                    _ => {}
                }
                self.one(last)?;
                chain.pop();
            }
        }
        Ok(())
    }

    /// The moves by their documents; `None` when a document or a path is there twice.
    fn moving(&self, range: Range<usize>) -> Option<RapidHashMap<&'a str, usize>> {
        let mut moving = RapidHashMap::default();
        let mut targets = RapidHashSet::default();
        for index in range {
            let (document_id, path) = self.commands.get(index)?.target()?;
            if moving.insert(document_id.as_str(), index).is_some() || !targets.insert(path) {
                return None;
            }
        }
        Some(moving)
    }

    /// Another document at the path that a command wants.
    fn in_the_way(&mut self, index: usize) -> Result<Option<String>, RefusedCommand> {
        let Some((document_id, path)) = self.commands.get(index).and_then(Command::target) else {
            return Ok(None);
        };
        if !self.state().has_path(path) {
            return Ok(None);
        }
        self.holder(path, document_id)
    }

    /// A document at the path that is not this one.
    fn holder(&mut self, path: &str, document_id: &str) -> Result<Option<String>, RefusedCommand> {
        if self.paths.holders.is_none() {
            self.paths.holders = Some(holders(self.state()));
        }
        let at = self.paths.holders.as_ref().and_then(|holders| holders.get(path));
        Ok(at.and_then(|at| at.iter().find(|id| *id != document_id)).cloned())
    }

    /// Clears the path that a command wants of the documents that leave it later, and answers the
    /// command; where its own document goes on from there, the command that takes it past it.
    pub(super) fn make_way(
        &mut self,
        index: usize,
        refusal: Refusal,
    ) -> Result<Command, RefusedCommand> {
        let command = self.commands.get(index).and_then(|it| Some((it, it.target()?)));
        let Some((command, (document_id, path))) = command else {
            return Err(RefusedCommand { index, refusal });
        };
        while let Some(holder) = self.holder(path, document_id)? {
            if self.leaves(&holder, path, index) {
                self.step_aside(index, &holder)?;
            } else if self.leaves(document_id, path, index) {
                let (document_id, aside) = (document_id.clone(), self.aside(path)?);
                return Ok(match command {
                    Command::AddDocument { .. } => {
                        Command::AddDocument { document_id, path: aside }
                    }
                    _ => Command::MoveDocument { document_id, new_path: aside },
                });
            } else {
                let (path, document_id) = (path.clone(), holder);
                let refusal = Refusal::PathTaken { path, document_id };
                return Err(RefusedCommand { index, refusal });
            }
        }
        Ok(command.clone())
    }

    /// Whether a document is to leave a path by a command behind the one at `index`.
    fn leaves(&self, document_id: &str, path: &str, index: usize) -> bool {
        self.commands.iter().skip(index + 1).any(|command| match command {
            Command::MoveDocument { document_id: id, new_path } => {
                id == document_id && new_path != path
            }
            Command::RemoveDocument { document_id: id } => id == document_id,
            Command::DeleteSpace => true,
            _ => false,
        })
    }

    /// Moves a document aside, for the command at `index`.
    fn step_aside(&mut self, index: usize, document_id: &str) -> Result<(), RefusedCommand> {
        let path = self.state().document(document_id).map(|it| it.path().to_owned());
        let new_path = self.aside(&path.unwrap_or_default())?;
        let command = Command::MoveDocument { document_id: document_id.to_owned(), new_path };
        self.another(index, &command)
    }

    /// A path beside this one that no document has and no command wants.
    fn aside(&mut self, path: &str) -> Result<String, RefusedCommand> {
        let targets = self.commands.iter().filter_map(Command::target);
        let wanted = self.paths.targets.take();
        let wanted = wanted.unwrap_or_else(|| targets.map(|(_, wanted)| wanted.as_str()).collect());
        let mut aside = format!("{path}~");
        let state = self.state();
        while state.has_path(&aside) || wanted.contains(aside.as_str()) {
            aside.push('~');
        }
        self.paths.targets = Some(wanted);
        Ok(aside)
    }
}
