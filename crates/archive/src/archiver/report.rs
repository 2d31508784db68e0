//! What is told of a backup.

use std::time::Duration;

use spacefold_event_core::{LogIdentity, Position, Timestamp};

use super::Putting;
use crate::{
    error::ArchiveError,
    manifest::{ArchivedPack, ArchivedSegment, BackupManifest, InParts},
};

/// A backup that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// Its number, from 1.
    pub number: u64,
    /// The store, the bytes of a UUID.
    pub store_id: [u8; 16],
    /// The log and its timeline.
    pub identity: LogIdentity,
    /// The position of the last event; 0 where there is none.
    pub head: Position,
    /// When that was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The last position in a segment, and the hash of the chain of blocks there.
    pub chain: (Position, [u8; 32]),
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it has anything that the one before has not.
    pub is_new: bool,
    /// Objects that were put for it, but for the manifest.
    pub objects_put: u64,
    /// Bytes of these.
    pub bytes_put: u64,
    /// Bytes of all that it consists of.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// What a running archiver tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArchiverRound<'a> {
    /// It has made a backup.
    Made {
        /// The backup.
        report: &'a BackupReport,
        /// Events that have become durable since.
        events_behind: u64,
    },
    /// It could not, and goes on.
    Failed {
        /// Why.
        error: &'a ArchiveError,
        /// When the newest backup was made.
        newest: Option<Timestamp>,
    },
}

impl BackupReport {
    pub(super) fn of(
        manifest: &BackupManifest,
        putting: &Putting<'_>,
        segments: &[ArchivedSegment],
        packs: &[ArchivedPack],
        is_new: bool,
        took: Duration,
    ) -> Self {
        let places = manifest.places.as_ref().map_or(0, |places| places.bytes);
        let files = segments.iter().map(InParts::part_bytes);
        let files = files.chain(manifest.frames.iter().map(InParts::part_bytes));
        let files = files.chain(packs.iter().map(InParts::part_bytes));
        let bytes = files.fold(places, u64::saturating_add);
        Self {
            number: manifest.number,
            store_id: manifest.store_id(),
            identity: manifest.identity(),
            head: manifest.head(),
            recorded_at: manifest.recorded_at(),
            chain: manifest.chain(),
            created_at: manifest.created_at(),
            is_new,
            objects_put: putting.objects,
            bytes_put: putting.bytes,
            bytes,
            took,
        }
    }
}
