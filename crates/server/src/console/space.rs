//! `/space`

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use spacefold::{Position, Revision, Snapshot, SnapshotError, Timestamp};
use spacefold_console::{
    DocumentView, InspectorView, MAX_SHOWN_TEXT_BYTES, Section, ShownText, SpacePage,
};

use super::{
    page,
    space_steps::{self, SpaceStep, StepPlace},
};
use crate::{
    access::CallerAccess,
    app::App,
    parameters::{Parameters, invalid},
    path_ids::segment_of_id,
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
    visitor::Visitor,
};

/// Events that are listed up to the one at the position.
const LISTED_EVENTS: u64 = 30;

/// Events of a space up to which its history is read for who made a document what it is.
const MAX_BLAMED_EVENTS: u64 = 200_000;

/// What the address says.
struct Asked {
    space_id: String,
    at: Option<Position>,
    time: Option<Timestamp>,
    step: Option<SpaceStep>,
    pins: (Option<Position>, Option<Position>),
    inspector: InspectorView,
    document: Option<String>,
    search: String,
    after: Option<(String, String)>,
    /// Whether only what is another at another position is wanted.
    is_part: bool,
    api_path: String,
    origin: String,
}

impl Asked {
    fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, HttpProblem> {
        let mut given = Parameters::of(uri)?;
        let space_id = given.text("id")?.filter(|id| !id.is_empty());
        let space_id = space_id.ok_or_else(|| invalid("id", "which space?"))?;
        let position = |number: Option<u64>| number.map(Position::new);
        let at = position(given.number("at")?);
        // The end of the millisecond that the thumb is at.
        let millis = given.number("t")?.map(i64::try_from).transpose();
        let millis = millis.map_err(|error| invalid("t", error))?;
        let time = millis.map(|millis| {
            let micros = millis.checked_mul(1_000).and_then(|micros| micros.checked_add(999));
            micros.and_then(Timestamp::from_micros).ok_or_else(|| invalid("t", "no time of ours"))
        });
        let (time, step) = (time.transpose()?, SpaceStep::of(given.text("step")?.as_deref())?);
        let pins = (position(given.number("a")?), position(given.number("b")?));
        let view = given.text("view")?.unwrap_or_else(|| "events".to_owned());
        let inspector = InspectorView::of_name(&view);
        let inspector = inspector.ok_or_else(|| invalid("view", "there is no such view"))?;
        let document = given.text("document")?.filter(|id| !id.is_empty());
        let search = given.text("q")?.unwrap_or_default();
        let after = given.text("after")?.zip(given.text("after_id")?);
        let is_part = given.flag("part")?;
        given.finish()?;
        let api_path = format!("/v1/spaces/{}", segment_of_id(&space_id));
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let origin = format!("http://{}", host.unwrap_or("localhost"));
        Ok(Self {
            space_id,
            at,
            time,
            step,
            pins,
            inspector,
            document,
            search,
            after,
            is_part,
            api_path,
            origin,
        })
    }

    fn page(self, app: &App, store: &ServedStore) -> Result<SpacePage, HttpProblem> {
        let head = store.durable_head();
        for asked in [self.at, self.pins.0, self.pins.1].into_iter().flatten() {
            if asked > head {
                return Err(HttpProblem::beyond_head(asked, head));
            }
        }
        let moment = match (self.time, self.at) {
            (Some(time), _) => time.into(),
            (None, at) => at.unwrap_or(head).into(),
        };
        let mut place = space_steps::place(store, &self.space_id, moment)?;
        if let Some(step) = self.step {
            place = space_steps::stepped(store, &self.space_id, place, step)?;
        }
        let (timeline, is_whole) = match self.is_part {
            true => Default::default(),
            false => app.timelines().of(store, &self.space_id)?,
        };
        let inspector = self.inspected(store, &place)?;
        let time_of = |pin: Option<Position>| -> Result<Option<Timestamp>, HttpProblem> {
            let Some(page) = pin.map(|pin| store.log().page_at(pin)).transpose()?.flatten() else {
                return Ok(None);
            };
            Ok(page.envelopes().next().map(|event| event.recorded_at))
        };
        Ok(SpacePage {
            at: place.at,
            state: place.state,
            event: place.event,
            steps: place.steps,
            timeline,
            is_timeline_partial: !is_whole,
            pin_a: self.pins.0,
            pin_b: self.pins.1,
            pin_times: (time_of(self.pins.0)?, time_of(self.pins.1)?),
            space_id: self.space_id,
            search: self.search,
            documents_after: self.after,
            inspector,
            api_path: self.api_path,
            origin: self.origin,
        })
    }

