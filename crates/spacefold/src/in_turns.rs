//! Work that threads do in turns, what they make of it coming back in its order.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, Scope},
};

/// Pieces of work that a thread has before it at the most.
const WAITING: usize = 2;

/// Threads that work, each in its turn.
pub(crate) struct InTurns<W, M> {
    threads: VecDeque<WorkingThread<W, M>>,
    /// Pieces that were handed over and not taken back: the first of them to the thread that is this
    /// many turns back.
    in_flight: usize,
}

struct WorkingThread<W, M> {
    work: SyncSender<W>,
    made: Receiver<M>,
}

impl<W, M> InTurns<W, M> {
    /// None: a caller with work does it itself.
    pub(crate) const fn alone() -> Self {
        Self { threads: VecDeque::new(), in_flight: 0 }
    }

    /// As many threads as there are processors, where there are several, and threads to be had.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        name: &str,
        make: impl Fn(W) -> M + Clone + Send + 'scope,
    ) -> Self
    where
        W: Send + 'scope,
        M: Send + 'scope,
    {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let (work, to_do) = sync_channel::<W>(WAITING);
            let (done, made) = sync_channel(WAITING);
            let make = make.clone();
            let run = move || {
                for piece in to_do {
                    if done.send(make(piece)).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run);
            thread.ok().map(|_| WorkingThread { work, made })
        };
        let threads = if processors > 1 { processors } else { 0 };
        Self { threads: (0..threads).map_while(start).collect(), in_flight: 0 }
    }

    /// How many pieces may be in flight.
    pub(crate) fn most(&self) -> usize {
        self.threads.len() * WAITING
    }

    /// Hands a piece to the thread whose turn it is; gives it back where there is none.
    pub(crate) fn hand_over(&mut self, piece: W) -> Option<W> {
        self.threads.rotate_left(usize::from(!self.threads.is_empty()));
        let Some(thread) = self.threads.back() else { return Some(piece) };
        // A thread that is gone has panicked, and so does the scope at its end.
        let _ = thread.work.send(piece);
        self.in_flight += 1;
        None
    }

    /// Takes back what was made of the first pieces, until this many are in flight.
    ///
    /// # Errors
    /// What `take` answers, which gets no more then.
    pub(crate) fn take_down_to<E>(
        &mut self,
        most: usize,
        mut take: impl FnMut(M) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.in_flight > most {
            // The thread of the last piece is at the back; turns repeat.
            let turns = (self.in_flight - 1) % self.threads.len();
            let place = self.threads.len() - 1 - turns;
            self.in_flight -= 1;
            if let Some(thread) = self.threads.get(place) {
                take(thread.made.recv().expect("a thread at work does not panic"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_comes_back_in_order() {
        thread::scope(|scope| {
            for mut turns in [InTurns::alone(), InTurns::start(scope, "test", |piece| piece)] {
                let (mut taken, most) = (Vec::new(), turns.most());
                for piece in 0..100_u32 {
                    taken.extend(turns.hand_over(piece));
                    let take = |made| {
                        taken.push(made);
                        Ok::<(), ()>(())
                    };
                    turns.take_down_to(most, take).unwrap();
                }
                // What takes may fail, and the rest be taken afterwards.
                turns.take_down_to(0, Err).unwrap_or_else(|first| taken.push(first));
                let take = |made| {
                    taken.push(made);
                    Ok::<(), ()>(())
                };
                turns.take_down_to(0, take).unwrap();
                assert_eq!(taken, (0..100).collect::<Vec<_>>());
            }
        });
    }
}
