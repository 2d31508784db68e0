//! `spacefold demo`

use std::{io::BufReader, path::PathBuf, time::Instant};

use clap::Args;
use flate2::bufread::MultiGzDecoder;
use spacefold::{
    Delivery, Folding, Position, Snapshot, SpaceEvent, Spacefold, Subscription,
    admin::{ImportOptions, ImportReport, RebuildMode, RebuildOptions},
};
use spacefold_event_core::bytes::to_u64;
use tempfile::TempDir;

use super::serve::Serve;
use crate::{
    error::{Failure, Status},
    interrupt,
    output::grouped,
    session::{CliSession, NewStore},
};

/// The history of a book's repository, one event a line.
const SAMPLE: &[u8] = include_bytes!("../../../../tests/fixtures/book.jsonl.gz");

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Serve the history instead, to be looked at in a browser at the URL that is printed, until Ctrl-C.
    #[arg(long)]
    serve: bool,
}

/// The guided tour.
struct Tour<'a> {
    session: &'a mut CliSession,
    step: u32,
}

impl Demo {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let folder = temporary_folder()?;
        session.data = folder.path().join("data");
        if self.serve {
            return Serve::at_this_machine().serve(session, |session| {
                let store = session.open(Folding::Live, NewStore::default())?;
                import_sample(&store)?;
                Ok(store.into())
            });
        }
        let store = session.open(Folding::OnDemand, NewStore::default())?;
        let mut tour = Tour { session, step: 0 };
        let toured = tour.walk(&store);
        let closed = store.close();
        toured?;
        closed?;
        tour.farewell()
    }
}

fn temporary_folder() -> Result<TempDir, Failure> {
    tempfile::Builder::new().prefix("spacefold-demo-").tempdir().map_err(|error| {
        Failure::new(
            Status::Failed,
            format_args!("there is no room for the demo: {error}"),
            std::env::temp_dir().display(),
            "name another folder for temporary files in TMPDIR",
        )
    })
}

fn import_sample(store: &Spacefold) -> Result<ImportReport, Failure> {
    let sample = BufReader::new(MultiGzDecoder::new(SAMPLE));
    store.import(sample, &ImportOptions::default(), &mut ()).map_err(|error| {
        let hint = "check that there is room for temporary files";
        Failure::caused(&error, "the bundled history", hint)
    })
}

