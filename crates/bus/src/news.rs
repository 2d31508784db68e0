//! The events that the head has just moved over, to be tested against many filters.

use std::{collections::BTreeSet, sync::Arc};

use rapidhash::RapidHashSet;
use spacefold_event_core::{EventFilter, EventTypes, Page, Position};

/// Some new events, with what most filters can be answered from without a look at each event.
pub(crate) struct News<'p> {
    pages: &'p [Arc<Page>],
    types: EventTypes,
    space_ids: RapidHashSet<&'p str>,
}

impl<'p> News<'p> {
    /// The events of these pages.
    pub(crate) fn of(pages: &'p [Arc<Page>]) -> Self {
        let mut types = EventTypes::NONE;
        let mut space_ids = RapidHashSet::default();
        for envelope in pages.iter().flat_map(|page| page.envelopes()) {
            types = types.with(envelope.event_type);
            space_ids.insert(envelope.space_id);
        }
        Self { pages, types, space_ids }
    }

    /// Whether an event passes. An event that does not decode counts: it is told where it is read.
    pub(crate) fn concern(&self, filter: &EventFilter) -> bool {
        let knows_a_space = |space_ids: &BTreeSet<String>| {
            space_ids.iter().any(|space_id| self.space_ids.contains(space_id.as_str()))
        };
        self.types.intersects(filter.event_types())
            && filter.space_ids().is_none_or(knows_a_space)
            && self.pages.iter().any(|page| {
                let matching = page.matching(Position::START, filter);
                !matching.is_ok_and(|matching| matching.is_empty())
            })
    }
}
