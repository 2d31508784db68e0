//! The thread that decides submitted commands, and waits for nothing but the next message: no sync, no
//! turn and no reading of a state. It asks the log for the revision of each space, which may read a page of
//! an index.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
    task::{Context, Poll, Wake, Waker},
};

use rapidhash::RapidHashMap;
use spacefold_event_core::{AppendFuture, PendingAppend};

use super::{
    Message, Submitted,
    threads::ThreadStarter,
    workers::{DecidedCommand, FailedAppend, SlowCommand, Workers},
};
use crate::{commands::DecidedEvents, executor::Executor, known_states::SpaceTurn};

/// The commands on a space.
struct SpaceQueue {
    waiting: VecDeque<Box<Submitted>>,
    in_flight: Option<AppendUnderWay>,
    /// Brings the courier back to the space.
    waker: Waker,
}

/// A command whose events were handed over to the log.
struct AppendUnderWay {
    submitted: Box<Submitted>,
    turn: SpaceTurn,
    decided: DecidedEvents,
    appended: AppendFuture,
}

/// The thread that decides.
pub(super) struct Courier {
    executor: Arc<Executor>,
    messages: Sender<Message>,
    /// Spaces on which commands wait or are in flight.
    queues: RapidHashMap<Arc<str>, SpaceQueue>,
    workers: Workers,
    /// How many commands the workers have.
    with_workers: usize,
}

impl Courier {
    pub(super) fn new(
        executor: Arc<Executor>,
        threads: Arc<ThreadStarter>,
        messages: Sender<Message>,
    ) -> Self {
        let workers = Workers::new(Arc::clone(&executor), threads, messages.clone());
        let queues = RapidHashMap::default();
        Self { executor, messages, queues, workers, with_workers: 0 }
    }

    pub(super) fn run(mut self, received: &Receiver<Message>) {
        super::ANSWERS.set(true);
        let mut is_closed = false;
        while !(is_closed && self.queues.is_empty() && self.with_workers == 0) {
            // There is always a sender: this thread has one.
            let Ok(message) = received.recv() else { break };
            match message {
                Message::Submitted(submitted) => {
                    let space_id = Arc::clone(&submitted.submission.space_id);
                    self.visit(&space_id, |queue, _| queue.waiting.push_back(submitted));
                }
                Message::Woken(space_id) => {
                    if self.queues.contains_key(&space_id) {
                        self.visit(&space_id, |_, _| {});
                    }
                }
                Message::Decided(decided) => {
                    self.with_workers -= 1;
                    let space_id = Arc::clone(&decided.submitted.submission.space_id);
                    self.visit(&space_id, |queue, courier| queue.append(*decided, courier));
                }
                Message::Answered => self.with_workers -= 1,
                Message::Close => is_closed = true,
            }
        }
        self.workers.finish();
    }

    /// Changes what is known of a space, and does what can be done on it now.
    fn visit(&mut self, space_id: &Arc<str>, change: impl FnOnce(&mut SpaceQueue, &mut Self)) {
        let mut queue = self.queues.remove(space_id).unwrap_or_else(|| {
            let notice = Notice { messages: self.messages.clone(), space_id: space_id.clone() };
            SpaceQueue { waiting: VecDeque::new(), in_flight: None, waker: Arc::new(notice).into() }
        });
        // Logs and stores of others may panic: that ends the commands on this space alone.
        let advanced = catch_unwind(AssertUnwindSafe(|| {
            change(&mut queue, self);
            while queue.step(self) {}
        }));
        if advanced.is_ok() && !queue.is_empty() {
            self.queues.insert(Arc::clone(space_id), queue);
        }
    }

    fn hand_over(&mut self, slow: SlowCommand) {
        if self.workers.hand_over(slow) {
            self.with_workers += 1;
        }
    }
}

impl SpaceQueue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// One step for the command that is first; `false` when that waits for something, or there is none.
    fn step(&mut self, courier: &mut Courier) -> bool {
        let mut context = Context::from_waker(&self.waker);
        if let Some(in_flight) = &mut self.in_flight {
            let Poll::Ready(appended) = Pin::new(&mut in_flight.appended).poll(&mut context) else {
                return false;
            };
            self.land(appended, courier);
            return true;
        }
        let Some(first) = self.waiting.front_mut() else { return false };
        let synced = match &mut first.synced {
            Some(synced) => Pin::new(synced).poll(&mut context),
            None => Poll::Ready(Ok(())),
        };
        let Poll::Ready(synced) = synced else { return false };
        // Lest it be polled again while the turn is another's.
        first.synced = None;
        if let Err(error) = synced {
            if let Some(submitted) = self.waiting.pop_front() {
                submitted.answer(Err(error));
            }
            return true;
        }
        let space_id = &first.submission.space_id;
        let Some(turn) = courier.executor.known().place(space_id).try_take(&self.waker) else {
            return false;
        };
        self.decide(turn, courier)
    }

    fn decide(&mut self, mut turn: SpaceTurn, courier: &mut Courier) -> bool {
        let Some(submitted) = self.waiting.pop_front() else { return false };
        match courier.executor.decide_at_once(submitted.order(), &mut turn) {
            Some((decided, condition)) => {
                self.append(DecidedCommand { submitted, turn, decided, condition }, courier);
            }
            None => courier.hand_over(SlowCommand { submitted, turn, failed: None }),
        }
        true
    }

    /// Hands the events of a command over to the log.
    fn append(&mut self, decided: DecidedCommand, courier: &Courier) {
        let DecidedCommand { submitted, turn, decided, condition } = decided;
        let appended = courier.executor.log().submit(&decided.append(condition));
        let appended = appended.unwrap_or_else(|error| PendingAppend::answered(Err(error)));
        let appended = appended.into_future();
        self.in_flight = Some(AppendUnderWay { submitted, turn, decided, appended });
    }

    /// Answers the command in flight.
    fn land(&mut self, appended: <AppendFuture as Future>::Output, courier: &mut Courier) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let AppendUnderWay { submitted, mut turn, decided, .. } = in_flight;
        match appended {
            Ok(receipt) => {
                let outcome = courier.executor.recorded(&mut turn, decided, &receipt);
                // By the time that the next has its turn this one is answered.
                submitted.answer(Ok(outcome));
            }
            Err(error) => {
                let failed = Some(FailedAppend { decided, error });
                courier.hand_over(SlowCommand { submitted, turn, failed });
            }
        }
    }
}

/// Wakes the courier for a space.
struct Notice {
    messages: Sender<Message>,
    space_id: Arc<str>,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        // Nobody is there any more once everything is answered.
        let _ = self.messages.send(Message::Woken(Arc::clone(&self.space_id)));
    }
}
