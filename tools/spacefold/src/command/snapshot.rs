//! `spacefold snapshot`

use clap::Args;
use serde::Serialize;
use spacefold::{Snapshot, Timestamp, content::RecordedHash};

use super::selection;
use crate::{
    door::read_door::ReadDoor,
    error::Failure,
    output::{CellTable, Output, grouped, number, text},
    session::CliSession,
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

    /// As of this time, such as 2015-12-11T22:50:02+00:00; a date alone is its first instant in UTC.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,

    /// Only the documents that there is something to render of: with content that is newer than their
    /// last completed render, or marked stale.
    #[arg(long)]
    needs_render: bool,
}

/// A document that there is something to render of.
#[derive(Serialize)]
struct Unrendered<'a> {
    space_id: &'a str,
    document_id: &'a str,
    path: &'a str,
    content_hash: Option<RecordedHash<&'a str>>,
    stale: bool,
    last_render: Option<&'static str>,
}

impl SnapshotOf {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        self.write(&*store, session)?;
        session.output.flush()?;
        store.close()
    }

    fn write(&self, store: &dyn ReadDoor, session: &mut CliSession) -> Result<(), Failure> {
        let at = selection::moment(store, self.at, self.as_of)?;
        let mut table = Unrendered::table();
        if let Some(space_id) = &self.space_id {
            let one = store.snapshot(space_id, at)?;
            if !self.needs_render {
                return write_one(&one, session);
            }
            Unrendered::write(&one, &mut table, session)?;
        } else {
            let mut is_first = true;
            store.snapshots(at, &mut |snapshot| {
                if self.needs_render {
                    return Unrendered::write(&snapshot, &mut table, session);
                }
                if !(is_first || session.json) {
                    session.output.line("")?;
                }
                is_first = false;
                write_one(&snapshot, session)
            })?;
        }
        if self.needs_render && !session.json { session.output.table(&table) } else { Ok(()) }
    }
}

fn write_one(snapshot: &Snapshot, session: &mut CliSession) -> Result<(), Failure> {
    match session.json {
        true => session.output.json(snapshot),
        false => print(snapshot, &mut session.output),
    }
}

impl Unrendered<'_> {
    fn table() -> CellTable {
        CellTable::new().head(["space", "document", "path", "stale", "last render"])
    }

    /// Writes those of a space, or adds them to the table, which is written when it has many.
    fn write(
        snapshot: &Snapshot,
        table: &mut CellTable,
        session: &mut CliSession,
    ) -> Result<(), Failure> {
        for document_id in snapshot.documents_to_render() {
            let Some(document) = snapshot.document(document_id) else { continue };
            let unrendered = Unrendered {
                space_id: snapshot.space_id(),
                document_id,
                path: document.path(),
                content_hash: document.content_hash(),
                stale: snapshot.is_stale(document_id),
                last_render: snapshot.render(Some(document_id)).map(|it| it.status().name()),
            };
            if session.json {
                session.output.json(&unrendered)?;
                continue;
            }
            table.row([
                text(unrendered.space_id),
                text(unrendered.document_id),
                text(unrendered.path),
                text(if unrendered.stale { "yes" } else { "no" }),
                text(unrendered.last_render.unwrap_or("-")),
            ]);
            session.output.many_rows(table)?;
        }
        Ok(())
    }
}

/// How the last render of a document ended, and whether there is something to render.
fn render(snapshot: &Snapshot, document_id: &str) -> String {
    let last = snapshot.render(Some(document_id)).map(|render| render.status().name());
    let is_needed = snapshot.needs_render(document_id) || snapshot.is_stale(document_id);
    match (is_needed, last) {
        (true, Some(last)) => format!("needed, last {last}"),
        (true, None) => "needed".to_owned(),
        (false, last) => last.unwrap_or("-").to_owned(),
    }
}

fn print(snapshot: &Snapshot, output: &mut Output) -> Result<(), Failure> {
    let mut table = CellTable::new();
    let mut say = |what: &str, value: String| table.row([text(what), text(value)]);
    say("space", snapshot.space_id().to_owned());
    say("name", snapshot.name().unwrap_or("-").to_owned());
    say("status", snapshot.status().to_string());
    say("position", grouped(snapshot.position().get()));
    say("revision", grouped(snapshot.revision().get()));
    let created = snapshot.created_at().map_or("-".to_owned(), |time| time.to_string());
    say("created", created);
    say("updated", snapshot.updated_at().to_string());
    for (name, value) in snapshot.variables() {
        say(&format!("variable {name}"), value.to_string());
    }
    say("references", snapshot.references().len().to_string());
    say("renders", snapshot.renders().len().to_string());
    say("sync", snapshot.sync().status.to_string());
    say("conflicts", snapshot.conflicts().len().to_string());
    say("stale documents", snapshot.stale_documents().len().to_string());
    say("documents to render", snapshot.documents_to_render().len().to_string());
    say("anomalies", snapshot.anomalies().count().to_string());
    say("state hash", snapshot.state_hash().to_string());
    say("documents", snapshot.document_count().to_string());
    output.table(&table)?;
    if snapshot.document_count() > 0 {
        let mut table =
            CellTable::new().head(["  path", "id", "content hash", "updated at", "render"]);
        for (id, document) in snapshot.documents() {
            let hash = document.content_hash().map_or("-", RecordedHash::into_text);
            table.row([
                text(format!("  {}", document.path())),
                text(id),
                text(hash.chars().take(12).collect::<String>()),
                number(document.updated_position().get()),
                text(render(snapshot, id)),
            ]);
        }
        output.table(&table)?;
    }
    Ok(())
}
