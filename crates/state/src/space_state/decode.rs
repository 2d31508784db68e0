//! Reading the bytes of a stored state back.
//!
//! All of it is read and checked before there is a state, but for maps of many keys. These stay as they
//! are until somebody looks at them; that their bytes are those that were written, and so can be
//! unpacked, says a digest, which is checked before there is a state.

use std::sync::Arc;

use spacefold_event_core::{
    EventType, MAX_APPEND_BYTES, Object, Position, Revision, Timestamp, Value,
    bytes::{ByteReader, to_usize},
};

use super::{
    SpaceState,
    encode::{NO_TIME, STORED_VERSION, digest},
    parts::{
        Anomalies, Anomaly, AnomalyReason, Conflict, Document, Reference, Render, RenderStatus,
        SpaceStatus, SyncState, SyncStatus,
    },
    paths::PathCounts,
    references::References,
};
use crate::shared_map::{PackedBytes, PackedEntries, SharedMap, SharedMapBuilder, bucket_bits};

/// Bytes that are no state of a space: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt state of a space: {0}")]
pub struct CorruptState(pub(crate) &'static str);

const CUT_SHORT: CorruptState = CorruptState("it is cut short");
const UNKNOWN_CODE: CorruptState = CorruptState("an unknown code");

impl SpaceState {
    /// The state from its bytes. Of a large space it keeps them in memory, and makes of them what
    /// somebody looks at; what is changed later, or looked at, is in memory twice until all is.
    ///
    /// # Errors
    /// [`CorruptState`] when the bytes are none that [`SpaceState::encode`] writes. Nothing is found to
    /// be damaged later.
    ///
    /// # Cost
    /// Of a large space that of a digest of the bytes, else of making all of it.
    pub fn decode(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, CorruptState> {
        let shared: PackedBytes = Arc::new(bytes);
        let bytes = (*shared).as_ref();
        let mut reader = StateReader::of(bytes);
        let state = reader.state(&shared)?;
        if reader.is_packed {
            let (stored, _) = bytes.split_at(bytes.len() - reader.left.rest().len());
            if reader.number()? != digest(stored) {
                return Err(CorruptState("its digest is not that of its bytes"));
            }
        }
        reader.left.end(state).ok_or(CorruptState("bytes after its end"))
    }
}

/// A value of a map of a state, as it is stored.
pub(super) trait PackedPart: Sized + 'static {
    /// What is read without making the value of it.
    type Read<'a>;

    fn read<'a>(reader: &mut StateReader<'a>) -> Result<Self::Read<'a>, CorruptState>;

    fn of(read: Self::Read<'_>) -> Self;
}

pub(super) struct StateReader<'a> {
    left: ByteReader<'a>,
    /// Of all bytes, from the first on.
    len: usize,
    /// Whether any map is made of its entries later.
    is_packed: bool,
}

impl<'a> StateReader<'a> {
    const fn of(bytes: &'a [u8]) -> Self {
        Self { left: ByteReader::new(bytes), len: bytes.len(), is_packed: false }
    }

    fn state(&mut self, shared: &PackedBytes) -> Result<SpaceState, CorruptState> {
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
        state.documents = self.map(shared)?;
        state.paths = PathCounts::uncounted();
        state.variables = self.map(shared)?;
        state.references = self.map(shared)?;
        state.space_render = self.maybe(Render::read)?.map(|read| Arc::new(Render::of(read)));
        state.renders = self.map(shared)?;
        state.sync = self.sync()?;
        state.conflicts = self.map(shared)?;
        state.stale = self.map(shared)?;
        state.anomalies = Arc::new(self.anomalies()?);
        Ok(state)
    }

    fn map<V: PackedPart>(&mut self, shared: &PackedBytes) -> Result<SharedMap<V>, CorruptState> {
        let len = to_usize(self.number()?);
        if len == 0 {
            return Ok(SharedMap::new());
        }
        let bits = bucket_bits(len);
        if bits == 0 {
            let map = unpack(self.sized()?)?;
            return if map.len() == len { Ok(map) } else { Err(OTHER_COUNT) };
        }
        let count = 1_usize.checked_shl(bits).filter(|count| *count <= self.left.rest().len());
        let count = count.ok_or(CUT_SHORT)?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            lengths.push(to_usize(self.number()?));
        }
        let mut buckets = Vec::with_capacity(lengths.len());
        for length in lengths {
            let begin = self.len - self.left.rest().len();
            self.left.take(length).ok_or(CUT_SHORT)?;
            let range = begin..begin + length;
            let unpack = |bytes: &[u8]| unpack(bytes).ok();
            buckets.push(PackedEntries { bytes: Arc::clone(shared), range, unpack });
        }
        self.is_packed = true;
        Ok(SharedMap::packed(len, bits, buckets))
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

