//! What the log says of the states that it implies: hashes that stand in blocks.

use std::{collections::VecDeque, sync::MutexGuard};

use spacefold_event_core::{
    Position, RecordedEventRef,
    bytes::{ByteReader, to_u32, to_usize},
    lock::Lock,
};

/// The type of the extension field.
const FIELD_TYPE: u16 = 1;
/// Bytes of a name, at the most.
const MAX_NAME_BYTES: usize = 128;
/// The most commitments that wait for a block. Older ones give way.
const MAX_OFFERS: usize = 64;

/// The hash of the state that the events up to a position lead to, by one projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCommitment {
    /// The name of the projection: 1 to 128 bytes.
    pub projection: String,
    /// The version of its fold.
    pub version: u32,
    /// The last event that the state has taken in.
    pub position: Position,
    /// The hash of the state.
    pub hash: [u8; 32],
}

/// A fold that commitments are checked against.
///
/// It begins at the first event, and is given every event in order; more than once, when it has no room
/// for all that they lead to.
pub trait StateFold {
    /// Whether it is the fold that a commitment is of. Others are not checked.
    fn is_of(&self, commitment: &StateCommitment) -> bool;

    /// Takes in the next event.
    fn apply(&mut self, event: &RecordedEventRef<'_>);

    /// The events since the last time took so many bytes of memory.
    fn has_read(&mut self, bytes: usize);

    /// The hash of the state as it is now, behind the event at this position, will be asked for.
    fn reach(&mut self, position: Position);

    /// Whether it is to be given all events again, from the first on.
    fn goes_on(&mut self) -> bool;

    /// The hash of the state behind the event at a position that was reached.
    fn hash(&self, position: Position) -> [u8; 32];
}

impl StateCommitment {
    /// The extension fields of a block that carries these.
    pub(crate) fn encode(commitments: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Self { projection, version, position, hash } in commitments {
            let len = size_of::<u32>() + size_of::<u64>() + hash.len() + projection.len();
            bytes.extend_from_slice(&FIELD_TYPE.to_le_bytes());
            bytes.extend_from_slice(&to_u32(len).to_le_bytes());
            bytes.extend_from_slice(&version.to_le_bytes());
            bytes.extend_from_slice(&position.get().to_le_bytes());
            bytes.extend_from_slice(hash);
            bytes.extend_from_slice(projection.as_bytes());
        }
        bytes
    }

    /// Those among extension fields that are whole.
    pub(crate) fn decode(extension: &[u8]) -> Vec<Self> {
        let mut commitments = Vec::new();
        let mut cursor = ByteReader::new(extension);
        while let (Some(field), Some(len)) = (cursor.u16(), cursor.u32()) {
            let Some(bytes) = cursor.take(to_usize(len)) else { break };
            if field == FIELD_TYPE {
                commitments.extend(Self::decode_one(bytes));
            }
        }
        commitments
    }

    fn decode_one(bytes: &[u8]) -> Option<Self> {
        let mut cursor = ByteReader::new(bytes);
        let version = cursor.u32()?;
        let position = Position::new(cursor.u64()?);
        let hash = cursor.array()?;
        let projection = str::from_utf8(cursor.rest()).ok()?.to_owned();
        let commitment = Self { projection, version, position, hash };
        commitment.is_within_limits().then_some(commitment)
    }

    fn is_within_limits(&self) -> bool {
        (1..=MAX_NAME_BYTES).contains(&self.projection.len()) && self.position > Position::START
    }
}

/// Commitments that wait for the block to stand in, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    waiting: Lock<WaitingOffers>,
}

#[derive(Debug, Default)]
struct WaitingOffers {
    offers: VecDeque<StateCommitment>,
    /// The position of the newest that was taken.
    taken: Position,
}

impl Offers {
    /// Takes in a commitment, unless a newer one of its projection is there.
    pub(crate) fn offer(&self, commitment: StateCommitment) {
        let mut waiting = self.lock();
        let WaitingOffers { offers, taken } = &mut *waiting;
        let is_known = |known: &StateCommitment| {
            known.projection == commitment.projection && known.position >= commitment.position
        };
        let is_taken = commitment.position <= *taken;
        if !commitment.is_within_limits() || is_taken || offers.iter().any(is_known) {
            return;
        }
        if offers.len() == MAX_OFFERS {
            offers.pop_front();
        }
        let place = offers.partition_point(|known| known.position <= commitment.position);
        offers.insert(place, commitment);
    }

    /// Takes out what a block that ends at a position carries: the newest of each projection up to
    /// there. Older ones are let go.
    pub(crate) fn take_through(&self, last: Position) -> Vec<StateCommitment> {
        let mut waiting = self.lock();
        let WaitingOffers { offers, taken } = &mut *waiting;
        let mut newest: Vec<StateCommitment> = Vec::new();
        while let Some(offer) = offers.pop_front_if(|offer| offer.position <= last) {
            *taken = offer.position;
            newest.retain(|older| older.projection != offer.projection);
            newest.push(offer);
        }
        newest
    }

    /// The position of the newest that was taken; before the first event when none was.
    pub(crate) fn taken(&self) -> Position {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, WaitingOffers> {
        self.waiting.lock()
    }
}

#[cfg(test)]
mod tests;
