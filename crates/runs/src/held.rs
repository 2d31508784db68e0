//! The filters of a run, in memory for as long as the run is open.

use crate::{cache::FilterRoom, filter::Filter, page::prefix};

/// Bytes that the filters of a run take besides those of its rows.
const BESIDES_BYTES: u64 = 128;

/// Every filter of a run, and how the first key under each begins.
#[derive(Debug)]
pub(crate) struct HeldFilters {
    first_keys: Vec<u128>,
    filters: Vec<Filter>,
    _room: FilterRoom,
}

impl HeldFilters {
    /// Bytes that the filters of this many rows take, about: ten bits a row.
    pub(crate) const fn bytes_of(rows: u64) -> u64 {
        (rows / 4).saturating_mul(5).saturating_add(rows / 64 + BESIDES_BYTES)
    }

    /// The filters in the order of their keys, each with how the first key under it begins.
    pub(crate) fn new(filters: Vec<(u128, Filter)>, room: FilterRoom) -> Self {
        let (first_keys, filters) = filters.into_iter().unzip();
        Self { first_keys, filters, _room: room }
    }

    /// Whether a key may be in the run; `false` is certain.
    pub(crate) fn may_have(&self, key: &[u8], filtered: u64) -> bool {
        let prefix = prefix(key);
        let after = self.first_keys.partition_point(|first| *first <= prefix);
        let Some(place) = after.checked_sub(1) else { return false };
        // Keys that begin alike may be on either side.
        self.first_keys.get(place) == Some(&prefix)
            || self.filters.get(place).is_none_or(|filter| filter.may_have(filtered))
    }
}
