//! Blobs of derived state, in the tree `state`.
//!
//! Each has a directory entry (`d`, key) that says what it must be. A short one stands in the entry
//! itself: one look finds it, and blobs with neighbouring keys are neighbours. A longer one stands
//! in parts (`p`, hash of the key, generation, part).

use std::ops::Bound;

use spacefold_event_core::{
    StorageError,
    bytes::{ByteReader, to_u64},
};

use super::{Failure, MAX_BLOB_KEY_BYTES, MAX_VALUE_BYTES, SledCopy, StateTree, touch};
use crate::log_copy::SledError;

/// First byte of the key of a directory entry.
pub(super) const DIRECTORY: u8 = b'd';
/// First byte of the key of a blob's part.
pub(super) const PART: u8 = b'p';
/// The longest blob that stands in its entry.
pub(super) const MAX_INLINE_BYTES: usize = 8 << 10;

impl SledCopy {
    /// The blob under `key`; `None` when there is none, or not all of it as it was put.
    ///
    /// # Errors
    /// [`SledError`].
    pub(super) fn blob(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SledError> {
        let _whole = self.state_shape.read();
        self.attempt("read a blob", |handles| {
            let place = directory_key(key);
            let Some(entry) = handles.state.get(&place)? else {
                return Ok(None);
            };
            let Some((entry, inline)) = DirectoryEntry::decode(&entry) else {
                return Ok(None);
            };
            if entry.parts == 0 {
                touch(&handles.state, &place)?;
                return Ok(entry.assemble(&[inline]));
            }
            let mut parts = Vec::new();
            let range =
                part_key(key, entry.generation, 0)..part_key(key, entry.generation, entry.parts);
            for (part, stored) in (0..entry.parts).zip(handles.state.range(range)) {
                let (stored_key, value) = stored?;
                if stored_key != part_key(key, entry.generation, part) {
                    return Ok(None);
                }
                parts.push(value);
            }
            Ok(entry.assemble(&parts))
        })
    }

    /// Puts a blob under `key`: the old one is read, or the new one, never a mixture.
    ///
    /// # Errors
    /// [`SledError`]; the old blob or the new one is there.
    pub(super) fn replace_blob(&self, key: &[u8], value: &[u8]) -> Result<(), SledError> {
        if key.len() > MAX_BLOB_KEY_BYTES {
            let what = format!("{} bytes: the limit is {MAX_BLOB_KEY_BYTES}", key.len());
            return Err(StorageError::new("key of a blob", what).into());
        }
        let _alone = self.state_shape.write();
        self.attempt("write a blob", |handles| match value.len() <= MAX_INLINE_BYTES {
            true => put_inline(&handles.state, key, value),
            false => put_parts(&handles.state, key, value),
        })
    }

    /// Removes the blob under `key`, if there is one.
    ///
    /// # Errors
    /// [`SledError`]; the blob is there or not.
    pub(super) fn delete_blob(&self, key: &[u8]) -> Result<(), SledError> {
        let _alone = self.state_shape.write();
        self.attempt("remove a blob", |handles| {
            let old = handles.state.remove(directory_key(key))?;
            match old.as_deref().is_some_and(is_inline) {
                true => Ok(()),
                false => remove_parts(&handles.state, key),
            }
        })
    }

    /// The next `limit` keys of blobs that begin with `prefix`, ascending, behind `after`.
    ///
    /// # Errors
    /// [`SledError`].
    pub(super) fn keys_of_blobs(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, SledError> {
        let _whole = self.state_shape.read();
        self.attempt("list the blobs", |handles| {
            let prefix = directory_key(prefix);
            let first = after.map_or(Bound::Included(prefix.clone()), |after| {
                Bound::Excluded(directory_key(after).max(prefix.clone()))
            });
            let mut keys = Vec::new();
            for entry in handles.state.range((first, Bound::Unbounded)).take(limit) {
                let (place, _) = entry?;
                if !place.starts_with(&prefix) {
                    break;
                }
                keys.extend(key_of(&place));
            }
            Ok(keys)
        })
    }

    /// The last key of a blob that begins with `prefix`.
    ///
    /// # Errors
    /// [`SledError`].
    pub(super) fn last_key_of_blobs(&self, prefix: &[u8]) -> Result<Option<Vec<u8>>, SledError> {
        let _whole = self.state_shape.read();
        self.attempt("list the blobs", |handles| {
            let last = handles.state.scan_prefix(directory_key(prefix)).next_back();
            Ok(last.transpose()?.and_then(|(place, _)| key_of(&place)))
        })
    }
}

/// The key of the blob whose directory entry this is.
fn key_of(place: &[u8]) -> Option<Vec<u8>> {
    place.split_first().map(|(_, key)| key.to_vec())
}

fn put_inline(state: &StateTree, key: &[u8], value: &[u8]) -> Result<(), Failure> {
    let entry = DirectoryEntry::of(0, 0, value);
    let place = directory_key(key);
    let old = state.insert(&place, [&entry.encode(), value].concat())?;
    touch(state, &place)?;
    // What a put of parts leaves that was cut off behind an entry like this one goes with the next
    // blob that has parts.
    match old.as_deref().is_none_or(is_inline) {
        true => Ok(()),
        false => remove_parts(state, key),
    }
}

fn put_parts(state: &StateTree, key: &[u8], value: &[u8]) -> Result<(), Failure> {
    let old = state.get(directory_key(key))?;
    let old = old.as_deref().and_then(DirectoryEntry::decode);
    let generation = old.map_or(0, |(old, _)| old.generation.wrapping_add(1));
    let mut parts = 0_u32;
    for part in value.chunks(MAX_VALUE_BYTES) {
        state.insert(part_key(key, generation, parts), part)?;
        parts += 1;
    }
    let entry = DirectoryEntry::of(generation, parts, value);
    state.insert(directory_key(key), entry.encode().as_slice())?;
    // Also what an earlier put or removal left behind when it was cut off.
    remove_range(state, part_key(key, 0, 0), part_key(key, generation, 0))?;
    remove_range(state, part_key(key, generation, parts), part_key(key, u64::MAX, u32::MAX))
}

fn remove_parts(state: &StateTree, key: &[u8]) -> Result<(), Failure> {
    remove_range(state, part_key(key, 0, 0), part_key(key, u64::MAX, u32::MAX))
}

fn remove_range(tree: &StateTree, from: Vec<u8>, to: Vec<u8>) -> Result<(), Failure> {
    for entry in tree.range(from..to) {
        tree.remove(entry?.0)?;
    }
    Ok(())
}

/// Whether an entry is known to have no parts.
fn is_inline(entry: &[u8]) -> bool {
    DirectoryEntry::decode(entry).is_some_and(|(entry, _)| entry.parts == 0)
}

/// The key of a blob's directory entry.
pub(super) fn directory_key(key: &[u8]) -> Vec<u8> {
    let mut directory = Vec::with_capacity(1 + key.len());
    directory.push(DIRECTORY);
    directory.extend_from_slice(key);
    directory
}

/// The key of a part of a blob.
pub(super) fn part_key(key: &[u8], generation: u64, part: u32) -> Vec<u8> {
    let hash = blake3::hash(key);
    let mut bytes = Vec::with_capacity(45);
    bytes.push(PART);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&part.to_be_bytes());
    bytes
}

/// Where a blob is, and what it must be.
#[derive(Clone, Copy)]
struct DirectoryEntry {
    generation: u64,
    parts: u32,
    length: u64,
    hash: [u8; 32],
}

impl DirectoryEntry {
    /// The entry of this blob.
    fn of(generation: u64, parts: u32, value: &[u8]) -> Self {
        let hash = *blake3::hash(value).as_bytes();
        Self { generation, parts, length: to_u64(value.len()), hash }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(52);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.parts.to_be_bytes());
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes
    }

    /// The entry, and the blob when it stands in the entry.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = ByteReader::new(bytes);
        let entry = Self {
            generation: u64::from_be_bytes(reader.array()?),
            parts: u32::from_be_bytes(reader.array()?),
            length: u64::from_be_bytes(reader.array()?),
            hash: reader.array()?,
        };
        let inline = reader.rest();
        (entry.parts == 0 || inline.is_empty()).then_some((entry, inline))
    }

    /// The blob, if these parts are what was put.
    fn assemble(&self, parts: &[impl AsRef<[u8]>]) -> Option<Vec<u8>> {
        // Checked before memory is taken for it: the entry may be what is damaged.
        let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
        if to_u64(length) != self.length {
            return None;
        }
        let mut value = Vec::with_capacity(length);
        for part in parts {
            value.extend_from_slice(part.as_ref());
        }
        (*blake3::hash(&value).as_bytes() == self.hash).then_some(value)
    }
}
