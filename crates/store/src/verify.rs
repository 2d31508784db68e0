//! Checking a store: the journal, the chain, the numbering, and sled's copy against the journal;
//! what the log says of states against what it leads to.

mod beside;
mod states;

pub use self::beside::verify_beside;

use std::path::{Path, PathBuf};

use spacefold_event_core::{
    Position, Records, StorageErrorKind,
    bytes::{to_u64, to_usize},
};

use crate::{
    block,
    block::plan::{self, BlockPlan},
    clock,
    commitment::StateFold,
    embedded_log::EmbeddedLog,
    environment::Environment,
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::Head,
    head_file::HeadFile,
    journal::scan,
    journal::segments::Segments,
    kin::Kin,
    log_copy::LogCopy,
    log_copy::SledError,
    options::StoreOptions,
    recovery::{self, parts::FittingParts},
};

/// What a check does.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions {
    /// How much is looked at.
    pub depth: VerifyDepth,
    /// What is done about damage.
    pub damage: OnDamage,
}

/// How much a check looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyDepth {
    /// The journal's frames and the ends of the files.
    Quick,
    /// Every byte of both copies.
    #[default]
    Full,
}

/// What a check does about damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// Reports it and changes nothing that counts: sled itself may tidy up in its own folder.
    #[default]
    Report,
    /// Makes a wrong copy anew from the other.
    Heal,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Events that both copies were looked at for.
    pub events: u64,
    /// Blocks in sled's copy.
    pub blocks: u64,
    /// Commitments to states that were checked.
    pub commitments: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Whether the store was not closed and has not been opened since, as after a kill or a power
    /// cut: nothing is damaged for that, the next opening puts it in order. What it has yet to do
    /// to sled's copy is among the problems, as `needs-recovery`.
    pub needs_recovery: bool,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// The first position it concerns.
    pub position: Option<Position>,
    /// The file it is in.
    pub file: Option<PathBuf>,
    /// The byte of the file.
    pub offset: Option<u64>,
    /// Which part of the store is damaged: `journal`, `sealed`, `sled`, `head`, or `commitment`. Or
    /// what kept a part from being checked, as [`StorageErrorKind::name`] says it, such as `no-room`
    /// and `read-only`; or `needs-recovery`.
    pub kind: &'static str,
    /// What it is.
    pub detail: String,
    /// Whether it has been mended.
    pub healed: bool,
}

impl Problem {
    /// Whether something is damaged: the other problems are of the machine, which let a part go
    /// unchecked, or go away when the store is opened.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        ["journal", "sealed", "sled", "head", "commitment"].contains(&self.kind)
    }
}

/// What is told of a store that was not closed.
const NEEDS_RECOVERY: &str = "needs-recovery";

impl VerifyReport {
    /// Whether something is damaged that has not been mended.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.problems.iter().any(|problem| problem.is_damage() && !problem.healed)
    }

    /// Whether nothing is wrong, or all of it has been mended.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.iter().all(|problem| problem.healed)
    }
}

/// Checks the store in a folder, which must not be open.
///
/// # Errors
/// [`OpenError`] when there is no store, it is in use, or the disk refuses; damage is no error but
/// part of the report.
///
/// # Cost
/// Full: reads and hashes every byte of both copies.
pub fn verify(path: &Path, options: VerifyOptions) -> Result<VerifyReport, OpenError> {
    verify_in(&Environment::default(), path, options, None)
}

/// As [`verify`]; if it is to be full, every commitment to a state that `fold` knows is compared with
/// what the events lead to. One that is wrong cannot be mended: it is what the log says.
///
/// # Errors
/// As [`verify`].
///
/// # Cost
/// As [`verify`], and one fold of all events.
pub fn verify_states(
    path: &Path,
    options: VerifyOptions,
    fold: &mut dyn StateFold,
) -> Result<VerifyReport, OpenError> {
    verify_in(&Environment::default(), path, options, Some(fold))
}

