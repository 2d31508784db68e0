//! `spacefold problems`

use clap::{Args, ValueEnum};
use serde::Serialize;
use spacefold::{OpenProblem, ProblemDetail, ProblemFilter, ProblemKind, Revision};

use crate::{
    error::Failure,
    output::{Table, number, text},
    session::Session,
};

#[derive(Debug, Args)]
pub(crate) struct Problems {
    /// Only those of this space.
    #[arg(long, value_name = "SPACE")]
    space: Option<String>,

    /// Only those of this kind.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    FailedRender,
    SyncConflict,
    StaleDocument,
}

impl From<Kind> for ProblemKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::FailedRender => Self::FailedRender,
            Kind::SyncConflict => Self::SyncConflict,
            Kind::StaleDocument => Self::StaleDocument,
        }
    }
}

#[derive(Serialize)]
struct Printed<'a> {
    space_id: &'a str,
    kind: &'static str,
    document_id: Option<&'a str>,
    since: u64,
    since_time: String,
    reported: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Problems {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        if let Some(space_id) = &self.space
            && spacefold::EventLog::revision(store.log(), space_id)? == Revision::NONE
        {
            return Err(Failure::unknown_space(space_id, "--space"));
        }
        let filter =
            ProblemFilter { space_id: self.space.clone(), kind: self.kind.map(Into::into) };
        let problems = store.open_problems()?.problems(&filter)?;
        let titles = ["space", "problem", "document", "since", "since time", "what"];
        let mut table = Table::new().head(titles);
        for problem in &problems {
            let printed = Printed::from(problem);
            if session.json {
                session.output.json(&printed)?;
                continue;
            }
            table.row([
                text(printed.space_id),
                text(printed.kind),
                text(printed.document_id.unwrap_or("-")),
                number(printed.since),
                text(&printed.since_time),
                text(printed.what()),
            ]);
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}

impl Printed<'_> {
    /// The rest in one cell.
    fn what(&self) -> String {
        match (self.error.or(self.reason), self.local_hash, self.remote_hash) {
            (Some(what), _, _) => what.to_owned(),
            (None, None, None) => "-".to_owned(),
            (None, here, there) => {
                format!("{} here, {} there", here.unwrap_or("-"), there.unwrap_or("-"))
            }
        }
    }
}

impl<'a> From<&'a OpenProblem> for Printed<'a> {
    fn from(problem: &'a OpenProblem) -> Self {
        let mut printed = Self {
            space_id: &problem.space_id,
            kind: problem.kind().name(),
            document_id: problem.document_id.as_deref(),
            since: problem.since.get(),
            since_time: problem.since_time.to_string(),
            reported: problem.reported.get(),
            error: None,
            local_hash: None,
            remote_hash: None,
            reason: None,
        };
        match &problem.detail {
            ProblemDetail::FailedRender { error } => printed.error = error.as_deref(),
            ProblemDetail::SyncConflict { local_hash, remote_hash } => {
                printed.local_hash = local_hash.as_deref();
                printed.remote_hash = remote_hash.as_deref();
            }
            ProblemDetail::StaleDocument { reason } => printed.reason = reason.as_deref(),
            _ => {}
        }
        printed
    }
}
