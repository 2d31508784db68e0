//! The store at a glance.

use maud::{Markup, html};
use spacefold::{
    Revision, Timestamp,
    admin::{StoreHealth, StoreInfo},
    projection::{OpenProblem, ProblemDetail},
    state::SpaceStatus,
};

use crate::{
    frame::PageFrame,
    link::PageLink,
    text::{self, counted, grouped, position_in, space_link},
};

/// Problems that are shown.
const SHOWN_PROBLEMS: usize = 20;

/// A space in a list.
#[derive(Clone, Debug)]
pub struct SpaceListRow {
    /// Its id.
    pub space_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its status.
    pub status: SpaceStatus,
    /// Its newest revision.
    pub revision: Revision,
    /// How many documents it has.
    pub documents: u64,
    /// When something happened to it last.
    pub updated_at: Timestamp,
}

/// The store at a glance.
#[derive(Clone, Debug, Default)]
pub struct StorePage {
    /// A page of the spaces, sorted by id.
    pub spaces: Vec<SpaceListRow>,
    /// What the next page comes after.
    pub next: Option<String>,
    /// What this page comes after.
    pub after: Option<String>,
    /// What is to be looked after in the spaces; `None` where it is not known.
    pub problems: Option<Vec<OpenProblem>>,
    /// The figures of the store, for whom they are.
    pub info: Option<StoreInfo>,
    /// Whether it takes what it is given, where it is open here.
    pub health: Option<StoreHealth>,
    /// Events appended since it was opened here, and since when.
    pub appended: Option<(u64, Timestamp)>,
    /// Events that are parked, over all subscriptions.
    pub parked: Option<u64>,
}

