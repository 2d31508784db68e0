//! The postings that are in no run yet, in memory.

use rapidhash::RapidHashMap;

use super::{
    postings::{self, Posting},
    rows::{self, IndexRow},
};

/// Bytes that a list takes beside its id and its postings, about.
const LIST_BYTES: usize = 96;

/// Of each space or tag the postings in order, which are never none.
#[derive(Debug)]
pub(super) struct FreshPostings<P: Posting> {
    lists: RapidHashMap<Box<str>, FreshList<P>>,
    /// Bytes of all that was added since there was nothing, about.
    bytes: usize,
}

#[derive(Debug)]
struct FreshList<P: Posting> {
    postings: Vec<P>,
    /// What is known after them.
    after: P::After,
}

impl<P: Posting> Default for FreshPostings<P> {
    fn default() -> Self {
        Self { lists: RapidHashMap::default(), bytes: 0 }
    }
}

impl<P: Posting> FreshPostings<P> {
    /// Adds the next block that something is in, and what is known after it.
    pub(super) fn add(&mut self, id: &str, posting: P, after: P::After) {
        self.bytes += size_of::<P>();
        match self.lists.get_mut(id) {
            Some(list) => {
                if list.postings.last().is_none_or(|last| last.block() < posting.block()) {
                    list.postings.push(posting);
                }
                list.after = after;
            }
            None => {
                self.bytes += LIST_BYTES + id.len();
                self.lists.insert(id.into(), FreshList { postings: vec![posting], after });
            }
        }
    }

    /// Bytes of memory, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn of(&self, id: &str) -> &[P] {
        self.lists.get(id).map_or(&[], |list| &list.postings)
    }

    pub(super) fn after(&self, id: &str) -> Option<P::After> {
        self.lists.get(id).map(|list| list.after)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, P::After)> {
        self.lists.iter().map(|(id, list)| (id.as_ref(), list.after))
    }

    /// The rows of what is in blocks before `end`.
    pub(super) fn rows(&self, end: u32) -> impl Iterator<Item = IndexRow> {
        self.lists.iter().filter_map(move |(id, list)| {
            let (new, later) = list.postings.split_at_checked(list.before(end))?;
            let after = later.first().map_or(list.after, |next| next.ended_before());
            let first = new.first()?.block();
            Some((rows::list_key::<P>(id, first), postings::encode(new, after, first)))
        })
    }

    /// Lets go of what is in blocks before `end`: it is kept.
    pub(super) fn release(&mut self, end: u32) {
        self.lists.retain(|_, list| {
            list.postings.drain(..list.before(end));
            !list.postings.is_empty()
        });
        self.note_rest();
    }

    /// Lets go of what is in blocks from `end` on.
    pub(super) fn truncate(&mut self, end: u32) {
        self.lists.retain(|_, list| {
            let count = list.before(end);
            if let Some(next) = list.postings.get(count) {
                list.after = next.ended_before();
            }
            list.postings.truncate(count);
            !list.postings.is_empty()
        });
        self.note_rest();
    }

    fn note_rest(&mut self) {
        if self.lists.is_empty() {
            // What one large append has brought is not to stay.
            self.lists = RapidHashMap::default();
            self.bytes = 0;
        }
    }
}

impl<P: Posting> FreshList<P> {
    /// How many of the postings are of blocks before `end`.
    fn before(&self, end: u32) -> usize {
        self.postings.partition_point(|posting| posting.block() < end)
    }
}
