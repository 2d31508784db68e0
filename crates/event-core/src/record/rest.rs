//! A part of a run as a run of its own, payloads as they were recorded.

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
    /// The records from the one at `start` on, as a run of their own. It keeps the texts of all,
    /// so that payloads stay as they are, whatever version they are of.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the bytes are no body, or have no record there.
    pub fn rest(&self, start: usize, schemas: &Schemas) -> Result<Self, CorruptRecords> {
        let stored = StoredBody::Whole(self.bytes());
        let (body, codes) = Body::unpack(stored, self.count(), schemas)?;
        let texts = TextTableBuilder::with_texts_of(&body.texts)?;
        let codes = codes.stored.get(start..).filter(|codes| !codes.is_empty()).ok_or(PARTED)?;
        let columns = rest_of(body.columns, start).ok_or(PARTED)?;
        Ok(Self::encode(&columns, &texts, codes.iter().copied()))
    }
}

fn rest_of(columns: Columns, start: usize) -> Option<Columns> {
    let before = start
        .checked_sub(1)
        .map_or(Some(0), |before| columns.numbers.get(before).map(|numbers| numbers.payload_end))?;
    let mut rest = Columns {
        spaces: Vec::new(),
        event_ids: columns.event_ids.get(start..)?.to_vec(),
        event_types: columns.event_types.get(start..)?.to_vec(),
        numbers: columns.numbers.get(start..)?.to_vec(),
        payloads: columns.payloads.get(to_usize(before)..)?.to_vec(),
        rare: columns.rare.and_then(|rare| rare.rest(start, columns.event_ids.len())).map(Box::new),
    };
    let mut places = vec![None; columns.spaces.len()];
    for row in &mut rest.numbers {
        let old = to_usize(row.space);
        let place = match places.get_mut(old)? {
            Some(place) => *place,
            unknown => {
                let place = u32::try_from(rest.spaces.len()).ok()?;
                rest.spaces.push(RunSpace { id: columns.spaces.get(old)?.id, records: 0 });
                *unknown.insert(place)
            }
        };
        let space = rest.spaces.get_mut(to_usize(place))?;
        (row.space, row.rank) = (place, space.records);
        space.records += 1;
        row.payload_end -= before;
    }
    Some(rest)
}
