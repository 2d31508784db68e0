//! The filter of a durable subscription, as it is kept: so that the next who opens it under the
//! name with another one is told, rather than miss what only that passes.

use bincode::{Decode, Encode};
use spacefold_event_core::{EventFilter, EventType, EventTypes, StorageError};

use crate::{
    places::Places,
    sealed::{seal, unseal},
};

const SCHEMA_VERSION: u32 = 1;

/// What tells one filter from another, in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FilterDigest([u8; 32]);

#[derive(Encode, Decode)]
pub(crate) struct StoredFilter {
    schema_version: u32,
    /// By [`EventTypes::bits`]; `None` for every type, those of later versions too.
    types: Option<u32>,
    space_ids: Option<Vec<String>>,
    document_id: Option<String>,
    source: Option<String>,
    correlation_id: Option<String>,
}

impl StoredFilter {
    pub(crate) fn of(filter: &EventFilter) -> Self {
        let types = filter.event_types();
        Self {
            schema_version: SCHEMA_VERSION,
            types: (types != EventTypes::ALL).then(|| types.bits()),
            space_ids: filter.space_ids().map(|ids| ids.iter().cloned().collect()),
            document_id: filter.document_id().map(str::to_owned),
            source: filter.wanted_source().map(str::to_owned),
            correlation_id: filter.wanted_correlation_id().map(str::to_owned),
        }
    }

    /// The filter; `None` when it is of another version.
    pub(crate) fn filter(self) -> Option<EventFilter> {
        if self.schema_version != SCHEMA_VERSION {
            return None;
        }
        let mut filter = EventFilter::all();
        if let Some(bits) = self.types {
            let types = EventTypes::from_bits(bits);
            filter = filter.types(EventType::ALL.into_iter().filter(|it| types.contains(*it)));
        }
        if let Some(space_ids) = self.space_ids {
            filter = filter.spaces(space_ids);
        }
        if let Some(document_id) = self.document_id {
            filter = filter.document(document_id);
        }
        if let Some(source) = self.source {
            filter = filter.source(source);
        }
        if let Some(correlation_id) = self.correlation_id {
            filter = filter.correlation_id(correlation_id);
        }
        Some(filter)
    }
}

impl FilterDigest {
    pub(crate) fn of(filter: &EventFilter) -> Self {
        Self(*blake3::hash(&seal(&StoredFilter::of(filter))).as_bytes())
    }
}

/// Where the filter of a subscription is kept, in words: its digest stands in the checkpoint.
pub(crate) fn key(name: &str) -> Vec<u8> {
    [b"subscription-filter/", name.as_bytes()].concat()
}

/// Where the filters of the handlers of a bus are kept, which has the name of its subscription.
pub(crate) fn key_of_handlers(bus: &str) -> Vec<u8> {
    [b"handlers/", bus.as_bytes()].concat()
}

/// Keeps the filter of a subscription.
pub(crate) fn keep(places: &Places, name: &str, filter: &EventFilter) -> Result<(), StorageError> {
    places.put(&key(name), &seal(&StoredFilter::of(filter)))
}

/// The filter that is kept of a subscription; `None` when none is, or it does not decode.
pub(crate) fn kept(places: &Places, name: &str) -> Result<Option<EventFilter>, StorageError> {
    let bytes = places.get(&key(name))?;
    Ok(bytes.and_then(|bytes| unseal::<StoredFilter>(&bytes)).and_then(StoredFilter::filter))
}

/// The filter that is kept of a subscription, if it is the one of this digest.
pub(crate) fn kept_as(
    places: &Places,
    name: &str,
    digest: FilterDigest,
) -> Result<Option<EventFilter>, StorageError> {
    Ok(kept(places, name)?.filter(|filter| FilterDigest::of(filter) == digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reads_back_and_each_has_a_digest_of_its_own() {
        let types = [EventType::SpaceCreated, EventType::SyncCompleted];
        let all = EventFilter::all;
        let filters = [
            all(),
            all().types(types),
            all().types([EventType::SpaceCreated]),
            all().types([]),
            all().spaces([""; 0]),
            all().spaces(["a"]),
            all().spaces(["a", "b"]),
            all().document("a"),
            all().source("a"),
            all().correlation_id("a"),
            all().types(types).spaces(["a", "b"]).document("d").source("s").correlation_id("c"),
        ];
        for (n, filter) in filters.iter().enumerate() {
            let bytes = seal(&StoredFilter::of(filter));
            let read = unseal::<StoredFilter>(&bytes).and_then(StoredFilter::filter);
            assert_eq!(read.as_ref(), Some(filter));
            for other in filters.iter().skip(n + 1) {
                assert_ne!(FilterDigest::of(filter), FilterDigest::of(other), "{filter:?}");
            }
        }
        let one = all().spaces(["b", "a"]).types(types);
        let same = all().types(types.into_iter().rev()).spaces(["a", "b", "a"]);
        assert_eq!(FilterDigest::of(&one), FilterDigest::of(&same));
    }
}
