//! `spacefold backup`

mod repository;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use spacefold::{Timestamp, event::id_text};
use spacefold_archive::{
    ArchiveError, Archiver, ArchiverRound, BackupReport, BackupRepository, FolderStorage,
    ObjectStorage,
};
#[cfg(feature = "s3")]
use spacefold_archive::{S3Options, S3Storage};

pub(crate) use self::repository::hex;
use crate::{
    error::{self, Failure, Status, hint_about},
    interrupt,
    output::{Output, bytes, grouped},
    progress,
    session::CliSession,
    target,
    time_span::parse_time,
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// The folder of the repository, which is made where nothing is; or, of a program built with feature
    /// `s3`, s3://bucket/prefix.
    #[arg(value_name = "TO", required = true)]
    to: Option<PathBuf>,

    /// Run on, and make another backup whenever something is new, this often: `10s`, `5m`, `1h`. Ctrl-C
    /// ends it after the one that is under way.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    every: Option<Duration>,

    #[command(subcommand)]
    what: Option<OnRepository>,
}

#[derive(Debug, Subcommand)]
enum OnRepository {
    /// Hold a repository against its hashes: exit 3 where anything is missing or damaged.
    Verify(repository::VerifyBackups),
    /// List the backups in a repository.
    List(repository::ListBackups),
    /// Remove old backups, and what only they need. The newest always stays.
    Prune(repository::PruneBackups),
    /// Restore the newest backup aside, check all of it, and leave a record in the repository.
    Drill(repository::DrillBackup),
}

#[derive(Serialize)]
struct PrintedBackup {
    backup: u64,
    store_id: String,
    timeline: String,
    head: u64,
    recorded_at: Option<Timestamp>,
    sealed_through: u64,
    chain_hash: String,
    created_at: Timestamp,
    /// Whether it has anything that the one before has not.
    new: bool,
    objects_put: u64,
    bytes_put: u64,
    bytes: u64,
    seconds: f64,
    /// Of an archiver that runs on: events that have become durable since.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_events: Option<u64>,
}

impl Backup {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        match (&self.what, &self.to) {
            (Some(OnRepository::Verify(arguments)), _) => arguments.run(session),
            (Some(OnRepository::List(arguments)), _) => arguments.run(session),
            (Some(OnRepository::Prune(arguments)), _) => arguments.run(session),
            (Some(OnRepository::Drill(arguments)), _) => arguments.run(session),
            (None, Some(to)) => self.back_up(to, session),
            // The parser has asked for one of them.
            (None, None) => Ok(()),
        }
    }

    fn back_up(&self, to: &Path, session: &mut CliSession) -> Result<(), Failure> {
        let storage = storage(to)?;
        if !is_url(to) {
            target::check_folder(to)?;
        }
        let mut archiver = Archiver::open(&session.data, storage).map_err(failure)?;
        let Some(every) = self.every else {
            let bar = progress::spinner();
            bar.set_message("backing up");
            let made = archiver.backup();
            bar.finish_and_clear();
            return print(&mut session.output, session.json, &made.map_err(failure)?, None);
        };
        let cancelled = interrupt::cancellation();
        let is_to_end = || cancelled.load(Ordering::Acquire);
        let mut printed = Ok(());
        let (output, json) = (&mut session.output, session.json);
        let has_failed = std::cell::Cell::new(false);
        let ended =
            archiver.run(every, &|| is_to_end() || has_failed.get(), &mut |round| match round {
                ArchiverRound::Made { report, events_behind } => {
                    printed = print(output, json, report, Some(events_behind));
                    has_failed.set(printed.is_err());
                }
                ArchiverRound::Failed { error, newest } => error::warn_of_backup(error, newest),
                _ => {}
            });
        printed?;
        ended.map_err(failure)?;
        interrupt::check()
    }
}

fn print(
    output: &mut Output,
    json: bool,
    report: &BackupReport,
    lag: Option<u64>,
) -> Result<(), Failure> {
    if json {
        output.json(&PrintedBackup {
            backup: report.number,
            store_id: id_text(report.store_id),
            timeline: report.identity.timeline.to_string(),
            head: report.head.get(),
            recorded_at: report.recorded_at,
            sealed_through: report.chain.0.get(),
            chain_hash: hex(&report.chain.1),
            created_at: report.created_at,
            new: report.is_new,
            objects_put: report.objects_put,
            bytes_put: report.bytes_put,
            bytes: report.bytes,
            seconds: report.took.as_secs_f64(),
            lag_events: lag,
        })?;
    } else {
        let behind = lag.map_or(String::new(), |lag| format!(", {} events behind", grouped(lag)));
        output.line(&format!(
            "backup {} of {} events: put {} of {} in {:.1} s{behind}",
            report.number,
            grouped(report.head.get()),
            bytes(report.bytes_put),
            bytes(report.bytes),
            report.took.as_secs_f64(),
        ))?;
    }
    output.flush()
}

