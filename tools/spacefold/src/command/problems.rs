//! `spacefold problems`

use clap::{Args, ValueEnum};
use serde::Serialize;
use spacefold::{
    Timestamp,
    projection::{OpenProblem, ProblemDetail, ProblemFilter, ProblemKind},
};

use crate::{
    error::Failure,
    output::{CellTable, number, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Problems {
    /// Only those of this space.
    #[arg(long, value_name = "SPACE")]
    space: Option<String>,

    /// Only those of this kind.
    #[arg(long, value_name = "KIND")]
    kind: Option<ProblemKindArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ProblemKindArg {
    FailedRender,
    SyncConflict,
    StaleDocument,
    RunningRender,
    RunningSync,
}

impl From<ProblemKindArg> for ProblemKind {
    fn from(kind: ProblemKindArg) -> Self {
        match kind {
            ProblemKindArg::FailedRender => Self::FailedRender,
            ProblemKindArg::SyncConflict => Self::SyncConflict,
            ProblemKindArg::StaleDocument => Self::StaleDocument,
            ProblemKindArg::RunningRender => Self::RunningRender,
            ProblemKindArg::RunningSync => Self::RunningSync,
        }
    }
}

#[derive(Serialize)]
struct PrintedOpenProblem<'a> {
    space_id: &'a str,
    kind: &'static str,
    document_id: Option<&'a str>,
    since: u64,
    since_time: String,
    age_seconds: u64,
    reported: u64,
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'a str>,
}

impl Problems {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        if let Some(space_id) = &self.space
            && !store.has_space(space_id)?
        {
            return Err(Failure::unknown_space(space_id, "--space"));
        }
        let filter =
            ProblemFilter { space_id: self.space.clone(), kind: self.kind.map(Into::into) };
        let problems = store.open_problems(&filter)?;
        let now = Timestamp::now();
        let titles = ["space", "problem", "document", "since", "since time", "age", "by", "what"];
        let mut table = CellTable::new().head(titles);
        for problem in &problems {
            let printed = PrintedOpenProblem::of(problem, now);
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
                text(age(printed.age_seconds)),
                text(printed.source.unwrap_or("-")),
                text(printed.what()),
            ]);
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        store.close()
    }
}

/// How long something has lasted, to the unit that tells.
fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

impl<'a> PrintedOpenProblem<'a> {
    /// The rest in one cell.
    fn what(&self) -> String {
        let said = self.error.or(self.reason).or(self.direction);
        match (said, self.local_hash, self.remote_hash) {
            (Some(what), _, _) => what.to_owned(),
            (None, None, None) => "-".to_owned(),
            (None, here, there) => {
                format!("{} here, {} there", here.unwrap_or("-"), there.unwrap_or("-"))
            }
        }
    }

    fn of(problem: &'a OpenProblem, now: Timestamp) -> Self {
        let age = now.as_micros().saturating_sub(problem.since_time.as_micros());
        let mut printed = Self {
            space_id: &problem.space_id,
            kind: problem.kind().name(),
            document_id: problem.document_id.as_deref(),
            since: problem.since.get(),
            since_time: problem.since_time.to_string(),
            age_seconds: u64::try_from(age).unwrap_or_default() / 1_000_000,
            reported: problem.reported.get(),
            source: problem.source.as_deref(),
            error: None,
            local_hash: None,
            remote_hash: None,
            reason: None,
            direction: None,
        };
        match &problem.detail {
            ProblemDetail::FailedRender { error } => printed.error = error.as_deref(),
            ProblemDetail::SyncConflict { local_hash, remote_hash } => {
                printed.local_hash = local_hash.as_deref();
                printed.remote_hash = remote_hash.as_deref();
            }
            ProblemDetail::StaleDocument { reason } => printed.reason = reason.as_deref(),
            ProblemDetail::RunningSync { direction } => printed.direction = direction.as_deref(),
            _ => {}
        }
        printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_the_largest_unit_that_fits() {
        let ages = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 1_000_000].map(age);
        assert_eq!(ages, ["0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "11 d"]);
    }
}
