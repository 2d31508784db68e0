//! Where two states part, found without looking at what they share.

use spacefold_event_core::Value;

use super::{
    SpaceState,
    parts::{Conflict, Document, Render},
    references::References,
};
use crate::shared_map::Difference;

/// The parts in which two states of a space differ, each kind sorted by key.
pub(crate) struct StateDifference<'a> {
    pub(crate) documents: Vec<Difference<'a, Document>>,
    pub(crate) variables: Vec<Difference<'a, Value>>,
    pub(crate) references: Vec<Difference<'a, References>>,
    pub(crate) renders: Vec<Difference<'a, Render>>,
    pub(crate) conflicts: Vec<Difference<'a, Conflict>>,
    pub(crate) stale: Vec<Difference<'a, ()>>,
}

impl SpaceState {
    /// Where `after` parts from this state. Cost: in proportion to what the two do not share.
    pub(crate) fn parting<'a>(&'a self, after: &'a Self) -> StateDifference<'a> {
        StateDifference {
            documents: self.documents.sorted_differences(&after.documents),
            variables: self.variables.sorted_differences(&after.variables),
            references: self.references.sorted_differences(&after.references),
            renders: self.renders.sorted_differences(&after.renders),
            conflicts: self.conflicts.sorted_differences(&after.conflicts),
            stale: self.stale.sorted_differences(&after.stale),
        }
    }
}
