//! How appends reach the writer, `writer.rs`: taken by the thread that appends, or handed over.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread::{self, JoinHandle},
    time::Instant,
};

use crossbeam_channel::{Receiver, Select, Sender, unbounded};
use spacefold_event_core::{
    Answerer, AppendError, PendingAppend, ReadError, Receipt, StorageError,
    append_rules::{AppendView, Proposal},
};

use super::{
    Answer, Writer,
    budget::{ByteBudget, Permit},
};
use crate::{ids::IdLook, journal::JournalEnd, options::StoreOptions, shared::SharedStore};

/// Bytes of appends that may wait for the writer; further callers wait to hand over.
const MAX_WAITING_BYTES: usize = 32 << 20;

pub(super) enum Request {
    Append(Submission),
    /// The writer is gone: the thread that waits for requests should look.
    Look,
}

/// An append that is handed over.
pub(super) struct Submission {
    pub(super) proposal: Box<Proposal>,
    pub(super) answer: Answerer<Answer>,
    /// Under way until the append is decided.
    _look: IdLook,
    _permit: Permit,
}

/// The writer and what waits for it: to be had by one thread at a time.
struct Seat {
    writer: Writer,
    requests: Receiver<Request>,
}

/// Where appends are made.
pub(crate) struct WriterHandle {
    /// `None` once the store is closed.
    seat: Arc<Mutex<Option<Seat>>>,
    requests: Sender<Request>,
    budget: Arc<ByteBudget>,
    /// Whether an append is answered after a sync, which whoever appends can do as well.
    is_sync: bool,
}

/// Makes a writer that goes on where the journal ends, and starts the thread that waits for what
/// is handed over to it.
pub(crate) fn start(
    shared: &Arc<SharedStore>,
    end: JournalEnd,
    options: &StoreOptions,
    sealer: Arc<Sender<()>>,
) -> Result<(WriterHandle, JoinHandle<()>), StorageError> {
    let (sender, requests) = unbounded();
    let waiting = requests.clone();
    let writer = Writer::new(shared, end, options, sealer);
    let seat = Arc::new(Mutex::new(Some(Seat { writer, requests })));
    let handle = WriterHandle {
        seat: Arc::clone(&seat),
        requests: sender,
        budget: Arc::new(ByteBudget::new(MAX_WAITING_BYTES)),
        is_sync: options.durability.sync_within().is_none(),
    };
    let thread = thread::Builder::new()
        .name("spacefold-writer".to_owned())
        .spawn(move || serve(&seat, &waiting))
        .map_err(|error| StorageError::new("starting the writer thread", error))?;
    Ok((handle, thread))
}

impl WriterHandle {
    /// Commits an append whose ids were looked for, in this thread when no other has the writer.
    pub(crate) fn append(
        &self,
        (proposal, look): (Box<Proposal>, IdLook),
    ) -> Result<Receipt, AppendError> {
        if self.is_sync {
            match self.seat.try_lock() {
                Ok(mut seat) => {
                    let Some(Seat { writer, requests }) = seat.as_mut() else {
                        return Err(AppendError::Closed);
                    };
                    let served = writer.serve(Some(&proposal), requests);
                    drop(seat);
                    return served.answer().unwrap_or(Err(AppendError::Closed));
                }
                Err(TryLockError::Poisoned(_)) => return Err(AppendError::Closed),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.submit((proposal, look))?.wait()
    }

    /// Hands an append over whose ids were looked for, once there is room for its bytes.
    pub(crate) fn submit(
        &self,
        (proposal, look): (Box<Proposal>, IdLook),
    ) -> Result<PendingAppend, AppendError> {
        let permit = self.budget.take(proposal.body_bytes());
        let (answer, pending) = PendingAppend::new(|| Err(AppendError::Closed));
        let submission = Submission { proposal, answer, _look: look, _permit: permit };
        self.requests.send(Request::Append(submission)).map_err(|_| AppendError::Closed)?;
        Ok(pending)
    }

    /// Looks at the log with everything that the writer has taken; waits for a group under way.
    pub(crate) fn look_ahead<T>(
        &self,
        look: impl FnOnce(&dyn AppendView) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let seat = self.seat.lock().map_err(|_| ReadError::Closed)?;
        let Seat { writer, .. } = seat.as_ref().ok_or(ReadError::Closed)?;
        look(&writer.ahead)
    }

    /// Ends the writer, after everything that was handed over before: where the journal ends.
    /// `None` when it has panicked, or ended before.
    pub(crate) fn close(&self) -> Option<JournalEnd> {
        let end = self.seat.lock().ok().and_then(|mut seat| {
            let Seat { writer, requests } = seat.take()?;
            Some(writer.finish(&requests))
        });
        // The thread is gone already when this cannot be sent.
        let _ = self.requests.send(Request::Look);
        end
    }
}

/// Serves what is handed over, until the writer is gone. What is still in the channel then is
/// dropped with it, and whoever waits for that learns that the store is closed.
fn serve(seat: &Mutex<Option<Seat>>, waiting: &Receiver<Request>) {
    let mut due: Option<Instant> = None;
    loop {
        // What waits is taken out by whoever has the writer, in the order it was handed over.
        let mut ready = Select::new();
        ready.recv(waiting);
        match due {
            Some(due) => drop(ready.ready_deadline(due)),
            None => drop(ready.ready()),
        }
        match seat.lock() {
            Ok(mut seat) => {
                let Some(Seat { writer, requests }) = seat.as_mut() else { return };
                let served = writer.serve(None, requests);
                due = writer.sync_when_due();
                drop(seat);
                served.answer();
            }
            Err(poisoned) => {
                drop(PoisonError::into_inner(poisoned).take());
                return;
            }
        }
    }
}
