//! A drill: the newest backup is restored aside, checked whole, and what that took is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant as Clock},
};

use serde::{Deserialize, Serialize};
use spacefold::{admin::VerifyOptions, content};
use spacefold_event_core::{Position, Timestamp, bytes::to_u64};
use spacefold_store::{Follower, FollowerOptions};
use uuid::Uuid;

use crate::{
    error::ArchiveError,
    manifest::{ManifestTime, seal, unseal_value},
    object_kind::ObjectKind,
    repository::BackupRepository,
    restore::{RestoreOptions, restore},
};

/// Bytes of the record of a drill at the most.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// What came of a drill.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrillReport {
    /// The backup that was restored.
    pub number: u64,
    /// When the drill began.
    pub started_at: Timestamp,
    /// The position of the last event that it brought back.
    pub position: Position,
    /// When that was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The hash of the states that the events lead to.
    pub state_hash: String,
    /// Hashes of states in the log that were compared with the fold.
    pub commitments: u64,
    /// Contents that events name.
    pub content_named: u64,
    /// Contents that events name and that are not there, while nothing of the content is damaged: events
    /// that were imported without are so. What was there and is lost is a problem.
    pub content_absent: u64,
    /// What is wrong with the restored store; empty when all is well.
    pub problems: Vec<String>,
    /// Recovery point: how old the backup was when the drill began. What was appended since would be
    /// lost.
    pub recovery_point: Duration,
    /// Recovery time: from the first byte read to a store that is open and folded. Checking it comes after.
    pub recovery_time: Duration,
    /// How long all of it took.
    pub took: Duration,
}

impl DrillReport {
    /// Whether the backup restores, whole.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The record that is left in the repository.
#[derive(Serialize, Deserialize)]
struct DrillRecord {
    backup: u64,
    started_at: ManifestTime,
    ok: bool,
    position: u64,
    recorded_at: Option<ManifestTime>,
    state_hash: String,
    commitments: u64,
    #[serde(default)]
    content_named: u64,
    #[serde(default)]
    content_absent: u64,
    problems: Vec<String>,
    recovery_point_seconds: f64,
    recovery_time_seconds: f64,
}

/// Restores the newest backup to a path where nothing is, and removes it again: every block and content is
/// read, every event folded, and the states compared with what the log commits to. A record of it is left
/// in the repository.
///
/// # Errors
/// [`ArchiveError`], as [`restore`]: a backup that does not restore. Problems of the store that it
/// restores to are part of the report.
///
/// # Cost
/// As [`restore`], and then reads all of it again, and folds every event once more.
pub fn drill(
    repository: &BackupRepository,
    aside: impl AsRef<Path>,
) -> Result<DrillReport, ArchiveError> {
    let aside = aside.as_ref();
    let (begun, started_at) = (Clock::now(), Timestamp::now());
    let none = || ArchiveError::NoBackup { place: repository.place(), number: None };
    let number = repository.numbers()?.last().copied().ok_or_else(none)?;
    let made_at = repository.manifest(number)?.created_at();
    let restored = restore(repository, aside, &RestoreOptions::default().backup(number))?;
    let checked = check(aside);
    // What cannot be removed is for whoever named the path.
    let removed = std::fs::remove_dir_all(aside);
    let CheckedStore { commitments, content_named, content_absent, mut problems } = checked?;
    if let Err(error) = removed {
        problems.push(format!("{} cannot be removed: {error}", aside.display()));
    }
    let age = started_at.as_micros().saturating_sub(made_at.as_micros());
    let report = DrillReport {
        number,
        started_at,
        position: restored.position,
        recorded_at: restored.recorded_at,
        state_hash: restored.state_hash,
        commitments,
        content_named,
        content_absent,
        problems,
        recovery_point: Duration::from_micros(u64::try_from(age).unwrap_or(0)),
        recovery_time: restored.took,
        took: begun.elapsed(),
    };
    put_record(repository, &report)?;
    Ok(report)
}

/// What a restored store was found to be.
struct CheckedStore {
    commitments: u64,
    content_named: u64,
    content_absent: u64,
    problems: Vec<String>,
}

fn check(path: &Path) -> Result<CheckedStore, ArchiveError> {
    let report = spacefold::admin::verify(path, VerifyOptions::default())?;
    let mut problems: Vec<String> =
        report.problems.iter().map(|it| format!("{}: {}", it.kind, it.detail)).collect();
    let content = content::verify_content(path)?;
    problems.extend(content.problems.iter().map(|it| format!("content: {}", it.detail)));
    let (mut named, mut absent) = (BTreeSet::new(), BTreeMap::new());
    let log = Follower::open(path, &FollowerOptions::default())?;
    content::visit_named_content(&log, &mut |position, hash| {
        if named.insert(hash) && !content.is_sound(&hash) {
            absent.insert(hash, position);
        }
    })?;
    let (content_named, content_absent) = (to_u64(named.len()), to_u64(absent.len()));
    if !content.problems.is_empty() {
        let lost = absent.iter().min_by_key(|(_, position)| **position);
        problems.extend(lost.map(|(hash, position)| {
            format!(
                "content: {content_absent} that events name are damaged or lost, first {hash}, named at \
                 position {position}"
            )
        }));
    }
    Ok(CheckedStore { commitments: report.commitments, content_named, content_absent, problems })
}

/// What the newest record of a drill says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LastDrill {
    /// The backup that was restored.
    pub number: u64,
    /// When the drill began.
    pub started_at: Timestamp,
    /// Whether all was well.
    pub is_ok: bool,
    /// How long it took until the store was open and folded.
    pub recovery_time: Duration,
}