pub(crate) fn verify_in(
    environment: &Environment,
    path: &Path,
    options: VerifyOptions,
    fold: Option<&mut dyn StateFold>,
) -> Result<VerifyReport, OpenError> {
    clock::check()?;
    let no_store = || OpenError::NoStore { path: path.to_owned() };
    let folder = StoreFolder::open(environment, path)?.ok_or_else(no_store)?;
    let lock = folder.lock()?;
    let mut report = VerifyReport::default();
    let mut head_file = open_head(&folder)?;
    let head = head_file.head().clone();
    report.needs_recovery = !head.clean;
    let has_damaged_slot = head_file.is_damaged();
    if has_damaged_slot {
        let detail = "one of its two slots is damaged".to_owned();
        report.problems.push(head_problem(&folder, detail));
    }
    let mut checked = check(&folder, &head, options.depth, &mut report);
    if let Err(error) = checked {
        let is_damage = matches!(error, OpenError::JournalDamaged { .. });
        let problem = part_problem(error)?;
        report.problems.push(problem);
        let is_healed = options.damage == OnDamage::Heal
            && is_damage
            && recovery::heal::heal(&folder, &mut head_file, None)?;
        if !is_healed {
            return Ok(report);
        }
        report.problems.iter_mut().for_each(|problem| problem.healed |= problem.kind == "journal");
        checked = check(&folder, head_file.head(), options.depth, &mut report);
    }
    let Checked { copy, older_head } = match checked {
        Ok(checked) => checked,
        Err(error) => {
            report.problems.push(part_problem(error)?);
            return Ok(report);
        }
    };
    if options.damage == OnDamage::Heal && (has_damaged_slot || older_head.is_some()) {
        // The next slot to be written is the one that is damaged.
        older_head.into_iter().for_each(|mended| head_file.mend(mended));
        head_file.update(|head| head.healed += 1)?;
        head_file.update(|_| {})?;
        report.problems.iter_mut().for_each(|problem| problem.healed |= problem.kind == "head");
    }
    if let (VerifyDepth::Full, Some(fold)) = (options.depth, fold) {
        states::check(&folder, head_file.head(), fold, &mut report)?;
    }
    if options.damage == OnDamage::Heal && (copy == CheckedCopy::Wrong || report.needs_recovery) {
        if copy == CheckedCopy::Wrong {
            recovery::renew_copy(&folder, &mut head_file)?;
        }
        drop(lock);
        open_and_close(environment, path)?;
        report.needs_recovery = false;
        let is_mended = |kind: &str| kind == "sled" || kind == NEEDS_RECOVERY;
        report.problems.iter_mut().for_each(|problem| problem.healed |= is_mended(problem.kind));
    }
    Ok(report)
}

/// HEAD; where nothing can be written, to be read.
fn open_head(folder: &StoreFolder) -> Result<HeadFile, OpenError> {
    match HeadFile::open(folder) {
        Err(OpenError::Storage(error)) if error.kind().forbids_writing_only() => {
            HeadFile::open_to_read(folder)
        }
        opened => opened,
    }
}

/// Has opening mend what it mends.
fn open_and_close(environment: &Environment, path: &Path) -> Result<(), OpenError> {
    let log = EmbeddedLog::open_existing_in(environment, path, &StoreOptions::default())?;
    if let Some(why) = log.refusal() {
        return Err(why.into());
    }
    Ok(log.close()?)
}

/// What keeps the parts of a store from being one, as a problem; any other error as it is.
fn part_problem(error: OpenError) -> Result<Problem, OpenError> {
    match error {
        OpenError::JournalDamaged { position, file, offset, what } => Ok(Problem {
            position: Some(position),
            file: Some(file),
            offset: Some(offset),
            kind: "journal",
            detail: what,
            healed: false,
        }),
        OpenError::PartsDiffer { path, part, what } => {
            let file = Some(path.join(part.name()));
            let kind = match part {
                StorePart::Head => "head",
                StorePart::Journal => "journal",
                StorePart::Segments => "sealed",
                StorePart::Sled => "sled",
            };
            Ok(Problem { position: None, file, offset: None, kind, detail: what, healed: false })
        }
        error => Err(error),
    }
}

fn head_problem(folder: &StoreFolder, detail: String) -> Problem {
    let file = Some(folder.head_path());
    Problem { position: None, file, offset: None, kind: "head", detail, healed: false }
}

/// What a check of both copies came to.
struct Checked {
    copy: CheckedCopy,
    /// What HEAD should say, when it is older than the journal.
    older_head: Option<Head>,
}

/// What a check of sled's copy came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckedCopy {
    Sound,
    Wrong,
    /// It could not be looked at.
    Unchecked,
}

