//! Holds a repository against itself: every object that a backup needs is there, and, of as many as are
//! asked for, has the bytes that it was put with.

use std::{collections::BTreeMap, collections::BTreeSet, str::FromStr};

use spacefold_objects::ObjectKey;
use uuid::Uuid;

use crate::{
    error::ArchiveError,
    manifest::{BackupManifest, InParts, MAX_PART_BYTES, StoredPart, manifest_key, nameless},
    object_kind::ObjectKind,
    repository::{BackupRepository, ManifestLists},
};

/// How much of a repository is read when it is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyShare {
    /// Every object is looked for, and read.
    #[default]
    All,
    /// Every object is looked for, and so many of a thousand are read, others each time.
    Permille(u16),
}

/// A text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is `all`, or a percentage from 0% to 100%, such as 5% or 0.5%")]
pub struct InvalidShare;

impl FromStr for VerifyShare {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        if text == "all" {
            return Ok(Self::All);
        }
        let percent = text.strip_suffix('%').ok_or(InvalidShare)?;
        let (whole, tenth) = percent.split_once('.').unwrap_or((percent, "0"));
        let digits = |text: &str| -> Option<u16> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse().ok() } else { None }
        };
        let whole = digits(whole).filter(|whole| *whole <= 100).ok_or(InvalidShare)?;
        let tenth = digits(tenth).filter(|tenth| *tenth <= 9).ok_or(InvalidShare)?;
        let permille = whole * 10 + tenth;
        if permille > 1_000 { Err(InvalidShare) } else { Ok(Self::Permille(permille)) }
    }
}

/// Something in a repository that is not as it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryProblem {
    /// The object, as its path within the repository.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// The backups that need it, ascending.
    pub backups: Vec<u64>,
}

/// What came of verifying a repository.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RepositoryReport {
    /// The backups.
    pub backups: u64,
    /// Objects that they consist of, but for the manifests.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Objects that were read.
    pub objects_read: u64,
    /// Bytes of these.
    pub bytes_read: u64,
    /// What is wrong.
    pub problems: Vec<RepositoryProblem>,
}

/// Holds every backup of a repository against its hashes. Nothing is changed.
///
/// # Errors
/// [`ArchiveError::Storage`], [`ArchiveError::Cancelled`]. Damage is none, but part of the report.
///
/// # Cost
/// Lists the repository, reads the manifests and pages, and of the rest as much as is asked for. Some 150
/// bytes of memory an object.
pub fn verify(
    repository: &BackupRepository,
    share: VerifyShare,
    is_to_end: &dyn Fn() -> bool,
) -> Result<RepositoryReport, ArchiveError> {
    let mut report = RepositoryReport::default();
    let mut needed: BTreeMap<ObjectKey, NeededObject> = BTreeMap::new();
    for number in repository.numbers()? {
        // One that is pruned meanwhile is none.
        let Some(read) = read(repository, number).transpose() else { continue };
        report.backups += 1;
        match read {
            Ok((manifest, listed)) => {
                for (key, part) in objects(&manifest, &listed) {
                    let needed = needed.entry(key).or_insert_with(|| NeededObject::new(part));
                    needed.backups.push(number);
                }
            }
            Err(ArchiveError::Storage(error)) => return Err(error.into()),
            Err(error) => report.problems.push(RepositoryProblem {
                object: manifest_key(number).to_string(),
                what: error.to_string(),
                backups: vec![number],
            }),
        }
    }
    let there = there(repository)?;
    let salt = Uuid::new_v4();
    for (key, of) in needed {
        if is_to_end() {
            return Err(ArchiveError::Cancelled);
        }
        report.objects += 1;
        report.bytes += of.part.bytes;
        let problem = if !there.contains(&key) {
            Some("it is missing".to_owned())
        } else if is_drawn(share, &key, salt) {
            report.objects_read += 1;
            report.bytes_read += of.part.bytes;
            match repository.part(&key, &of.part, MAX_PART_BYTES.max(of.part.bytes)) {
                Ok(_) => None,
                Err(ArchiveError::Damaged { what, .. }) => Some(what),
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        report.problems.extend(problem.map(|what| RepositoryProblem {
            object: key.to_string(),
            what,
            backups: of.backups,
        }));
    }
    Ok(report)
}

/// An object, and who needs it.
struct NeededObject {
    part: StoredPart,
    backups: Vec<u64>,
}

impl NeededObject {
    fn new(part: &StoredPart) -> Self {
        Self { part: part.clone(), backups: Vec::new() }
    }
}

fn read(
    repository: &BackupRepository,
    number: u64,
) -> Result<Option<(BackupManifest, ManifestLists)>, ArchiveError> {
    let Some(manifest) = repository.find_manifest(number)? else { return Ok(None) };
    let listed = repository.listed(&manifest)?;
    Ok(Some((manifest, listed)))
}

/// Every object that a backup consists of, but for its manifest.
pub(crate) fn objects<'m>(
    manifest: &'m BackupManifest,
    listed: &'m ManifestLists,
) -> impl Iterator<Item = (ObjectKey, &'m StoredPart)> {
    let page = |part: &'m StoredPart| (nameless(ObjectKind::Page, part), part);
    let segments = listed.segments.iter().flat_map(InParts::keyed);
    let frames = manifest.frames.iter().flat_map(InParts::keyed);
    let packs = listed.packs.iter().flat_map(InParts::keyed);
    let places = manifest.places.iter().map(|part| (nameless(ObjectKind::Places, part), part));
    let files = segments.chain(frames).chain(packs).map(|(key, _, part)| (key, part));
    let pages = manifest.segments.pages.iter().chain(&manifest.packs.pages).map(page);
    files.chain(places).chain(pages)
}

/// The objects that are there.
fn there(repository: &BackupRepository) -> Result<BTreeSet<ObjectKey>, ArchiveError> {
    let mut there = BTreeSet::new();
    for kind in ObjectKind::ALL {
        let names = repository.storage().list_all(kind.folder())?;
        there.extend(names.into_iter().filter_map(|name| kind.listed(&name)));
    }
    Ok(there)
}

/// Whether an object is among those that are read this time.
fn is_drawn(share: VerifyShare, key: &ObjectKey, salt: Uuid) -> bool {
    let VerifyShare::Permille(permille) = share else { return true };
    let hash = blake3::keyed_hash(blake3::hash(salt.as_bytes()).as_bytes(), key.name().as_bytes());
    let [a, b, ..] = *hash.as_bytes();
    u32::from(u16::from_le_bytes([a, b])) * 1_000 < u32::from(permille) * 65_536
}
