//! How things are, then what happens.

use spacefold_bus::{SubscribeError, Subscriber, Subscription};
use spacefold_event_core::Position;
use spacefold_projection::{Snapshot, SnapshotError};

use crate::follower::Shared;

/// The states of some spaces at one position, and every event behind it.
#[derive(Debug)]
pub struct SnapshotAndTail {
    /// The position of the states.
    pub position: Position,
    /// The states, sorted by space id; a space that has had no event is not among them.
    pub snapshots: Vec<Snapshot>,
    /// Gives every event behind the position that passes the subscription.
    pub tail: Subscriber,
}

/// Why there are no states to go on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotAndTailError {
    /// The states could not be folded.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The events could not be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

pub(crate) fn take(
    shared: &Shared,
    subscription: Subscription,
) -> Result<SnapshotAndTail, SnapshotAndTailError> {
    let space_ids = subscription.filter().space_ids();
    let (position, snapshots) = shared.live.snapshot_of_spaces(space_ids)?;
    let tail = shared.feed.subscribe(subscription.beginning_after(position))?;
    Ok(SnapshotAndTail { position, snapshots, tail })
}
