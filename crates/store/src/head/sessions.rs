//! Which sessions have written to a store, so that what one copy of it has written is told from what
//! another copy has.
//!
//! Every session that writes takes an incarnation, and says so in HEAD before it writes anything
//! under it. The step from one to the next is random: two copies of a store that go on apart have
//! other numbers, whatever they append.

use spacefold_event_core::Position;
use uuid::Uuid;

/// How many sessions are remembered.
pub(crate) const MAX_SESSIONS: usize = 16;

/// A use of the journal, and where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreSession {
    pub(crate) incarnation: u64,
    /// The last position before it.
    pub(crate) after: Position,
}

/// The newest sessions of a store, ascending; none when no version that notes them has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    list: Vec<StoreSession>,
}

/// How two lists of sessions are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinship {
    /// They have none in common, and need not have.
    Unknown,
    /// Both end with the same one.
    Same,
    /// The first goes on with one that began behind this position.
    FirstGoesOn(Position),
    /// The second does.
    SecondGoesOn(Position),
    /// Each has sessions that the other lacks: they are of copies that went on apart.
    Parted,
}

/// The incarnation that follows another.
pub(crate) fn next_incarnation(incarnation: u64) -> u64 {
    let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
    incarnation.saturating_add(1).saturating_add(u32::from_le_bytes([a, b, c, d]).into())
}

