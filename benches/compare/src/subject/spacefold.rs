//! spacefold, through its public API. Events are encoded in the caller's thread by `append`.

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::Result;
use spacefold_event_core::{
    AppendRequest, LogReader, LogWriter, MAX_APPEND_EVENTS, Position, ReadRequest, SpaceEvent,
};
use spacefold_projection::{
    DerivedState, LiveStates, Projections, RebuildMode, RebuildOptions, rebuild,
};
use spacefold_store::EmbeddedLog;

use crate::{fold::Summary, record::Digest};

pub(crate) fn open(folder: &Path) -> Result<EmbeddedLog> {
    Ok(EmbeddedLog::open(folder)?)
}

pub(crate) fn append(log: &EmbeddedLog, events: &[SpaceEvent]) -> Result<()> {
    let receipt = log.append(&AppendRequest::new(events))?;
    anyhow::ensure!(receipt.is_durable(), "an append was answered before it was durable");
    Ok(())
}

pub(crate) fn len(log: &EmbeddedLog) -> u64 {
    log.durable_head().get()
}

pub(crate) fn replay(log: &EmbeddedLog, range: Range<u64>) -> Result<Digest> {
    let mut digest = Digest::default();
    let to = Position::new(range.end).previous();
    let read = ReadRequest::from(Position::new(range.start)).to(to).limit(MAX_APPEND_EVENTS);
    for page in log.pages(read) {
        for event in page?.events() {
            digest.add_event(&event?)?;
        }
    }
    Ok(digest)
}

/// Rebuilds the states of all spaces, and persists them.
pub(crate) fn fold(log: &EmbeddedLog) -> Result<Arc<LiveStates>> {
    let derived = DerivedState::in_folder(log.derived_folder());
    let states = Arc::new(LiveStates::new(Arc::new(log.clone()), derived));
    let projections = Projections::new(Arc::clone(&states));
    let options = RebuildOptions::new(RebuildMode::Replace);
    rebuild(&projections, &["space-state".to_owned()], &options)?;
    Ok(states)
}

pub(crate) fn summary(states: &LiveStates) -> Result<Summary> {
    let mut summary = Summary::default();
    for snapshot in states.snapshot_all()? {
        summary.spaces += 1;
        summary.revisions += snapshot.revision().get();
        summary.documents += snapshot.document_count() as u64;
        summary.variables += snapshot.variables().len() as u64;
        summary.renders += snapshot.renders().len() as u64;
        summary.anomalies += snapshot.anomalies().count();
        for (_, document) in snapshot.documents() {
            let positions = [document.added_position(), document.updated_position()];
            summary.positions += positions.map(Position::get).iter().sum::<u64>();
        }
        let renders = snapshot.renders().into_iter();
        summary.positions += renders.map(|(_, render)| render.position().get()).sum::<u64>();
    }
    Ok(summary)
}
