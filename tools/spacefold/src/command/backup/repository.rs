//! What is done with a repository of backups.

use std::{path::PathBuf, sync::atomic::Ordering};

use clap::Args;
use serde::Serialize;
use spacefold::Timestamp;
use spacefold_archive::{
    ArchiveError, DrillReport, PruneOptions, RepositoryReport, VerifyShare, drill, prune, verify,
};

use super::{failure, open};
use crate::{
    error::{Failure, Status},
    interrupt,
    output::{CellTable, bytes, grouped, number, text},
    progress,
    session::CliSession,
    target,
};

#[derive(Debug, Args)]
pub(crate) struct VerifyBackups {
    /// The folder of the repository, or s3://bucket/prefix.
    #[arg(value_name = "FROM")]
    from: PathBuf,

    /// How much is read: `all`, or a share such as `5%`, of others each time. Whether everything is there
    /// is always looked at.
    #[arg(long, value_name = "SHARE", default_value = "all")]
    read: VerifyShare,
}

#[derive(Debug, Args)]
pub(crate) struct ListBackups {
    /// The folder of the repository, or s3://bucket/prefix.
    #[arg(value_name = "FROM")]
    from: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PruneBackups {
    /// The folder of the repository, or s3://bucket/prefix.
    #[arg(value_name = "FROM")]
    from: PathBuf,

    /// Keep the newest backup of each of the newest N days (in UTC) that have one.
    #[arg(long, value_name = "N", required_unless_present = "keep_monthly")]
    keep_daily: Option<usize>,

    /// Keep the newest backup of each of the newest N months (in UTC) that have one.
    #[arg(long, value_name = "N")]
    keep_monthly: Option<usize>,

    /// Remove nothing, and say what would be.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DrillBackup {
    /// The folder of the repository, or s3://bucket/prefix.
    #[arg(value_name = "FROM")]
    from: PathBuf,

    /// The folder to restore in, which needs the room of the store; that of temporary files unless told.
    #[arg(long, value_name = "DIR")]
    aside: Option<PathBuf>,
}

#[derive(Serialize)]
struct PrintedObjectProblem<'r> {
    object: &'r str,
    what: &'r str,
    backups: &'r [u64],
}

#[derive(Serialize)]
struct PrintedVerify<'r> {
    ok: bool,
    backups: u64,
    objects: u64,
    bytes: u64,
    objects_read: u64,
    bytes_read: u64,
    problems: Vec<PrintedObjectProblem<'r>>,
}

#[derive(Serialize)]
struct PrintedManifest {
    backup: u64,
    created_at: Timestamp,
    head: u64,
    recorded_at: Option<Timestamp>,
    sealed_through: u64,
    chain_hash: String,
    timeline: String,
    parent_timeline: Option<String>,
    parent_position: Option<u64>,
    tool: String,
}

#[derive(Serialize)]
struct PrintedPrune<'r> {
    kept: &'r [u64],
    removed: &'r [u64],
    objects_removed: u64,
    dry_run: bool,
}

#[derive(Serialize)]
struct PrintedDrill<'r> {
    ok: bool,
    backup: u64,
    position: u64,
    recorded_at: Option<Timestamp>,
    state_hash: &'r str,
    commitments: u64,
    content_named: u64,
    content_absent: u64,
    problems: &'r [String],
    recovery_point_seconds: f64,
    recovery_time_seconds: f64,
    seconds: f64,
}

impl VerifyBackups {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repository = open(&self.from)?;
        let bar = progress::spinner();
        bar.set_message("verifying");
        let cancelled = interrupt::cancellation();
        let report = verify(&repository, self.read, &|| cancelled.load(Ordering::Acquire));
        bar.finish_and_clear();
        let report = report.map_err(failure)?;
        self.print(session, &report)?;
        session.output.flush()?;
        match report.problems.len() {
            0 => Ok(()),
            count => Err(Failure::new(
                Status::Damaged,
                format_args!("{} objects are missing or damaged", grouped_count(count)),
                self.from.display(),
                "make a backup to another repository; `restore --backup N` takes one that is whole",
            )),
        }
    }

    fn print(&self, session: &mut CliSession, report: &RepositoryReport) -> Result<(), Failure> {
        if session.json {
            let problems = report.problems.iter().map(|it| PrintedObjectProblem {
                object: &it.object,
                what: &it.what,
                backups: &it.backups,
            });
            return session.output.json(&PrintedVerify {
                ok: report.problems.is_empty(),
                backups: report.backups,
                objects: report.objects,
                bytes: report.bytes,
                objects_read: report.objects_read,
                bytes_read: report.bytes_read,
                problems: problems.collect(),
            });
        }
        for problem in &report.problems {
            let backups: Vec<String> = problem.backups.iter().map(u64::to_string).collect();
            let (object, what) = (&problem.object, &problem.what);
            session.output.line(&format!("{object}: {what} (backups {})", backups.join(", ")))?;
        }
        session.output.line(&format!(
            "{} backups of {} objects, {}; read {} objects, {}",
            grouped(report.backups),
            grouped(report.objects),
            bytes(report.bytes),
            grouped(report.objects_read),
            bytes(report.bytes_read),
        ))
    }
}

