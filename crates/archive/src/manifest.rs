//! What a backup consists of: a manifest, as JSON under its hash, and the pages that manifests share.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;
use spacefold_event_core::{
    LogId, LogIdentity, Position, TimelineFork, TimelineId, Timestamp, id_of_text, id_text,
};
use spacefold_objects::ObjectKey;
use spacefold_store::{BackupHead, StateCommitment};

use crate::object_kind::ObjectKind;

/// The version of the format that this program writes and knows.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of a part at the most: what is held in memory of a file.
pub(crate) const MAX_PART_BYTES: u64 = 16 << 20;
/// Bytes of a segment, and of a piece of frames, at the most: they are held in memory whole. Segments have
/// some 8 MiB; what mending has made of several may be longer.
pub(crate) const MAX_LOG_FILE_BYTES: u64 = 1 << 30;
/// Bytes of a manifest, and of a page, at the most.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// Entries of a list that make a page.
pub(crate) const PAGE_ENTRIES: usize = 128;
/// Bytes of the places of subscriptions at the most.
pub(crate) const MAX_PLACES_BYTES: u64 = MAX_PART_BYTES;

/// A backup: all of a store at one moment, as objects of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    pub(crate) format: u32,
    pub(crate) number: u64,
    pub(crate) created_at: ManifestTime,
    pub(crate) tool: String,
    /// Drawn at random: no two backups are the same object.
    pub(crate) attempt: IdText,
    pub(crate) store: StoredHead,
    pub(crate) head: u64,
    pub(crate) recorded_at: Option<ManifestTime>,
    pub(crate) sealed_through: u64,
    pub(crate) chain_hash: HashText,
    pub(crate) commitments: Vec<StoredCommitment>,
    pub(crate) segments: StoredList<ArchivedSegment>,
    pub(crate) frames: Vec<ArchivedFrames>,
    pub(crate) content_generation: Option<u64>,
    pub(crate) packs: StoredList<ArchivedPack>,
    pub(crate) places: Option<StoredPart>,
}

/// What the store said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredHead {
    pub(crate) store_id: IdText,
    pub(crate) format_version: u32,
    pub(crate) created_at: ManifestTime,
    pub(crate) log_id: IdText,
    pub(crate) timeline: IdText,
    pub(crate) parent_timeline: Option<IdText>,
    pub(crate) parent_position: Option<u64>,
    pub(crate) incarnation: u64,
    pub(crate) sessions: Vec<(u64, u64)>,
}

/// What a block says of the states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredCommitment {
    pub(crate) projection: String,
    pub(crate) version: u32,
    pub(crate) position: u64,
    pub(crate) hash: HashText,
}

/// A list whose begin is in pages of their own, which later backups share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredList<T> {
    pub(crate) pages: Vec<StoredPart>,
    pub(crate) rest: Vec<T>,
}

/// An object, or a part of a file that has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPart {
    pub(crate) bytes: u64,
    pub(crate) blake3: HashText,
    /// The number of the backup that put it.
    pub(crate) backup: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedSegment {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) recorded_at: ManifestTime,
    pub(crate) chain_hash: HashText,
    pub(crate) parts: Vec<StoredPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedFrames {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) recorded_at: ManifestTime,
    pub(crate) parts: Vec<StoredPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedPack {
    pub(crate) id: IdText,
    pub(crate) number: u32,
    pub(crate) sealed: bool,
    pub(crate) bytes: u64,
    /// These of its bytes never change.
    pub(crate) synced: u64,
    pub(crate) parts: Vec<StoredPart>,
}

/// A file with an entry in a list, in parts.
pub(crate) trait InParts {
    /// The kind of its objects, and what their names begin with.
    fn key(&self) -> (ObjectKind, String);

    fn parts(&self) -> &[StoredPart];

    /// The parts, each with its key and the offset in the file.
    fn keyed(&self) -> impl Iterator<Item = (ObjectKey, u64, &StoredPart)> {
        let (kind, stem) = self.key();
        self.parts().iter().scan(0_u64, move |offset, part| {
            let at = *offset;
            *offset = offset.saturating_add(part.bytes);
            Some((part.key(kind, &format!("{stem}-{at:010}")), at, part))
        })
    }

