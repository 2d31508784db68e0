//! `spacefold tail`

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use spacefold::{
    Delivery, Position, SpacesReader, Subscriber, Subscription, event::EventFilter,
    log::ReadRequest,
};
use spacefold_event_core::bytes::to_usize;

use super::selection::{self, SelectionArgs};
use crate::{
    door::{Needed, ReadStore},
    error::Failure,
    interrupt,
    output::Output,
    session::CliSession,
};

/// How long nothing must come before it is looked for Ctrl-C, and for who reads the output.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

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

    /// Then every event as it is appended, by any process, until Ctrl-C. To go on later, use --from
    /// with the position after the last one that was printed.
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    selection: SelectionArgs,
}

impl TailArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = if self.follow {
            // Whoever wants to write the store meanwhile is to get it.
            ReadStore::follow(&session.data, Needed::Log, None)?
        } else {
            session.read_log()?
        };
        let filter = self.selection.filter(&store)?;
        let to = store.durable_head();
        let from = match self.from.map(Position::new) {
            // What comes next is waited for.
            Some(from) if self.follow && from == to.next() => from,
            Some(from) => {
                selection::check_position(&store, from)?;
                from
            }
            None => nth_last(&store, &filter, self.last)?,
        };
        let hidden = ProgressBar::hidden();
        selection::print(&store, (from, to), &filter, &mut session.output, &hidden)?;
        session.output.flush()?;
        if self.follow {
            let subscription = Subscription::after(to).matching(filter);
            follow(store.subscribe(subscription)?, &mut session.output)?;
        }
        Ok(store.close()?)
    }
}

/// Prints what comes, until Ctrl-C or until nobody reads it.
fn follow(mut events: Subscriber, output: &mut Output) -> Result<(), Failure> {
    loop {
        interrupt::check()?;
        match events.recv_timeout(LOOK_INTERVAL)? {
            Some(Delivery::Events(page)) => {
                selection::print_page(&page, output)?;
                output.flush()?;
            }
            Some(_) => {}
            None => output.check_reader()?,
        }
    }
}

/// Where the last `wanted` of the selected events begin; behind the head when none is wanted.
fn nth_last(store: &SpacesReader, filter: &EventFilter, wanted: u64) -> Result<Position, Failure> {
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
    store: &SpacesReader,
    filter: &EventFilter,
    (from, to): (Position, Position),
) -> Result<Vec<Position>, Failure> {
    let mut found = Vec::new();
    for page in store.log().pages(ReadRequest::from(from).to(to).matching(filter.clone())) {
        found.extend(page?.envelopes().map(|envelope| envelope.position));
    }
    Ok(found)
}
