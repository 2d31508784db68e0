//! The bytes of a state: stored, and hashed.
//!
//! Both forms are one walk over the fields of the snapshot, in its order and sorted as in it,
//! without `position` and `state_hash`. They start with the version of the encoding (one byte).
//! Then: a text is its length and its UTF-8 bytes; a length, count, revision or position is 64
//! bits, little endian; a time is its microseconds since 1970 as 64 bits with sign, little endian;
//! an optional part is one byte, 0 or 1, and the part when that is 1; a status, reason or event
//! type is its code in one byte; a list is its count and its parts; an object is its count, and
//! each key with its value.
//!
//! The two differ in free-form JSON values: the *canonical* form, of which the state hash is the
//! BLAKE3, has the length and the text of their canonical JSON; the *stored* form has the length
//! and the bytes of their binary encoding, which reads back faster. And the stored form has what the
//! fold goes on with and no snapshot shows: behind each document the position of its content, behind
//! each render the one up to which it shows what there is, and where the synchronisation that is under
//! way started; 0 where there is none.

use std::sync::Arc;

use spacefold_event_core::{
    EventType, MAX_APPEND_BYTES, Object, Position, Revision, Timestamp, Value,
    bytes::{ByteReader, put_u64, to_u64, to_usize},
};

use super::{
    SpaceState, StateHash,
    parts::{
        Anomalies, Anomaly, AnomalyReason, Conflict, Document, Reference, Render, RenderStatus,
        SpaceStatus, SyncState, SyncStatus,
    },
    paths::PathCounts,
    references::References,
};
use crate::shared_map::SharedMapBuilder;

/// The version of the canonical form. Another one is another hash of every state there is.
const CANONICAL_VERSION: u8 = 1;
/// The version of the stored form. [`KEPT_VERSION`](crate::checkpoint::KEPT_VERSION) goes with it.
const STORED_VERSION: u8 = 2;

/// Bytes that are no state of a space: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt state of a space: {0}")]
pub struct CorruptState(pub(crate) &'static str);

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

    /// The state from its bytes.
    ///
    /// # Errors
    /// [`CorruptState`] when the bytes are none that [`SpaceState::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptState> {
        let mut reader = Reader(ByteReader::new(bytes));
        let state = reader.state()?;
        reader.0.end(state).ok_or(CorruptState("bytes after its end"))
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
}

/// Stands for a time that is not there: no time is as early.
const NO_TIME: i64 = i64::MIN;

impl StateEncoder {
    fn new(form: Form) -> Self {
        Self { form, bytes: Vec::new(), json: Vec::new() }
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
        self.list(state.documents(), |w, (id, document)| {
            w.text(id);
            w.text(&document.path);
            w.maybe_text(document.content_hash.as_deref());
            w.object(document.attributes());
            w.number(document.added_position.get());
            w.number(document.updated_position.get());
            w.stored_position(document.content_position);
        });
        self.list(state.variables(), |w, (name, value)| {
            w.text(name);
            w.value(value);
        });
        self.list(state.references(), |w, (id, reference)| {
            w.text(id);
            w.text(&reference.target);
            w.maybe_text(reference.kind.as_deref());
        });
        self.list(state.renders(), |w, (id, render)| {
            w.maybe_text(id);
            w.code(render.status.code());
            w.maybe_text(render.output_hash.as_deref());
            w.maybe_text(render.error.as_deref());
            w.number(render.position.get());
            w.stored_position(render.shows);
        });
        self.sync(&state.sync);
        self.list(state.conflicts(), |w, (id, conflict)| {
            w.text(id);
            w.maybe_text(conflict.local_hash.as_deref());
            w.maybe_text(conflict.remote_hash.as_deref());
            w.number(conflict.position.get());
        });
        self.list(state.stale_documents(), Self::text);
        self.number(state.anomalies.count);
        self.list(state.anomalies.first.iter().collect(), |w, anomaly| {
            w.number(anomaly.position.get());
            w.code(anomaly.event_type.code());
            w.code(anomaly.reason.code());
        });
        self.bytes
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

struct Reader<'a>(ByteReader<'a>);

impl<'a> Reader<'a> {
    fn state(&mut self) -> Result<SpaceState, CorruptState> {
        if self.code()? != STORED_VERSION {
            return Err(CorruptState("an encoding of another version"));
        }
        let mut state = SpaceState::new(self.text()?);
        state.name = self.maybe(Self::text)?.map(Arc::from);
        state.status = SpaceStatus::from_code(self.code()?).ok_or(UNKNOWN_CODE)?;
        state.revision = Revision::new(self.number()?);
        state.created_at = self.maybe_time()?;
        state.updated_at = self.time()?;
        state.metadata = Arc::new(self.object()?);
        let mut documents = SharedMapBuilder::new();
        for _ in 0..self.number()? {
            documents.add(self.text()?, self.document()?);
        }
        state.documents = documents.build().ok_or(CorruptState("a document twice"))?;
        state.paths = PathCounts::uncounted();
        for _ in 0..self.number()? {
            state.variables.insert(self.text()?, self.value()?);
        }
        for _ in 0..self.number()? {
            let references = state.references.get_or_insert_with(self.text()?, References::new);
            references
                .insert(Reference { target: self.string()?, kind: self.maybe(Self::string)? });
        }
        for _ in 0..self.number()? {
            match (self.maybe(Self::text)?, self.render()?) {
                (Some(id), render) => {
                    state.renders.insert(id, render);
                }
                (None, render) => state.space_render = Some(Arc::new(render)),
            }
        }
        state.sync = self.sync()?;
        for _ in 0..self.number()? {
            let id = self.text()?;
            let conflict = Conflict {
                local_hash: self.maybe(Self::shared)?,
                remote_hash: self.maybe(Self::shared)?,
                position: self.position()?,
            };
            state.conflicts.insert(id, conflict);
        }
        for _ in 0..self.number()? {
            state.stale.insert(self.text()?, ());
        }
        state.anomalies = Arc::new(self.anomalies()?);
        Ok(state)
    }

