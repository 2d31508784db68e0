//! `spacefold restore`

use std::{cell::Cell, path::PathBuf, sync::atomic::Ordering, time::Duration};

use clap::Args;
use serde::Serialize;
use spacefold::{Position, Timestamp, event::id_text, log::StoreMode};
use spacefold_archive::{
    ArchiveFollower, BackupRepository, FollowedBackup, RestoreOptions, RestorePlan, RestorePoint,
    RestoreReport, plan_restore, restore,
};

use super::backup::{failure, hex, open};
use crate::{
    error::{Failure, warn_of_archive},
    interrupt,
    output::{Output, bytes, grouped},
    progress,
    session::CliSession,
    target,
    time_span::parse_time,
};

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder of the repository, or s3://bucket/prefix.
    #[arg(value_name = "FROM")]
    from: PathBuf,

    /// The folder of the store to be made: nothing is there, or an empty folder.
    #[arg(value_name = "TO")]
    to: PathBuf,

    /// Restore everything up to this position, and nothing behind it. An append that goes on beyond it is
    /// cut there.
    #[arg(long, value_name = "N", conflicts_with = "to_time")]
    to_position: Option<u64>,

    /// Restore everything that was recorded at this time or before.
    #[arg(long, value_name = "TIME")]
    to_time: Option<Timestamp>,

    /// Of this backup; of the newest unless told. `spacefold backup list` lists them.
    #[arg(long, value_name = "NUMBER")]
    backup: Option<u64>,

    /// Write nothing, and say what would be restored.
    #[arg(long)]
    dry_run: bool,

    /// Go on after that: take over every backup that is made, until Ctrl-C. The store may be read meanwhile,
    /// and goes on by itself once it is opened to be written. One that has followed before goes on.
    #[arg(long, conflicts_with_all = ["to_position", "to_time", "backup", "dry_run"])]
    follow: bool,

    /// How often it is looked for a new backup with --follow: `10s`, `5m`, `1h`.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s",
          requires = "follow")]
    every: Duration,

    /// The mode of the store, such as 0750 for a group that may read it; 0700 unless told.
    #[arg(long, value_name = "MODE")]
    mode: Option<StoreMode>,
}

#[derive(Serialize)]
struct PrintedPlan {
    dry_run: bool,
    backup: u64,
    created_at: Timestamp,
    store_id: String,
    timeline: String,
    position: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct PrintedRestore {
    backup: u64,
    store_id: String,
    timeline: String,
    parent_timeline: Option<String>,
    position: u64,
    recorded_at: Option<Timestamp>,
    sealed_through: u64,
    chain_hash: String,
    state_hash: String,
    bytes: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct PrintedFollowed {
    /// Not yet known of what was there when it began.
    backup: Option<u64>,
    head: u64,
    events: u64,
    contents: u64,
    content_absent: u64,
}

impl Restore {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repository = open(&self.from)?;
        if self.follow {
            return self.follow(repository, session);
        }
        let options = self.options();
        if self.dry_run {
            let plan = plan_restore(&repository, &options).map_err(failure)?;
            print_plan(&mut session.output, session.json, &plan)?;
            return session.output.flush();
        }
        target::check_store(&self.to)?;
        let bar = progress::spinner();
        bar.set_message("restoring");
        let restored = restore(&repository, &self.to, &options);
        bar.finish_and_clear();
        print(&mut session.output, session.json, &restored.map_err(failure)?)?;
        session.output.flush()
    }

    /// Takes over backups until it is interrupted.
    fn follow(&self, from: BackupRepository, session: &mut CliSession) -> Result<(), Failure> {
        let mode = self.mode.unwrap_or_default();
        let mut follower = ArchiveFollower::open(from, &self.to, mode).map_err(failure)?;
        let cancelled = interrupt::cancellation();
        let (output, json) = (&mut session.output, session.json);
        print_followed(output, json, None, follower.head())?;
        let mut printed = Ok(());
        let has_failed = Cell::new(false);
        let is_to_end = || cancelled.load(Ordering::Acquire) || has_failed.get();
        let ended = follower.run(self.every, &is_to_end, &mut |round| match round {
            Ok(round) => {
                printed = print_followed(output, json, Some(round), round.head);
                has_failed.set(printed.is_err());
            }
            Err(error) => warn_of_archive(error),
        });
        let closed = follower.close();
        printed?;
        ended.map_err(failure)?;
        closed?;
        interrupt::check()
    }

    fn options(&self) -> RestoreOptions {
        let point = match (self.to_position, self.to_time) {
            (Some(position), _) => RestorePoint::At(Position::new(position)),
            (None, Some(time)) => RestorePoint::AsOf(time),
            (None, None) => RestorePoint::Newest,
        };
        let mut options = RestoreOptions::default().to(point);
        if let Some(mode) = self.mode {
            options = options.mode(mode);
        }
        self.backup.map_or(options, |number| options.backup(number))
    }
}

fn print_followed(
    output: &mut Output,
    json: bool,
    round: Option<&FollowedBackup>,
    head: Position,
) -> Result<(), Failure> {
    if json {
        output.json(&PrintedFollowed {
            backup: round.map(|round| round.number),
            head: head.get(),
            events: round.map_or(0, |round| round.events),
            contents: round.map_or(0, |round| round.contents),
            content_absent: round.map_or(0, |round| round.absent),
        })?;
    } else {
        let at = grouped(head.get());
        output.line(&match round {
            Some(round) => {
                format!("backup {}: {} events, now at {at}", round.number, grouped(round.events))
            }
            None => format!("following at position {at}"),
        })?;
    }
    output.flush()
}

fn print_plan(output: &mut Output, json: bool, plan: &RestorePlan) -> Result<(), Failure> {
    if json {
        return output.json(&PrintedPlan {
            dry_run: true,
            backup: plan.number,
            created_at: plan.created_at,
            store_id: id_text(plan.store_id),
            timeline: plan.identity.timeline.to_string(),
            position: plan.position.get(),
            bytes: plan.bytes,
        });
    }
    output.line(&format!(
        "would restore position {} of store {} from backup {}, made at {}: {}",
        grouped(plan.position.get()),
        id_text(plan.store_id),
        plan.number,
        plan.created_at,
        bytes(plan.bytes),
    ))
}

fn print(output: &mut Output, json: bool, restored: &RestoreReport) -> Result<(), Failure> {
    if json {
        return output.json(&PrintedRestore {
            backup: restored.number,
            store_id: id_text(restored.store_id),
            timeline: restored.identity.timeline.to_string(),
            parent_timeline: restored.identity.fork.map(|fork| fork.parent.to_string()),
            position: restored.position.get(),
            recorded_at: restored.recorded_at,
            sealed_through: restored.chain.0.get(),
            chain_hash: hex(&restored.chain.1),
            state_hash: restored.state_hash.clone(),
            bytes: restored.bytes,
            seconds: restored.took.as_secs_f64(),
        });
    }
    let recorded = restored.recorded_at.map_or(String::new(), |at| format!(", recorded at {at}"));
    output.line(&format!(
        "restored position {}{recorded}, of backup {} in {:.1} s",
        grouped(restored.position.get()),
        restored.number,
        restored.took.as_secs_f64(),
    ))?;
    output.line(&format!("store      {}", id_text(restored.store_id)))?;
    output.line(&format!("timeline   {}", restored.identity.timeline))?;
    let (through, hash) = restored.chain;
    output.line(&format!("chain hash {} (through position {through})", hex(&hash)))?;
    output.line(&format!("state hash {}", restored.state_hash))
}