impl Tour<'_> {
    fn walk(&mut self, store: &Spacefold) -> Result<(), Failure> {
        self.say("This is the history of a real book, kept by its authors from 2015 on: every")?;
        self.say("change to a chapter is an event. It goes into a store in a temporary folder.")?;
        let head = self.import(store)?;
        let largest = self.snapshot(store)?;
        let middle = self.travel(store, &largest, head)?;
        self.diff(store, largest.space_id(), middle, head)?;
        self.subscribe(store, largest.space_id())?;
        self.rebuild(store)
    }

    fn import(&mut self, store: &Spacefold) -> Result<Position, Failure> {
        self.begin("Import: every event durable, in order, once")?;
        let import = |what: &str, tour: &mut Self| {
            let start = Instant::now();
            let report = import_sample(store)?;
            let seconds = start.elapsed().as_secs_f64();
            let (appended, present) = (report.appended, report.already_present);
            tour.figure(&format!(
                "{what}: {} events appended, {} already present, in {}, {}",
                grouped(appended),
                grouped(present),
                shown(seconds),
                rate(report.read, seconds),
            ))?;
            Ok::<Position, Failure>(report.head)
        };
        import("the file", self)?;
        import("the same file again", self)
    }

    fn snapshot(&mut self, store: &Spacefold) -> Result<Snapshot, Failure> {
        self.begin("Snapshot: what every space looks like now, folded from its events")?;
        let start = Instant::now();
        let all = store.snapshot_all()?;
        let seconds = start.elapsed().as_secs_f64();
        let events = store.durable_head().get();
        self.figure(&format!(
            "{} spaces from {} events in {}, {}",
            all.len(),
            grouped(events),
            shown(seconds),
            rate(events, seconds),
        ))?;
        let largest = all
            .into_iter()
            .max_by_key(|snapshot| snapshot.revision())
            .ok_or_else(|| Failure::unknown_space("book", "in the bundled history"))?;
        let start = Instant::now();
        let again = store.snapshot(largest.space_id())?;
        let seconds = start.elapsed().as_secs_f64();
        self.figure(&format!(
            "{:?} once more in {}: {} documents at revision {}",
            again.space_id(),
            shown(seconds),
            grouped(to_u64(again.document_count())),
            grouped(again.revision().get()),
        ))?;
        Ok(largest)
    }

    fn travel(
        &mut self,
        store: &Spacefold,
        now: &Snapshot,
        head: Position,
    ) -> Result<Position, Failure> {
        self.begin("Time travel: the same space at any position of its past")?;
        let middle = Position::new(head.get() / 2);
        for position in [middle, Position::new(head.get() / 4 * 3), head] {
            let start = Instant::now();
            let shown_state = match store.at(position).snapshot(now.space_id()) {
                Ok(then) => format!(
                    "{} documents, last touched {}",
                    grouped(to_u64(then.document_count())),
                    then.updated_at()
                ),
                Err(spacefold::SnapshotError::UnknownSpace { .. }) => "not there yet".to_owned(),
                Err(error) => return Err(error.into()),
            };
            let seconds = start.elapsed().as_secs_f64();
            self.figure(&format!(
                "at position {}: {shown_state} (in {})",
                grouped(position.get()),
                shown(seconds)
            ))?;
        }
        Ok(middle)
    }

    fn diff(
        &mut self,
        store: &Spacefold,
        space_id: &str,
        from: Position,
        to: Position,
    ) -> Result<(), Failure> {
        self.begin("Difference: what changed in between, as typed changes")?;
        let start = Instant::now();
        let changes = store.diff(space_id, from..to)?;
        let seconds = start.elapsed().as_secs_f64();
        self.figure(&format!(
            "{} changes from {} to {} in {}",
            grouped(to_u64(changes.len())),
            grouped(from.get()),
            grouped(to.get()),
            shown(seconds),
        ))?;
        for change in changes.iter().take(3) {
            let json = change.to_json();
            let cut: String = json.chars().take(110).collect();
            let dots = if cut.len() < json.len() { "…" } else { "" };
            self.figure(&format!("{cut}{dots}"))?;
        }
        Ok(())
    }

    /// A subscriber that comes late: all that has happened, then what happens.
    fn subscribe(&mut self, store: &Spacefold, space_id: &str) -> Result<(), Failure> {
        self.begin("Subscription: a late subscriber gets the history, then what happens live")?;
        let mut late = store.subscribe(Subscription::from_start().spaces([space_id]))?;
        let start = Instant::now();
        let mut events = 0;
        let caught_up = loop {
            match late.recv()? {
                Delivery::Events(page) => events += to_u64(page.len()),
                Delivery::CaughtUp { position } => break position,
                _ => {}
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        self.figure(&format!(
            "history: {} events of {space_id:?} in {}; caught up at position {}",
            grouped(events),
            shown(seconds),
            grouped(caught_up.get()),
        ))?;
        let event = SpaceEvent::variable_set(space_id, "toured", true);
        let receipt = store.append([event])?;
        let start = Instant::now();
        if let Delivery::Events(page) = late.recv()? {
            for event in page.envelopes() {
                self.figure(&format!(
                    "live: {} at position {}, received {} after it was appended",
                    event.event_type.name(),
                    grouped(receipt.last_position().get()),
                    shown(start.elapsed().as_secs_f64()),
                ))?;
            }
        }
        Ok(())
    }

    fn rebuild(&mut self, store: &Spacefold) -> Result<(), Failure> {
        self.begin("Rebuild: states are derived, and can be folded again at any time")?;
        store.save()?;
        for outcome in store
            .admin()
            .rebuild(&[], &RebuildOptions::new(RebuildMode::Replace))
            .map_err(|error| {
                let hint = "run the demo again";
                Failure::caused(&error, "folding the states again", hint)
            })?
        {
            let hash: String = outcome.new_hash.to_string().chars().take(16).collect();
            self.figure(&format!(
                "{}: {} events in {}, {}; {}, state hash {hash}…",
                outcome.name,
                grouped(outcome.events),
                shown(outcome.seconds),
                rate(outcome.events, outcome.seconds),
                verdict(outcome.verdict),
            ))?;
        }
        Ok(())
    }

    fn farewell(&mut self) -> Result<(), Failure> {
        let program = std::env::args_os().next().map(PathBuf::from);
        let program = program
            .as_deref()
            .and_then(|path| path.file_name())
            .map_or_else(|| "spacefold".into(), |name| name.to_string_lossy());
        self.say("")?;
        self.say(
            "The temporary folder is gone again. With your own events, one JSON object a line:",
        )?;
        self.say(&format!("  {program} --data ./my-data import events.jsonl"))?;
        self.say(&format!("  {program} --data ./my-data spaces"))?;
        self.say(&format!("  {program} --data ./my-data snapshot SPACE --at 100"))?;
        self.session.output.flush()
    }

    fn begin(&mut self, title: &str) -> Result<(), Failure> {
        interrupt::check()?;
        self.step += 1;
        let title = format!("{}. {title}", self.step);
        self.say("")?;
        self.say(&title)
    }

    fn figure(&mut self, text: &str) -> Result<(), Failure> {
        self.say(&format!("   {text}"))
    }

    /// Prints a line at once, so that the tour is followed while it runs.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.session.output.line(text)?;
        self.session.output.flush()
    }
}

fn verdict(verdict: spacefold::admin::Verdict) -> &'static str {
    match verdict {
        spacefold::admin::Verdict::Identical => "identical to the live one",
        spacefold::admin::Verdict::Replaced => "replaced the live one",
        spacefold::admin::Verdict::Created => "created",
        spacefold::admin::Verdict::Diverged => "diverged from the live one",
        spacefold::admin::Verdict::NothingToCompare => "nothing to compare it with",
    }
}

fn shown(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.001 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.1} µs", seconds * 1e6),
    }
}

fn rate(events: u64, seconds: f64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a rate is shown rounded")]
    let per_second = events as f64 / seconds.max(1e-9);
    if per_second >= 1e6 {
        format!("{:.1} million events/s", per_second / 1e6)
    } else {
        format!("{:.0} thousand events/s", per_second / 1e3)
    }
}
