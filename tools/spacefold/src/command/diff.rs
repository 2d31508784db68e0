//! `spacefold diff`

use clap::{
    Args, CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};
use spacefold::{Position, Spacefold, Timestamp, write_string};

use super::selection;
use crate::{
    arguments::Arguments,
    error::Failure,
    output::{Table, grouped, text},
    session::Session,
};

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The id of the space.
    #[arg(value_name = "SPACE")]
    space_id: String,

    /// The position, or with --times the time, of the state before.
    #[arg(value_name = "A")]
    from: String,

    /// The position, or with --times the time, of the state after.
    #[arg(value_name = "B")]
    to: String,

    /// Read A and B as times, such as 2015-12-11T22:50:02+00:00.
    #[arg(long)]
    times: bool,
}

/// One end of the difference, as it was given.
enum End {
    Position(Position),
    Time(Timestamp),
}

impl Diff {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let (from, to) = (self.end("A", &self.from), self.end("B", &self.to));
        let store = session.open_existing()?;
        selection::check_space(&store, &self.space_id)?;
        let (from, to) = (from.position(&store)?, to.position(&store)?);
        let changes = store.diff(&self.space_id, from, to)?;
        if session.json {
            let mut json = String::from("{\"space_id\":");
            write_string(&mut json, &self.space_id);
            json.push_str(&format!(",\"from\":{from},\"to\":{to},\"changes\":["));
            for (index, change) in changes.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                change.write_json(&mut json);
            }
            json.push_str("]}");
            session.output.line(&json)?;
        } else {
            let changes: Vec<String> = changes.iter().map(|change| change.to_json()).collect();
            self.print(from, to, &changes, session)?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }

    fn end(&self, name: &str, given: &str) -> End {
        let read = if self.times {
            given.parse().ok().map(End::Time)
        } else {
            given.parse().ok().map(Position::new).map(End::Position)
        };
        read.unwrap_or_else(|| usage_error(name, given))
    }

    fn print(
        &self,
        from: Position,
        to: Position,
        changes: &[String],
        session: &mut Session,
    ) -> Result<(), Failure> {
        let (from, to) = (grouped(from.get()), grouped(to.get()));
        let space_id = crate::error::one_line(&self.space_id);
        let count = changes.len();
        session.output.line(&format!("{space_id} from {from} to {to}: {count} changes"))?;
        let mut table = Table::new();
        for change in changes {
            let change: serde_json::Value = serde_json::from_str(change).unwrap_or_default();
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

impl End {
    fn position(self, store: &Spacefold) -> Result<Position, Failure> {
        match self {
            Self::Position(position) => {
                selection::check_position(store, position)?;
                Ok(position)
            }
            Self::Time(time) => Ok(store.position_as_of(time)?),
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

/// Ends the process as the parser of the command line does.
fn usage_error(name: &str, given: &str) -> ! {
    let mut error = clap::Error::new(ErrorKind::ValueValidation).with_cmd(&Arguments::command());
    error.insert(ContextKind::InvalidArg, ContextValue::String(format!("<{name}>")));
    error.insert(ContextKind::InvalidValue, ContextValue::String(given.to_owned()));
    error.exit()
}
