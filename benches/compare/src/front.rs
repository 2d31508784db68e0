//! Group commit for engines that have none: one thread drains a channel, one transaction a group.

use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use spacefold_event_core::SpaceEvent;
use spacefold_store::EmbeddedLog;

use crate::{
    record::Batch,
    subject::{Engine, Kind, Store, append_to_spacefold},
};

/// Appends that wait for the writer, at the most: as many as spacefold takes.
const MAX_WAITING_APPENDS: usize = 256;

/// An append on its way to the writer.
pub(crate) struct Request {
    batch: Batch,
    answer: Sender<Result<(), String>>,
}

/// An open store that many threads append to.
pub(crate) enum Front {
    /// spacefold groups by itself.
    Spacefold(EmbeddedLog),
    /// A rival behind its writer thread.
    Rival { requests: Sender<Request>, writer: JoinHandle<Box<dyn Engine>> },
}

/// One producer's end of a front.
pub(crate) enum Producer {
    /// Of spacefold.
    Spacefold(EmbeddedLog),
    /// Of a rival.
    Rival(Sender<Request>),
}

impl Front {
    /// Opens the store of this kind in a folder.
    pub(crate) fn open(kind: Kind, folder: &std::path::Path) -> Result<Self> {
        match Store::open(kind, folder)? {
            Store::Spacefold(log) => Ok(Self::Spacefold(log)),
            Store::Rival(engine, _) => {
                let (requests, waiting) = bounded(MAX_WAITING_APPENDS);
                let writer = thread::spawn(move || write(engine, &waiting));
                Ok(Self::Rival { requests, writer })
            }
        }
    }

    /// A producer's end.
    pub(crate) fn producer(&self) -> Producer {
        match self {
            Self::Spacefold(log) => Producer::Spacefold(log.clone()),
            Self::Rival { requests, .. } => Producer::Rival(requests.clone()),
        }
    }

    /// Closes the store; every producer must be gone.
    pub(crate) fn close(self) -> Result<()> {
        match self {
            Self::Spacefold(log) => Ok(log.close()?),
            Self::Rival { requests, writer } => {
                drop(requests);
                writer.join().map_err(|_| anyhow!("the writer panicked"))?.close()
            }
        }
    }
}

impl Producer {
    /// Appends events, encoded in this thread, durable when it returns.
    pub(crate) fn append(&self, events: &[SpaceEvent]) -> Result<()> {
        match self {
            Self::Spacefold(log) => append_to_spacefold(log, events),
            Self::Rival(requests) => {
                let mut batch = Batch::default();
                batch.encode(events)?;
                let (answer, answered) = bounded(1);
                requests.send(Request { batch, answer }).context("the writer is gone")?;
                answered.recv().context("the writer is gone")?.map_err(|error| anyhow!(error))
            }
        }
    }
}

/// Commits what waits, group by group, until nobody is left to ask.
fn write(mut engine: Box<dyn Engine>, waiting: &Receiver<Request>) -> Box<dyn Engine> {
    let mut group = Batch::default();
    let mut answers = Vec::new();
    while let Ok(first) = waiting.recv() {
        group.clear();
        for request in std::iter::once(first).chain(waiting.try_iter()) {
            group.extend(&request.batch);
            answers.push(request.answer);
        }
        let outcome = engine.commit(&group).map_err(|error| format!("{error:#}"));
        for answer in answers.drain(..) {
            // Whoever does not wait any more does not need it.
            let _ = answer.send(outcome.clone());
        }
    }
    engine
}