    fn inspected(
        &self,
        store: &ServedStore,
        place: &StepPlace,
    ) -> Result<InspectorView, HttpProblem> {
        if let Some(document_id) = &self.document {
            let view = self.document_view(store, place, document_id)?;
            return Ok(InspectorView::Document(Box::new(view)));
        }
        Ok(match &self.inspector {
            InspectorView::Events(_) => {
                let revision = place.event.as_ref().map_or(0, |event| event.revision.get());
                let from = Revision::new((revision + 1).saturating_sub(LISTED_EVENTS));
                let listed = usize::try_from(LISTED_EVENTS.min(revision)).unwrap_or(0);
                let mut events = match listed {
                    0 => Vec::new(),
                    listed => space_steps::events(store, &self.space_id, from, listed)?,
                };
                events.reverse();
                InspectorView::Events(events)
            }
            InspectorView::Changes(_) => InspectorView::Changes(match self.pins.0 {
                Some(a) => store.diff(&self.space_id, a..self.pins.1.unwrap_or(place.at))?,
                None => Vec::new(),
            }),
            other => other.clone(),
        })
    }

    fn document_view(
        &self,
        store: &ServedStore,
        place: &StepPlace,
        document_id: &str,
    ) -> Result<DocumentView, HttpProblem> {
        let is_short =
            place.event.as_ref().is_some_and(|event| event.revision.get() <= MAX_BLAMED_EVENTS);
        let blame = match is_short {
            true => store.at(place.at).blame(&self.space_id)?.documents.into_iter(),
            false => Vec::new().into_iter(),
        };
        let blame = blame.into_iter().find(|it| it.document_id == document_id);
        let text = text_of(store, place.state.as_ref(), document_id);
        let at = |position: Position| -> Result<ShownText, HttpProblem> {
            let state = match store.at(position).snapshot(&self.space_id) {
                Err(SnapshotError::UnknownSpace { .. }) => None,
                state => Some(state?),
            };
            Ok(text_of(store, state.as_ref(), document_id))
        };
        let pinned = match self.pins {
            (Some(a), b) => Some((at(a)?, at(b.unwrap_or(place.at))?)),
            (None, _) => None,
        };
        Ok(DocumentView { document_id: document_id.to_owned(), blame, text, pinned })
    }
}

/// The text of a document in a state.
fn text_of(store: &ServedStore, state: Option<&Snapshot>, document_id: &str) -> ShownText {
    let none = |why: &str| ShownText::None(why.to_owned());
    let Some(document) = state.and_then(|state| state.document(document_id)) else {
        return none("there is no such document.");
    };
    let hash = match document.content_hash() {
        None => return none("it has no content."),
        Some(hash) => hash.content_hash(),
    };
    let Some(hash) = hash else {
        return none(
            "the event names its content by a hash of another program: the bytes are not here.",
        );
    };
    match store.read_content(&hash, MAX_SHOWN_TEXT_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => ShownText::Text(text),
            Err(_) => none("its content is no text."),
        },
        Err(error) => ShownText::None(format!("{error}.")),
    }
}

/// `GET /space`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let asked = Asked::of(&uri, &headers)?;
    access.require_of(TokenRight::Read, &asked.space_id)?;
    let frame = page::frame(&app, &access, &visitor, Section::Store);
    let is_part = asked.is_part;
    let is_moved = !is_part && (asked.time.is_some() || asked.step.is_some());
    let inner = app.clone();
    let made = app
        .ask(move |store| {
            let page = asked.page(&inner, store)?;
            // What is asked for by time or step has an address of its own.
            Ok(match (is_moved, is_part) {
                (true, _) => Err(page.address()),
                (false, true) => Ok(page.render_moment()),
                (false, false) => Ok(page.render(&frame)),
            })
        })
        .await?;
    match made {
        Ok(page) => Ok(page::html(StatusCode::OK, page)),
        Err(address) => page::see_other(&address),
    }
}
