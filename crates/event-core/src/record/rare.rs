//! What few events have: names of types of their own, tags, origins. A run none of whose events has any
//! has nothing of it, in memory or stored.

use std::ops::Range;

use super::text::TextId;
use crate::{
    bytes::to_usize,
    corrupt_records::CorruptRecords,
    limits::MAX_TAGS,
    origin::EventOrigin,
    payload::EventType,
    position::Position,
    varint::{Lists, put_bytes, put_u32s, put_u64s},
};

/// Bytes of the id of a store or a timeline.
const ID_BYTES: usize = 16;

/// The columns of what few events have. Those behind the last record that has any are left out.
#[derive(Debug, Default)]
pub(super) struct RareColumns {
    /// Of each record the name of its type: 0 for a core type, else a text plus 1.
    names: Vec<u32>,
    /// Of each record where its tags end.
    tag_ends: Vec<u32>,
    /// Places in the texts of the run.
    tags: Vec<u32>,
    /// Of each record its origin: 0 for none, else its place plus 1.
    origin_of: Vec<u32>,
    origins: Vec<EventOrigin>,
}

/// What one record has of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RareFields<'a> {
    pub(super) name: Option<TextId>,
    pub(super) tags: &'a [u32],
    pub(super) origin: Option<&'a EventOrigin>,
}

