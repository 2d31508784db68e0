//! `spacefold diff`

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use spacefold::{Position, Timestamp};

use super::selection;
use crate::{
    door::read_door::ReadDoor,
    error::{Failure, Status},
    output::{CellTable, grouped, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The id of the space.
    #[arg(value_name = "SPACE")]
    space_id: String,

    /// The position or the time of the state before: a number, or a time such as
    /// 2015-12-11T22:50:02+00:00; a date alone is its first instant in UTC.
    #[arg(value_name = "A", value_parser = parse_end)]
    from: DiffEnd,

    /// The position or the time of the state after.
    #[arg(value_name = "B", value_parser = parse_end)]
    to: DiffEnd,

    /// Take nothing but times for A and B.
    #[arg(long)]
    times: bool,
}

#[derive(Serialize)]
struct PrintedDiff<'a> {
    space_id: &'a str,
    from: Position,
    to: Position,
    changes: &'a [Box<RawValue>],
}

/// One end of the difference, as it was given.
#[derive(Clone, Copy, Debug)]
enum DiffEnd {
    Position(Position),
    Time(Timestamp),
}

fn parse_end(text: &str) -> Result<DiffEnd, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let position = text.parse().map_err(|_| format!("{text} is beyond every position"))?;
        return Ok(DiffEnd::Position(Position::new(position)));
    }
    let time = text.parse().map_err(|error| format!("neither a position nor a time: {error}"))?;
    Ok(DiffEnd::Time(time))
}

impl Diff {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        for end in [self.from, self.to] {
            self.check(end)?;
        }
        let store = session.read_states()?;
        selection::check_space(&*store, &self.space_id)?;
        let (from, to) = (self.from.position(&*store)?, self.to.position(&*store)?);
        let changes = store.diff(&self.space_id, from, to)?;
        if session.json {
            session.output.json(&PrintedDiff {
                space_id: &self.space_id,
                from,
                to,
                changes: &changes,
            })?;
        } else {
            self.print(from, to, &changes, session)?;
        }
        session.output.flush()?;
        store.close()
    }

    fn check(&self, end: DiffEnd) -> Result<(), Failure> {
        match end {
            DiffEnd::Position(position) if self.times => Err(Failure::new(
                Status::Usage,
                format_args!("{position} is a position, and --times takes times"),
                "A and B",
                "write a time, such as 2015-12-11T22:50:02+00:00, or leave out --times",
            )),
            _ => Ok(()),
        }
    }

    fn print(
        &self,
        from: Position,
        to: Position,
        changes: &[Box<RawValue>],
        session: &mut CliSession,
    ) -> Result<(), Failure> {
        let (from, to) = (grouped(from.get()), grouped(to.get()));
        let space_id = &self.space_id;
        let count = changes.len();
        session.output.line(&format!("{space_id} from {from} to {to}: {count} changes"))?;
        let mut table = CellTable::new();
        for change in changes {
            let change: serde_json::Value =
                serde_json::from_str(change.get()).expect("a change is valid JSON");
            let members = change.as_object().into_iter().flatten();
            let key: Vec<String> = members
                .filter(|(name, _)| !["kind", "before", "after"].contains(&name.as_str()))
                .map(|(_, value)| shown(value))
                .collect();
            let part = |name: &str| change.get(name).map(shown).unwrap_or_default();
            table.row([
                text(format!("  {}", part("kind"))),
                text(key.join(" ")),
                text(format!("{} -> {}", part("before"), part("after"))),
            ]);
        }
        session.output.table(&table)
    }
}

impl DiffEnd {
    fn position(self, store: &dyn ReadDoor) -> Result<Position, Failure> {
        match self {
            Self::Position(position) => {
                selection::check_position(store, position)?;
                Ok(position)
            }
            Self::Time(time) => store.position_as_of(time),
        }
    }
}

/// A value as a person reads it.
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
