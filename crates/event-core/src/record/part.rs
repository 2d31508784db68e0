//! A part of a run as a run of its own, payloads as they were recorded.

use std::ops::Range;

use super::{
    body::Body,
    builder::EncodedBody,
    columns::{Columns, RunSpace},
    schemas::Schemas,
    stored_columns::StoredBody,
    text::TextTableBuilder,
};
use crate::{bytes::to_usize, corrupt_records::CorruptRecords};

const PARTED: CorruptRecords = CorruptRecords::Malformed("columns that part");

impl EncodedBody {
    /// The records in a range, as a run of their own. It keeps the texts of all, so that payloads stay
    /// as they are, whatever version they are of.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the bytes are no body, or have not all of these records; none is a run.
    pub fn part(&self, range: Range<usize>, schemas: &Schemas) -> Result<Self, CorruptRecords> {
        let stored = StoredBody::Whole(self.bytes());
        let (body, codes) = Body::unpack(stored, self.count(), schemas)?;
        let texts = TextTableBuilder::with_texts_of(&body.texts)?;
        let codes =
            codes.stored.get(range.clone()).filter(|codes| !codes.is_empty()).ok_or(PARTED)?;
        let columns = part_of(body.columns, range).ok_or(PARTED)?;
        Ok(Self::encode(&columns, &texts, codes.iter().copied()))
    }
}

fn part_of(columns: Columns, range: Range<usize>) -> Option<Columns> {
    let payloads_before = |index: usize| match index.checked_sub(1) {
        None => Some(0),
        Some(before) => columns.numbers.get(before).map(|numbers| numbers.payload_end),
    };
    let (before, end) = (payloads_before(range.start)?, payloads_before(range.end)?);
    let mut part = Columns {
        spaces: Vec::new(),
        event_ids: columns.event_ids.get(range.clone())?.to_vec(),
        event_types: columns.event_types.get(range.clone())?.to_vec(),
        numbers: columns.numbers.get(range.clone())?.to_vec(),
        payloads: columns.payloads.get(to_usize(before)..to_usize(end))?.to_vec(),
        rare: columns.rare.and_then(|rare| rare.part(range)).map(Box::new),
    };
    let mut places = vec![None; columns.spaces.len()];
    for row in &mut part.numbers {
        let old = to_usize(row.space);
        let place = match places.get_mut(old)? {
            Some(place) => *place,
            unknown => {
                let place = u32::try_from(part.spaces.len()).ok()?;
                part.spaces.push(RunSpace { id: columns.spaces.get(old)?.id, records: 0 });
                *unknown.insert(place)
            }
        };
        let space = part.spaces.get_mut(to_usize(place))?;
        (row.space, row.rank) = (place, space.records);
        space.records += 1;
        row.payload_end -= before;
    }
    Some(part)
}
