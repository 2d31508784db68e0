//! Which events of a window are stored already, and which have the id of another event.

use std::time::Duration;

use rapidhash::RapidHashMap;
use spacefold_event_core::{EventId, LogReader, Position, ReadError, ReadRequest, SpaceEvent};

use super::ReadEvent;

/// Positions of stored events that are read in one go, where they are near to each other.
const NEAR: u64 = 512;

/// How long what was answered is waited for to become durable.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What is known of the events of a window.
pub(super) struct Known {
    /// Of each event whether it is stored, or is earlier in the window.
    pub(super) is_known: Vec<bool>,
    /// The place of the first one whose id another event has.
    pub(super) other: Option<usize>,
}

/// Looks the events of a window up, and compares those whose ids are stored, or come twice, with the
/// events that have them.
pub(super) fn find_known(log: &dyn LogReader, window: &[ReadEvent]) -> Result<Known, ReadError> {
    let ids: Vec<EventId> = window.iter().map(|read| read.event.event_id).collect();
    let positions = log.find_events(&ids)?;
    let mut is_known = vec![false; window.len()];
    let mut other: Option<usize> = None;
    let mut note = |place: usize, is_same: bool| {
        if let Some(known) = is_known.get_mut(place) {
            *known = true;
        }
        if !is_same {
            other = Some(other.map_or(place, |first| first.min(place)));
        }
    };
    let mut earlier: RapidHashMap<EventId, &SpaceEvent> = RapidHashMap::default();
    let mut stored: Vec<(Position, usize)> = Vec::new();
    for (place, (read, position)) in window.iter().zip(positions).enumerate() {
        match position {
            Some(position) => stored.push((position, place)),
            None => match earlier.get(&read.event.event_id) {
                // Which of the two leaves its time open makes no difference.
                Some(first) => {
                    let event = &read.event;
                    note(place, event.is_stored_as(first) || first.is_stored_as(event));
                }
                None => drop(earlier.insert(read.event.event_id, &read.event)),
            },
        }
    }
    stored.sort_unstable();
    if let Some((last, _)) = stored.last() {
        wait_durable(log, *last)?;
    }
    let mut rest = stored.as_slice();
    while let Some((first, _)) = rest.first() {
        let count = rest.windows(2).take_while(|pair| are_near(pair)).count() + 1;
        let (near, after) = rest.split_at(count);
        let last = near.last().map_or(*first, |(last, _)| *last);
        let mut near = near.iter().peekable();
        for page in log.pages(ReadRequest::from(*first).to(last)) {
            for event in page?.events() {
                let event = event?;
                while let Some((_, place)) =
                    near.next_if(|(position, _)| *position == event.position)
                {
                    if let Some(read) = window.get(*place) {
                        note(*place, read.event.is_stored_as(&event.to_owned_event().event));
                    }
                }
            }
        }
        rest = after;
    }
    Ok(Known { is_known, other })
}

/// Waits until what is stored can be read: it may have been answered before.
fn wait_durable(log: &dyn LogReader, position: Position) -> Result<(), ReadError> {
    let durable_head = log.wait_durable(position, MAX_WAIT)?;
    if durable_head < position {
        return Err(ReadError::NothingGiven { position: durable_head.next(), to: position });
    }
    Ok(())
}

fn are_near(pair: &[(Position, usize)]) -> bool {
    matches!(pair, [(one, _), (next, _)] if next.since(*one) <= NEAR)
}
