//! `spacefold rebuild`

use std::num::{NonZeroU64, NonZeroUsize};

use clap::Args;
use serde::Serialize;
use spacefold::{
    Position,
    admin::{Divergence, RebuildMode, RebuildOptions, RebuildOutcome, Resume, Verdict},
    state::SpaceStates,
};

use crate::{
    error::{Failure, Status},
    interrupt,
    output::Output,
    progress,
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// Which projections; all when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Compare only: change nothing, and exit with 3 on divergence. Where nothing is persisted yet there
    /// is nothing to compare.
    #[arg(long)]
    check: bool,

    /// How many threads fold the states of spaces; as many as there are processors unless told.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Begin at the first event, whatever an earlier run that was cut short has folded.
    #[arg(long)]
    restart: bool,

    /// Read at most this many events a second.
    #[arg(long, value_name = "EVENTS_PER_SECOND")]
    max_rate: Option<NonZeroU64>,

    /// How much memory the new states of spaces may take, in MiB.
    #[arg(long, value_name = "MIB", default_value = "128")]
    memory: NonZeroU64,
}

#[derive(Serialize)]
struct PrintedRebuild {
    head: u64,
    projections: Vec<PrintedOutcome>,
}

#[derive(Serialize)]
struct PrintedOutcome {
    name: &'static str,
    version: u32,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    old_hash: Option<String>,
    new_hash: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_divergence: Option<Divergence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_from: Option<u64>,
}

impl Rebuild {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let cancel = interrupt::cancellation();
        let store = session.open_unguarded()?;
        let head = store.durable_head().get();
        let bar = progress::events("folding", head);
        let show = |events| bar.set_position(events);
        let defaults =
            RebuildOptions::new(if self.check { RebuildMode::Check } else { RebuildMode::Replace });
        let options = RebuildOptions {
            threads: self.threads.unwrap_or(defaults.threads),
            progress: &show,
            resume: if self.restart { Resume::Restart } else { Resume::GoOn },
            max_rate: self.max_rate,
            memory_bytes: self.memory.get().saturating_mul(1 << 20),
            cancel: Some(cancel),
            ..defaults
        };
        let outcomes = store.admin().rebuild(&self.names, &options);
        bar.finish_and_clear();
        // What was folded is kept also when the rebuild did not end.
        let closed = store.close();
        let outcomes = outcomes?;
        closed?;
        let printed = if session.json {
            let projections = outcomes.iter().map(PrintedOutcome::from).collect();
            session.output.json(&PrintedRebuild { head, projections })
        } else {
            print(&outcomes, &mut session.output)
        };
        match (printed.and_then(|()| session.output.flush()), diverged(&outcomes)) {
            // Whoever has read enough is told the verdict all the same.
            (Ok(()) | Err(Failure::ClosedPipe), Some(diverged)) => Err(divergence(diverged)),
            (printed, _) => printed,
        }
    }
}

fn diverged(outcomes: &[RebuildOutcome]) -> Option<&RebuildOutcome> {
    outcomes.iter().find(|outcome| matches!(outcome.verdict, Verdict::Diverged))
}

fn divergence(diverged: &RebuildOutcome) -> Failure {
    let place = diverged.first_divergence.as_ref().map_or_else(
        || "no single space".to_owned(),
        |first| format!("space {:?} at position {}", first.space_id, first.position),
    );
    Failure::new(
        Status::Damaged,
        format_args!("projection {} parts from the fold of the events", diverged.name),
        place,
        "run it again without --check to put the new one in",
    )
}

impl From<&RebuildOutcome> for PrintedOutcome {
    fn from(outcome: &RebuildOutcome) -> Self {
        Self {
            name: outcome.name,
            version: outcome.version,
            events: outcome.events,
            seconds: outcome.seconds,
            events_per_second: events_per_second(outcome),
            old_hash: outcome.old_hash.clone(),
            new_hash: outcome.new_hash.clone(),
            verdict: outcome.verdict.name(),
            first_divergence: outcome.first_divergence.clone(),
            resumed_from: outcome.resumed_from.map(Position::get),
        }
    }
}

fn print(outcomes: &[RebuildOutcome], output: &mut Output) -> Result<(), Failure> {
    for outcome in outcomes {
        let old_hash = outcome.old_hash.as_deref().unwrap_or("none");
        let entries = if outcome.name == SpaceStates::NAME { "spaces" } else { "rows  " };
        output
            .line(&format!("{} version {}: {}", outcome.name, outcome.version, outcome.verdict))?;
        if let Some(position) = outcome.resumed_from {
            output.line(&format!(
                "  went on from position {position}, where an earlier run was cut short"
            ))?;
        }
        output.line(&format!("  events      {}", outcome.events))?;
        output.line(&format!("  seconds     {:.3}", outcome.seconds))?;
        output.line(&format!("  events/s    {:.0}", events_per_second(outcome)))?;
        output.line(&format!("  {entries}      {}", outcome.entries))?;
        output.line(&format!("  state hash  {old_hash}"))?;
        output.line(&format!("           -> {}", outcome.new_hash))?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a rate is shown rounded")]
fn events_per_second(outcome: &RebuildOutcome) -> f64 {
    if outcome.seconds > 0.0 { outcome.events as f64 / outcome.seconds } else { 0.0 }
}
