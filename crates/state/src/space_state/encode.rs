//! The bytes of a state: stored, and hashed.
//!
//! Both forms are one walk over the fields of the snapshot, in its order, without `position` and
//! `state_hash`. They start with the version of the encoding (one byte). Then: a text is its length
//! and its UTF-8 bytes; a length, count, revision or position is 64 bits, little endian; a time is its
//! microseconds since 1970 as 64 bits with sign, little endian; an optional part is one byte, 0 or 1,
//! and the part when that is 1; a status, reason or event type is its code in one byte; a list is its
//! count and its parts; an object is its count, and each key with its value.
//!
//! The *canonical* form, of which the state hash is the BLAKE3, has everything sorted as in the
//! snapshot, and of free-form JSON values the length and the text of their canonical JSON.
//!
//! The *stored* form is made for reading back:
//!
//! - It has the length and the bytes of the binary encoding of values.
//! - It has what the fold goes on with and no snapshot shows: after each document the position of its
//!   content, after each render the one up to which it shows what there is, and where the
//!   synchronisation that is under way started; 0 where there is none.
//! - Each of its lists that has keys (documents, variables, references by document, renders but that of
//!   the space itself, which is in front of them, conflicts, stale documents) is the number of keys, and
//!   unless that is 0 the length in bytes of each of its *buckets*, then these. There are 2<sup>b</sup>
//!   buckets: *b* is 0 for fewer than 512 keys, else the logarithm of a sixteenth of their number,
//!   rounded down. A key is in the bucket that the first *b* bits of its hash say (rapidhash 3 with its
//!   default secrets); those of a bucket are sorted, and each is in front of its value.
//! - One that has a map of several buckets ends with a digest of all bytes before it: their hash, which
//!   is of the same kind.

use rapidhash::v3::rapidhash_v3;
use spacefold_event_core::{
    Object, Position, Timestamp, Value,
    bytes::{put_u64, to_u64},
};

use super::{
    SpaceState, StateHash,
    parts::{Conflict, Document, Reference, Render, SyncState},
    references::References,
};
use crate::shared_map::{BucketEntries, SharedMap, bucket_bits};

/// The version of the canonical form. Another one is another hash of every state there is.
const CANONICAL_VERSION: u8 = 1;
/// The version of the stored form. The version of what is kept of states goes with it.
pub(super) const STORED_VERSION: u8 = 3;

impl SpaceState {
    /// BLAKE3 over the canonical encoding: two folds agree exactly when their hashes do. Cost: a
    /// walk over the whole state, the first time.
    #[must_use]
    pub fn state_hash(&self) -> StateHash {
        *self.hash.0.get_or_init(|| {
            let bytes = StateEncoder::new(Form::Canonical).state(self);
            StateHash::from_bytes(*blake3::hash(&bytes).as_bytes())
        })
    }

    /// The state as bytes that [`SpaceState::decode`] reads; equal states give equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        StateEncoder::new(Form::Stored).state(self)
    }
}

#[derive(Clone, Copy)]
enum Form {
    Canonical,
    Stored,
}

struct StateEncoder {
    form: Form,
    bytes: Vec<u8>,
    /// Room for one value, kept between values.
    json: Vec<u8>,
    /// Whether there is a map of several buckets in the stored form.
    is_packed: bool,
}

/// Bytes of the length of a bucket.
const LENGTH_BYTES: usize = size_of::<u64>();

/// By which bytes are known to be those that were written.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    rapidhash_v3(bytes)
}

/// Stands for a time that is not there: no time is as early.
pub(super) const NO_TIME: i64 = i64::MIN;

impl StateEncoder {
    fn new(form: Form) -> Self {
        Self { form, bytes: Vec::new(), json: Vec::new(), is_packed: false }
    }

    fn state(mut self, state: &SpaceState) -> Vec<u8> {
        self.code(match self.form {
            Form::Canonical => CANONICAL_VERSION,
            Form::Stored => STORED_VERSION,
        });
        self.text(&state.space_id);
        self.maybe_text(state.name.as_deref());
        self.code(state.status.code());
        self.number(state.revision.get());
        self.maybe_time(state.created_at);
        self.time(state.updated_at);
        self.object(&state.metadata);
        match self.form {
            Form::Canonical => self.lists(state),
            Form::Stored => self.maps(state),
        }
        self.number(state.anomalies.count);
        self.list(state.anomalies.first.iter().collect(), |w, anomaly| {
            w.number(anomaly.position.get());
            w.code(anomaly.event_type.code());
            w.code(anomaly.reason.code());
        });
        if self.is_packed {
            self.number(digest(&self.bytes));
        }
        self.bytes
    }

    fn lists(&mut self, state: &SpaceState) {
        self.list(state.documents(), |w, (id, document)| {
            w.text(id);
            w.document(document);
        });
        self.list(state.variables(), |w, (name, value)| {
            w.text(name);
            w.value(value);
        });
        self.list(state.references(), |w, (id, reference)| {
            w.text(id);
            w.reference(reference);
        });
        self.list(state.renders(), |w, (id, render)| {
            w.maybe_text(id);
            w.render(render);
        });
        self.sync(&state.sync);
        self.list(state.conflicts(), |w, (id, conflict)| {
            w.text(id);
            w.conflict(conflict);
        });
        self.list(state.stale_documents(), Self::text);
    }

