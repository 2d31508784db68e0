//! The rows of the projections that come with a store.

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use serde_json::Value;
use spacefold::{
    Position,
    event::{TypePattern, TypeSelection},
    projection::{
        Activity, ActivityFilter, ContentIndex, Day, Occurrence, OpenProblems, ProblemFilter,
        ProblemKind,
    },
};

use super::info_of;
use crate::{
    access::CallerAccess,
    answer,
    app::App,
    entity_tag::CacheRule,
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    resources::open_problem_row::OpenProblemRow,
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Rows of a page that is asked for without a limit.
const PAGE_ROWS: u64 = 100;

#[derive(Serialize)]
struct PrintedRows {
    rows: Vec<Value>,
    /// What the next page comes after; `null` where there is none.
    next: Option<u64>,
    /// Up to where they are folded, at least.
    position: Position,
}

/// Which rows of which projection.
enum AskedRows {
    Activity(ActivityFilter),
    Problems(ProblemFilter),
    Occurrences { hash: String, at: Option<Position> },
}

/// `GET /v1/projections/{name}/rows`
pub(in crate::resources) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let name = ids.id("name")?;
    let mut given = Parameters::of(&uri)?;
    let (after, limit) = (given.number("after")?.unwrap_or(0), given.number("limit")?);
    let asked = asked_rows(&name, &mut given, &access)?;
    given.finish()?;
    let most = app.limits().max_page_events;
    let limit = limit.unwrap_or(PAGE_ROWS.min(most));
    if !(1..=most).contains(&limit) {
        return Err(invalid("limit", format_args!("a page has 1 to {most} rows")));
    }
    let rows = app
        .ask(move |store| {
            let Some(asked) = asked else {
                info_of(store, &name)?;
                let detail = format_args!(
                    "the rows of {name:?} have no form here: they are read in the program that has \
                     the projection"
                );
                return Err(HttpProblem::not_found("rows_without_form", detail));
            };
            let position = store.durable_head();
            let rows = asked.rows(store, &access)?;
            let of = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let end = after.saturating_add(limit);
            let next = (rows.len() > of(end)).then_some(end);
            let rows = rows.into_iter().skip(of(after)).take(of(limit)).collect();
            Ok(PrintedRows { rows, next, position })
        })
        .await?;
    answer::json(&rows, CacheRule::NoStore)
}

/// `None` for a projection whose rows have no form here.
fn asked_rows(
    name: &str,
    given: &mut Parameters,
    access: &CallerAccess,
) -> Result<Option<AskedRows>, HttpProblem> {
    Ok(Some(match name {
        Activity::NAME => {
            // They are of all spaces together.
            access.require_everywhere(TokenRight::Read)?;
            let patterns = given.all("type");
            let patterns = patterns.iter().map(|name| name.parse::<TypePattern>());
            let patterns = patterns.collect::<Result<Vec<_>, _>>();
            let patterns = patterns.map_err(|error| invalid("type", error))?;
            let types = match patterns.as_slice() {
                [] => TypeSelection::ALL,
                _ => TypeSelection::of(patterns),
            };
            let (from, to): (Option<Day>, Option<Day>) = (given.value("from")?, given.value("to")?);
            AskedRows::Activity(ActivityFilter { from, to, types, tag: given.text("tag")? })
        }
        OpenProblems::NAME => {
            let kind = given.text("kind")?.map(|kind| problem_kind(&kind)).transpose()?;
            let space_id = given.text("space")?;
            if let Some(space_id) = &space_id {
                access.require_sight(space_id)?;
            }
            AskedRows::Problems(ProblemFilter { space_id, kind })
        }
        ContentIndex::NAME => {
            let at = given.number("at")?.map(Position::new);
            let hash = given.text("hash")?;
            let hash = hash.ok_or_else(|| invalid("hash", "rows are those of a content hash"))?;
            AskedRows::Occurrences { hash, at }
        }
        _ => return Ok(None),
    }))
}

fn problem_kind(name: &str) -> Result<ProblemKind, HttpProblem> {
    let found = ProblemKind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| {
        let names = ProblemKind::ALL.map(ProblemKind::name).join(", ");
        invalid("kind", format_args!("it is one of {names}"))
    })
}

impl AskedRows {
    /// The rows that the caller sees, as JSON.
    fn rows(self, store: &ServedStore, access: &CallerAccess) -> Result<Vec<Value>, HttpProblem> {
        let projections = store.projections();
        match self {
            Self::Activity(filter) => {
                let counts = projections.activity()?.counts(&filter)?;
                counts.iter().map(printed).collect()
            }
            Self::Problems(filter) => {
                let problems = projections.open_problems()?.problems(&filter)?;
                let seen = problems.iter().filter(|problem| access.sees(&problem.space_id));
                seen.map(|problem| printed(&OpenProblemRow::of(problem))).collect()
            }
            Self::Occurrences { hash, at } => {
                let head = store.durable_head();
                if let Some(at) = at.filter(|at| *at > head) {
                    return Err(HttpProblem::beyond_head(at, head));
                }
                let found = projections.occurrences(hash)?;
                let is_meant = |it: &&Occurrence| {
                    access.sees(&it.space_id) && at.is_none_or(|at| it.is_at(at))
                };
                found.iter().filter(is_meant).map(printed).collect()
            }
        }
    }
}

fn printed(row: &impl Serialize) -> Result<Value, HttpProblem> {
    serde_json::to_value(row).map_err(|error| HttpProblem::internal("internal", error))
}
