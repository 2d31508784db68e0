//! What a state takes in memory.

use spacefold_event_core::{Object, Value, bytes::to_u64};

use super::{SpaceState, parts::Document, references::References};

/// What an entry of a map takes beside its texts, about.
const ENTRY_BYTES: usize = 128;
/// What a document takes beside its texts, the entry of its path included, about.
const DOCUMENT_BYTES: usize = 296;
/// What a value takes beside its texts, about.
const VALUE_BYTES: usize = 64;

impl SpaceState {
    /// About how many bytes it takes, as if it shared nothing. Cost: a look at each of its parts.
    pub fn memory_bytes(&self) -> u64 {
        let mut bytes = size_of::<Self>() + ENTRY_BYTES + 2 * self.space_id.len();
        bytes += self.name.as_deref().map_or(0, str::len) + object_bytes(&self.metadata);
        self.documents.each(|id, document| bytes += id.len() + document_bytes(document));
        self.variables.each(|name, value| bytes += ENTRY_BYTES + name.len() + value_bytes(value));
        self.references.each(|id, references| {
            bytes += ENTRY_BYTES + id.len() + references_bytes(references);
        });
        self.renders.each(|id, render| {
            let texts = [&render.output_hash, &render.error];
            bytes += ENTRY_BYTES + id.len();
            bytes += texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
        });
        self.conflicts.each(|id, conflict| {
            let texts = [&conflict.local_hash, &conflict.remote_hash];
            bytes += ENTRY_BYTES + id.len();
            bytes += texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
        });
        self.stale.each(|id, ()| bytes += ENTRY_BYTES + id.len());
        to_u64(bytes)
    }
}

fn document_bytes(document: &Document) -> usize {
    let texts =
        2 * document.path().len() + document.content_hash().map_or(0, |hash| hash.as_str().len());
    DOCUMENT_BYTES + texts + document.attributes.as_deref().map_or(0, object_bytes)
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