    fn maps(&mut self, state: &SpaceState) {
        self.map(&state.documents);
        self.map(&state.variables);
        self.map(&state.references);
        self.code(u8::from(state.space_render.is_some()));
        if let Some(render) = &state.space_render {
            self.render(render);
        }
        self.map(&state.renders);
        self.sync(&state.sync);
        self.map(&state.conflicts);
        self.map(&state.stale);
    }

    fn map<V: WrittenPart>(&mut self, map: &SharedMap<V>) {
        self.count(map.len());
        if map.is_empty() {
            return;
        }
        let bits = bucket_bits(map.len());
        self.is_packed |= bits > 0;
        // The lengths are put in their places when the buckets are there.
        let mut place = self.bytes.len();
        self.bytes.resize(place + (LENGTH_BYTES << bits), 0);
        map.each_bucket(|bucket| {
            let begin = self.bytes.len();
            match bucket {
                BucketEntries::Packed(bytes) => self.bytes.extend_from_slice(bytes),
                BucketEntries::Entries(entries) => {
                    for (key, value) in entries {
                        self.text(key);
                        value.write(self);
                    }
                }
            }
            let length = to_u64(self.bytes.len() - begin).to_le_bytes();
            if let Some(at) = self.bytes.get_mut(place..place + LENGTH_BYTES) {
                at.copy_from_slice(&length);
            }
            place += LENGTH_BYTES;
        });
    }

    fn document(&mut self, document: &Document) {
        self.text(&document.path);
        self.maybe_text(document.content_hash.as_deref());
        self.object(document.attributes());
        self.number(document.added_position.get());
        self.number(document.updated_position.get());
        self.stored_position(document.content_position);
    }

    fn reference(&mut self, reference: &Reference) {
        self.text(&reference.target);
        self.maybe_text(reference.kind.as_deref());
    }

    fn render(&mut self, render: &Render) {
        self.code(render.status.code());
        self.maybe_text(render.output_hash.as_deref());
        self.maybe_text(render.error.as_deref());
        self.number(render.position.get());
        self.stored_position(render.shows);
    }

    fn conflict(&mut self, conflict: &Conflict) {
        self.maybe_text(conflict.local_hash.as_deref());
        self.maybe_text(conflict.remote_hash.as_deref());
        self.number(conflict.position.get());
    }

    fn sync(&mut self, sync: &SyncState) {
        self.code(sync.status.code());
        self.code(u8::from(sync.last_completed.is_some()));
        if let Some((position, time)) = sync.last_completed {
            self.number(position.get());
            self.time(time);
        }
        self.stored_position(sync.started.unwrap_or(Position::START));
    }

    /// A position that is no part of the snapshot.
    fn stored_position(&mut self, position: Position) {
        if let Form::Stored = self.form {
            self.number(position.get());
        }
    }

    fn list<T>(&mut self, parts: Vec<T>, mut write: impl FnMut(&mut Self, T)) {
        self.count(parts.len());
        for part in parts {
            write(self, part);
        }
    }

    fn object(&mut self, object: &Object) {
        self.count(object.len());
        for (key, value) in object.iter() {
            self.text(key);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match self.form {
            Form::Canonical => {
                self.json.clear();
                serde_json::to_writer(&mut self.json, value).expect("a value is valid JSON");
                self.count(self.json.len());
                self.bytes.extend_from_slice(&self.json);
            }
            Form::Stored => {
                let bytes = bincode::encode_to_vec(value, bincode::config::standard())
                    .expect("a value encodes into memory without an error");
                self.count(bytes.len());
                self.bytes.extend_from_slice(&bytes);
            }
        }
    }

    fn maybe_text(&mut self, text: Option<&str>) {
        self.code(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn time(&mut self, time: Timestamp) {
        self.bytes.extend_from_slice(&time.as_micros().to_le_bytes());
    }

    fn maybe_time(&mut self, time: Option<Timestamp>) {
        let micros = time.map_or(NO_TIME, Timestamp::as_micros);
        self.bytes.extend_from_slice(&micros.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(to_u64(count));
    }

    fn number(&mut self, number: u64) {
        put_u64(&mut self.bytes, number);
    }

    fn code(&mut self, code: u8) {
        self.bytes.push(code);
    }
}

/// A value of a map of a state, as it is written after its key.
trait WrittenPart {
    fn write(&self, encoder: &mut StateEncoder);
}

impl WrittenPart for Document {
    fn write(&self, encoder: &mut StateEncoder) {
        encoder.document(self);
    }
}

impl WrittenPart for Value {
    fn write(&self, encoder: &mut StateEncoder) {
        encoder.value(self);
    }
}

impl WrittenPart for References {
    fn write(&self, encoder: &mut StateEncoder) {
        encoder.list(self.sorted(), StateEncoder::reference);
    }
}

impl WrittenPart for Render {
    fn write(&self, encoder: &mut StateEncoder) {
        encoder.render(self);
    }
}

impl WrittenPart for Conflict {
    fn write(&self, encoder: &mut StateEncoder) {
        encoder.conflict(self);
    }
}

impl WrittenPart for () {
    fn write(&self, _: &mut StateEncoder) {}
}

#[cfg(test)]
mod tests;
