//! `spacefold salvage`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use spacefold::{
    Timestamp,
    admin::{
        CopiedContent, LeftOut, LostRevisions, RefusedEvent, RemakeError, SalvageDamage,
        SalvageGap, SalvageOptions, SalvageReport, SalvagedStore,
    },
    event::{id_of_text, id_text},
};

use crate::{
    error::{Failure, Status},
    interrupt,
    output::{CellTable, grouped, text},
    progress,
    session::{CliSession, NewStore},
};

/// Rows of which people are shown no more: `--json` has all.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct Salvage {
    /// The folder to salvage from, in whatever condition: nothing is changed in it.
    #[arg(value_name = "DIR")]
    from: PathBuf,

    /// Where the new store is made: a folder that is not there, or empty.
    #[arg(value_name = "NEW")]
    to: PathBuf,

    /// Salvage the events of the store with this id, where the folder has those of several.
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    store: Option<[u8; 16]>,

    #[command(flatten)]
    new: NewStore,
}

fn parse_id(text: &str) -> Result<[u8; 16], String> {
    id_of_text(text).ok_or_else(|| "an id of a store is a UUID".to_owned())
}

#[derive(Serialize)]
struct PrintedSalvage {
    store_id: String,
    new_store_id: String,
    whole: bool,
    events: u64,
    missing: u64,
    known_head: u64,
    durable_head: u64,
    gaps: Vec<PrintedGap>,
    lost: Vec<PrintedLoss>,
    left_out: Vec<PrintedLeftOut>,
    refused: Vec<PrintedRefused>,
    stretches: Vec<PrintedStretch>,
    retimed: u64,
    damage: Vec<PrintedDamage>,
    damaged_places: u64,
    other_stores: Vec<PrintedOther>,
    content: PrintedContent,
}

#[derive(Serialize)]
struct PrintedGap {
    first: u64,
    last: u64,
    after: Option<String>,
    before: Option<String>,
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct PrintedLoss {
    space_id: String,
    first_revision: u64,
    last_revision: u64,
    after: u64,
    before: u64,
}

#[derive(Serialize)]
struct PrintedLeftOut {
    first: u64,
    last: u64,
    events: u64,
    file: String,
}

#[derive(Serialize)]
struct PrintedRefused {
    position: u64,
    why: String,
}

#[derive(Serialize)]
struct PrintedStretch {
    was: u64,
    is: u64,
    count: u64,
}

#[derive(Serialize)]
struct PrintedDamage {
    file: String,
    offset: Option<u64>,
    what: String,
}

#[derive(Serialize)]
struct PrintedOther {
    store_id: String,
    events: u64,
}

/// The content of a store that is made of another.
#[derive(Serialize)]
pub(super) struct PrintedContent {
    named: u64,
    copied: u64,
    lacking: u64,
    absent: u64,
    told: Vec<PrintedLacking>,
}

#[derive(Serialize)]
struct PrintedLacking {
    hash: String,
    position: u64,
    what: String,
}

impl Salvage {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let mut options = SalvageOptions::default().mode(self.new.folder_mode());
        if let Some(store_id) = self.store {
            options = options.store_id(store_id);
        }
        let salvaged = with_progress("salvaging", |goes_on| {
            spacefold::admin::salvage(&self.from, &self.to, &options, goes_on)
        });
        let SalvagedStore { log, content, .. } =
            salvaged.map_err(|error| failed(&error, self.from.display()))?;
        let printed = PrintedSalvage::of(&log, &content);
        if session.json {
            session.output.json(&printed)?;
        } else {
            self.print(&printed, session)?;
        }
        session.output.flush()?;
        if printed.whole {
            return Ok(());
        }
        Err(Failure::new(
            Status::Damaged,
            format_args!(
                "not everything is there: {} events were salvaged, {} positions are missing, and {} \
                 contents",
                grouped(printed.events),
                grouped(printed.missing),
                grouped(printed.content.lacking)
            ),
            self.from.display(),
            format_args!(
                "{} is a whole store of what there was; keep the damaged folder: what another copy \
                 or a backup has may fill the gaps",
                self.to.display()
            ),
        ))
    }

