//! Where the events of an append come from: a log has one event of an origin.

use std::collections::HashSet;

use rapidhash::quality::GlobalState;

use super::{AppendView, KeysLookedFor, ProposedRun};
use crate::{log::AppendError, origin::EventOrigin, record::Records};

/// The origins of the events of an append; nothing of them where no event has one.
#[derive(Debug, Default)]
pub(super) struct ProposedOrigins {
    /// Those of the events that have one, in order.
    all: Vec<EventOrigin>,
    /// The first one that an event before has.
    repeated: Option<EventOrigin>,
    /// What was found of them, where they were looked for ahead.
    looked_for: KeysLookedFor,
}

impl ProposedOrigins {
    pub(super) fn of(runs: &[ProposedRun]) -> Self {
        let origins = runs.iter().flat_map(|run| Records::origins(&run.records));
        let all: Vec<EventOrigin> = origins.map(|(_, origin)| *origin).collect();
        let repeated = first_repeated(&all);
        Self { all, repeated, looked_for: KeysLookedFor::default() }
    }

    pub(super) fn all(&self) -> &[EventOrigin] {
        &self.all
    }

    pub(super) const fn note(&mut self, looked_for: KeysLookedFor) {
        self.looked_for = looked_for;
    }

    /// Whether each is that of one event, in the append and in the log.
    pub(super) fn check(&self, view: &impl AppendView) -> Result<(), AppendError> {
        if self.all.is_empty() {
            return Ok(());
        }
        if let Some(origin) = self.repeated {
            return Err(AppendError::DuplicateOrigin { origin });
        }
        let KeysLookedFor { through, found } = self.looked_for;
        let before = found.map_or(self.all.len(), |(index, _)| index);
        let unknown = self.all.get(..before).unwrap_or_default();
        let found = view.find_any_origin(unknown, through)?.or(found);
        let reused = found.and_then(|(index, position)| Some((*self.all.get(index)?, position)));
        reused.map_or(Ok(()), |(origin, position)| {
            Err(AppendError::OriginReused { origin, position })
        })
    }
}

fn first_repeated(origins: &[EventOrigin]) -> Option<EventOrigin> {
    if origins.len() < 2 {
        return None;
    }
    // Seeded: origins come from outside.
    let mut seen: HashSet<&EventOrigin, GlobalState> = HashSet::default();
    origins.iter().find(|origin| !seen.insert(origin)).copied()
}