impl ListBackups {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repository = open(&self.from)?;
        let head = ["backup", "made at", "events", "recorded at", "timeline"];
        let mut table = CellTable::new().head(head);
        let mut damaged = None;
        for made in repository.numbers().map_err(failure)? {
            interrupt::check()?;
            let manifest = match repository.manifest(made) {
                Ok(manifest) => manifest,
                // One that is pruned meanwhile is none.
                Err(ArchiveError::NoBackup { .. }) => continue,
                Err(error) if error.is_damage() => {
                    damaged = Some(failure(error));
                    continue;
                }
                Err(error) => return Err(failure(error)),
            };
            let identity = manifest.identity();
            if session.json {
                session.output.json(&PrintedManifest {
                    backup: made,
                    created_at: manifest.created_at(),
                    head: manifest.head().get(),
                    recorded_at: manifest.recorded_at(),
                    sealed_through: manifest.chain().0.get(),
                    chain_hash: hex(&manifest.chain().1),
                    timeline: identity.timeline.to_string(),
                    parent_timeline: identity.fork.map(|fork| fork.parent.to_string()),
                    parent_position: identity.fork.map(|fork| fork.position.get()),
                    tool: manifest.tool().to_owned(),
                })?;
                continue;
            }
            let recorded_at = manifest.recorded_at().map_or(String::new(), |at| at.to_string());
            table.row([
                number(made),
                text(manifest.created_at().to_string()),
                number(manifest.head().get()),
                text(recorded_at),
                text(identity.timeline.to_string()),
            ]);
            session.output.many_rows(&mut table)?;
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        damaged.map_or(Ok(()), Err)
    }
}

impl PruneBackups {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repository = open(&self.from)?;
        let options = PruneOptions::default()
            .keep_daily(self.keep_daily.unwrap_or(0))
            .keep_monthly(self.keep_monthly.unwrap_or(0))
            .dry_run(self.dry_run);
        let pruned = prune(&repository, &options).map_err(failure)?;
        if session.json {
            session.output.json(&PrintedPrune {
                kept: &pruned.kept,
                removed: &pruned.removed,
                objects_removed: pruned.objects_removed,
                dry_run: self.dry_run,
            })?;
        } else {
            session.output.line(&format!(
                "{} {} backups and {} objects; {} backups are kept",
                if self.dry_run { "would remove" } else { "removed" },
                grouped_count(pruned.removed.len()),
                grouped(pruned.objects_removed),
                grouped_count(pruned.kept.len()),
            ))?;
        }
        session.output.flush()
    }
}

impl DrillBackup {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repository = open(&self.from)?;
        if let Some(aside) = &self.aside {
            target::check_folder(aside)?;
        }
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("spacefold-drill-");
        let made = match &self.aside {
            Some(aside) => builder.tempdir_in(aside),
            None => builder.tempdir(),
        };
        let hint = "name a folder that can be written with --aside";
        let folder = made.map_err(|error| Failure::caused(&error, "making a folder", hint))?;
        let bar = progress::spinner();
        bar.set_message("restoring aside and checking");
        let report = drill(&repository, folder.path().join("store"));
        bar.finish_and_clear();
        let report = report.map_err(failure)?;
        print_drill(session, &report)?;
        session.output.flush()?;
        if report.is_ok() {
            return Ok(());
        }
        Err(Failure::new(
            Status::Damaged,
            format_args!("backup {} restores to a store that is damaged", report.number),
            self.from.display(),
            "make a backup to another repository, and drill that",
        ))
    }
}

fn print_drill(session: &mut CliSession, report: &DrillReport) -> Result<(), Failure> {
    if session.json {
        return session.output.json(&PrintedDrill {
            ok: report.is_ok(),
            backup: report.number,
            position: report.position.get(),
            recorded_at: report.recorded_at,
            state_hash: &report.state_hash,
            commitments: report.commitments,
            content_named: report.content_named,
            content_absent: report.content_absent,
            problems: &report.problems,
            recovery_point_seconds: report.recovery_point.as_secs_f64(),
            recovery_time_seconds: report.recovery_time.as_secs_f64(),
            seconds: report.took.as_secs_f64(),
        });
    }
    for problem in &report.problems {
        session.output.line(problem)?;
    }
    if report.content_absent > 0 {
        session.output.line(&format!(
            "{} of {} contents that events name were never in the store",
            grouped(report.content_absent),
            grouped(report.content_named),
        ))?;
    }
    session.output.line(&format!(
        "backup {} restores to position {} in {:.1} s; it is {:.0} s old; {} hashes of states compared; \
         state hash {}",
        report.number,
        grouped(report.position.get()),
        report.recovery_time.as_secs_f64(),
        report.recovery_point.as_secs_f64(),
        grouped(report.commitments),
        report.state_hash,
    ))
}

fn grouped_count(count: usize) -> String {
    grouped(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Bytes as digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
