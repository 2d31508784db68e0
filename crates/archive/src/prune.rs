//! Removes old backups, and the objects that only they need.
//!
//! Whoever backs up meanwhile is in nobody's way. A backup uses objects of the newest one before it, and
//! new ones, whose names have its own number; the newest is never removed, nor is an object of a number
//! that no backup has reached. So what is removed is in no backup to come.

use std::collections::BTreeSet;

use spacefold_event_core::{Timestamp, bytes::to_u64};
use spacefold_objects::ObjectKey;

use crate::{
    error::ArchiveError,
    manifest::{backup_of, manifest_key},
    object_kind::ObjectKind,
    repository::BackupRepository,
    verify::objects,
};

/// Which backups are kept. The newest always is.
///
/// ```
/// use spacefold_archive::PruneOptions;
/// let options = PruneOptions::default().keep_daily(14).keep_monthly(12);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    daily: usize,
    monthly: usize,
    is_dry: bool,
}

impl PruneOptions {
    /// Keeps the newest backup of each of so many of the newest days (in UTC) that have one.
    #[must_use]
    pub const fn keep_daily(mut self, days: usize) -> Self {
        self.daily = days;
        self
    }

    /// Keeps the newest backup of each of so many of the newest months (in UTC) that have one.
    #[must_use]
    pub const fn keep_monthly(mut self, months: usize) -> Self {
        self.monthly = months;
        self
    }

    /// Removes nothing, and answers what would be.
    #[must_use]
    pub const fn dry_run(mut self, is_dry: bool) -> Self {
        self.is_dry = is_dry;
        self
    }
}

/// What was pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// The backups that are left, ascending.
    pub kept: Vec<u64>,
    /// Those that were removed.
    pub removed: Vec<u64>,
    /// Objects that were removed with them, and what attempts at backups had left.
    pub objects_removed: u64,
}

/// Removes the backups that are not to be kept: first their manifests, then what no other needs. Every
/// position of a backup that is kept can be restored as before. Any number may prune at a time, beside
/// whoever backs up.
///
/// # Errors
/// [`ArchiveError`]: nothing that a backup needs is gone, and the next prunes on. Where a backup that is
/// kept does not read nothing is removed.
///
/// # Cost
/// Reads every manifest, lists the repository.
pub fn prune(
    repository: &BackupRepository,
    options: &PruneOptions,
) -> Result<PruneReport, ArchiveError> {
    loop {
        if let Some(pruned) = prune_once(repository, options)? {
            return Ok(pruned);
        }
        // Another process has removed what was the newest: there is a newer one by now.
    }
}

/// Prunes; `None` where the newest backup has gone before it was known what it needs.
fn prune_once(
    repository: &BackupRepository,
    options: &PruneOptions,
) -> Result<Option<PruneReport>, ArchiveError> {
    // Before the objects are listed: what a later backup has put has a number beyond these.
    let numbers = repository.numbers()?;
    let Some(newest) = numbers.last().copied() else { return Ok(Some(PruneReport::default())) };
    let mut made: Vec<(u64, Timestamp)> = Vec::new();
    for number in numbers {
        // One that another process removes meanwhile is none.
        let manifest = repository.find_manifest(number)?;
        made.extend(manifest.map(|manifest| (number, manifest.created_at())));
    }
    let to_keep = kept(&made, options);
    let mut needed = BTreeSet::new();
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for (number, _) in made {
        if !to_keep.contains(&number) {
            removed.push(number);
        } else if let Some(objects) = needed_by(repository, number)? {
            needed.extend(objects);
            kept.push(number);
        }
    }
    // Backups that are made meanwhile rest on what this one needs: nothing goes unless that is known.
    if kept.last() != Some(&newest) {
        return Ok(None);
    }
    let storage = repository.storage();
    if !options.is_dry {
        // Gone for good before anything that they need.
        let manifests: Vec<ObjectKey> = removed.iter().map(|it| manifest_key(*it)).collect();
        storage.remove(&manifests)?;
    }
    let mut unneeded = Vec::new();
    for kind in ObjectKind::ALL {
        if matches!(kind, ObjectKind::Repository | ObjectKind::Drill) {
            continue;
        }
        for name in storage.list_all(kind.folder())? {
            let is_old = backup_of(kind, &name).is_some_and(|number| number <= newest);
            let is_manifest = kind == ObjectKind::Manifest && !name.ends_with(".unfinished");
            let Some(key) = kind.listed(&name) else { continue };
            if !is_old || is_manifest || needed.contains(&key) {
                continue;
            }
            unneeded.push(key);
        }
    }
    let objects_removed = to_u64(unneeded.len());
    if !options.is_dry {
        storage.remove(&unneeded)?;
    }
    Ok(Some(PruneReport { kept, removed, objects_removed }))
}

/// The objects that a backup consists of; `None` where another process has removed it.
fn needed_by(
    repository: &BackupRepository,
    number: u64,
) -> Result<Option<Vec<ObjectKey>>, ArchiveError> {
    let Some(manifest) = repository.find_manifest(number)? else { return Ok(None) };
    match repository.listed(&manifest) {
        Ok(listed) => Ok(Some(objects(&manifest, &listed).map(|(key, _)| key).collect())),
        // Its pages go after its manifest.
        Err(error) => match repository.find_manifest(number)? {
            Some(_) => Err(error),
            None => Ok(None),
        },
    }
}

/// The numbers that are kept.
fn kept(made: &[(u64, Timestamp)], options: &PruneOptions) -> BTreeSet<u64> {
    let mut kept: BTreeSet<u64> = made.last().map(|(number, _)| *number).into_iter().collect();
    // As it is written: `2026-11-30T…`.
    for (digits, most) in [(10, options.daily), (7, options.monthly)] {
        let mut seen = BTreeSet::new();
        for (number, created_at) in made.iter().rev() {
            let period: String = created_at.to_string().chars().take(digits).collect();
            if seen.len() == most && !seen.contains(&period) {
                break;
            }
            if seen.insert(period) {
                kept.insert(*number);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(days: &[&str]) -> Vec<(u64, Timestamp)> {
        let at = |day: &&str| format!("{day}T12:00:00Z").parse().unwrap();
        (1..).zip(days.iter().map(at)).collect()
    }

    fn kept_of(days: &[&str], daily: usize, monthly: usize) -> Vec<u64> {
        let options = PruneOptions::default().keep_daily(daily).keep_monthly(monthly);
        kept(&made(days), &options).into_iter().collect()
    }

    #[test]
    fn the_newest_of_each_day_and_month_are_kept_and_the_newest_always() {
        let days =
            ["2026-01-01", "2026-01-01", "2026-01-30", "2026-02-01", "2026-02-02", "2026-02-02"];
        assert_eq!(kept_of(&days, 0, 0), [6]);
        assert_eq!(kept_of(&days, 1, 0), [6]);
        assert_eq!(kept_of(&days, 2, 0), [4, 6]);
        assert_eq!(kept_of(&days, 0, 2), [3, 6]);
        assert_eq!(kept_of(&days, 3, 2), [3, 4, 6]);
        assert_eq!(kept_of(&days, 14, 12), [2, 3, 4, 6]);
        assert!(kept_of(&[], 14, 12).is_empty());
    }
}
