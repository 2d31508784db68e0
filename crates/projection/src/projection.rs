//! What every projection is.

use spacefold_event_core::{EventTypes, RecordedEventRef};

use crate::{apply_context::ApplyContext, apply_error::ApplyError, table::Table};

/// A read model of the user's own: rows that are folded from the events of a log, in order of
/// position.
///
/// The state is the [`Table`] alone: it is persisted with the position that it is of in one step,
/// so that after a kill neither is ahead of the other. An `apply` whose outcome depends on anything
/// but the event, its [effect](ApplyContext::effect), the table, and content within what
/// [`ApplyContext::content`] says (as on a clock, a random number, a file) makes a projection that no
/// rebuild can verify. What is to follow an event outside is for a handler of the bus, or for a
/// durable subscription: they are never called again for an event that is only folded anew.
/// [`ProjectionTest`](crate::ProjectionTest) finds such projections.
///
/// ```
/// use spacefold::{
///     EventType, event::{EventTypes, RecordedEventRef},
///     projection::{ApplyContext, ApplyError, Projection, Table},
/// };
///
/// /// How many documents were added, by space.
/// struct DocumentCounts;
///
/// impl Projection for DocumentCounts {
///     fn name(&self) -> &'static str {
///         "document-counts"
///     }
///
///     fn version(&self) -> u32 {
///         1
///     }
///
///     fn event_types(&self) -> EventTypes {
///         [EventType::DocumentAdded].into_iter().collect()
///     }
///
///     fn apply(
///         &self,
///         event: &RecordedEventRef<'_>,
///         _context: &ApplyContext<'_>,
///         table: &mut Table<'_>,
///     ) -> Result<(), ApplyError> {
///         let count = table.get(event.space_id)?.and_then(|bytes| bytes.try_into().ok());
///         let count = count.map_or(0, u64::from_le_bytes) + 1;
///         Ok(table.put(event.space_id, count.to_le_bytes())?)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no projection",
    label = "`Projection` is not implemented for `{Self}`",
    note = "implement `Projection` for rows in a table",
    note = "or `SingleValue` for one small value, and register `SingleValueProjection(…)` of it"
)]
pub trait Projection: Send + Sync + 'static {
    /// The name under which its state is kept and rebuilt: see [`MAX_PROJECTION_NAME_BYTES`].
    ///
    /// [`MAX_PROJECTION_NAME_BYTES`]: crate::MAX_PROJECTION_NAME_BYTES
    fn name(&self) -> &'static str;

    /// The version of the fold: to be raised with every change of what `apply` does. A state of
    /// another version is folded anew, beside the one that is there, and put in its place when it
    /// has caught up.
    fn version(&self) -> u32;

    /// The types that `apply` is called for; the payloads of others are not decoded.
    fn event_types(&self) -> EventTypes {
        EventTypes::ALL
    }

    /// Whether `apply` asks for [effects](ApplyContext::effect): which events count, and for which of
    /// the documents that they list. The fold of the states of spaces tells, so that a projection need
    /// not know which spaces are deleted and which documents there are. One that uses them is folded no
    /// further than the states can be.
    fn uses_effects(&self) -> bool {
        false
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// [`ApplyError::Refused`] for an event that this projection cannot make sense of: nothing that
    /// was changed for it counts. Live, the projection is paused in front of the event until it is
    /// resumed or told to skip it; a rebuild ends there. A panic does the same.
    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError>;
}