    fn text(&mut self) -> Result<&'a str, CorruptState> {
        std::str::from_utf8(self.sized()?).map_err(|_| CorruptState("no UTF-8"))
    }

    fn sized(&mut self) -> Result<&'a [u8], CorruptState> {
        let length = to_usize(self.number()?);
        self.left.take(length).ok_or(CUT_SHORT)
    }

    fn maybe_time(&mut self) -> Result<Option<Timestamp>, CorruptState> {
        if self.left.clone().i64() == Some(NO_TIME) {
            return Ok(self.left.i64().and(None));
        }
        self.time().map(Some)
    }

    fn time(&mut self) -> Result<Timestamp, CorruptState> {
        let micros = self.left.i64().ok_or(CUT_SHORT)?;
        Timestamp::from_micros(micros).ok_or(CorruptState("a time outside the years 1 to 9999"))
    }

    fn position(&mut self) -> Result<Position, CorruptState> {
        self.number().map(Position::new)
    }

    fn number(&mut self) -> Result<u64, CorruptState> {
        self.left.u64().ok_or(CUT_SHORT)
    }

    fn code(&mut self) -> Result<u8, CorruptState> {
        self.left.u8().ok_or(CUT_SHORT)
    }
}

const OTHER_COUNT: CorruptState = CorruptState("another number of keys than it says");

fn unpack<V: PackedPart>(bytes: &[u8]) -> Result<SharedMap<V>, CorruptState> {
    let mut reader = StateReader::of(bytes);
    let mut builder = SharedMapBuilder::new();
    while !reader.left.rest().is_empty() {
        let key = reader.text()?;
        builder.add(key, V::of(V::read(&mut reader)?));
    }
    builder.build().ok_or(CorruptState("a key twice"))
}

impl PackedPart for Document {
    type Read<'a> = (&'a str, Option<&'a str>, Object, [Position; 3]);

    fn read<'a>(reader: &mut StateReader<'a>) -> Result<Self::Read<'a>, CorruptState> {
        let (path, content_hash) = (reader.text()?, reader.maybe(StateReader::text)?);
        let attributes = reader.object()?;
        let positions = [reader.position()?, reader.position()?, reader.position()?];
        Ok((path, content_hash, attributes, positions))
    }

    fn of((path, content_hash, attributes, positions): Self::Read<'_>) -> Self {
        let [added_position, updated_position, content_position] = positions;
        Self {
            path: path.into(),
            content_hash: content_hash.map(Arc::from),
            attributes: (!attributes.is_empty()).then(|| Arc::new(attributes)),
            added_position,
            updated_position,
            content_position,
        }
    }
}

impl PackedPart for Value {
    type Read<'a> = Self;

    fn read(reader: &mut StateReader<'_>) -> Result<Self, CorruptState> {
        reader.value()
    }

    fn of(read: Self) -> Self {
        read
    }
}

impl PackedPart for References {
    type Read<'a> = Vec<(&'a str, Option<&'a str>)>;

    fn read<'a>(reader: &mut StateReader<'a>) -> Result<Self::Read<'a>, CorruptState> {
        let count = reader.number()?;
        (0..count).map(|_| Ok((reader.text()?, reader.maybe(StateReader::text)?))).collect()
    }

    fn of(read: Self::Read<'_>) -> Self {
        let mut references = Self::new();
        for (target, kind) in read {
            let reference = Reference { target: target.to_owned(), kind: kind.map(str::to_owned) };
            references.insert(reference);
        }
        references
    }
}

impl PackedPart for Render {
    type Read<'a> = (RenderStatus, Option<&'a str>, Option<&'a str>, [Position; 2]);

    fn read<'a>(reader: &mut StateReader<'a>) -> Result<Self::Read<'a>, CorruptState> {
        let status = RenderStatus::from_code(reader.code()?).ok_or(UNKNOWN_CODE)?;
        let output_hash = reader.maybe(StateReader::text)?;
        let error = reader.maybe(StateReader::text)?;
        Ok((status, output_hash, error, [reader.position()?, reader.position()?]))
    }

    fn of((status, output_hash, error, [position, shows]): Self::Read<'_>) -> Self {
        let (output_hash, error) = (output_hash.map(Arc::from), error.map(Arc::from));
        Self { status, output_hash, error, position, shows }
    }
}

impl PackedPart for Conflict {
    type Read<'a> = (Option<&'a str>, Option<&'a str>, Position);

    fn read<'a>(reader: &mut StateReader<'a>) -> Result<Self::Read<'a>, CorruptState> {
        let local_hash = reader.maybe(StateReader::text)?;
        Ok((local_hash, reader.maybe(StateReader::text)?, reader.position()?))
    }

    fn of((local_hash, remote_hash, position): Self::Read<'_>) -> Self {
        let (local_hash, remote_hash) = (local_hash.map(Arc::from), remote_hash.map(Arc::from));
        Self { local_hash, remote_hash, position }
    }
}

impl PackedPart for () {
    type Read<'a> = ();

    fn read(_: &mut StateReader<'_>) -> Result<(), CorruptState> {
        Ok(())
    }

    fn of((): ()) {}
}
