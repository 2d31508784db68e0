//! Measures spacefold beside other storage engines: the same events, the same durability, in one
//! run. `compare run` measures, `compare table` writes the page that shows the newest results.

mod child;
mod fold;
mod front;
mod machine;
mod measure;
mod record;
mod report;
mod row;
mod settings;
mod subject;
mod table;
mod workload;

use std::{collections::BTreeMap, io::Write, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::{machine::Machine, report::Report, row::Row, settings::Settings, subject::Kind};

/// spacefold beside other storage engines.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures rows and keeps the raw data.
    Run(Run),
    /// Counts the system calls of each subject's commits with strace: the row `syncs`.
    Strace(Run),
    /// Writes `README.md` beside the raw data: the newest of each row, as tables.
    Table {
        /// Where the raw data is.
        #[arg(long, default_value = "benches/results")]
        results: PathBuf,
    },
    #[command(hide = true)]
    Child { task: String },
}

#[derive(Args)]
struct Run {
    /// Which rows; all but `syncs` when none is named.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Who takes part; all when none is named.
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<Kind>,
    /// Events of a loaded store.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Distinct spaces.
    #[arg(long, default_value_t = 1_000)]
    spaces: u64,
    /// Slices of the rows that interleave the subjects in one process.
    #[arg(long, default_value_t = 101)]
    slices: usize,
    /// Rounds of the rows that give every subject a process of its own.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds after which a case begins no further slice.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Where stores are made: on a real disk, not in memory.
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
    /// Where the raw data is kept; nothing is kept without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What the events and the order of the subjects are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What a reader of the figures should know, such as what else the machine was doing.
    #[arg(long)]
    note: Option<String>,
    /// Measures next to nothing, to see whether it all works.
    #[arg(long)]
    smoke: bool,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(run) => measure(run),
        Command::Strace(mut run) => {
            run.rows = vec![Row::Syncs];
            measure(run)
        }
        Command::Table { results } => table::write(&results),
        Command::Child { task } => child::work(&task),
    }
}

fn measure(run: Run) -> Result<()> {
    const DEFAULT_ROWS: [Row; 5] = [Row::Append, Row::Producers, Row::Bulk, Row::Open, Row::Replay];
    let rows = if run.rows.is_empty() { DEFAULT_ROWS.to_vec() } else { run.rows.clone() };
    let settings = settings(&run);
    std::fs::create_dir_all(&settings.folder)
        .with_context(|| format!("making {}", settings.folder.display()))?;
    let command: Vec<String> = std::env::args().skip(1).collect();
    for row in rows {
        let samples = row.measure(&settings).with_context(|| format!("row {}", row.name()))?;
        let report = Report {
            row: row.name().to_owned(),
            date: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            command: format!("compare {}", command.join(" ")),
            revision: machine::revision(),
            machine: Machine::here(&settings.folder),
            settings: described(&settings, run.note.as_ref()),
            samples,
        };
        writeln!(std::io::stdout(), "{}", table::section(&report))?;
        if let Some(out) = &run.out {
            report.save(out)?;
        }
    }
    Ok(())
}

fn described(settings: &Settings, note: Option<&String>) -> BTreeMap<String, String> {
    let mut described = settings.describe();
    described.extend(note.map(|note| ("note".to_owned(), note.clone())));
    described
}

fn settings(run: &Run) -> Settings {
    let subjects = if run.subjects.is_empty() { Kind::all() } else { run.subjects.clone() };
    let mut settings = Settings {
        subjects,
        events: run.events,
        spaces: run.spaces,
        slices: run.slices,
        rounds: run.rounds,
        limit: Duration::from_secs(run.seconds),
        folder: run.dir.clone(),
        seed: run.seed,
        smoke: run.smoke,
    };
    if run.smoke {
        settings.events = settings.events.min(20_000);
        settings.slices = settings.slices.min(2);
        settings.rounds = 1;
    }
    settings
}
