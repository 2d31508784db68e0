//! `spacefold snapshot`

use clap::Args;
use spacefold::{Position, Snapshot, Spacefold, Timestamp};

use crate::{
    error::Failure,
    interrupt,
    output::{Output, Table, grouped, number, text},
    session::Session,
};

#[derive(Debug, Args)]
pub(crate) struct SnapshotOf {
    /// The id of the space.
    #[arg(value_name = "SPACE", required_unless_present = "all", conflicts_with = "all")]
    space_id: Option<String>,

    /// Every space that exists there.
    #[arg(long)]
    all: bool,

    /// As of this position.
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    at: Option<u64>,

    /// As of this time, such as 2015-12-11T22:50:02+00:00.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
}

impl SnapshotOf {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        self.write(&store, session)?;
        session.output.flush()?;
        Ok(store.close()?)
    }

    fn write(&self, store: &Spacefold, session: &mut Session) -> Result<(), Failure> {
        let at = match (self.at, self.as_of) {
            (Some(at), _) => Some(Position::new(at)),
            (None, Some(time)) => Some(store.position_as_of(time)?),
            (None, None) => None,
        };
        let all = match (&self.space_id, at) {
            (Some(space_id), Some(at)) => {
                return write_one(&store.snapshot_at(space_id, at)?, session);
            }
            (Some(space_id), None) => return write_one(&store.snapshot(space_id)?, session),
            (None, Some(at)) => store.snapshots_at(at)?,
            (None, None) => store.snapshots(),
        };
        for (index, snapshot) in all.enumerate() {
            interrupt::check()?;
            if index > 0 && !session.json {
                session.output.line("")?;
            }
            write_one(&snapshot?, session)?;
        }
        Ok(())
    }
}

fn write_one(snapshot: &Snapshot, session: &mut Session) -> Result<(), Failure> {
    match session.json {
        true => session.output.line(&snapshot.to_json()),
        false => print(snapshot, &mut session.output),
    }
}

fn print(snapshot: &Snapshot, output: &mut Output) -> Result<(), Failure> {
    let mut table = Table::new();
    let mut say = |what: &str, value: String| table.row([text(what), text(value)]);
    say("space", snapshot.space_id().to_owned());
    say("name", snapshot.name().unwrap_or("-").to_owned());
    say("status", snapshot.status().to_string());
    say("position", grouped(snapshot.position().get()));
    say("revision", grouped(snapshot.revision().get()));
    say("created", snapshot.created_at().to_string());
    say("updated", snapshot.updated_at().to_string());
    for (name, value) in snapshot.variables() {
        let mut json = String::new();
        spacefold::write_value(&mut json, value);
        say(&format!("variable {name}"), json);
    }
    say("references", snapshot.references().len().to_string());
    say("renders", snapshot.renders().len().to_string());
    say("sync", snapshot.sync().status.to_string());
    say("conflicts", snapshot.conflicts().len().to_string());
    say("stale documents", snapshot.stale_documents().len().to_string());
    say("anomalies", snapshot.anomalies().count().to_string());
    say("state hash", snapshot.state_hash().to_string());
    say("documents", snapshot.document_count().to_string());
    output.table(&table)?;
    if snapshot.document_count() > 0 {
        let mut table = Table::new().head(["  path", "id", "content hash", "updated at"]);
        for (id, document) in snapshot.documents() {
            let hash = document.content_hash().unwrap_or("-");
            table.row([
                text(format!("  {}", document.path())),
                text(id),
                text(hash.chars().take(12).collect::<String>()),
                number(document.updated_position().get()),
            ]);
        }
        output.table(&table)?;
    }
    Ok(())
}
