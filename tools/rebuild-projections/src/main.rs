//! Folds the projections of a store anew from the first event, beside the live ones, and swaps
//! each in once it is complete; or only compares.

mod failure;
// What the command line does about its limits this tool does too.
#[path = "../../spacefold/src/limits.rs"]
mod limits;

use std::{
    env,
    io::{self, IsTerminal, Write},
    num::{NonZeroU64, NonZeroUsize},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{self, Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use spacefold::{
    AheadOfClock, EmbeddedLog, LogReader, Position, Projections, RebuildMode, RebuildOptions,
    RebuildOutcome, Resume, Shipped, SpaceStates, Verdict, rebuild,
};

use self::failure::{Failure, Status};

/// Says how many arenas the allocator has.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Folds projections anew from the first event, compares them, and swaps them in.
#[derive(Debug, Parser)]
#[command(name = "rebuild-projections", version)]
struct Arguments {
    /// Which projections; all when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// The folder of the store.
    #[arg(
        long,
        value_name = "DIR",
        env = "SPACEFOLD_DATA",
        hide_env_values = true,
        default_value = "./spacefold-data"
    )]
    data: PathBuf,

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

    /// Read so many events a second at the most.
    #[arg(long, value_name = "EVENTS_PER_SECOND")]
    max_rate: Option<NonZeroU64>,

    /// How much memory the new states of spaces may take, in MiB.
    #[arg(long, value_name = "MIB", default_value = "128")]
    memory: NonZeroU64,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed {
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
    first_divergence: Option<PrintedDivergence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_from: Option<u64>,
}

#[derive(Serialize)]
struct PrintedDivergence {
    space_id: String,
    position: u64,
}

fn main() -> ExitCode {
    let arguments: Arguments = failure::parse_arguments();
    share_arenas();
    limits::turn_signals_into_errors();
    let begun = limits::make_sure_of_the_stack().map_err(|error| {
        let hint = failure::hint_about(&error, "run it again");
        Failure::new(Status::Failed, error, "before anything", hint)
    });
    match begun.and_then(|()| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Begins anew with two arenas for all threads, unless told how many. glibc gives each thread one of
/// its own, which keeps what was freed in it: of 10 M events that made 180 MB of 550. How many
/// there are is read from the environment, when a process begins.
fn share_arenas() {
    if env::var_os(ARENAS).is_none()
        && let Ok(program) = env::current_exe()
    {
        // It comes back only when it failed: then more memory is taken, and nothing else.
        let _ = Command::new(program).args(env::args_os().skip(1)).env(ARENAS, "2").exec();
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    cancel_on_interrupt();
    let log = EmbeddedLog::open_existing(&arguments.data)?;
    if let Some(ahead) = log.ahead_of_clock()?.filter(AheadOfClock::is_long) {
        failure::warn_of_clock(&ahead);
    }
    let head = log.durable_head();
    let progress = progress(head.get());
    let show = |events| progress.set_position(events);
    let options = options(arguments, &show);
    let outcomes = rebuild_all(&log, &arguments.names, &options);
    progress.finish_and_clear();
    // What was folded is kept also when the rebuild did not end.
    let closed = log.close();
    let outcomes = outcomes?;
    closed?;
    let text = if arguments.json { json(head.get(), &outcomes) } else { table(&outcomes) };
    print(&text)?;
    match outcomes.iter().find(|outcome| matches!(outcome.verdict, Verdict::Diverged)) {
        None => Ok(()),
        Some(diverged) => Err(divergence(diverged)),
    }
}

fn rebuild_all(
    log: &EmbeddedLog,
    names: &[String],
    options: &RebuildOptions<'_>,
) -> Result<Vec<RebuildOutcome>, Failure> {
    let projections = Projections::new(Arc::new(log.clone()), Arc::new(log.clone()));
    Shipped::register(&projections)?;
    Ok(rebuild(&projections, names, options)?)
}

fn options<'a>(arguments: &Arguments, progress: &'a (dyn Fn(u64) + Sync)) -> RebuildOptions<'a> {
    let mode = if arguments.check { RebuildMode::Check } else { RebuildMode::Replace };
    let defaults = RebuildOptions::new(mode);
    RebuildOptions {
        threads: arguments.threads.unwrap_or(defaults.threads),
        progress,
        resume: if arguments.restart { Resume::Restart } else { Resume::GoOn },
        max_rate: arguments.max_rate,
        memory_bytes: arguments.memory.get().saturating_mul(1 << 20),
        cancel: Some(&CANCELLED),
        ..defaults
    }
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

/// Set by Ctrl-C: the rebuild keeps what it has folded, and ends.
static CANCELLED: AtomicBool = AtomicBool::new(false);

fn cancel_on_interrupt() {
    // Without a handler Ctrl-C still ends the process, as a kill does: what was kept last counts.
    let _ = ctrlc::set_handler(|| {
        if CANCELLED.swap(true, Ordering::AcqRel) {
            // Pressed again.
            process::exit(Status::Interrupted.code().into());
        }
    });
}

fn progress(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("our own template is valid");
    let bar = ProgressBar::new(total).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn json(head: u64, outcomes: &[RebuildOutcome]) -> String {
    let printed =
        Printed { head, projections: outcomes.iter().map(PrintedOutcome::from).collect() };
    let mut json = serde_json::to_string(&printed).expect("our own values are valid JSON");
    json.push('\n');
    json
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
            first_divergence: outcome.first_divergence.as_ref().map(|first| PrintedDivergence {
                space_id: first.space_id.clone(),
                position: first.position.get(),
            }),
            resumed_from: outcome.resumed_from.map(Position::get),
        }
    }
}

fn table(outcomes: &[RebuildOutcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let old_hash = outcome.old_hash.as_deref().unwrap_or("none");
        let entries = if outcome.name == SpaceStates::NAME { "spaces" } else { "rows  " };
        let resumed = outcome.resumed_from.map_or_else(String::new, |position| {
            format!("  went on from position {position}, where an earlier run was cut short\n")
        });
        text.push_str(&format!(
            "{} version {}: {}\n{resumed}  events      {}\n  seconds     {:.3}\n  events/s    {:.0}\n  \
             {entries}      {}\n  state hash  {old_hash}\n           -> {}\n",
            outcome.name,
            outcome.version,
            outcome.verdict,
            outcome.events,
            outcome.seconds,
            events_per_second(outcome),
            outcome.entries,
            outcome.new_hash,
        ));
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "a rate is shown rounded")]
fn events_per_second(outcome: &RebuildOutcome) -> f64 {
    if outcome.seconds > 0.0 { outcome.events as f64 / outcome.seconds } else { 0.0 }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read our output has enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| {
            Failure::new(
                Status::Failed,
                format_args!("the output cannot be written: {error}"),
                "standard output",
                failure::hint_about(&error, "make room where it goes, and run the command again"),
            )
        }),
    }
}