impl Sessions {
    /// A list as it was stored; `None` when it is none.
    pub(crate) fn new(list: Vec<StoreSession>) -> Option<Self> {
        let ascends = list.is_sorted_by(|a, b| a.incarnation < b.incarnation);
        (ascends && list.len() <= MAX_SESSIONS).then_some(Self { list })
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = StoreSession> {
        self.list.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn newest(&self) -> Option<StoreSession> {
        self.list.last().copied()
    }

    /// Takes in a newer session; the oldest gives way.
    pub(crate) fn push(&mut self, session: StoreSession) {
        if self.list.len() == MAX_SESSIONS {
            self.list.remove(0);
        }
        self.list.push(session);
    }

    pub(crate) fn has(&self, incarnation: u64) -> bool {
        self.list.iter().any(|session| session.incarnation == incarnation)
    }

    /// Whether no session of this store had an incarnation, as far as is remembered.
    pub(crate) fn excludes(&self, incarnation: u64) -> bool {
        let (Some(oldest), Some(newest)) = (self.list.first(), self.list.last()) else {
            return false;
        };
        let range = oldest.incarnation..=newest.incarnation;
        range.contains(&incarnation) && !self.has(incarnation)
    }

    /// How another list is related to this one.
    pub(crate) fn kinship(&self, second: &Self) -> Kinship {
        let (Some(a), Some(b)) = (self.list.first(), second.list.first()) else {
            return Kinship::Unknown;
        };
        // Before that, one of them may have forgotten what the other has.
        let since = a.incarnation.max(b.incarnation);
        let (first, second) = (self.since(since), second.since(since));
        if first.is_empty() || second.is_empty() {
            return Kinship::Unknown;
        }
        let common = first.len().min(second.len());
        if first.get(..common) != second.get(..common) {
            return Kinship::Parted;
        }
        match (first.get(common), second.get(common)) {
            (Some(next), _) => Kinship::FirstGoesOn(next.after),
            (_, Some(next)) => Kinship::SecondGoesOn(next.after),
            (None, None) => Kinship::Same,
        }
    }

    fn since(&self, incarnation: u64) -> &[StoreSession] {
        let place = self.list.partition_point(|session| session.incarnation < incarnation);
        self.list.get(place..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sessions(list: &[(u64, u64)]) -> Sessions {
        let list = list
            .iter()
            .map(|(incarnation, after)| StoreSession {
                incarnation: *incarnation,
                after: Position::new(*after),
            })
            .collect();
        Sessions::new(list).unwrap()
    }

    #[test]
    fn lists_are_of_one_store_while_one_is_the_begin_of_the_other() {
        let at = Position::new;
        let own = sessions(&[(3, 0), (9, 10), (12, 20)]);
        let kinship = |list: &[(u64, u64)]| own.kinship(&sessions(list));
        assert_eq!(kinship(&[(3, 0), (9, 10), (12, 20)]), Kinship::Same);
        assert_eq!(kinship(&[(3, 0)]), Kinship::FirstGoesOn(at(10)));
        assert_eq!(kinship(&[(1, 0), (3, 0), (9, 10)]), Kinship::FirstGoesOn(at(20)));
        assert_eq!(kinship(&[(9, 10), (12, 20), (30, 25)]), Kinship::SecondGoesOn(at(25)));
        assert_eq!(kinship(&[(3, 0), (10, 10)]), Kinship::Parted);
        assert_eq!(kinship(&[(3, 0), (9, 10), (13, 20)]), Kinship::Parted);
        // A session that both go on from, each from another place.
        assert_eq!(kinship(&[(3, 0), (9, 11)]), Kinship::Parted);
        assert_eq!(kinship(&[]), Kinship::Unknown);
        assert_eq!(kinship(&[(1, 0), (2, 5)]), Kinship::Unknown);
    }

    #[test]
    fn an_incarnation_is_excluded_only_where_all_are_remembered() {
        let own = sessions(&[(3, 0), (9, 10)]);
        let excluded: Vec<u64> = (0..12).filter(|number| own.excludes(*number)).collect();
        assert_eq!(excluded, [4, 5, 6, 7, 8]);
        assert!(!Sessions::default().excludes(1));
    }

    #[test]
    fn the_oldest_session_gives_way_and_numbers_rise() {
        let mut own = Sessions::default();
        let mut incarnation = 0;
        for after in 0..40 {
            let next = next_incarnation(incarnation);
            assert!(next > incarnation);
            incarnation = next;
            own.push(StoreSession { incarnation, after: Position::new(after) });
        }
        assert_eq!(own.iter().len(), MAX_SESSIONS);
        assert_eq!(own.newest().map(|session| session.after), Some(Position::new(39)));
        assert_eq!(Sessions::new(own.iter().collect()), Some(own));
        assert_eq!(next_incarnation(u64::MAX), u64::MAX);
    }

    /// Any list, few of whose numbers are far apart: such lists have sessions in common.
    fn any_list() -> impl Strategy<Value = Vec<StoreSession>> {
        let number = prop_oneof![0..12_u64, any::<u64>()];
        let session = (number, 0..4_u64).prop_map(|(incarnation, after)| StoreSession {
            incarnation,
            after: Position::new(after),
        });
        vec(session, 0..24)
    }

    proptest! {
        #[test]
        fn any_list_is_none_or_answers(list in any_list(), other in any_list(), number: u64) {
            let ascends = |list: &[StoreSession]| list.is_sorted_by(|a, b| a.incarnation < b.incarnation);
            let is_one = ascends(&list) && list.len() <= MAX_SESSIONS;
            prop_assert_eq!(Sessions::new(list.clone()).is_some(), is_one);
            let sorted = |mut list: Vec<StoreSession>| {
                list.sort_by_key(|session| session.incarnation);
                list.dedup_by_key(|session| session.incarnation);
                list.truncate(MAX_SESSIONS);
                Sessions::new(list).unwrap()
            };
            let (own, other) = (sorted(list), sorted(other));
            prop_assert!(!(own.has(number) && own.excludes(number)));
            let mirrored = match own.kinship(&other) {
                Kinship::FirstGoesOn(after) => Kinship::SecondGoesOn(after),
                Kinship::SecondGoesOn(after) => Kinship::FirstGoesOn(after),
                same => same,
            };
            prop_assert_eq!(other.kinship(&own), mirrored);
            if !own.is_empty() {
                prop_assert_eq!(own.kinship(&own), Kinship::Same);
            }
        }
    }
}
