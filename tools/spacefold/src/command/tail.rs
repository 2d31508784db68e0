//! `spacefold tail`

use clap::Args;
use indicatif::ProgressBar;
use spacefold::{
    Position, Spacefold,
    event::EventFilter,
    log::{LogReader as _, ReadRequest},
};
use spacefold_event_core::bytes::to_usize;

use super::selection::{self, SelectionArgs};
use crate::{error::Failure, interrupt, session::CliSession};

/// How far back the first search goes; each further one goes twice as far.
const FIRST_SEARCH_EVENTS: u64 = 4_096;

/// How far back one search goes at the most, between two looks at Ctrl-C.
const MAX_SEARCH_EVENTS: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// How many events.
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "from")]
    last: u64,

    /// Every event from this position on, inclusive.
    #[arg(long, value_name = "N")]
    from: Option<u64>,

    #[command(flatten)]
    selection: SelectionArgs,
}

impl TailArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.open_existing()?;
        let filter = self.selection.filter(&store)?;
        let from = match self.from.map(Position::new) {
            Some(from) => {
                selection::check_position(&store, from)?;
                from
            }
            None => nth_last(&store, &filter, self.last)?,
        };
        let to = store.durable_head();
        let hidden = ProgressBar::hidden();
        selection::print(&store, (from, to), &filter, &mut session.output, &hidden)?;
        session.output.flush()?;
        Ok(store.close()?)
    }
}

/// Where the last `wanted` of the selected events begin; behind the head when none is wanted.
fn nth_last(store: &Spacefold, filter: &EventFilter, wanted: u64) -> Result<Position, Failure> {
    let head = store.durable_head();
    if filter.is_all() || wanted == 0 {
        let before = head.since(Position::new(wanted));
        return Ok(Position::new(before).next());
    }
    let mut missing = to_usize(wanted);
    let mut to = head;
    let mut stretch = FIRST_SEARCH_EVENTS;
    while to > Position::START {
        interrupt::check()?;
        let before = Position::new(to.since(Position::new(stretch)));
        let found = positions(store, filter, (before.next(), to))?;
        if let Some(first) = found.len().checked_sub(missing) {
            return Ok(found.get(first).copied().unwrap_or(to));
        }
        missing -= found.len();
        to = before;
        stretch = (stretch * 2).min(MAX_SEARCH_EVENTS);
    }
    Ok(Position::START.next())
}

fn positions(
    store: &Spacefold,
    filter: &EventFilter,
    (from, to): (Position, Position),
) -> Result<Vec<Position>, Failure> {
    let mut found = Vec::new();
    for page in store.log().pages(ReadRequest::from(from).to(to).matching(filter.clone())) {
        found.extend(page?.envelopes().map(|envelope| envelope.position));
    }
    Ok(found)
}
