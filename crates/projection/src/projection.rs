//! What every projection is.

use spacefold_event_core::RecordedEventRef;

/// A read model: a state that is folded from the events of a log, in order of position.
///
/// The fold is total: it takes every event and never fails. The same events give the same state.
pub trait Projection {
    /// The name under which its state is kept and rebuilt.
    fn name(&self) -> &'static str;

    /// The version of the fold: states that another version folded are folded anew.
    fn version(&self) -> u32;

    /// Takes in the next event.
    fn apply(&mut self, event: &RecordedEventRef<'_>);
}