    fn part_bytes(&self) -> u64 {
        self.parts().iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes))
    }
}

impl InParts for ArchivedSegment {
    fn key(&self) -> (ObjectKind, String) {
        (ObjectKind::Segment, format!("{:020}", self.first))
    }

    fn parts(&self) -> &[StoredPart] {
        &self.parts
    }
}

impl InParts for ArchivedFrames {
    fn key(&self) -> (ObjectKind, String) {
        (ObjectKind::Frames, format!("{:020}", self.first))
    }

    fn parts(&self) -> &[StoredPart] {
        &self.parts
    }
}

impl InParts for ArchivedPack {
    fn key(&self) -> (ObjectKind, String) {
        (ObjectKind::Pack, hex(&self.id.0))
    }

    fn parts(&self) -> &[StoredPart] {
        &self.parts
    }
}

impl StoredPart {
    pub(crate) fn of(bytes: &[u8], backup: u64) -> Self {
        let blake3 = HashText(*blake3::hash(bytes).as_bytes());
        Self { bytes: spacefold_event_core::bytes::to_u64(bytes.len()), blake3, backup }
    }

    /// The key of the object: what its name begins with, its hash, and the backup that put it.
    pub(crate) fn key(&self, kind: ObjectKind, stem: &str) -> ObjectKey {
        kind.key(&format!("{stem}-{}.{}", self.blake3, self.backup))
    }
}

/// The key of a page or of the places: they have no name but their hash.
pub(crate) fn nameless(kind: ObjectKind, part: &StoredPart) -> ObjectKey {
    kind.key(&format!("{}.{}", part.blake3, part.backup))
}

/// The key of a manifest.
pub(crate) fn manifest_key(number: u64) -> ObjectKey {
    ObjectKind::Manifest.key(&format!("{number:010}.json"))
}

/// The number of the backup that an object of this name is of, whole or not.
pub(crate) fn backup_of(kind: ObjectKind, name: &str) -> Option<u64> {
    let mut parts = name.split('.');
    let first = parts.next()?;
    let digits = if kind == ObjectKind::Manifest { first } else { parts.next()? };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The number of a manifest of this name; `None` for other files.
pub(crate) fn manifest_number(name: &str) -> Option<u64> {
    let number = backup_of(ObjectKind::Manifest, name)?;
    (manifest_key(number).name() == name).then_some(number)
}

impl BackupManifest {
    /// The number of the backup, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When it was made, by the clock of who made it.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at.0
    }

    /// The version of the program that made it.
    #[must_use]
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The store, the bytes of a UUID.
    #[must_use]
    pub const fn store_id(&self) -> [u8; 16] {
        self.store.store_id.0
    }

    /// The log and its timeline.
    #[must_use]
    pub fn identity(&self) -> LogIdentity {
        self.store.identity()
    }

    /// The position of the last event; 0 where there is none.
    #[must_use]
    pub const fn head(&self) -> Position {
        Position::new(self.head)
    }

    /// When that was recorded.
    #[must_use]
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.recorded_at.map(|at| at.0)
    }

    /// The last position in a segment, and the hash of the chain of blocks there.
    #[must_use]
    pub const fn chain(&self) -> (Position, [u8; 32]) {
        (Position::new(self.sealed_through), self.chain_hash.0)
    }

    /// The newest hash of states in the log, of each projection that commits to one.
    pub fn commitments(&self) -> impl Iterator<Item = StateCommitment> {
        self.commitments.iter().map(|of| StateCommitment {
            projection: of.projection.clone(),
            version: of.version,
            position: Position::new(of.position),
            hash: of.hash.0,
        })
    }

    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        seal(self)
    }

    /// Reads what [`BackupManifest::encode`] made.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8], number: u64) -> Result<Self, BadManifest> {
        let raw = unseal(bytes)?;
        let FormatField { format } = serde_json::from_str(raw.get())
            .map_err(|error| BadManifest::Damaged(error.to_string()))?;
        if format != FORMAT {
            return Err(BadManifest::UnknownFormat { found: format });
        }
        let manifest: Self = serde_json::from_str(raw.get())
            .map_err(|error| BadManifest::Damaged(error.to_string()))?;
        if manifest.number != number {
            let what = format!("it is backup {}", manifest.number);
            return Err(BadManifest::Damaged(what));
        }
        Ok(manifest)
    }
}

