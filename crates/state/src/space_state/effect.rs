//! What an event did to its space, beside the state that came of it.

use spacefold_event_core::{
    Position,
    bytes::{ByteReader, put_count, to_u32},
};

use super::parts::AnomalyReason;

/// Upper half of the first byte of an encoded effect; the lower half is the code of the reason.
const KIND: u8 = 0xf0;
const WHOLE: u8 = 0x00;
const REMARKED: u8 = 0x10;
const IGNORED: u8 = 0x20;
const PARTIAL: u8 = 0x30;

/// What an event did to the state of its space: the answer of
/// [`SpaceState::apply`](crate::SpaceState::apply).
///
/// An event that asks for what is so already, as one that removes a variable that there is not, took
/// effect: it is no anomaly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It took effect: the effect of nearly every event, which is kept nowhere.
    #[default]
    Whole,
    /// It took effect, and is an [`Anomaly`](crate::Anomaly) all the same.
    Remarked(AnomalyReason),
    /// It did nothing to the space.
    Ignored(AnomalyReason),
    /// Of the documents that it lists, those at these places are unknown, and it did nothing to them;
    /// it took effect on the others.
    Partial {
        /// Places in the list of the event, from 0 on, ascending: neither none of them nor all.
        ignored: Box<[u32]>,
    },
}

impl Effect {
    /// Why the event is an [`Anomaly`](crate::Anomaly), if it is one.
    #[must_use]
    pub const fn reason(&self) -> Option<AnomalyReason> {
        match self {
            Self::Whole => None,
            Self::Remarked(reason) | Self::Ignored(reason) => Some(*reason),
            Self::Partial { .. } => Some(AnomalyReason::UnknownDocument),
        }
    }

    /// Whether the event did nothing at all.
    #[must_use]
    pub const fn is_ignored(&self) -> bool {
        matches!(self, Self::Ignored(_))
    }

    /// Whether the event took effect on the document at this place of the list that it has.
    #[must_use]
    pub fn takes(&self, place: usize) -> bool {
        match self {
            Self::Whole | Self::Remarked(_) => true,
            Self::Ignored(_) => false,
            Self::Partial { ignored } => ignored.binary_search(&to_u32(place)).is_err(),
        }
    }

    /// Appends the bytes of the effect: `docs/format.md` has them.
    ///
    /// # Panics
    /// See [`to_u32`].
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Whole => bytes.push(WHOLE),
            Self::Remarked(reason) => bytes.push(REMARKED | reason.code()),
            Self::Ignored(reason) => bytes.push(IGNORED | reason.code()),
            Self::Partial { ignored } => {
                bytes.push(PARTIAL);
                put_count(bytes, ignored.len());
                ignored.iter().for_each(|place| bytes.extend_from_slice(&place.to_le_bytes()));
            }
        }
    }

    /// Reads what [`Effect::encode`] has written; `None` for other bytes.
    pub fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let first = reader.u8()?;
        let reason = AnomalyReason::from_code(first & !KIND);
        match first & KIND {
            WHOLE if first == WHOLE => Some(Self::Whole),
            REMARKED => reason.map(Self::Remarked),
            IGNORED => reason.map(Self::Ignored),
            PARTIAL if first == PARTIAL => {
                let count = reader.count(size_of::<u32>())?;
                let ignored: Box<[u32]> =
                    (0..count).map(|_| reader.u32()).collect::<Option<_>>()?;
                let is_sorted = ignored.is_sorted_by(|a, b| a < b) && !ignored.is_empty();
                is_sorted.then_some(Self::Partial { ignored })
            }
            _ => None,
        }
    }
}

/// What the events of some positions did, each to its space. Those that simply took effect take no
/// memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    after: Position,
    to: Position,
    /// Sorted by position.
    kept: Vec<(Position, Effect)>,
}

static WHOLE_EFFECT: Effect = Effect::Whole;

impl Effects {
    /// The effects of the events after `after`, up to `to`: that each took effect, until told.
    #[must_use]
    pub const fn new(after: Position, to: Position) -> Self {
        Self { after, to, kept: Vec::new() }
    }

    /// The position of the last event.
    #[must_use]
    pub const fn to(&self) -> Position {
        self.to
    }

    /// Notes the effect of an event. Cost: nothing to speak of in order of position, else a move of
    /// those that come after it.
    pub fn push(&mut self, position: Position, effect: Effect) {
        if effect == Effect::Whole {
            return;
        }
        match self.kept.last() {
            Some((last, _)) if *last >= position => match self.place(position) {
                Ok(place) => {
                    if let Some(kept) = self.kept.get_mut(place) {
                        kept.1 = effect;
                    }
                }
                Err(place) => self.kept.insert(place, (position, effect)),
            },
            _ => self.kept.push((position, effect)),
        }
    }

    /// Goes on to a later position.
    pub fn extend_to(&mut self, to: Position) {
        self.to = self.to.max(to);
    }

    /// Takes in the effects of events of these positions, other spaces' or the same ones again. Cost: a
    /// move of what is taken in; where that does not all come later, a pass over everything.
    pub fn merge(&mut self, others: Self) {
        let (Some((first, _)), Some((last, _))) = (others.kept.first(), self.kept.last()) else {
            self.kept.extend(others.kept);
            return;
        };
        let is_later = last < first;
        self.kept.extend(others.kept);
        if !is_later {
            // Two sorted stretches: one pass.
            self.kept.sort_by_key(|(position, _)| *position);
            self.kept.dedup_by_key(|(position, _)| *position);
        }
    }

    /// The first position at which the two differ.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<Position> {
        let mut pairs = self.kept.iter().zip(&other.kept);
        let parted = pairs.find(|(one, other)| one != other);
        let parted = parted.map(|((one, _), (other, _))| *one.min(other));
        let rest = || {
            let both = self.kept.len().min(other.kept.len());
            let rest = self.kept.get(both).or_else(|| other.kept.get(both));
            rest.map(|(position, _)| *position)
        };
        parted.or_else(rest)
    }

    /// The effect of an event; `None` for one of another position.
    #[must_use]
    pub fn of(&self, position: Position) -> Option<&Effect> {
        if position <= self.after || position > self.to {
            return None;
        }
        let kept = self.place(position).ok().and_then(|place| self.kept.get(place));
        Some(kept.map_or(&WHOLE_EFFECT, |(_, effect)| effect))
    }

    /// Those of the events after `after`, up to `to`.
    #[must_use]
    pub fn between(&self, after: Position, to: Position) -> Self {
        let (after, to) = (after.max(self.after), to.min(self.to));
        let from = self.kept.partition_point(|(position, _)| *position <= after);
        let end = self.kept.partition_point(|(position, _)| *position <= to);
        let kept = self.kept.get(from..end).unwrap_or_default().to_vec();
        Self { after, to, kept }
    }

    /// How many there are that are not [`Effect::Whole`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether every event simply took effect.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The effects that are not [`Effect::Whole`], in order of position.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &Effect)> {
        self.kept.iter().map(|(position, effect)| (*position, effect))
    }

    fn place(&self, position: Position) -> Result<usize, usize> {
        self.kept.binary_search_by_key(&position, |(position, _)| *position)
    }
}

#[cfg(test)]
mod tests;
