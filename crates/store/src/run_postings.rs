//! Which runs hold a tag, and of what is not durable a space or a type too: for looks at what is in no
//! block yet, where every append may be a run.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash},
};

use rapidhash::{RapidHashMap, fast::RandomState};
use spacefold_event_core::{EventFilter, EventType, EventTypes, Position, Records};

/// The runs of a log behind some position, by what they hold. Memory in proportion to that.
#[derive(Debug)]
pub(crate) struct RunPostings {
    held: Held,
    hashes: RandomState,
    /// By the hash of what they hold, the positions of the first events of runs, ascending. Two things
    /// that have one hash share a list: a look then finds runs that hold neither.
    lists: RapidHashMap<u64, VecDeque<Position>>,
}

/// What of runs is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Tags,
    Everything,
}

#[derive(Hash)]
enum RunKey<'a> {
    Tag(&'a str),
    Space(&'a str),
    Type(EventType),
}

impl RunPostings {
    /// Of runs by their tags alone: nothing is noted of one that has none.
    pub(crate) fn of_tags() -> Self {
        Self::of(Held::Tags)
    }

    /// Of runs by their tags, spaces and types.
    pub(crate) fn of_everything() -> Self {
        Self::of(Held::Everything)
    }

    fn of(held: Held) -> Self {
        Self { held, hashes: RandomState::default(), lists: RapidHashMap::default() }
    }

    /// Notes the next run.
    pub(crate) fn add(&mut self, records: &Records) {
        let first = records.first_position();
        let (hashes, lists) = (&self.hashes, &mut self.lists);
        each_hash(self.held, hashes, records, |hash| {
            let list = lists.entry(hash).or_default();
            if list.back() != Some(&first) {
                list.push_back(first);
            }
        });
    }

    /// Lets go of the first run.
    pub(crate) fn release(&mut self, records: &Records) {
        let first = records.first_position();
        let (hashes, lists) = (&self.hashes, &mut self.lists);
        each_hash(self.held, hashes, records, |hash| {
            let Some(list) = lists.get_mut(&hash) else { return };
            while list.front().is_some_and(|front| *front <= first) {
                list.pop_front();
            }
            if list.is_empty() {
                lists.remove(&hash);
            }
        });
        if self.lists.is_empty() {
            // What many tags have brought is not to stay.
            self.lists = RapidHashMap::default();
        }
    }

    /// Whether runs that hold what a filter asks for are found by it, rather than all runs.
    pub(crate) fn tells(&self, filter: &EventFilter) -> bool {
        let has_parts = filter.space_ids().is_some() || filter.event_types() != EventTypes::ALL;
        !filter.wanted_tags().is_empty() || (self.held == Held::Everything && has_parts)
    }

    /// The positions of the first events of the runs that may hold what passes a filter, of those from
    /// the run on that begins at a position.
    ///
    /// Costs a search of each list of the filter for each run that it finds, or passes over.
    pub(crate) fn find<'a>(
        &'a self,
        filter: &EventFilter,
        first: Position,
    ) -> impl Iterator<Item = Position> + 'a {
        let parts = self.parts(filter);
        let mut next = first;
        std::iter::from_fn(move || {
            let mut reached = next;
            loop {
                let before = reached;
                for part in &parts {
                    let later = part.iter().filter_map(|list| first_from(list, reached));
                    reached = later.min()?;
                }
                if reached == before {
                    next = reached.next();
                    return Some(reached);
                }
            }
        })
    }

    /// The lists of each part of a filter, of which a run must be in one.
    fn parts(&self, filter: &EventFilter) -> Vec<Vec<&VecDeque<Position>>> {
        let list = |key: RunKey<'_>| self.lists.get(&self.hashes.hash_one(key));
        let tags = filter.wanted_tags().iter();
        let mut parts: Vec<Vec<_>> =
            tags.map(|tag| list(RunKey::Tag(tag)).into_iter().collect()).collect();
        if self.held == Held::Everything {
            let spaces = filter.space_ids().into_iter();
            parts.extend(spaces.map(|ids| {
                ids.iter().filter_map(|id| list(RunKey::Space(id))).collect::<Vec<_>>()
            }));
            let types = filter.event_types();
            if types != EventTypes::ALL {
                parts.push(types.iter().filter_map(|it| list(RunKey::Type(it))).collect());
            }
        }
        parts
    }
}

fn each_hash(held: Held, hashes: &RandomState, records: &Records, mut visit: impl FnMut(u64)) {
    if records.needs_version_2() {
        records.distinct_tags().for_each(|tag| visit(hashes.hash_one(RunKey::Tag(tag))));
    }
    if held == Held::Everything {
        records.spaces().for_each(|(id, ..)| visit(hashes.hash_one(RunKey::Space(id))));
        let types: EventTypes = records.event_types().iter().copied().collect();
        types.iter().for_each(|it| visit(hashes.hash_one(RunKey::Type(it))));
    }
}

/// The first position of a list from one on.
fn first_from(list: &VecDeque<Position>, from: Position) -> Option<Position> {
    // What is asked for is among the newest, mostly.
    let newest = list.back().filter(|newest| **newest >= from)?;
    let passed = list.partition_point(|position| *position < from);
    list.get(passed).or(Some(newest)).copied()
}