    fn print(&self, printed: &PrintedSalvage, session: &mut CliSession) -> Result<(), Failure> {
        let out = &mut session.output;
        out.line(&format!("salvaged {} events", grouped(printed.events)))?;
        let mut table = CellTable::new();
        let mut say = |what: &str, value: String| table.row([text(what), text(value)]);
        say("of the store", printed.store_id.clone());
        say("new store", format!("{} in {}", printed.new_store_id, self.to.display()));
        say("it had", format!("positions up to {}", grouped(printed.known_head)));
        say("on disk up to", grouped(printed.durable_head));
        say("missing", format!("{} positions", grouped(printed.missing)));
        let content = &printed.content;
        let (copied, named) = (grouped(content.copied), grouped(content.named));
        say("content", format!("{copied} of {named} contents that the events name"));
        if content.absent > 0 {
            let absent = grouped(content.absent);
            say(
                "",
                format!("{absent} contents that they name are not there, and may never have been"),
            );
        }
        if printed.retimed > 0 {
            let what = "events that were recorded before their predecessor have its time";
            say("times", format!("{} {what}", grouped(printed.retimed)));
        }
        for other in &printed.other_stores {
            let events = grouped(other.events);
            say("not taken", format!("{events} events of the store {}", other.store_id));
        }
        out.table(&table)?;
        let gaps = printed.gaps.iter().map(PrintedGap::row);
        show("gaps", ["positions", "after", "before", "what is wrong"], gaps, session)?;
        let lost = printed.lost.iter().map(PrintedLoss::row);
        show("lost", ["space", "revisions", "between positions", ""], lost, session)?;
        let left = printed.left_out.iter().map(|left| {
            let place = format!("{} to {}", grouped(left.first), grouped(left.last));
            [place, grouped(left.events), left.file.clone(), String::new()]
        });
        show("left out", ["positions", "events", "file", ""], left, session)?;
        let refused = printed.refused.iter().map(|refused| {
            [grouped(refused.position), refused.why.clone(), String::new(), String::new()]
        });
        show("refused", ["position", "why", "", ""], refused, session)?;
        let damage = printed.damage.iter().map(PrintedDamage::row);
        show("damage", ["file", "byte", "what", ""], damage, session)?;
        let lacking = content.told.iter().map(|lacking| {
            let position = grouped(lacking.position);
            [lacking.hash.clone(), position, lacking.what.clone(), String::new()]
        });
        show("lacking content", ["content", "named at", "what", ""], lacking, session)
    }
}

/// Shows the first rows of a list, and how many more there are.
fn show(
    title: &str,
    head: [&str; 4],
    rows: impl ExactSizeIterator<Item = [String; 4]>,
    session: &mut CliSession,
) -> Result<(), Failure> {
    let count = rows.len();
    if count == 0 {
        return Ok(());
    }
    session.output.line("")?;
    session.output.line(&format!("{title}: {}", grouped(count.try_into().unwrap_or(u64::MAX))))?;
    let mut table = CellTable::new().head(head);
    rows.take(SHOWN).for_each(|row| table.row(row.map(text)));
    session.output.table(&table)?;
    if count > SHOWN {
        let more = grouped((count - SHOWN).try_into().unwrap_or(u64::MAX));
        session.output.line(&format!("and {more} more, which --json prints"))?;
    }
    Ok(())
}

/// Does what takes as long as reading a log, and ends at Ctrl-C.
pub(super) fn with_progress<T>(
    what: &'static str,
    work: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> T,
) -> T {
    let is_cancelled = interrupt::cancellation();
    let progress = progress::spinner();
    let done = work(&mut |events| {
        if events > 0 {
            progress.set_message(format!("{what}: {} events", grouped(events)));
        }
        !is_cancelled.load(std::sync::atomic::Ordering::Acquire)
    });
    progress.finish_and_clear();
    done
}