impl StorePage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let body = html! {
            h1.sr { "Store" }
            (self.warnings())
            @if let Some(info) = &self.info { (self.figures(info)) }
            (self.space_list())
            (self.problem_list())
        };
        frame.page("Store", &body)
    }

    /// What is wrong, before anything else.
    fn warnings(&self) -> Markup {
        let refused = self.health.as_ref().and_then(|health| health.log.failure.as_deref());
        let parked = self.parked.unwrap_or(0);
        html! {
            @if let Some(refused) = refused {
                p.problem role="alert" { "The store takes no appends: " (refused) " " a href="health" { "Health" } }
            }
            @if parked > 0 {
                p.warning { (counted(parked, "event is", "events are")) " parked. " a href="subscriptions" { "Subscriptions" } }
            }
        }
    }

    fn figures(&self, info: &StoreInfo) -> Markup {
        let behind = info.head.since(info.durable_head);
        let rate = self.appended.map(|(events, since)| {
            let micros = Timestamp::now().as_micros().saturating_sub(since.as_micros());
            let minutes = u64::try_from(micros / 60_000_000).unwrap_or(0).max(1);
            (events, events / minutes)
        });
        html! {
            dl.tiles {
                div.tile { dt { "Durable head" } dd { (grouped(info.durable_head.get())) }
                    dd.note.quiet { @if behind == 0 { "all of it is on disk" } @else { (grouped(behind)) " more on the way to disk" } } }
                @if let Some((events, rate)) = rate {
                    div.tile { dt { "Appended here" } dd { (grouped(events)) } dd.note.quiet { (grouped(rate)) " a minute since it was opened" } }
                }
                div.tile { dt { "First copy" } dd { (text::bytes(info.journal_bytes + info.sealed_bytes)) }
                    dd.note.quiet { "journal " (text::bytes(info.journal_bytes)) ", segments " (text::bytes(info.sealed_bytes)) } }
                div.tile { dt { "Second copy" } dd { (text::bytes(info.sled_bytes)) }
                    dd.note.quiet { @if info.healed == 0 { "nothing had to be healed" } @else { (counted(info.healed, "part was", "parts were")) " healed" } } }
                @if let Some(health) = &self.health {
                    div.tile { dt { "Content" } dd { (text::bytes(health.content_bytes)) } dd.note.quiet { "the bytes of documents" } }
                }
                div.tile { dt { "Last event" } dd.small { (text::maybe_time(info.last_recorded_at)) } dd.note.quiet { "recorded, in UTC" } }
            }
        }
    }

    fn space_list(&self) -> Markup {
        html! {
            section.card aria-labelledby="spaces-title" {
                h2 #spaces-title { "Spaces" }
                @if self.spaces.is_empty() {
                    p.quiet { "There are none yet, or none that you may see." }
                } @else {
                    div.scroll tabindex="0" role="region" aria-label="Spaces" {
                        table {
                            thead { tr {
                                th scope="col" { "space" } th scope="col" { "status" }
                                th.figure scope="col" { "documents" } th.figure scope="col" { "revision" }
                                th scope="col" { "updated" }
                            } }
                            tbody {
                                @for space in &self.spaces {
                                    tr {
                                        th scope="row" {
                                            (space_link(&space.space_id))
                                            @if let Some(name) = space.name.as_ref().filter(|name| **name != space.space_id) {
                                                span.quiet { " " (name) }
                                            }
                                        }
                                        td { span class=(format!("status {}", space.status.name())) { (space.status.name()) } }
                                        td.figure { (grouped(space.documents)) }
                                        td.figure { (grouped(space.revision.get())) }
                                        td { (text::time(space.updated_at)) }
                                    }
                                }
                            }
                        }
                    }
                }
                p.foot {
                    @if self.after.is_some() { a href="./" { "From the first" } " " }
                    @if let Some(next) = &self.next {
                        a href=(PageLink::to("./").with("after", next)) { "The next ones" }
                    }
                }
            }
        }
    }

    fn problem_list(&self) -> Markup {
        let Some(problems) = &self.problems else { return html! {} };
        html! {
            section.card aria-labelledby="problems-title" {
                h2 #problems-title { "To be looked after " span.quiet { (problems.len()) } }
                @if problems.is_empty() {
                    p.quiet { "Nothing: no failed render, no conflict, no stale document, nothing that still runs." }
                } @else {
                    div.scroll tabindex="0" role="region" aria-label="To be looked after" {
                        table {
                            thead { tr {
                                th scope="col" { "what" } th scope="col" { "space" }
                                th scope="col" { "document" } th.figure scope="col" { "since" } th scope="col" { "when" }
                            } }
                            tbody {
                                @for problem in problems.iter().take(SHOWN_PROBLEMS) {
                                    (row(problem))
                                }
                            }
                        }
                    }
                    @if problems.len() > SHOWN_PROBLEMS {
                        p.quiet { "The first " (SHOWN_PROBLEMS) "; the command problems has all of them." }
                    }
                }
            }
        }
    }
}

fn row(problem: &OpenProblem) -> Markup {
    let (what, detail) = match &problem.detail {
        ProblemDetail::FailedRender { error } => ("failed render", error.as_deref()),
        ProblemDetail::SyncConflict { .. } => ("conflict", None),
        ProblemDetail::StaleDocument { reason } => ("stale document", reason.as_deref()),
        ProblemDetail::RunningRender => ("running render", None),
        ProblemDetail::RunningSync { direction } => ("running sync", direction.as_deref()),
        _ => ("other", None),
    };
    let link = |document_id: &str| {
        let link = PageLink::to("space").with("id", &problem.space_id);
        link.with("document", document_id)
    };
    html! {
        tr {
            th scope="row" { (what) @if let Some(detail) = detail { span.quiet { " " (text::cut(detail, 60)) } } }
            td { (space_link(&problem.space_id)) }
            td { @if let Some(id) = &problem.document_id { a href=(link(id)) { (id) } } }
            td.figure { (position_in(&problem.space_id, problem.since)) }
            td { (text::time(problem.since_time)) }
        }
    }
}
