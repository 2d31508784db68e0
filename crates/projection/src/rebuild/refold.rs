//! What is the same of everything that is folded anew: how it compares with what is persisted, and what
//! is done then.

use std::time::Instant;

use spacefold_event_core::Position;
use spacefold_state::StateHash;

use super::{
    RebuildError, RebuildMode, RebuildOutcome, Verdict, divergence::Divergence, pace::Pace,
};

/// Something that was folded anew up to the head, beside what is persisted of it.
pub(super) trait Refold: Sized {
    /// The name of the projection.
    fn name(&self) -> &'static str;

    /// The version of its fold.
    fn version(&self) -> u32;

    /// The position that an earlier rebuild had come to, if this one went on from there.
    fn resumed_from(&self) -> Option<Position>;

    /// Compares what was folded with what is persisted.
    fn compare(&mut self) -> Result<Comparison, RebuildError>;

    /// Where the two part, which differ.
    fn divergence(&self, pace: &Pace<'_>) -> Result<Option<Divergence>, RebuildError>;

    /// Puts what was folded in the place of what is persisted, in one step.
    fn replace(self, compared: &Comparison) -> Result<(), RebuildError>;

    /// Lets go of what was folded.
    fn give_up(self) -> Result<(), RebuildError>;
}

/// How what was folded compares with what is persisted.
pub(super) struct Comparison {
    /// The hash of what is persisted, if anything is.
    pub(super) old_hash: Option<StateHash>,
    pub(super) new_hash: StateHash,
    /// How many spaces or rows were folded.
    pub(super) entries: u64,
    /// Whether the two are the same, what is kept beside what is hashed included.
    pub(super) is_same: bool,
}

impl Comparison {
    const fn verdict(&self, mode: RebuildMode) -> Verdict {
        match (mode, self.old_hash) {
            (_, Some(_)) if self.is_same => Verdict::Identical,
            (RebuildMode::Check, Some(_)) => Verdict::Diverged,
            (RebuildMode::Check, None) => Verdict::NothingToCompare,
            (RebuildMode::Replace, Some(_)) => Verdict::Replaced,
            (RebuildMode::Replace, None) => Verdict::Created,
        }
    }
}

/// Compares what was folded up to the head with what is persisted, and puts it in its place where that
/// is to be and the two differ.
pub(super) fn finish(
    mut folded: impl Refold,
    mode: RebuildMode,
    (head, started): (Position, Instant),
    pace: &Pace<'_>,
) -> Result<RebuildOutcome, RebuildError> {
    let compared = folded.compare()?;
    let verdict = compared.verdict(mode);
    let first_divergence = match verdict {
        Verdict::Diverged => folded.divergence(pace)?,
        _ => None,
    };
    let outcome = RebuildOutcome {
        name: folded.name(),
        version: folded.version(),
        events: head.get(),
        seconds: 0.0,
        entries: compared.entries,
        old_hash: compared.old_hash.as_ref().map(StateHash::to_string),
        new_hash: compared.new_hash.to_string(),
        verdict,
        first_divergence,
        resumed_from: folded.resumed_from(),
    };
    match verdict {
        Verdict::Replaced | Verdict::Created => folded.replace(&compared)?,
        Verdict::Identical | Verdict::Diverged | Verdict::NothingToCompare => folded.give_up()?,
    }
    Ok(RebuildOutcome { seconds: started.elapsed().as_secs_f64(), ..outcome })
}
