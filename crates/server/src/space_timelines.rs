//! The timelines of the spaces that are looked at: read once, then only what is new.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use spacefold::Revision;
use spacefold_console::SpaceTimeline;

use crate::{problem::HttpProblem, served_store::ServedStore};

/// Timelines that are kept.
const MAX_TIMELINES: usize = 64;

/// Events that are read together.
const READ_EVENTS: usize = 4_096;

/// How long a page waits for the rest of a long history: it is read on for the next one.
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Default)]
struct KnownTimeline {
    timeline: SpaceTimeline,
    through: Revision,
}

/// Timelines by space.
#[derive(Default)]
pub(crate) struct Timelines(Mutex<HashMap<String, Arc<Mutex<KnownTimeline>>>>);

impl Timelines {
    /// The timeline of a space, and whether it has all of it.
    pub(crate) fn of(
        &self,
        store: &ServedStore,
        space_id: &str,
    ) -> Result<(SpaceTimeline, bool), HttpProblem> {
        let known = self.entry(space_id);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, newest) = (Instant::now(), store.log().revision(space_id)?);
        while known.through < newest && began.elapsed() < PATIENCE {
            let page = store.log().read_space(space_id, known.through.next(), READ_EVENTS)?;
            if page.is_empty() {
                break;
            }
            for event in page.envelopes() {
                known.timeline.add(event.event_type, event.recorded_at);
                known.through = event.revision;
            }
        }
        Ok((known.timeline.clone(), known.through >= newest))
    }

    fn entry(&self, space_id: &str) -> Arc<Mutex<KnownTimeline>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_TIMELINES && !all.contains_key(space_id) {
            // Any makes room: it is read again when it is looked at.
            if let Some(other) = all.keys().next().cloned() {
                all.remove(&other);
            }
        }
        Arc::clone(all.entry(space_id.to_owned()).or_default())
    }
}
