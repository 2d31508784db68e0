//! What the events of the log did to their spaces, as it is kept beside the states.

use spacefold_event_core::{Position, ReadError, StorageError};
use spacefold_runs::RunsError;
use spacefold_state::Effects;

use super::LiveStates;
use crate::{effects::EffectSource, snapshot_error::SnapshotError};

impl LiveStates {
    /// What the events after `after`, up to `to`, did, each to its space: folds as far first.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`]; [`SnapshotError::Read`] or [`SnapshotError::Storage`].
    ///
    /// # Cost
    /// That of those which did not simply take effect, once the events are folded.
    pub fn effects(&self, after: Position, to: Position) -> Result<Effects, SnapshotError> {
        SnapshotError::check_head(&*self.log, to)?;
        let fold =
            |head| self.fold_to(head, self.held.lock(), |_, kept, _| Ok(kept.effects(after, to)));
        let read = || match fold(self.log.durable_head()) {
            // What comes before it is known all the same.
            Err(SnapshotError::Read(ReadError::Corrupt { position, .. })) if position > to => {
                fold(to)
            }
            read => read,
        };
        match read()?.1 {
            Err(RunsError::Damaged { .. }) => self.begin_anew(&mut self.held.lock())?,
            effects => return Ok(effects.map_err(StorageError::from)?),
        }
        Ok(read()?.1.map_err(StorageError::from)?)
    }
}

impl EffectSource for LiveStates {
    fn effects(&self, after: Position, to: Position) -> Result<Effects, ReadError> {
        Self::effects(self, after, to).map_err(|error| match error {
            SnapshotError::Read(error) => error,
            SnapshotError::Storage(error) => error.into(),
            error => StorageError::new("reading what events did", error).into(),
        })
    }
}