#[derive(Deserialize)]
struct FormatField {
    format: u32,
}

/// Why bytes are no manifest.
#[derive(Debug)]
pub(crate) enum BadManifest {
    UnknownFormat { found: u32 },
    Damaged(String),
}

/// JSON with its hash before it.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    blake3: HashText,
    #[serde(borrow)]
    of: &'a RawValue,
}

/// A value as JSON, with its hash.
pub(crate) fn seal(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(value).unwrap_or_default();
    let blake3 = HashText(*blake3::hash(text.as_bytes()).as_bytes());
    let raw = serde_json::from_str::<&RawValue>(&text).ok();
    let sealed = raw.map(|of| serde_json::to_vec(&Sealed { blake3, of }).unwrap_or_default());
    let mut bytes = sealed.unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The value that [`seal`] has sealed; else what is wrong with the bytes.
pub(crate) fn unseal_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let raw = unseal(bytes).map_err(|bad| match bad {
        BadManifest::Damaged(what) => what,
        BadManifest::UnknownFormat { found } => format!("format {found}"),
    })?;
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

fn unseal(bytes: &[u8]) -> Result<&RawValue, BadManifest> {
    let sealed: Sealed<'_> =
        serde_json::from_slice(bytes).map_err(|error| BadManifest::Damaged(error.to_string()))?;
    if blake3::hash(sealed.of.get().as_bytes()) != sealed.blake3.0 {
        return Err(BadManifest::Damaged("its hash is another".to_owned()));
    }
    Ok(sealed.of)
}

impl StoredHead {
    pub(crate) fn of(head: &BackupHead) -> Self {
        let LogIdentity { log_id, timeline, fork } = head.identity;
        Self {
            store_id: IdText(head.store_id),
            format_version: head.format_version,
            created_at: ManifestTime(head.created_at),
            log_id: IdText(log_id.to_bytes()),
            timeline: IdText(timeline.to_bytes()),
            parent_timeline: fork.map(|fork| IdText(fork.parent.to_bytes())),
            parent_position: fork.map(|fork| fork.position.get()),
            incarnation: head.incarnation,
            sessions: head.sessions.iter().map(|(number, after)| (*number, after.get())).collect(),
        }
    }

    pub(crate) fn identity(&self) -> LogIdentity {
        let fork = self.parent_timeline.zip(self.parent_position).map(|(parent, position)| {
            let parent = TimelineId::from_bytes(parent.0);
            TimelineFork { parent, position: Position::new(position) }
        });
        LogIdentity {
            log_id: LogId::from_bytes(self.log_id.0),
            timeline: TimelineId::from_bytes(self.timeline.0),
            fork,
        }
    }

    pub(crate) fn to_head(&self) -> BackupHead {
        let session = |&(number, after): &(u64, u64)| (number, Position::new(after));
        BackupHead {
            store_id: self.store_id.0,
            format_version: self.format_version,
            created_at: self.created_at.0,
            identity: self.identity(),
            incarnation: self.incarnation,
            sessions: self.sessions.iter().map(session).collect(),
        }
    }
}

impl StoredCommitment {
    pub(crate) fn of(commitment: &StateCommitment) -> Self {
        Self {
            projection: commitment.projection.clone(),
            version: commitment.version,
            position: commitment.position.get(),
            hash: HashText(commitment.hash),
        }
    }
}

/// A hash, as 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HashText(pub(crate) [u8; 32]);

impl fmt::Display for HashText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for HashText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HashText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = blake3::Hash::from_hex(text).ok().filter(|_| is_lower);
        hash.map(|hash| Self(*hash.as_bytes())).ok_or("no hash of 64 digits")
    }
}

/// An id, as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IdText(pub(crate) [u8; 16]);

impl fmt::Display for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&id_text(self.0))
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IdText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        id_of_text(text).map(Self).ok_or("no UUID")
    }
}

/// A time, as the interchange form has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManifestTime(pub(crate) Timestamp);

impl fmt::Display for ManifestTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ManifestTime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "no time")
    }
}

/// Values that are texts in JSON.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(HashText, IdText, ManifestTime);

/// Bytes as digits, two each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