/// Checks both copies.
fn check(
    folder: &StoreFolder,
    head: &Head,
    depth: VerifyDepth,
    report: &mut VerifyReport,
) -> Result<Checked, OpenError> {
    let (FittingParts { head, sealed, kin, .. }, older_head) =
        recovery::read_parts(folder, head, &block::segment::noted::NotedSegments::new())?;
    if older_head.is_some() {
        let detail = "it is older than the journal; opening the store mends it".to_owned();
        report.problems.push(head_problem(folder, detail));
    }
    let known = head.durable_head.max(kin.known());
    let mut journal = JournalEvents { folder, head: &head, sealed: &sealed, known, depth };
    let last = journal.check(report)?;
    if !folder.copies().is_there() {
        let is_missing = last > Position::START && !journal.needs_no_copy()?;
        if is_missing {
            report.problems.push(sled_problem(&journal, Some(Position::new(1)), "it is missing"));
        }
        let copy = if is_missing { CheckedCopy::Wrong } else { CheckedCopy::Sound };
        return Ok(Checked { copy, older_head });
    }
    if kin == Kin::OtherStore {
        report.problems.push(sled_problem(&journal, None, "it is another store's"));
        return Ok(Checked { copy: CheckedCopy::Wrong, older_head });
    }
    let copy = match check_copy(&mut journal, last, report) {
        Ok(()) => CheckedCopy::Sound,
        Err(VerifyFault::Open(error)) => return Err(error),
        Err(VerifyFault::Sled { position, detail }) => {
            report.problems.push(sled_problem(&journal, position, detail));
            CheckedCopy::Wrong
        }
        Err(VerifyFault::Unchecked { kind, detail }) => {
            let detail = format!("sled's copy was not checked: {detail}");
            report.problems.push(Problem { kind, ..sled_problem(&journal, None, detail) });
            CheckedCopy::Unchecked
        }
    };
    Ok(Checked { copy, older_head })
}

/// What is wrong with sled's copy. In a store that was not closed that is no damage: sled promises
/// nothing there, and the next opening makes it anew.
fn sled_problem(
    journal: &JournalEvents<'_>,
    position: Option<Position>,
    detail: impl Into<String>,
) -> Problem {
    Problem {
        position,
        file: Some(journal.folder.sled_path()),
        offset: None,
        kind: if journal.head.clean { "sled" } else { NEEDS_RECOVERY },
        detail: detail.into(),
        healed: false,
    }
}

enum VerifyFault {
    Open(OpenError),
    Sled {
        position: Option<Position>,
        detail: String,
    },
    /// Nothing is known of it: the machine lets nobody look.
    Unchecked {
        kind: &'static str,
        detail: String,
    },
}

impl From<OpenError> for VerifyFault {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// Why a call on sled's copy gave nothing: something is wrong with it, or with the machine.
fn call_fault(position: impl Into<Option<Position>>, error: &SledError) -> VerifyFault {
    if let SledError::Storage(error) = error {
        let kind = match error.kind() {
            StorageErrorKind::Other => return sled_fault(position, error),
            // Whoever opens sled wants to write.
            StorageErrorKind::NotPermitted => StorageErrorKind::ReadOnly,
            kind => kind,
        };
        return VerifyFault::Unchecked { kind: kind.name(), detail: error.to_string() };
    }
    sled_fault(position, error)
}

fn sled_fault(position: impl Into<Option<Position>>, detail: impl ToString) -> VerifyFault {
    VerifyFault::Sled { position: position.into(), detail: detail.to_string() }
}

/// The events as the journal holds them.
struct JournalEvents<'a> {
    folder: &'a StoreFolder,
    head: &'a Head,
    sealed: &'a Segments,
    known: Position,
    depth: VerifyDepth,
}

impl JournalEvents<'_> {
    /// Reads every frame, and when it is to be full every sealed block; the last position.
    fn check(&mut self, report: &mut VerifyReport) -> Result<Position, OpenError> {
        if self.depth == VerifyDepth::Full {
            self.sealed.blocks_from(Position::new(1), &mut |_, _| Ok(()))?;
        }
        let scan = scan::scan(self.folder, self.head, self.known, &mut |frame| {
            frame.runs().map(drop).map_err(|error| OpenError::JournalDamaged {
                position: frame.header.first_position,
                file: self.folder.journal_path(),
                offset: 0,
                what: error.to_string(),
            })
        })?;
        report.events = scan.end.head.get();
        Ok(scan.end.head)
    }

    /// Whether the appends from a position on fill a block.
    fn fills_a_block(&self, from: Position) -> Result<bool, OpenError> {
        let mut runs = Vec::new();
        let mut is_full = false;
        scan::scan(self.folder, self.head, self.known, &mut |frame| {
            if !is_full
                && frame.header.last_position() >= from
                && let Ok(more) = frame.runs()
            {
                runs.extend(more);
                is_full = BlockPlan::next(&runs, from).is_some();
            }
            Ok(())
        })?;
        Ok(is_full)
    }

    /// Whether so little is in the log that no copy in sled is made of it.
    fn needs_no_copy(&self) -> Result<bool, OpenError> {
        if self.sealed.end() > Position::START {
            return Ok(false);
        }
        let (mut records, mut body_bytes) = (0, 0);
        scan::scan(self.folder, self.head, self.known, &mut |frame| {
            for run in frame.runs().into_iter().flatten() {
                records += run.records.len();
                body_bytes += run.body_bytes();
            }
            Ok(())
        })?;
        Ok(plan::needs_no_copy(records, body_bytes))
    }

    /// Hands every run of events behind a position to `visit`: sealed blocks, then appends.
    fn runs(
        &self,
        visit: &mut dyn FnMut(&Records) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        self.sealed.blocks_from(Position::new(1), &mut |block, _| visit(&block.records))?;
        let sealed_end = self.sealed.end();
        scan::scan(self.folder, self.head, self.known, &mut |frame| {
            if frame.header.last_position() <= sealed_end {
                return Ok(());
            }
            // Every frame has been unpacked once before.
            let runs = frame.runs().unwrap_or_default();
            runs.iter().try_for_each(|run| visit(&run.records))
        })?;
        Ok(())
    }
}

