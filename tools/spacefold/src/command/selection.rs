//! Which events a command is about, and printing them.

use clap::Args;
use indicatif::ProgressBar;
use spacefold::{
    Position, Timestamp,
    event::{EventFilter, TypePattern, id_of_text},
};

use crate::{door::read_door::ReadDoor, error::Failure, output::Output};

#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    /// Only events of this space; may be given several times.
    #[arg(long = "space", value_name = "SPACE")]
    spaces: Vec<String>,

    /// Only events of this type, such as document.added, or of types whose names begin alike, such
    /// as com.example.*; may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypePattern>,

    /// Only events that have this tag; given several times, all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Only events of this source.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,

    /// Only events with this correlation id.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    /// Only events that do not come from the store with this id; may be given several times.
    #[arg(long = "not-from", value_name = "STORE", value_parser = store_id)]
    not_from: Vec<[u8; 16]>,
}

impl SelectionArgs {
    /// The filter that it states.
    pub(crate) fn filter(&self, store: &dyn ReadDoor) -> Result<EventFilter, Failure> {
        let mut filter = EventFilter::all();
        if !self.spaces.is_empty() {
            for space_id in &self.spaces {
                check_space(store, space_id)?;
            }
            filter = filter.spaces(self.spaces.iter().cloned());
        }
        if !self.types.is_empty() {
            filter = filter.types(self.types.iter().cloned());
        }
        filter = filter.tags(&self.tags);
        if let Some(source) = &self.source {
            filter = filter.source(source);
        }
        if let Some(correlation_id) = &self.correlation_id {
            filter = filter.correlation_id(correlation_id);
        }
        Ok(self.not_from.iter().copied().fold(filter, EventFilter::not_from))
    }
}

fn store_id(text: &str) -> Result<[u8; 16], String> {
    id_of_text(text).ok_or_else(|| "a store id is a UUID, as `info` prints it".to_owned())
}

/// Fails when the log has no event of the space.
pub(crate) fn check_space(store: &dyn ReadDoor, space_id: &str) -> Result<(), Failure> {
    match store.has_space(space_id)? {
        true => Ok(()),
        false => Err(Failure::unknown_space(space_id, "in the whole log")),
    }
}

/// Fails when the position is beyond the head.
pub(crate) fn check_position(store: &dyn ReadDoor, position: Position) -> Result<(), Failure> {
    let head = store.durable_head()?;
    if position > head {
        return Err(Failure::beyond_head(position, head));
    }
    Ok(())
}

/// The position that `--at` or `--as-of` names; none when neither is said.
pub(crate) fn moment(
    store: &dyn ReadDoor,
    at: Option<u64>,
    as_of: Option<Timestamp>,
) -> Result<Option<Position>, Failure> {
    Ok(match (at, as_of) {
        (Some(at), _) => Some(Position::new(at)),
        (None, Some(time)) => Some(store.position_as_of(time)?),
        (None, None) => None,
    })
}

/// Prints the events that are selected from `from` to `to`, both inclusive.
pub(crate) fn print(
    store: &dyn ReadDoor,
    (from, to): (Position, Position),
    filter: &EventFilter,
    output: &mut Output,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    store.events((from, to), filter, &mut |lines| {
        output.bytes(lines.text)?;
        progress.set_position(lines.next.min(to).since(from));
        Ok(())
    })?;
    progress.finish_and_clear();
    Ok(())
}
