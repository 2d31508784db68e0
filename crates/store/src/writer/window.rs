//! The retry window of the writer: loaded by the first append that needs it, since most programs that
//! open a store read first.

use spacefold_event_core::{
    Position, ReadError,
    append_rules::RetryWindow,
    bytes::{to_u64, to_usize},
};

use crate::shared::SharedStore;

/// The retry window, once it is loaded.
pub(super) struct LazyRetryWindow {
    events: usize,
    loaded: Option<RetryWindow>,
}

impl LazyRetryWindow {
    /// The ids of the newest `events` positions of a log up to `head`.
    pub(super) fn new(events: usize, head: Position) -> Self {
        // What begins at the head has nothing to load.
        let empty = (reach(events, head) == head).then(|| RetryWindow::new(events, head));
        Self { events, loaded: empty }
    }

    /// The window brought up to `durable_head`; loaded if it is not.
    pub(super) fn load(
        &mut self,
        shared: &SharedStore,
        durable_head: Position,
    ) -> Result<&mut RetryWindow, ReadError> {
        let begin = reach(self.events, durable_head);
        // One that cannot be brought up to it is loaded anew by the next append that needs it.
        let near = self.loaded.take().filter(|window| window.head() >= begin);
        let mut window = near.unwrap_or_else(|| RetryWindow::new(self.events, begin));
        catch_up(shared, &mut window, durable_head)?;
        Ok(self.loaded.insert(window))
    }

    pub(super) const fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }
}

/// The position behind which the ids of the newest `events` positions are.
fn reach(events: usize, head: Position) -> Position {
    let events = Position::new(to_u64(events));
    Position::new(head.since(events))
}

/// Takes in the ids that the log has up to `through`, and perhaps some behind it.
fn catch_up(
    shared: &SharedStore,
    window: &mut RetryWindow,
    through: Position,
) -> Result<(), ReadError> {
    while window.head() < through {
        let next = window.head().next();
        let Some((first, ids)) = shared.event_ids_at(next)? else {
            break;
        };
        let known = to_usize(next.since(first));
        window.extend(ids.get(known..).unwrap_or_default());
    }
    Ok(())
}
