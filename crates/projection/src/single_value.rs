//! Projections whose state is one small value.

use serde::{Serialize, de::DeserializeOwned};
use spacefold_event_core::{EventTypes, Position, RecordedEventRef};

use crate::{
    apply_context::ApplyContext,
    apply_error::ApplyError,
    projection::Projection,
    projections::{CatchUpError, ProjectionHandle},
    table::{Table, TableError, TableView},
};

/// A projection whose state is one small value: a few counters, a short list.
///
/// The value is decoded and encoded as JSON for each event that is applied, so that its size is what
/// an event costs. Equal values must encode to equal bytes, for rebuilds to be verified: a
/// `BTreeMap` does, a `HashMap` does not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no projection of one value",
    label = "`SingleValue` is not implemented for `{Self}`",
    note = "a `Projection` is registered as it is, without `SingleValueProjection`"
)]
pub trait SingleValue: Send + Sync + 'static {
    /// The state; its default is that of an empty log.
    type Value: Serialize + DeserializeOwned + Default;

    /// As [`Projection::name`].
    fn name(&self) -> &'static str;

    /// As [`Projection::version`].
    fn version(&self) -> u32;

    /// As [`Projection::event_types`].
    fn event_types(&self) -> EventTypes {
        EventTypes::ALL
    }

    /// As [`Projection::uses_effects`].
    fn uses_effects(&self) -> bool {
        false
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// As [`Projection::apply`].
    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        value: &mut Self::Value,
    ) -> Result<(), ApplyError>;
}

/// Makes a [`Projection`] of a [`SingleValue`].
///
/// ```
/// use std::{collections::BTreeMap, sync::Arc};
/// use spacefold::{
///     Position, SpaceEvent, event::RecordedEventRef, log::{AppendRequest, LogWriter, MemoryLog},
///     projection::{ApplyContext, ApplyError, SingleValueProjection, Projections, SingleValue},
///     state::{DerivedState, LiveStates},
/// };
///
/// struct EventsByType;
///
/// impl SingleValue for EventsByType {
///     type Value = BTreeMap<String, u64>;
///
///     fn name(&self) -> &'static str {
///         "events-by-type"
///     }
///
///     fn version(&self) -> u32 {
///         1
///     }
///
///     fn apply(
///         &self,
///         event: &RecordedEventRef<'_>,
///         _context: &ApplyContext<'_>,
///         counts: &mut Self::Value,
///     ) -> Result<(), ApplyError> {
///         *counts.entry(event.event_type.to_string()).or_default() += 1;
///         Ok(())
///     }
/// }
///
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("a", "A")]))?;
/// let projections = Projections::new(Arc::new(LiveStates::new(log, DerivedState::in_memory())));
/// let counts = projections.register(SingleValueProjection(EventsByType))?;
/// counts.catch_up()?;
/// let (counts, position) = counts.value()?;
/// assert_eq!((counts["space.created"], position), (1, Position::new(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SingleValueProjection<P>(pub P);

/// The key of the only row.
const KEY: &[u8] = b"";

impl<P: SingleValue> Projection for SingleValueProjection<P> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn event_types(&self) -> EventTypes {
        self.0.event_types()
    }

    fn uses_effects(&self) -> bool {
        self.0.uses_effects()
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let mut value: P::Value = decode(table.get(KEY)?)?;
        self.0.apply(event, context, &mut value)?;
        let bytes = serde_json::to_vec(&value).map_err(ApplyError::refused)?;
        Ok(table.put(KEY, bytes)?)
    }
}

impl<P: SingleValue> ProjectionHandle<SingleValueProjection<P>> {
    /// The value, and the position that it is as of.
    ///
    /// # Errors
    /// [`CatchUpError::Table`], also when a version whose value had another form is still read.
    pub fn value(&self) -> Result<(P::Value, Position), CatchUpError> {
        self.read(|view: &TableView<'_>| Ok((decode(view.get(KEY)?)?, view.position())))
    }
}

fn decode<T: DeserializeOwned + Default>(bytes: Option<Vec<u8>>) -> Result<T, TableError> {
    bytes.map_or_else(
        || Ok(T::default()),
        |bytes| serde_json::from_slice(&bytes).map_err(TableError::damaged),
    )
}
