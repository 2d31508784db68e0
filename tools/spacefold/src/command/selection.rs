//! Which events a command is about, and printing them.

use clap::Args;
use indicatif::ProgressBar;
use spacefold::{
    Position, Revision, Snapshot, SpacesReader, Timestamp,
    event::{EventFilter, TypePattern, id_of_text},
    log::{Page, ReadRequest},
};

use crate::{error::Failure, interrupt, output::Output};

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
    pub(crate) fn filter(&self, store: &SpacesReader) -> Result<EventFilter, Failure> {
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
pub(crate) fn check_space(store: &SpacesReader, space_id: &str) -> Result<Revision, Failure> {
    match store.log().revision(space_id)? {
        Revision::NONE => Err(Failure::unknown_space(space_id, "in the whole log")),
        revision => Ok(revision),
    }
}

/// Fails when the position is beyond the head.
pub(crate) fn check_position(store: &SpacesReader, position: Position) -> Result<(), Failure> {
    let head = store.durable_head();
    if position > head {
        return Err(Failure::beyond_head(position, head));
    }
    Ok(())
}

/// The position that `--at` or `--as-of` names; none when neither is said.
pub(crate) fn moment(
    store: &SpacesReader,
    at: Option<u64>,
    as_of: Option<Timestamp>,
) -> Result<Option<Position>, Failure> {
    Ok(match (at, as_of) {
        (Some(at), _) => Some(Position::new(at)),
        (None, Some(time)) => Some(store.at(time).position()?),
        (None, None) => None,
    })
}

/// The state of a space, now or as of a position.
pub(crate) fn state(
    store: &SpacesReader,
    space_id: &str,
    at: Option<Position>,
) -> Result<Snapshot, Failure> {
    match at {
        None => Ok(store.snapshot(space_id)?),
        Some(at) => {
            store.at(at).snapshot(space_id).map_err(|error| Failure::of_state_at(error, at))
        }
    }
}

/// Prints the events that are selected from `from` to `to`, both inclusive.
pub(crate) fn print(
    store: &SpacesReader,
    (from, to): (Position, Position),
    filter: &EventFilter,
    output: &mut Output,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let to = to.min(store.durable_head());
    store.export::<Failure>(
        ReadRequest::from(from).to(to).matching(filter.clone()),
        &mut |lines| {
            interrupt::check()?;
            output.bytes(lines.text)?;
            progress.set_position(lines.next.min(to).since(from));
            Ok(())
        },
    )?;
    progress.finish_and_clear();
    Ok(())
}

/// Prints the events of a page.
pub(crate) fn print_page(page: &Page, output: &mut Output) -> Result<(), Failure> {
    for event in page.events() {
        output.event(&event?)?;
    }
    Ok(())
}