impl RareColumns {
    /// What the record at `index` has; nothing where that is past the last that has any.
    pub(super) fn at(&self, index: usize) -> RareFields<'_> {
        let entry = |entries: &[u32]| entries.get(index).and_then(|entry| entry.checked_sub(1));
        let start = index.checked_sub(1).and_then(|before| self.tag_ends.get(before)).copied();
        let tags = self
            .tag_ends
            .get(index)
            .and_then(|end| self.tags.get(to_usize(start.unwrap_or(0))..to_usize(*end)));
        RareFields {
            name: entry(&self.names).map(TextId),
            tags: tags.unwrap_or_default(),
            origin: entry(&self.origin_of).and_then(|place| self.origins.get(to_usize(place))),
        }
    }

    /// The distinct texts that are tags of any record, by their places, sorted.
    pub(super) fn distinct_tags(&self) -> Vec<TextId> {
        let mut tags = self.tags.clone();
        tags.sort_unstable();
        tags.dedup();
        tags.into_iter().map(TextId).collect()
    }

    /// The origins, each with the place of its record, in order.
    pub(super) fn origins(&self) -> impl Iterator<Item = (usize, &EventOrigin)> {
        let origin = |place: &u32| self.origins.get(to_usize(place.checked_sub(1)?));
        let places = self.origin_of.iter().enumerate();
        places.filter_map(move |(index, place)| Some((index, origin(place)?)))
    }

    /// Notes what the record at `index` has, behind every one that has anything so far.
    pub(super) fn set(
        &mut self,
        index: usize,
        name: Option<TextId>,
        tags: &[u32],
        origin: Option<&EventOrigin>,
    ) {
        let put = |entries: &mut Vec<u32>, entry: u32| {
            entries.resize(index, 0);
            entries.push(entry);
        };
        if let Some(TextId(name)) = name {
            put(&mut self.names, name + 1);
        }
        if let Some(origin) = origin {
            self.origins.push(*origin);
            put(&mut self.origin_of, u32::try_from(self.origins.len()).unwrap_or(u32::MAX));
        }
        if !tags.is_empty() {
            let last = self.tag_ends.last().copied().unwrap_or(0);
            self.tag_ends.resize(index, last);
            self.tags.extend_from_slice(tags);
            self.tag_ends.push(u32::try_from(self.tags.len()).unwrap_or(u32::MAX));
        }
    }

    /// What the records in a range have; `None` when that is nothing.
    pub(super) fn part(&self, range: Range<usize>) -> Option<Self> {
        let mut part = Self::default();
        for (place, index) in range.enumerate() {
            let fields = self.at(index);
            part.set(place, fields.name, fields.tags, fields.origin);
        }
        part.has_any().then_some(part)
    }

    fn has_any(&self) -> bool {
        !(self.names.is_empty() && self.tags.is_empty() && self.origins.is_empty())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let Self { names, tag_ends, tags, origin_of, origins } = self;
        (names.capacity() + tag_ends.capacity() + tags.capacity() + origin_of.capacity()) * 4
            + size_of_val(origins.as_slice())
    }

    /// Bytes that [`RareColumns::encode`] writes of this many records, at the most.
    pub(super) fn encoded_bytes(&self, count: usize) -> usize {
        let Self { tags, origins, .. } = self;
        (3 * count + tags.len() + 6) * 5 + origins.len() * (2 * ID_BYTES + 9 + 5)
    }

    /// Appends the columns of `count` records.
    pub(super) fn encode(&self, count: usize, out: &mut Vec<u8>) {
        let names = self.names.iter().filter_map(|name| name.checked_sub(1));
        put_u32s(names.collect::<Vec<_>>().into_iter(), out);
        let counts = if self.tags.is_empty() { 0 } else { count };
        put_u32s((0..counts).map(|index| len_u32(self.at(index).tags)), out);
        put_u32s(self.tags.iter().copied(), out);
        let has = if self.origins.is_empty() { 0 } else { count };
        let stores = self.distinct_stores();
        let mut bytes = Vec::with_capacity(stores.len() * 2 * ID_BYTES);
        for (store_id, timeline) in &stores {
            bytes.extend_from_slice(store_id);
            bytes.extend_from_slice(timeline);
        }
        put_bytes(&bytes, out);
        let place_of = |index: usize| {
            let origin = self.at(index).origin?;
            let store = (origin.store_id, origin.timeline);
            stores.iter().position(|other| *other == store)
        };
        let place =
            |index| place_of(index).map_or(0, |place| u32::try_from(place + 1).unwrap_or(0));
        put_u32s((0..has).map(place), out);
        put_u64s(self.origins.iter().map(|origin| origin.position.get()), out);
    }

    /// The stores and timelines of the origins, each once, in order of appearance.
    fn distinct_stores(&self) -> Vec<([u8; ID_BYTES], [u8; ID_BYTES])> {
        let mut stores = Vec::new();
        for origin in &self.origins {
            let store = (origin.store_id, origin.timeline);
            // One after the other comes from the same store, mostly.
            if stores.last() != Some(&store) && !stores.contains(&store) {
                stores.push(store);
            }
        }
        stores
    }

    /// Reads the columns of records of these types, whose texts are this many. They are the last of a
    /// body.
    pub(super) fn decode(
        lists: &mut Lists<'_>,
        event_types: &[EventType],
        texts: usize,
    ) -> Result<Self, CorruptRecords> {
        let mut columns = Self::default();
        columns.decode_names(lists, event_types, texts)?;
        columns.decode_tags(lists, event_types.len(), texts)?;
        columns.decode_origins(lists, event_types.len())?;
        columns.leave_out_the_rest();
        if columns.has_any() { Ok(columns) } else { Err(malformed("columns of nothing")) }
    }

    /// Leaves out what is behind the last record that has any.
    fn leave_out_the_rest(&mut self) {
        for entries in [&mut self.names, &mut self.origin_of] {
            let with = entries.iter().rposition(|entry| *entry > 0);
            entries.truncate(with.map_or(0, |last| last + 1));
        }
        let end = self.tag_ends.last().copied().unwrap_or(0);
        let with = self.tag_ends.iter().position(|before| *before == end);
        self.tag_ends.truncate(with.map_or(0, |last| if end == 0 { 0 } else { last + 1 }));
    }

    fn decode_names(
        &mut self,
        lists: &mut Lists<'_>,
        event_types: &[EventType],
        texts: usize,
    ) -> Result<(), CorruptRecords> {
        let is_own = |event_type: &&EventType| **event_type == EventType::Application;
        let own = event_types.iter().filter(is_own).count();
        if lists.len()? != own {
            return Err(malformed("another number of names than of events that have one"));
        }
        let mut names = Vec::with_capacity(own);
        lists.u32s(own, |name| names.push(name))?;
        if names.iter().any(|name| to_usize(*name) >= texts) {
            return Err(NO_TEXT);
        }
        let mut names = names.into_iter();
        if own > 0 {
            let entry = |event_type: &EventType| match event_type {
                EventType::Application => names.next().map_or(0, |name| name + 1),
                _ => 0,
            };
            self.names = event_types.iter().map(entry).collect();
        }
        Ok(())
    }

    fn decode_tags(
        &mut self,
        lists: &mut Lists<'_>,
        count: usize,
        texts: usize,
    ) -> Result<(), CorruptRecords> {
        let counts = lists.len()?;
        if counts != 0 && counts != count {
            return Err(OTHER_LENGTH);
        }
        let (mut end, mut most) = (0_u32, 0);
        let ends = &mut self.tag_ends;
        lists.u32s(counts, |tags| {
            most = most.max(tags);
            end = end.saturating_add(tags);
            ends.push(end);
        })?;
        if to_usize(most) > MAX_TAGS {
            return Err(malformed("more tags than an event may have"));
        }
        if lists.len()? != to_usize(end) {
            return Err(OTHER_LENGTH);
        }
        let tags = &mut self.tags;
        lists.u32s(to_usize(end), |tag| tags.push(tag))?;
        if tags.iter().any(|tag| to_usize(*tag) >= texts) {
            return Err(NO_TEXT);
        }
        Ok(())
    }

    fn decode_origins(
        &mut self,
        lists: &mut Lists<'_>,
        count: usize,
    ) -> Result<(), CorruptRecords> {
        let (ids, rest) = lists.bytes()?.as_chunks::<ID_BYTES>();
        let (stores, odd) = ids.as_chunks::<2>();
        if !rest.is_empty() || !odd.is_empty() {
            return Err(malformed("ids of stores and timelines of another length"));
        }
        let places = lists.len()?;
        if places != 0 && places != count {
            return Err(OTHER_LENGTH);
        }
        let mut of = Vec::with_capacity(places);
        lists.u32s(places, |place| of.push(place))?;
        let with_origin = of.iter().filter(|place| **place > 0).count();
        let positions = lists.u64s()?;
        if positions.len() != with_origin {
            return Err(OTHER_LENGTH);
        }
        let mut positions = positions.into_iter();
        for place in of {
            let Some(place) = place.checked_sub(1) else {
                self.origin_of.push(0);
                continue;
            };
            let [store_id, timeline] = *stores
                .get(to_usize(place))
                .ok_or(malformed("an origin that is not in the list"))?;
            let position = Position::new(positions.next().unwrap_or_default());
            self.origins.push(EventOrigin { store_id, timeline, position });
            self.origin_of.push(u32::try_from(self.origins.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}

const OTHER_LENGTH: CorruptRecords = malformed("columns of different lengths");
const NO_TEXT: CorruptRecords = malformed("a text that is not in the table");

const fn malformed(what: &'static str) -> CorruptRecords {
    CorruptRecords::Malformed(what)
}

fn len_u32(tags: &[u32]) -> u32 {
    u32::try_from(tags.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
