//! A registered projection at a glance.

use spacefold_event_core::Position;

use super::paused::Paused;

/// How a registered projection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionInfo {
    /// Its name.
    pub name: &'static str,
    /// The version of the fold that is read.
    pub version: u32,
    /// The last position that is folded.
    pub position: Position,
    /// How many durable events lie behind that.
    pub lag: u64,
    /// What is being built beside it, to take its place.
    pub building: Option<Building>,
    /// Why it does not go on, if it is paused.
    pub paused: Option<Paused>,
    /// The events that it leaves out.
    pub skipped: Vec<Position>,
}

/// A state that is being folded, to take the place of the one that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Building {
    /// The version of its fold.
    pub version: u32,
    /// The last position that is folded.
    pub position: Position,
}
