//! A space at any position of its history.

mod changes;
mod commands;
mod details;
mod document;
mod documents;
mod event;
mod scrubber;

use maud::{Markup, html};
use spacefold::{Change, Position, Snapshot, Timestamp, event::RecordedEvent};

pub use self::document::{DocumentView, MAX_SHOWN_TEXT_BYTES, ShownText};
pub(crate) use self::event::about;
use crate::{
    frame::PageFrame,
    link::PageLink,
    text::{self, counted, grouped},
    timeline::SpaceTimeline,
};

/// Positions of a space that one steps to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Its first event.
    pub first: Option<Position>,
    /// The one before.
    pub previous: Option<Position>,
    /// The one after.
    pub next: Option<Position>,
    /// Its last event.
    pub last: Option<Position>,
}

/// What is shown beside the documents.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum InspectorView {
    /// What happened there, and before: newest first.
    Events(Vec<RecordedEvent>),
    /// What changed from pin A to pin B.
    Changes(Vec<Change>),
    /// Everything but the documents.
    Details,
    /// One document.
    Document(Box<DocumentView>),
    /// What shows the same elsewhere.
    Commands,
}

impl InspectorView {
    /// The names of the views in addresses, and as they are shown.
    const TABS: [(&'static str, &'static str); 4] = [
        ("events", "Events"),
        ("changes", "Changes A → B"),
        ("details", "Details"),
        ("commands", "Copy as"),
    ];

    const fn name(&self) -> &'static str {
        match self {
            Self::Events(_) => "events",
            Self::Changes(_) => "changes",
            Self::Details => "details",
            Self::Document(_) => "document",
            Self::Commands => "commands",
        }
    }
}

/// A space at a position.
#[derive(Clone, Debug)]
pub struct SpacePage {
    /// The space.
    pub space_id: String,
    /// The position: that of its last event up to the one that was asked for.
    pub at: Position,
    /// Its state there; `None` before its first event.
    pub state: Option<Snapshot>,
    /// The event there.
    pub event: Option<RecordedEvent>,
    /// Where one goes from here.
    pub steps: Steps,
    /// Its whole history.
    pub timeline: SpaceTimeline,
    /// Whether the timeline does not have all of it yet.
    pub is_timeline_partial: bool,
    /// Pin A.
    pub pin_a: Option<Position>,
    /// Pin B.
    pub pin_b: Option<Position>,
    /// When the events at A and at B were recorded.
    pub pin_times: (Option<Timestamp>, Option<Timestamp>),
    /// What the paths of the documents that are shown have in them.
    pub search: String,
    /// The path and the id that the shown documents come after.
    pub documents_after: Option<(String, String)>,
    /// What is shown beside the documents.
    pub inspector: InspectorView,
    /// Where the space is in the HTTP interface.
    pub api_path: String,
    /// Where the server is, as its client says.
    pub origin: String,
}

impl SpacePage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let body = html! {
            div.space data-space {
                (self.heading())
                (self.scrubber())
                (self.moment())
            }
        };
        frame.page(&self.space_id, &body)
    }

    /// The part of the page that is another one at another position.
    #[must_use]
    pub fn render_moment(&self) -> String {
        self.moment().into_string()
    }

    /// The address of the page, relative.
    #[must_use]
    pub fn address(&self) -> String {
        self.link().with("at", self.at).to_string()
    }

    /// The page with something else in its address.
    fn link(&self) -> PageLink {
        self.link_without_document().with_some("document", self.document_id())
    }

    fn link_without_document(&self) -> PageLink {
        let view = self.inspector.name();
        PageLink::to("space")
            .with("id", &self.space_id)
            .with_some("a", self.pin_a)
            .with_some("b", self.pin_b)
            .with_some("view", (!["events", "document"].contains(&view)).then_some(view))
            .with_some("q", (!self.search.is_empty()).then_some(&self.search))
    }

    fn document_id(&self) -> Option<&str> {
        match &self.inspector {
            InspectorView::Document(view) => Some(&view.document_id),
            _ => None,
        }
    }

    fn heading(&self) -> Markup {
        html! {
            div.heading {
                p.crumbs { a href="./" { "Spaces" } " / " }
                h1 { (self.space_id) }
            }
        }
    }

    fn moment(&self) -> Markup {
        let said = self.said();
        html! {
            div #moment data-at=(self.at) data-said=(said)
                data-time=[self.event.as_ref().map(|event| event.recorded_at.as_micros() / 1_000)] {
                (self.step_links())
                (self.facts())
                @if let Some(state) = &self.state {
                    div.columns {
                        (self.documents(state))
                        (self.inspector(state))
                    }
                } @else {
                    section.card { p { "At position " (self.at) " the space is not there yet." } }
                }
            }
        }
    }

    /// Where it is, for ears.
    fn said(&self) -> String {
        match &self.event {
            Some(event) => format!(
                "position {}, {}, {}",
                event.position,
                text::short_time(event.recorded_at),
                event.event.type_name()
            ),
            None => format!("position {}, before the first event", self.at),
        }
    }

    fn facts(&self) -> Markup {
        let Some(state) = &self.state else { return html! {} };
        let renders = state.renders().into_iter();
        let failed = renders.filter(|(_, render)| render.error().is_some()).count();
        let facts: [(u64, &str, &str, bool); 5] = [
            (count(state.document_count()), "document", "documents", false),
            (count(state.variables().len()), "variable", "variables", false),
            (count(state.references().len()), "reference", "references", false),
            (count(state.conflicts().len()), "conflict", "conflicts", true),
            (count(failed), "failed render", "failed renders", true),
        ];
        html! {
            ul.facts {
                li { span class=(format!("status {}", state.status().name())) { (state.status().name()) } }
                @if let Some(name) = state.name().filter(|name| *name != self.space_id) {
                    li { "named " strong { (name) } }
                }
                li { "revision " strong { (grouped(state.revision().get())) } }
                @for (number, one, several, is_bad) in facts {
                    @if number > 0 || !is_bad {
                        li.bad[is_bad] { (counted(number, one, several)) }
                    }
                }
            }
        }
    }

    fn inspector(&self, state: &Snapshot) -> Markup {
        let current = self.inspector.name();
        let tab = |view: &str| {
            let link = PageLink::to("space").with("id", &self.space_id).with("at", self.at);
            let link = link.with_some("a", self.pin_a).with_some("b", self.pin_b);
            let link = link.with_some("view", (view != "events").then_some(view));
            link.with_some("q", (!self.search.is_empty()).then_some(&self.search))
        };
        html! {
            section.card.inspector aria-label="What happened, and what it is" {
                nav.tabs aria-label="Views" {
                    @if let InspectorView::Document(view) = &self.inspector {
                        a href=(self.link().with("at", self.at)) aria-current="true" title=(view.document_id) {
                            "Document"
                        }
                    }
                    @for (view, name) in InspectorView::TABS {
                        a href=(tab(view)) aria-current=[(view == current).then_some("true")]
                            data-view=(view) { (name) }
                    }
                }
                @match &self.inspector {
                    InspectorView::Events(events) => (event::events(self, events)),
                    InspectorView::Changes(changes) => (changes::changes(self, changes)),
                    InspectorView::Details => (details::details(self, state)),
                    InspectorView::Document(view) => (document::document(self, state, view)),
                    InspectorView::Commands => (commands::commands(self)),
                }
            }
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
