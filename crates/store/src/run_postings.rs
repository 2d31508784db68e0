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
    held: PostedParts,
    hashes: RandomState,
    /// By the hash of what they hold, the positions of the first events of runs, ascending. Two things
    /// that have one hash share a list: a look then finds runs that hold neither.
    lists: RapidHashMap<u64, VecDeque<Position>>,
}

/// What of runs is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PostedParts {
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
        Self::of(PostedParts::Tags)
    }

    /// Of runs by their tags, spaces and types.
    pub(crate) fn of_everything() -> Self {
        Self::of(PostedParts::Everything)
    }

    fn of(held: PostedParts) -> Self {
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
        !filter.wanted_tags().is_empty() || (self.held == PostedParts::Everything && has_parts)
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
        if self.held == PostedParts::Everything {
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

fn each_hash(
    held: PostedParts,
    hashes: &RandomState,
    records: &Records,
    mut visit: impl FnMut(u64),
) {
    if records.needs_version_2() {
        records.distinct_tags().for_each(|tag| visit(hashes.hash_one(RunKey::Tag(tag))));
    }
    if held == PostedParts::Everything {
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

#[cfg(test)]
mod tests {
    use spacefold_event_core::{Assignments, RecordsBuilder, Revision, SpaceEvent, Timestamp};

    use super::*;

    /// The run of one event that stands at a position.
    fn run(position: u64, event: &SpaceEvent) -> Records {
        let mut builder = RecordsBuilder::new();
        builder.push(event);
        let body = builder.finish();
        let assignments = Assignments {
            first_position: Position::new(position),
            recorded_at: vec![Timestamp::MIN],
            base_revisions: vec![Revision::NONE],
        };
        Records::decode(body.bytes(), body.count(), assignments).unwrap()
    }

    fn runs() -> Vec<Records> {
        let event = |n: u64| {
            let event = SpaceEvent::space_activated(format!("space-{}", n % 3));
            match n % 10 {
                0 => event,
                _ => event.with_tags([format!("tag-{}", n % 7), format!("only-{n}")]),
            }
        };
        (1..=1_000).map(|n| run(n, &event(n))).collect()
    }

    fn found(postings: &RunPostings, filter: &EventFilter, first: u64) -> Vec<u64> {
        assert!(postings.tells(filter), "{filter}");
        postings.find(filter, Position::new(first)).map(Position::get).collect()
    }

    #[test]
    fn only_runs_that_hold_all_that_a_filter_asks_for_are_found() {
        let (mut all, mut tags) = (RunPostings::of_everything(), RunPostings::of_tags());
        for run in runs() {
            all.add(&run);
            tags.add(&run);
        }
        let tagged = |tag: &str| EventFilter::all().tags([tag]);
        for postings in [&all, &tags] {
            assert_eq!(found(postings, &tagged("only-777"), 1), [777]);
            assert_eq!(found(postings, &tagged("only-777"), 778), [] as [u64; 0]);
            assert_eq!(found(postings, &tagged("none"), 1), [] as [u64; 0]);
            let both = EventFilter::all().tags(["tag-3", "only-17"]);
            assert_eq!(found(postings, &both, 1), [17]);
            let sevenths = (500..=1_000).filter(|n| n % 7 == 5 && n % 10 > 0);
            assert!(sevenths.eq(found(postings, &tagged("tag-5"), 500)));
        }
        let in_space = tagged("tag-5").spaces(["space-2", "nowhere"]);
        let expected = (1..=1_000).filter(|n| n % 7 == 5 && n % 10 > 0 && n % 3 == 2);
        assert!(expected.eq(found(&all, &in_space, 1)));
        let archived = EventFilter::all().types([EventType::SpaceArchived]);
        assert_eq!(found(&all, &archived, 1), [] as [u64; 0]);
        assert!(!tags.tells(&archived) && !all.tells(&EventFilter::all()));
    }

    #[test]
    fn what_is_let_go_of_takes_no_memory() {
        let (mut postings, runs) = (RunPostings::of_tags(), runs());
        runs.iter().for_each(|run| postings.add(run));
        assert_eq!(postings.lists.len(), 907);
        runs.iter().take(500).for_each(|run| postings.release(run));
        let filter = EventFilter::all().tags(["tag-5"]);
        assert_eq!(found(&postings, &filter, 1), found(&postings, &filter, 501));
        assert_eq!(postings.lists.len(), 457);
        runs.iter().skip(500).for_each(|run| postings.release(run));
        assert_eq!(postings.lists.capacity(), 0);
    }
}
