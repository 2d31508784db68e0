//! The filter of a durable subscription, as it is kept: so that the next who opens it under the
//! name with another one is told, rather than miss what only that passes.

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use spacefold_event_core::{EventFilter, EventType, EventTypes, StorageError, TypePattern};

use crate::{
    places::Places,
    sealed::{seal, unseal},
};

/// Of filters by core types, spaces, document, source and correlation id alone: their digests stay.
const VERSION_1: u32 = 1;
/// Of all others: version 1 and what follows it.
const VERSION_2: u32 = 2;

/// What tells one filter from another, in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FilterDigest([u8; 32]);

pub(crate) struct StoredFilter {
    parts: StoredParts,
    more: Option<MoreParts>,
}

#[derive(Encode, Decode)]
struct StoredParts {
    schema_version: u32,
    /// By [`EventTypes::bits`]; `None` for every type, those of later versions too.
    types: Option<u32>,
    space_ids: Option<Vec<String>>,
    document_id: Option<String>,
    source: Option<String>,
    correlation_id: Option<String>,
}

#[derive(Encode, Decode)]
struct MoreParts {
    /// Names of an application's types and begins of names, as patterns; none where every one of them
    /// passes that the types have.
    own_types: Vec<String>,
    tags: Vec<String>,
    not_from: Vec<[u8; 16]>,
}

/// The parts one after the other, those of version 2 where there are any.
impl Encode for StoredFilter {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.parts.encode(encoder)?;
        self.more.as_ref().map_or(Ok(()), |more| more.encode(encoder))
    }
}

impl<C> Decode<C> for StoredFilter {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let parts = StoredParts::decode(decoder)?;
        let more = match parts.schema_version {
            VERSION_2 => Some(MoreParts::decode(decoder)?),
            _ => None,
        };
        Ok(Self { parts, more })
    }
}

bincode::impl_borrow_decode!(StoredFilter);

impl StoredFilter {
    pub(crate) fn of(filter: &EventFilter) -> Self {
        let more = MoreParts::of(filter);
        let schema_version = if more.is_some() { VERSION_2 } else { VERSION_1 };
        Self { parts: StoredParts::of(filter, schema_version), more }
    }

    /// The filter; `None` when it is of another version.
    pub(crate) fn filter(self) -> Option<EventFilter> {
        let Self { parts, more } = self;
        let filter = parts.filter(more.as_ref().map_or(&[], |more| &more.own_types))?;
        Some(match more {
            Some(more) => {
                more.not_from.into_iter().fold(filter.tags(more.tags), EventFilter::not_from)
            }
            None => filter,
        })
    }
}

impl MoreParts {
    /// `None` where the filter has none of them.
    fn of(filter: &EventFilter) -> Option<Self> {
        let patterns = filter.type_patterns();
        let own = patterns.iter().filter(|pattern| pattern.event_type().is_none());
        let own_types = match filter.event_types() {
            EventTypes::ALL if patterns.len() == 1 => Vec::new(),
            _ => own.map(ToString::to_string).collect(),
        };
        let more = Self {
            own_types,
            tags: filter.wanted_tags().iter().cloned().collect(),
            not_from: filter.unwanted_stores().iter().copied().collect(),
        };
        let is_empty =
            more.own_types.is_empty() && more.tags.is_empty() && more.not_from.is_empty();
        (!is_empty).then_some(more)
    }
}

impl StoredParts {
    fn of(filter: &EventFilter, schema_version: u32) -> Self {
        let types = filter.event_types();
        Self {
            schema_version,
            types: (types != EventTypes::ALL).then(|| types.bits()),
            space_ids: filter.space_ids().map(|ids| ids.iter().cloned().collect()),
            document_id: filter.document_id().map(str::to_owned),
            source: filter.wanted_source().map(str::to_owned),
            correlation_id: filter.wanted_correlation_id().map(str::to_owned),
        }
    }

    fn filter(self, own_types: &[String]) -> Option<EventFilter> {
        if !(VERSION_1..=VERSION_2).contains(&self.schema_version) {
            return None;
        }
        let mut filter = EventFilter::all();
        if self.types.is_some() || !own_types.is_empty() {
            let types = self.types.map_or(EventTypes::ALL, EventTypes::from_bits);
            // Of an application's own either the names that are listed pass, or all of them.
            let passes = |it: &EventType| own_types.is_empty() || *it != EventType::Application;
            let own = own_types.iter().map(|pattern| pattern.parse::<TypePattern>());
            let own = own.collect::<Result<Vec<_>, _>>().ok()?;
            filter = filter.types(types.iter().filter(passes).map(TypePattern::from).chain(own));
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
        let pattern = |text: &str| [text.parse::<TypePattern>().unwrap()];
        let filters = [
            all(),
            all().types(types),
            all().types([EventType::SpaceCreated]),
            all().types([EventType::SpaceCreated; 0]),
            all().spaces([""; 0]),
            all().spaces(["a"]),
            all().spaces(["a", "b"]),
            all().document("a"),
            all().source("a"),
            all().correlation_id("a"),
            all().types(types).spaces(["a", "b"]).document("d").source("s").correlation_id("c"),
            all().types([EventType::Application]),
            all().types(EventType::CORE),
            all().types(pattern("a.*")),
            all().types(pattern("a.b")),
            all().types(EventType::CORE.map(TypePattern::from).into_iter().chain(pattern("a.b"))),
            all().tags(["a"]),
            all().tags(["a", "b"]),
            all().not_from([1; 16]),
            all().not_from([1; 16]).not_from([2; 16]).tags(["a"]).source("s"),
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
