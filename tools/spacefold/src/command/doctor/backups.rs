//! What a repository says of the backups of a store.

use std::path::Path;

use spacefold::{CachePlace, Folding, Options, Timestamp};
use spacefold_archive::{BackupManifest, BackupRepository, last_drill};

use super::{FindingVerdict, Findings};
use crate::{command::backup::storage, error::Failure, output::grouped};

/// Microseconds of a day.
const DAY: i64 = 24 * 3_600 * 1_000_000;
/// Days after which a backup is old.
const OLD_BACKUP: i64 = 1;
/// Days after which a drill is old.
const OLD_DRILL: i64 = 35;

/// Looks at the newest backup and drill. What does not read is a finding too.
pub(super) fn look(store: &Path, place: &Path, found: &mut Findings) -> Result<(), Failure> {
    match BackupRepository::open(storage(place)?) {
        Ok(repository) => look_into(store, &repository, found),
        Err(error) => {
            let advice = "make one with `spacefold backup TO`, or name the one that there is";
            found.wrong("backup", error, advice);
        }
    }
    Ok(())
}

fn look_into(store: &Path, repository: &BackupRepository, found: &mut Findings) {
    let options = Options::new(store).folding(Folding::OnDemand).cache(CachePlace::Memory);
    // That it does not open is said already.
    let Ok(followed) = options.follow() else { return };
    let (store_id, head) = (followed.log().store_id(), followed.durable_head());
    followed.close();
    if repository.store_id() != store_id {
        let advice = "name the repository of this store's backups";
        return found.wrong("backup", "the repository is of another store", advice);
    }
    match repository.newest() {
        Ok(Some(newest)) => say_newest(&newest, head.since(newest.head()), found),
        Ok(None) => found.wrong("backup", "there is none", "make one with `spacefold backup TO`"),
        Err(error) => {
            let advice =
                "`spacefold backup verify FROM` says what is damaged; back up elsewhere too";
            found.add("backup", FindingVerdict::Damaged, error, Some(advice));
        }
    }
    match last_drill(repository) {
        Ok(Some(drill)) => {
            let took = drill.recovery_time.as_secs_f64();
            let at = drill.started_at;
            let what = format!("of backup {}, at {at}, restored in {took:.1} s", drill.number);
            let advice = "run `spacefold backup drill FROM` on a timer";
            match (drill.is_ok, age_days(at) < OLD_DRILL) {
                (false, _) => {
                    let advice = "make a backup to another repository, and drill that";
                    found.wrong("drill", format_args!("{what}: it found damage"), advice);
                }
                (true, false) => found.note("drill", what, advice),
                (true, true) => found.good("drill", what),
            }
        }
        Ok(None) => found.note(
            "drill",
            "no backup was ever restored to see that it can be",
            "run `spacefold backup drill FROM`, and then on a timer",
        ),
        Err(error) => found.note("drill", error, "run `spacefold backup drill FROM` again"),
    }
}

fn say_newest(newest: &BackupManifest, behind: u64, found: &mut Findings) {
    let (number, at) = (newest.number(), newest.created_at());
    let what = format!("{number}, made at {at}, {} events behind", grouped(behind));
    if age_days(at) < OLD_BACKUP || behind == 0 {
        found.good("backup", what);
    } else {
        let advice = "let `spacefold backup TO --every 10s` run, or run it on a timer";
        found.wrong("backup", what, advice);
    }
}

/// Whole days since then.
fn age_days(then: Timestamp) -> i64 {
    Timestamp::now().as_micros().saturating_sub(then.as_micros()) / DAY
}
