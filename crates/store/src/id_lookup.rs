//! Event ids, and origins, that are looked up in a store: in the index of ids, which is completed or made anew first
//! where it has to be.

use std::{
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
};

use crossbeam_channel::Sender;
use spacefold_event_core::{
    EventId, EventOrigin, Position, ReadError, StorageError,
    append_rules::{AppendView, KeysLookedFor},
};

use crate::{
    block::segment::SegmentIndex,
    error::OpenError,
    event_keys::EventKeys,
    ids::{IdLook, IdMiss, KeptIds},
    journal::segments::Segments,
    shared::SharedStore,
    unfiled::UnfiledBlocks,
};

/// Ids that are looked for in the order in which they are given.
const FEW_IDS: usize = 32;

/// Gives a look at the log with everything that was taken.
pub(crate) type LookAhead<'a> =
    &'a dyn Fn(&mut dyn FnMut(&dyn AppendView) -> Result<(), ReadError>) -> Result<(), ReadError>;

const MAKING: &str = "making the index of event ids";

impl SharedStore {
    /// Looks for the ids of an append, in order, up to where the index goes.
    ///
    /// # Cost
    /// That of a look for each. Waits for an index that is being made anew.
    pub(crate) fn look_for_ids<'i>(
        &self,
        runs: impl Iterator<Item = &'i [EventId]> + Clone,
        look: &IdLook,
    ) -> Result<KeysLookedFor, ReadError> {
        self.look_in_ids(look, |kept| {
            let mut first: Option<(usize, Position)> = None;
            self.find_each(kept, runs.clone().flatten().copied(), &mut |index, position| {
                first = first.into_iter().chain([(index, position)]).min();
                first.map_or(index, |(first, _)| first)
            })?;
            Ok(KeysLookedFor { through: kept.end(), found: first })
        })
    }

    /// Where the event of each id is, as far as the index goes; and how far that is.
    pub(crate) fn find_kept_ids(
        &self,
        ids: &[EventId],
        look: &IdLook,
    ) -> Result<(Vec<Option<Position>>, Position), ReadError> {
        self.look_in_ids(look, |kept| {
            let mut found = vec![None; ids.len()];
            self.find_each(kept, ids.iter().copied(), &mut |index, position| {
                if let Some(found) = found.get_mut(index) {
                    *found = Some(position);
                }
                usize::MAX
            })?;
            Ok((found, kept.end()))
        })
    }

    /// Where the event of each id is: in the index of ids, or in what is newer, which `look_ahead`
    /// gives a look at.
    pub(crate) fn find_events(
        &self,
        ids: &[EventId],
        look_ahead: LookAhead<'_>,
    ) -> Result<Vec<Option<Position>>, ReadError> {
        let look = self.ids.begin_look();
        let (mut found, through) = self.find_kept_ids(ids, &look)?;
        if found.iter().any(Option::is_none) {
            look_ahead(&mut |ahead| {
                for (id, position) in ids.iter().zip(&mut found) {
                    if position.is_none() {
                        let fresh = ahead.find_any(std::slice::from_ref(id), through)?;
                        *position = fresh.map(|(_, position)| position);
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Where the event of each origin is, as [`SharedStore::find_events`] says it of ids.
    pub(crate) fn find_origins(
        &self,
        origins: &[EventOrigin],
        look_ahead: LookAhead<'_>,
    ) -> Result<Vec<Option<Position>>, ReadError> {
        let look = self.ids.begin_look();
        let (mut found, through) = self.find_kept_origins(origins, &look)?;
        if found.iter().any(Option::is_none) {
            look_ahead(&mut |ahead| {
                for (origin, position) in origins.iter().zip(&mut found) {
                    if position.is_none() {
                        let fresh = ahead.find_any_origin(std::slice::from_ref(origin), through)?;
                        *position = fresh.map(|(_, position)| position);
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Looks for origins, in order, up to where the index goes.
    ///
    /// # Cost
    /// As of ids; nothing where no event in a segment has an origin.
    pub(crate) fn look_for_origins(
        &self,
        origins: &[EventOrigin],
        look: &IdLook,
    ) -> Result<KeysLookedFor, ReadError> {
        self.look_in_ids(look, |kept| {
            for (index, origin) in origins.iter().enumerate() {
                if let Some(position) = kept.find_origin(origin)? {
                    return Ok(KeysLookedFor {
                        through: kept.end(),
                        found: Some((index, position)),
                    });
                }
            }
            Ok(KeysLookedFor { through: kept.end(), found: None })
        })
    }

    /// Where the event of each origin is, as far as the index goes; and how far that is.
    pub(crate) fn find_kept_origins(
        &self,
        origins: &[EventOrigin],
        look: &IdLook,
    ) -> Result<(Vec<Option<Position>>, Position), ReadError> {
        self.look_in_ids(look, |kept| {
            let found = origins.iter().map(|origin| Ok(kept.find_origin(origin)?));
            Ok((found.collect::<Result<_, IdMiss>>()?, kept.end()))
        })
    }

    /// Hands out where the events of ids are that the index has, by the places of the ids; is told from
    /// which place on none is wanted any more.
    fn find_each(
        &self,
        kept: &KeptIds,
        ids: impl Iterator<Item = EventId>,
        found: &mut dyn FnMut(usize, Position) -> usize,
    ) -> Result<(), IdMiss> {
        let mut unsure: Vec<(EventId, usize)> = Vec::new();
        for (index, id) in ids.enumerate() {
            if !kept.is_new(id) {
                unsure.push((id, index));
            }
        }
        if unsure.len() > FEW_IDS {
            // Ids that are near to each other are looked for in the same pages.
            unsure.sort_unstable();
        }
        let mut end = usize::MAX;
        for (id, index) in unsure {
            if index < end
                && let Some(position) = self.ids.find(kept, id, &|first| self.ids_from(first))?
            {
                end = found(index, position);
            }
        }
        Ok(())
    }

    /// Looks something up in the index once it is complete. One that turns out to be damaged is made anew.
    fn look_in_ids<T>(
        &self,
        look: &IdLook,
        find: impl Fn(&KeptIds) -> Result<T, IdMiss>,
    ) -> Result<T, ReadError> {
        let mut was_damaged = false;
        loop {
            self.complete_ids(&|| false)?;
            let kept = self.ids.kept();
            if kept.end() < look.begin() {
                // Another thread has begun it anew since.
                continue;
            }
            match find(&kept) {
                Ok(found) => return Ok(found),
                Err(IdMiss::Damaged(error)) if !was_damaged => {
                    tracing::warn!(%error, "the index of event ids is rebuilt");
                    was_damaged = true;
                    self.ids.begin_anew(kept.epoch())?;
                }
                Err(IdMiss::Damaged(error)) => return Err(StorageError::from(error).into()),
                Err(IdMiss::Failed(error)) => return Err(error),
            }
        }
    }

    /// The ids of the block that holds a position in a segment, and where that begins.
    fn ids_from(&self, position: Position) -> Result<(Position, Vec<EventId>), ReadError> {
        let found = self.event_ids_at(position)?;
        found.ok_or(ReadError::NothingGiven { position, to: position })
    }

    /// What the index takes of the block that holds a position in a segment, and where that begins.
    fn keys_from(&self, position: Position) -> Result<(Position, EventKeys), ReadError> {
        let found = self.event_keys_at(position)?;
        found.ok_or(ReadError::NothingGiven { position, to: position })
    }

    /// Brings the index up to the segments, in this thread unless another one has done it, or until
    /// `is_over`.
    fn complete_ids(&self, is_over: &dyn Fn() -> bool) -> Result<(), ReadError> {
        if self.ids.is_complete() {
            return Ok(());
        }
        let failed = |error: OpenError| match error {
            OpenError::Storage(error) => ReadError::Storage(error),
            other => StorageError::new(MAKING, other).into(),
        };
        let mut segments = Segments::open(&self.folder, self.store_id).map_err(failed)?;
        while !self.ids.is_complete() && !is_over() {
            if segments.end() <= self.ids.end() {
                // There are more by now.
                segments = Segments::open(&self.folder, self.store_id).map_err(failed)?;
            }
            let keys_of = |position| self.keys_from(position);
            self.ids.make_more(&segments, || self.check_open(), &keys_of)?;
        }
        Ok(())
    }

    /// Takes the ids of the blocks of a new segment into the index, and the origins of their events. The
    /// segment counts whatever comes of that: what the index lacks is made up for by whatever needs it.
    pub(crate) fn keep_ids(&self, blocks: &UnfiledBlocks, segment: &SegmentIndex) {
        let epoch = self.ids.kept().epoch();
        let failed = match self.ids.keep(blocks, segment) {
            // Not here ([`make_ids_after_archiving`]): reading may wait for what is archived.
            Err(IdMiss::Damaged(error)) => {
                tracing::warn!(%error, "the index of event ids is rebuilt");
                self.ids.begin_anew(epoch).map_err(ReadError::from)
            }
            Err(IdMiss::Failed(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        if let Err(error) = failed {
            tracing::warn!(%error, "ids are not in the index of event ids until it can be written");
        }
    }
}

/// Makes the index of ids while the store is in use, where it lacks some. Where there is no thread to be
/// had, whoever needs it first makes it.
pub(crate) fn make_ids_behind(
    shared: &Arc<SharedStore>,
    sealer: Weak<Sender<()>>,
) -> Option<JoinHandle<()>> {
    if shared.folder.environment().is_stepped || shared.ids.is_complete() {
        return None;
    }
    let shared = Arc::clone(shared);
    let make = move || make_ids(&shared, &sealer);
    thread::Builder::new().name("spacefold-id-index".to_owned()).spawn(make).ok()
}

/// Makes what the index of ids could not take in while its blocks were archived, in the thread that has
/// done that, unless another one is at it.
pub(crate) fn make_ids_after_archiving(shared: &SharedStore, sealer: &Weak<Sender<()>>) {
    // A thread that is stepped has locks that reading may ask for.
    if !shared.folder.environment().is_stepped && !shared.ids.is_being_made() {
        make_ids(shared, sealer);
    }
}

fn make_ids(shared: &SharedStore, sealer: &Weak<Sender<()>>) {
    // With the writer the last one who wakes the sealer is gone: the store is being closed.
    if let Err(error) = shared.complete_ids(&|| sealer.strong_count() == 0) {
        tracing::warn!(%error, "the index of event ids is made when it is asked for");
    }
}

#[cfg(test)]
mod tests;
