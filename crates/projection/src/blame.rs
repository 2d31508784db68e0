//! Which event of a log gave each part of a space its value.

use spacefold_event_core::{EventFilter, LogReader, Position, ReadError, ReadRequest};
use spacefold_state::{Blame, BlameFold};

/// How many events are read at a time.
const PAGE_EVENTS: usize = 1_024;

/// `None` when the space has had no event up to the position.
pub(crate) fn blame(
    log: &dyn LogReader,
    space_id: &str,
    position: Position,
) -> Result<Option<Blame>, ReadError> {
    let mut fold = BlameFold::new(space_id);
    let filter = EventFilter::all().spaces([space_id]);
    let read = ReadRequest::from(Position::new(1)).to(position).limit(PAGE_EVENTS);
    for page in log.pages(read.matching(filter)) {
        for event in page?.events() {
            fold.apply(&event?);
        }
    }
    Ok(fold.finish(position))
}
