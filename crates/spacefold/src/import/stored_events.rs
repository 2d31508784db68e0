//! Which events of a window are stored already, and which have the id or the origin of another event.

use std::{collections::HashSet, time::Duration};

use rapidhash::{RapidHashMap, quality::GlobalState};
use spacefold_event_core::{EventId, EventOrigin, LogReader, Position, ReadError, ReadRequest};

use super::window::Window;

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

/// The places of ids of a window. Ids that rise, as those that are made of the time do, are distinct
/// without being kept.
#[derive(Default)]
struct EarlierIds {
    greatest: Option<EventId>,
    /// The ids up to some place, which those that rise are after.
    kept: RapidHashMap<EventId, usize>,
    kept_to: usize,
}

impl EarlierIds {
    /// The place of the first of these ids that the one at a place is equal to, if one before it is.
    fn find_or_add(&mut self, ids: &[EventId], place: usize) -> Option<usize> {
        let id = *ids.get(place)?;
        if self.greatest.is_none_or(|greatest| id > greatest) {
            self.greatest = Some(id);
            return None;
        }
        let missing = ids.iter().enumerate().take(place).skip(self.kept_to);
        for (place, id) in missing {
            self.kept.entry(*id).or_insert(place);
        }
        self.kept_to = place;
        self.kept.get(&id).copied()
    }
}

/// Looks the events of a window up, and compares those whose ids are stored, or come twice, with the
/// events that have them.
pub(super) fn find_known(log: &dyn LogReader, window: &Window) -> Result<Known, ReadError> {
    let ids = window.event_ids();
    let positions = log.find_events(&ids)?;
    let mut is_known = vec![false; window.len()];
    let mut clash = find_reused_origin(log, window, &ids, &positions)?;
    let mut note = |place: usize, is_same: bool| {
        if let Some(known) = is_known.get_mut(place) {
            *known = true;
        }
        if !is_same {
            let is_first = clash.is_none_or(|first| place < first.place);
            clash = if is_first { Some(Clash { place, of: ClashOf::Id }) } else { clash };
        }
    };
    let mut earlier = EarlierIds::default();
    let mut stored: Vec<(Position, usize)> = Vec::new();
    for (place, position) in positions.into_iter().enumerate() {
        let first = earlier.find_or_add(&ids, place);
        match (position, first) {
            (Some(position), _) => stored.push((position, place)),
            (None, Some(first)) => {
                let ((event, _), (first, _)) = (window.event(place)?, window.event(first)?);
                // Which of the two leaves its time open makes no difference.
                note(place, event.is_stored_as(&first) || first.is_stored_as(&event));
            }
            (None, None) => {}
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
                    let (read, _) = window.event(*place)?;
                    note(*place, read.is_stored_as(&event.to_owned_event().event));
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
    window: &Window,
    event_ids: &[EventId],
    positions: &[Option<Position>],
) -> Result<Option<Clash>, ReadError> {
    let mut of_window = window.origins().peekable();
    if of_window.peek().is_none() {
        return Ok(None);
    }
    let mut ids: HashSet<EventId, GlobalState> = HashSet::default();
    let mut seen: HashSet<EventOrigin, GlobalState> = HashSet::default();
    let mut places = Vec::new();
    let mut origins = Vec::new();
    let mut first: Option<usize> = None;
    for (place, (id, position)) in event_ids.iter().zip(positions).enumerate() {
        let origin = of_window.next_if(|(of, _)| *of == place).map(|(_, origin)| *origin);
        let is_new = position.is_none() && ids.insert(*id);
        if let Some(origin) = origin.filter(|_| is_new) {
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
