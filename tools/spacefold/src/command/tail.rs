//! `spacefold tail`

use clap::Args;
use indicatif::ProgressBar;
use spacefold::Position;

use super::selection::{self, SelectionArgs};
use crate::{door::read_door::FollowedLines, error::Failure, session::CliSession};

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
        let store = if self.follow { session.follow_log()? } else { session.read_log()? };
        let filter = self.selection.filter(&*store)?;
        let to = store.durable_head()?;
        let from = match self.from.map(Position::new) {
            // What comes next is waited for.
            Some(from) if self.follow && from == to.next() => from,
            Some(from) => {
                selection::check_position(&*store, from)?;
                from
            }
            None => store.begin_of_newest(&filter, self.last)?,
        };
        let hidden = ProgressBar::hidden();
        selection::print(&*store, (from, to), &filter, &mut session.output, &hidden)?;
        session.output.flush()?;
        if self.follow {
            let output = &mut session.output;
            // Until Ctrl-C, or until nobody reads it.
            store.follow(to, filter, &mut |followed| match followed {
                FollowedLines::Lines(lines) => {
                    output.bytes(lines)?;
                    output.flush()
                }
                FollowedLines::Quiet => output.check_reader(),
            })?;
        }
        store.close()
    }
}