/// Checks sled's copy: the chain and numbering of its blocks, and every event against the journal.
fn check_copy(
    journal: &mut JournalEvents<'_>,
    last: Position,
    report: &mut VerifyReport,
) -> Result<(), VerifyFault> {
    let head = journal.head;
    let sled = journal.folder.copies().open().map_err(|error| call_fault(None, &error))?;
    let sled = sled.as_ref();
    let firsts = sled.first_positions().map_err(|error| call_fault(None, &error))?;
    report.blocks = to_u64(firsts.len());
    if sled.has_external_values() {
        return Err(sled_fault(None, "it keeps values in files of their own"));
    }
    let mut next = Position::new(1);
    let mut previous = block::genesis(head.store_id);
    for first in &firsts {
        if *first != next {
            return Err(sled_fault(next, format!("the block after {next} begins at {first}")));
        }
        let block = read_block(sled, *first, journal.sealed)?;
        block.verify_hash().map_err(|error| sled_fault(*first, error))?;
        if block.previous != previous {
            return Err(sled_fault(*first, "the block does not follow the one before"));
        }
        previous = block.hash;
        next = block.records.last_position().next();
    }
    if next.previous() > last {
        return Err(sled_fault(last.next(), "it holds events that the journal does not have"));
    }
    if next <= head.sealed_through {
        return Err(sled_fault(next, "it ends before the segments do"));
    }
    if head.clean
        && journal.fills_a_block(next)?
        && !(firsts.is_empty() && journal.needs_no_copy()?)
    {
        // Closing seals every full block there is.
        return Err(sled_fault(next, format!("it ends at position {}", next.previous())));
    }
    if journal.depth == VerifyDepth::Full { compare(journal, sled, &firsts) } else { Ok(()) }
}

fn read_block(
    sled: &dyn LogCopy,
    first: Position,
    sealed: &Segments,
) -> Result<block::Block, VerifyFault> {
    let stored =
        sled.block_at_or_before(first).map_err(|error: SledError| call_fault(first, &error))?;
    let stored = stored.ok_or_else(|| sled_fault(first, "the block is not there"))?;
    sealed.decode(&stored.bytes()).map_err(|error| sled_fault(first, error))
}

/// Compares every event of the blocks with the journal's.
fn compare(
    journal: &JournalEvents<'_>,
    sled: &dyn LogCopy,
    firsts: &[Position],
) -> Result<(), VerifyFault> {
    let mut remaining = firsts.iter();
    let mut block: Option<Records> = None;
    let mut fault = None;
    let mut compared = Position::START;
    journal.runs(&mut |run| {
        for own in run.envelopes() {
            if fault.is_some() {
                break;
            }
            if own.position <= compared {
                // An append may begin in the last sealed block and go on behind it.
                continue;
            }
            compared = own.position;
            while block.as_ref().is_none_or(|block| block.last_position() < own.position) {
                let Some(first) = remaining.next() else {
                    return Ok(());
                };
                match read_block(sled, *first, journal.sealed) {
                    Ok(read) => block = Some(read.records),
                    Err(error) => {
                        fault = Some(error);
                        return Ok(());
                    }
                }
            }
            let place = block.as_ref().and_then(|block| {
                let place = own.position.since(block.first_position());
                block.envelope(to_usize(place))
            });
            let theirs = place.and_then(|envelope| envelope.decode().ok());
            let own_event = own.decode().ok().map(|event| event.to_owned_event());
            if theirs.map(|event| event.to_owned_event()) != own_event {
                fault = Some(sled_fault(own.position, "the event differs from the journal's"));
            }
        }
        Ok(())
    })?;
    fault.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
