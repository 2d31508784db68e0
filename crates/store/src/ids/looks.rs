//! Looks for ids that are under way: what they have not looked at stays in memory until they are over.

use std::sync::Arc;

use spacefold_event_core::{Position, lock::Lock};

/// How far the index went when each of the looks under way began, and how many began there.
type Begins = Lock<Vec<(Position, usize)>>;

/// The looks under way. What one of them decides asks memory for every id after its begin.
#[derive(Debug, Default)]
pub(super) struct Looks(Arc<Begins>);

/// A look under way, until it is decided what comes of it.
#[derive(Debug)]
pub(crate) struct IdLook {
    begin: Position,
    begins: Arc<Begins>,
}

impl Looks {
    /// Begins a look at `reach`, up to which the index goes: that never moves back.
    pub(super) fn begin(&self, reach: impl FnOnce() -> Position) -> IdLook {
        let mut begins = self.0.lock();
        let begin = reach();
        match begins.iter_mut().find(|(other, _)| *other == begin) {
            Some((_, looks)) => *looks += 1,
            None => begins.push((begin, 1)),
        }
        IdLook { begin, begins: Arc::clone(&self.0) }
    }

    /// Up to where no look asks memory for ids, neither one that is under way nor a later one.
    pub(super) fn lowest(&self, reach: impl FnOnce() -> Position) -> Position {
        let begins = self.0.lock();
        let reach = reach();
        begins.iter().fold(reach, |lowest, (begin, _)| lowest.min(*begin))
    }
}

impl IdLook {
    /// The position up to which the index is to be looked at, at least.
    pub(crate) fn begin(&self) -> Position {
        self.begin
    }
}

impl Drop for IdLook {
    fn drop(&mut self) {
        let mut begins = self.begins.lock();
        if let Some(place) = begins.iter().position(|(begin, _)| *begin == self.begin)
            && let Some((_, looks)) = begins.get_mut(place)
        {
            *looks -= 1;
            if *looks == 0 {
                begins.swap_remove(place);
            }
        }
    }
}