/// Whether a place is in no folder.
pub(crate) fn is_url(place: &Path) -> bool {
    place.to_str().is_some_and(|text| text.contains("://"))
}

/// Where a repository is kept: in a folder, or the bucket of a URL.
pub(crate) fn storage(place: &Path) -> Result<Arc<dyn ObjectStorage>, Failure> {
    match place.to_str().filter(|_| is_url(place)) {
        Some(url) => bucket(url),
        None => Ok(Arc::new(FolderStorage::at(place))),
    }
}

/// The bucket of a URL.
#[cfg(feature = "s3")]
fn bucket(url: &str) -> Result<Arc<dyn ObjectStorage>, Failure> {
    match S3Storage::at(url, S3Options::default()) {
        Ok(bucket) => Ok(Arc::new(bucket)),
        Err(error) => Err(Failure::new(
            Status::Usage,
            error,
            url,
            "name a bucket and a prefix, s3://bucket/prefix, and let AWS_ACCESS_KEY_ID, \
             AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL say how it is reached",
        )),
    }
}

/// There is none.
#[cfg(not(feature = "s3"))]
fn bucket(url: &str) -> Result<Arc<dyn ObjectStorage>, Failure> {
    Err(Failure::new(
        Status::Usage,
        "this program keeps backups in folders: a URL is none",
        url,
        "name the path of a folder, which may be of another machine's disk; a program that was built \
         with feature `s3` takes s3://bucket/prefix",
    ))
}

/// The repository that is there.
pub(crate) fn open(place: &Path) -> Result<BackupRepository, Failure> {
    BackupRepository::open(storage(place)?).map_err(failure)
}

/// How a command ends that a repository is in the way of.
pub(crate) fn failure(error: ArchiveError) -> Failure {
    let told = |status, place: &str, hint: &str| Failure::new(status, &error, place, hint);
    const REPOSITORY: &str = "the repository of backups";
    match &error {
        ArchiveError::Store(_) | ArchiveError::Read(_) => {}
        ArchiveError::Cancelled => return Failure::interrupted(),
        error if error.is_damage() => {
            return told(
                Status::Damaged,
                REPOSITORY,
                "`spacefold backup verify FROM` says what is damaged, and which backups need it; \
                 `restore --backup N` takes another one",
            );
        }
        ArchiveError::NoRepository { .. } => {
            return told(Status::Failed, REPOSITORY, "make one with `spacefold backup TO`");
        }
        ArchiveError::NotARepository { .. } => {
            return told(
                Status::Failed,
                REPOSITORY,
                "name a folder that is empty or not there yet",
            );
        }
        ArchiveError::UnknownFormat { .. } => {
            let hint = "use the version of spacefold that wrote it, or a newer one";
            return told(Status::Failed, REPOSITORY, hint);
        }
        ArchiveError::OtherStore { .. } => {
            let hint = "name the store that it is of, or another repository";
            return told(Status::Failed, REPOSITORY, hint);
        }
        ArchiveError::OtherCourse { .. } => {
            return told(
                Status::Failed,
                REPOSITORY,
                "name another repository for this store: what is in this one stays as it is",
            );
        }
        ArchiveError::AnotherArchiver { .. } => {
            return told(
                Status::Failed,
                REPOSITORY,
                "let one archiver run at a time: end one of them, then run the command again",
            );
        }
        ArchiveError::NoBackup { .. } => {
            let hint = "`spacefold backup list FROM` lists the backups";
            return told(Status::Unknown, REPOSITORY, hint);
        }
        ArchiveError::Beyond { .. } | ArchiveError::BeforeFirst { .. } => {
            return told(
                Status::Unknown,
                "the point that was asked for",
                "`spacefold backup list FROM` says how far each backup goes",
            );
        }
        ArchiveError::NothingFits { .. } => {
            let hint = "name the repository of this store's backups; nothing was changed";
            return told(Status::Failed, REPOSITORY, hint);
        }
        ArchiveError::NotEmpty { .. } => {
            let hint = "name a path where nothing is, or an empty folder";
            return told(Status::Failed, "the store to be made", hint);
        }
        _ => {
            let hint = hint_about(&error, "check the disk and the repository, then run it again");
            return told(Status::Failed, REPOSITORY, hint);
        }
    }
    match error {
        ArchiveError::Store(error) => error.into(),
        ArchiveError::Read(error) => error.into(),
        error => Failure::new(Status::Failed, error, REPOSITORY, "run the command again"),
    }
}