/// A store that could not be made of another.
pub(super) fn failed(error: &RemakeError, from: impl std::fmt::Display) -> Failure {
    match error {
        RemakeError::Stopped => Failure::new(
            Status::Interrupted,
            "interrupted",
            "Ctrl-C",
            "there is no new store, and nothing was changed; run the command again",
        ),
        RemakeError::NothingThere { .. } | RemakeError::NoFolder { .. } => {
            Failure::caused(error, from, "name the folder of a store, or of what is left of one")
        }
        RemakeError::Taken { .. } | RemakeError::Inside { .. } => {
            Failure::caused(error, from, "name a folder for the new store that is not there")
        }
        RemakeError::Read(_) => Failure::caused(
            error,
            from,
            "`spacefold repair` mends what can be mended, `spacefold salvage` takes what is whole into \
             a new store",
        ),
        _ => Failure::caused(error, from, "nothing was changed; run the command again"),
    }
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

impl PrintedSalvage {
    fn of(log: &SalvageReport, content: &CopiedContent) -> Self {
        Self {
            store_id: id_text(log.store_id),
            new_store_id: id_text(log.new_store_id),
            whole: log.is_whole() && content.lacking == 0,
            events: log.events,
            missing: log.missing(),
            known_head: log.known_head.get(),
            durable_head: log.durable_head.get(),
            gaps: log.gaps.iter().map(PrintedGap::from).collect(),
            lost: log.lost.iter().map(PrintedLoss::from).collect(),
            left_out: log.left_out.iter().map(PrintedLeftOut::from).collect(),
            refused: log.refused.iter().map(PrintedRefused::from).collect(),
            stretches: log
                .stretches
                .iter()
                .map(|stretch| PrintedStretch {
                    was: stretch.was.get(),
                    is: stretch.is.get(),
                    count: stretch.count,
                })
                .collect(),
            retimed: log.retimed,
            damage: log.damage.iter().map(PrintedDamage::from).collect(),
            damaged_places: log.damaged_places,
            other_stores: log
                .other_stores
                .iter()
                .map(|other| PrintedOther {
                    store_id: id_text(other.store_id),
                    events: other.events,
                })
                .collect(),
            content: PrintedContent::from(content),
        }
    }
}

impl From<&SalvageGap> for PrintedGap {
    fn from(gap: &SalvageGap) -> Self {
        Self {
            first: gap.first.get(),
            last: gap.last.get(),
            after: time(gap.after),
            before: time(gap.before),
            unreadable: gap.unreadable.clone(),
        }
    }
}

impl PrintedGap {
    fn row(&self) -> [String; 4] {
        let or_none = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
        let positions = format!("{} to {}", grouped(self.first), grouped(self.last));
        let what = self.unreadable.clone().unwrap_or_else(|| "missing".to_owned());
        [positions, or_none(&self.after), or_none(&self.before), what]
    }
}

impl From<&LostRevisions> for PrintedLoss {
    fn from(lost: &LostRevisions) -> Self {
        Self {
            space_id: lost.space_id.clone(),
            first_revision: lost.first.get(),
            last_revision: lost.last.get(),
            after: lost.after.get(),
            before: lost.before.get(),
        }
    }
}

impl PrintedLoss {
    fn row(&self) -> [String; 4] {
        let revisions = format!("{} to {}", self.first_revision, self.last_revision);
        let between = format!("{} and {}", grouped(self.after), grouped(self.before));
        [self.space_id.clone(), revisions, between, String::new()]
    }
}

impl From<&LeftOut> for PrintedLeftOut {
    fn from(left: &LeftOut) -> Self {
        Self {
            first: left.first.get(),
            last: left.last.get(),
            events: left.events,
            file: left.file.display().to_string(),
        }
    }
}

impl From<&RefusedEvent> for PrintedRefused {
    fn from(refused: &RefusedEvent) -> Self {
        Self { position: refused.position.get(), why: refused.why.clone() }
    }
}

impl From<&SalvageDamage> for PrintedDamage {
    fn from(damage: &SalvageDamage) -> Self {
        Self {
            file: damage.file.display().to_string(),
            offset: damage.offset,
            what: damage.what.clone(),
        }
    }
}

impl PrintedDamage {
    fn row(&self) -> [String; 4] {
        let offset = self.offset.map_or_else(|| "-".to_owned(), grouped);
        [self.file.clone(), offset, self.what.clone(), String::new()]
    }
}

impl From<&CopiedContent> for PrintedContent {
    fn from(content: &CopiedContent) -> Self {
        let told = content.told.iter().map(|lacking| PrintedLacking {
            hash: lacking.hash.to_string(),
            position: lacking.position.get(),
            what: lacking.what.clone(),
        });
        Self {
            named: content.named,
            copied: content.copied,
            lacking: content.lacking,
            absent: content.absent,
            told: told.collect(),
        }
    }
}

impl PrintedContent {
    /// How many contents are not there.
    pub(super) const fn lacking(&self) -> u64 {
        self.lacking
    }
}
