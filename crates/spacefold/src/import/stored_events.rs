//! Which events of a window are stored already, and which have the id or the origin of another event.

use std::{collections::HashSet, time::Duration};

use rapidhash::{RapidHashMap, quality::GlobalState};
use spacefold_event_core::{
    EventId, EventOrigin, LogReader, Position, ReadError, ReadRequest, SpaceEvent,
};

use super::ReadEvent;

/// Positions of stored events that are read in one go, where they are near to each other.
const NEAR: u64 = 512;

/// How long what was answered is waited for to become durable.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What is known of the events of a window.
pub(super) struct Known {
    /// Of each event whether it is stored, or is earlier in the window.
    pub(super) is_known: Vec<bool>,
    /// The first one that is in the way of another event.
    pub(super) clash: Option<Clash>,
}

/// An event of a window that has what another event has.
#[derive(Clone, Copy)]
pub(super) struct Clash {
    /// Its place in the window.
    pub(super) place: usize,
    pub(super) of: ClashOf,
}

/// What two events have that only one may have.
#[derive(Clone, Copy)]
pub(super) enum ClashOf {
    /// The id, and they are not the same event.
    Id,
    /// The origin.
    Origin,
}

/// Looks the events of a window up, and compares those whose ids are stored, or come twice, with the
/// events that have them.
pub(super) fn find_known(log: &dyn LogReader, window: &[ReadEvent]) -> Result<Known, ReadError> {
    let ids: Vec<EventId> = window.iter().map(|read| read.event.event_id).collect();
    let positions = log.find_events(&ids)?;
    let mut is_known = vec![false; window.len()];
    let mut clash = find_reused_origin(log, window, &positions)?;
    let mut note = |place: usize, is_same: bool| {
        if let Some(known) = is_known.get_mut(place) {
            *known = true;
        }
        if !is_same {
            let is_first = clash.is_none_or(|first| place < first.place);
            clash = if is_first { Some(Clash { place, of: ClashOf::Id }) } else { clash };
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
    Ok(Known { is_known, clash })
}

/// The first new event of a window that comes from where another one comes from: a stored one, or a
/// new one before it. What is there already is skipped, wherever it is said to come from.
fn find_reused_origin(
    log: &dyn LogReader,
    window: &[ReadEvent],
    positions: &[Option<Position>],
) -> Result<Option<Clash>, ReadError> {
    if window.iter().all(|read| read.event.origin.is_none()) {
        return Ok(None);
    }
    let mut ids: HashSet<EventId, GlobalState> = HashSet::default();
    let mut seen: HashSet<EventOrigin, GlobalState> = HashSet::default();
    let mut places = Vec::new();
    let mut origins = Vec::new();
    let mut first: Option<usize> = None;
    for (place, (read, position)) in window.iter().zip(positions).enumerate() {
        let is_new = position.is_none() && ids.insert(read.event.event_id);
        if let Some(origin) = read.event.origin.filter(|_| is_new) {
            if !seen.insert(origin) {
                first = Some(place);
                break;
            }
            places.push(place);
            origins.push(origin);
        }
    }
    let stored = log.find_origins(&origins)?.iter().position(Option::is_some);
    let place = stored.and_then(|index| places.get(index).copied()).or(first);
    Ok(place.map(|place| Clash { place, of: ClashOf::Origin }))
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
