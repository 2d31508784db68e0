//! What a state takes in memory.

use spacefold_event_core::{Object, Value, bytes::to_u64};

use super::{SpaceState, parts::Document, references::References};
use crate::shared_map::SharedMap;

/// What an entry of a map takes beside its texts, about.
const ENTRY_BYTES: usize = 128;
/// What a document takes beside its texts, the entry of its path included, about.
const DOCUMENT_BYTES: usize = 296;
/// What a value takes beside its texts, about.
const VALUE_BYTES: usize = 64;

impl SpaceState {
    /// About how many bytes it takes, as if it shared nothing and nothing of it were packed. Cost: a
    /// look at each of its parts that is not packed.
    pub fn memory_bytes(&self) -> u64 {
        let mut bytes = size_of::<Self>() + ENTRY_BYTES + 2 * self.space_id.len();
        bytes += self.name.as_deref().map_or(0, str::len) + object_bytes(&self.metadata);
        bytes += map_bytes(&self.documents, DOCUMENT_BYTES, document_bytes);
        bytes += map_bytes(&self.variables, ENTRY_BYTES, value_bytes);
        bytes += map_bytes(&self.references, ENTRY_BYTES, references_bytes);
        bytes += map_bytes(&self.renders, ENTRY_BYTES, |render| {
            let texts = [&render.output_hash, &render.error];
            texts.into_iter().flatten().map(|text| text.len()).sum()
        });
        bytes += map_bytes(&self.conflicts, ENTRY_BYTES, |conflict| {
            let texts = [&conflict.local_hash, &conflict.remote_hash];
            texts.into_iter().flatten().map(|text| text.len()).sum()
        });
        bytes += map_bytes(&self.stale, ENTRY_BYTES, |()| 0);
        to_u64(bytes)
    }
}

/// What a map takes: for each entry `each`, its key, and what `of` says of its value. What is packed
/// has texts of about as many bytes.
fn map_bytes<V>(map: &SharedMap<V>, each: usize, of: impl Fn(&V) -> usize) -> usize {
    let mut bytes = 0;
    let (packed, packed_bytes) =
        map.each_unpacked(|key, value| bytes += each + key.len() + of(value));
    bytes + packed * each + packed_bytes
}

fn document_bytes(document: &Document) -> usize {
    let texts =
        2 * document.path().len() + document.content_hash().map_or(0, |hash| hash.as_str().len());
    texts + document.attributes.as_deref().map_or(0, object_bytes)
}

fn references_bytes(references: &References) -> usize {
    let mut bytes = 0;
    references.each(|reference| {
        let kind = reference.kind.as_deref().map_or(0, str::len);
        bytes += ENTRY_BYTES + 2 * reference.target.len() + kind;
    });
    bytes
}

fn object_bytes(object: &Object) -> usize {
    object.iter().map(|(key, value)| VALUE_BYTES + key.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => 0,
        Value::BigInteger(digits) => digits.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| VALUE_BYTES + value_bytes(value)).sum(),
        Value::Object(object) => object_bytes(object),
    }
}
