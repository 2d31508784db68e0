//! How things are, then what happens.

use spacefold_bus::{SubscribeError, Subscriber, Subscription};
use spacefold_event_core::Position;
use spacefold_projection::SnapshotError;
use spacefold_state::Snapshot;

use crate::engine::Engine;

/// The states of some spaces at one position, and every event behind it.
#[derive(Debug)]
pub struct SnapshotStream {
    /// The position of the states.
    pub position: Position,
    /// The states, sorted by space id; a space that has had no event is not among them.
    pub snapshots: Vec<Snapshot>,
    /// The spaces that the subscription names and that have had no event up to the position, sorted:
    /// those of which a [`snapshot`](crate::SpacesReader::snapshot) says that there is none. Once there
    /// is one, the tail begins with its first event.
    pub unknown: Vec<String>,
    /// Gives every event behind the position that passes the subscription.
    pub tail: Subscriber,
}

/// Why there are no states to go on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotStreamError {
    /// The states could not be folded.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The events could not be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

pub(crate) fn take(
    engine: &Engine,
    subscription: Subscription,
) -> Result<SnapshotStream, SnapshotStreamError> {
    let space_ids = subscription.filter().space_ids();
    let (position, snapshots) = engine.live.snapshot_of_spaces(space_ids)?;
    let is_known = |space_id: &&String| {
        snapshots.binary_search_by(|it| it.space_id().cmp(space_id.as_str())).is_ok()
    };
    let named = space_ids.into_iter().flatten();
    let unknown = named.filter(|space_id| !is_known(space_id)).cloned().collect();
    let tail = engine.feed.subscribe(subscription.beginning_after(position))?;
    Ok(SnapshotStream { position, snapshots, unknown, tail })
}