    fn document(&mut self) -> Result<Document, CorruptState> {
        Ok(Document {
            path: self.shared()?,
            content_hash: self.maybe(Self::shared)?,
            attributes: Some(self.object()?).filter(|object| !object.is_empty()).map(Arc::new),
            added_position: self.position()?,
            updated_position: self.position()?,
            content_position: self.position()?,
        })
    }

    fn render(&mut self) -> Result<Render, CorruptState> {
        Ok(Render {
            status: RenderStatus::from_code(self.code()?).ok_or(UNKNOWN_CODE)?,
            output_hash: self.maybe(Self::shared)?,
            error: self.maybe(Self::shared)?,
            position: self.position()?,
            shows: self.position()?,
        })
    }

    fn sync(&mut self) -> Result<SyncState, CorruptState> {
        Ok(SyncState {
            status: SyncStatus::from_code(self.code()?).ok_or(UNKNOWN_CODE)?,
            last_completed: self.maybe(|r| Ok((r.position()?, r.time()?)))?,
            started: Some(self.position()?).filter(|started| *started > Position::START),
        })
    }

    fn anomalies(&mut self) -> Result<Anomalies, CorruptState> {
        let count = self.number()?;
        let mut first = Vec::new();
        for _ in 0..self.number()? {
            first.push(Anomaly {
                position: self.position()?,
                event_type: EventType::from_code(self.code()?).ok_or(UNKNOWN_CODE)?,
                reason: AnomalyReason::from_code(self.code()?).ok_or(UNKNOWN_CODE)?,
            });
        }
        Ok(Anomalies { count, first })
    }

    fn object(&mut self) -> Result<Object, CorruptState> {
        let count = self.number()?;
        (0..count).map(|_| Ok((self.text()?, self.value()?))).collect()
    }

    fn value(&mut self) -> Result<Value, CorruptState> {
        let bytes = self.sized()?;
        // What a text claims to take is held below this before room is made for it.
        let config = bincode::config::standard().with_limit::<MAX_APPEND_BYTES>();
        let (value, used) = bincode::decode_from_slice(bytes, config)
            .map_err(|_| CorruptState("a value that does not decode"))?;
        if used == bytes.len() {
            Ok(value)
        } else {
            Err(CorruptState("bytes after the end of a value"))
        }
    }

    fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CorruptState>,
    ) -> Result<Option<T>, CorruptState> {
        match self.code()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(UNKNOWN_CODE),
        }
    }

    fn shared(&mut self) -> Result<Arc<str>, CorruptState> {
        self.text().map(Arc::from)
    }

    fn string(&mut self) -> Result<String, CorruptState> {
        self.text().map(str::to_owned)
    }

    fn text(&mut self) -> Result<&'a str, CorruptState> {
        std::str::from_utf8(self.sized()?).map_err(|_| CorruptState("no UTF-8"))
    }

    fn sized(&mut self) -> Result<&'a [u8], CorruptState> {
        let length = to_usize(self.number()?);
        self.0.take(length).ok_or(CUT_SHORT)
    }

    fn maybe_time(&mut self) -> Result<Option<Timestamp>, CorruptState> {
        if self.0.clone().i64() == Some(NO_TIME) {
            return Ok(self.0.i64().and(None));
        }
        self.time().map(Some)
    }

    fn time(&mut self) -> Result<Timestamp, CorruptState> {
        let micros = self.0.i64().ok_or(CUT_SHORT)?;
        Timestamp::from_micros(micros).ok_or(CorruptState("a time outside the years 1 to 9999"))
    }

    fn position(&mut self) -> Result<Position, CorruptState> {
        self.number().map(Position::new)
    }

    fn number(&mut self) -> Result<u64, CorruptState> {
        self.0.u64().ok_or(CUT_SHORT)
    }

    fn code(&mut self) -> Result<u8, CorruptState> {
        self.0.u8().ok_or(CUT_SHORT)
    }
}

const CUT_SHORT: CorruptState = CorruptState("it is cut short");
const UNKNOWN_CODE: CorruptState = CorruptState("an unknown code");

#[cfg(test)]
mod tests;
