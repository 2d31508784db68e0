//! spacefold, through its public API. Events are encoded in the caller's thread by `append`.

use std::{ops::Range, path::Path};

use anyhow::Result;
use spacefold_event_core::{Append, EventLog, MAX_APPEND_EVENTS, Position, Read, SpaceEvent};
use spacefold_store::EmbeddedLog;

use crate::record::Digest;

pub(crate) fn open(folder: &Path) -> Result<EmbeddedLog> {
    Ok(EmbeddedLog::open(folder)?)
}

pub(crate) fn append(log: &EmbeddedLog, events: &[SpaceEvent]) -> Result<()> {
    let receipt = log.append(&Append::new(events))?;
    anyhow::ensure!(receipt.is_durable(), "an append was answered before it was durable");
    Ok(())
}

pub(crate) fn len(log: &EmbeddedLog) -> u64 {
    log.durable_head().get()
}

pub(crate) fn replay(log: &EmbeddedLog, range: Range<u64>) -> Result<Digest> {
    let mut digest = Digest::default();
    let mut next = Position::new(range.start);
    let end = Position::new(range.end);
    while next < end.min(log.durable_head().next()) {
        let page = log.read(&Read::from(next).to(end.previous()).limit(MAX_APPEND_EVENTS))?;
        for event in page.events() {
            digest.add_event(&event?)?;
        }
        next = page.next();
    }
    Ok(digest)
}