/// The newest record that drills have left in a repository; `None` where none was ever made.
///
/// # Errors
/// [`ArchiveError::Damaged`], [`ArchiveError::Objects`].
pub fn last_drill(repository: &BackupRepository) -> Result<Option<LastDrill>, ArchiveError> {
    let names = repository.storage().list_all(ObjectKind::Drill.folder())?;
    let is_record = |name: &&String| name.ends_with(".json");
    let mut records = names.iter().rev().filter(is_record);
    let newest = records.find_map(|name| ObjectKind::Drill.listed(name));
    let Some(key) = newest else { return Ok(None) };
    let damaged =
        |what: &str| ArchiveError::Damaged { object: key.to_string(), what: what.to_owned() };
    let bytes = repository.storage().get(&key, MAX_RECORD_BYTES)?;
    let bytes = bytes.ok_or_else(|| damaged("it is missing"))?;
    let record: DrillRecord = unseal_value(&bytes).map_err(|what| damaged(&what))?;
    let recovery_time = Duration::try_from_secs_f64(record.recovery_time_seconds);
    Ok(Some(LastDrill {
        number: record.backup,
        started_at: record.started_at.0,
        is_ok: record.ok,
        recovery_time: recovery_time.map_err(|_| damaged("a time that is none"))?,
    }))
}

fn put_record(repository: &BackupRepository, report: &DrillReport) -> Result<(), ArchiveError> {
    let record = DrillRecord {
        backup: report.number,
        started_at: ManifestTime(report.started_at),
        ok: report.is_ok(),
        position: report.position.get(),
        recorded_at: report.recorded_at.map(ManifestTime),
        state_hash: report.state_hash.clone(),
        commitments: report.commitments,
        content_named: report.content_named,
        content_absent: report.content_absent,
        problems: report.problems.clone(),
        recovery_point_seconds: report.recovery_point.as_secs_f64(),
        recovery_time_seconds: report.recovery_time.as_secs_f64(),
    };
    let micros = report.started_at.as_micros();
    let name = format!("{micros:020}-{}.json", Uuid::new_v4().simple());
    let key = ObjectKind::Drill.key(&name);
    Ok(repository.storage().put(&key, &seal(&record))?)
}
