//! What counts of a set: the runs, the changes that are too few for a run, and what the owner keeps
//! with them.
//!
//! Bytes of the file `MANIFEST`: magic (8 bytes), kind (8 bytes, the owner's), id of the next run
//! (u64), number of runs (u32), each with id, bytes and seal (u64 each); changes (their length as u32,
//! then a page of which place is 0); what the owner keeps (its length as u32, then bytes); BLAKE3 of all
//! before. All numbers are little endian.

use std::sync::Arc;

use spacefold_disk::{Access, Folder, NewFile};
use spacefold_event_core::StorageError;

use crate::{
    error::RunsError,
    page::{PageBuilder, RunPage},
    run::RunName,
};

const MAGIC: [u8; 8] = *b"SFRUNS\0\x01";
const NAME: &str = "MANIFEST";
const HASH_BYTES: usize = 32;
const CHANGES_PLACE: u64 = 0;

/// What says whose a set is.
pub(crate) type SetKind = [u8; 8];

#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) next_run: u64,
    /// The oldest first.
    pub(crate) runs: Vec<RunName>,
    /// What is in no run.
    pub(crate) changes: Option<RunPage>,
    pub(crate) owner: Vec<u8>,
}

impl Manifest {
    /// The manifest of a folder; `None` when there is none.
    pub(crate) fn read(folder: &Arc<dyn Folder>, kind: SetKind) -> Result<Option<Self>, RunsError> {
        let Some(file) = folder.find(NAME, Access::Read)? else { return Ok(None) };
        let bytes = file.read_all()?;
        let damaged = |what| RunsError::damaged(file.path(), 0, what);
        let (body, hash) =
            bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(|| damaged("the manifest is cut"))?;
        if blake3::hash(body) != *hash {
            return Err(damaged("the manifest does not match its hash"));
        }
        let manifest = Self::decode(body, kind);
        manifest.map(Some).ok_or_else(|| damaged("the manifest is of another kind or version"))
    }

    /// Puts a manifest in the place of the one that is there, durably.
    pub(crate) fn replace(
        folder: &Arc<dyn Folder>,
        kind: SetKind,
        (next_run, runs): (u64, &[RunName]),
        changes: &mut PageBuilder,
        owner: &[u8],
    ) -> Result<(), RunsError> {
        let mut bytes = [MAGIC, kind, next_run.to_le_bytes()].concat();
        put_length(&mut bytes, runs.len());
        for run in runs {
            for number in [run.id, run.bytes, run.seal] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        let mut page = Vec::new();
        if !changes.is_empty() {
            changes.finish(CHANGES_PLACE, &mut page);
        }
        for part in [&page, owner] {
            put_length(&mut bytes, part.len());
            bytes.extend_from_slice(part);
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        Ok(NewFile::replace(folder, NAME, &bytes).map_err(StorageError::from)?)
    }

    /// Removes the manifest of a folder, if there is one, durably: nothing counts from then on.
    pub(crate) fn remove(folder: &Arc<dyn Folder>) -> Result<(), StorageError> {
        if folder.find(NAME, Access::Read)?.is_some() {
            folder.remove(NAME)?;
            folder.sync()?;
        }
        Ok(())
    }

    fn decode(body: &[u8], kind: SetKind) -> Option<Self> {
        let body = body.strip_prefix(&MAGIC)?.strip_prefix(&kind)?;
        let (next_run, mut body) = take_u64(body)?;
        let mut runs = Vec::new();
        for _ in 0..take_length(&mut body)? {
            let (id, rest) = take_u64(body)?;
            let (bytes, rest) = take_u64(rest)?;
            let (seal, rest) = take_u64(rest)?;
            body = rest;
            runs.push(RunName { id, bytes, seal });
        }
        let page = take_part(&mut body)?;
        let changes = match page.is_empty() {
            true => None,
            false => Some(RunPage::decode(page.into(), CHANGES_PLACE)?),
        };
        let owner = take_part(&mut body)?.to_vec();
        body.is_empty().then_some(Self { next_run, runs, changes, owner })
    }
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}
