//! Which events one is interested in.

use std::{collections::BTreeSet, fmt};

use crate::{
    event::SpaceEvent,
    event_type::EventTypes,
    origin::{EventOrigin, id_text},
    payload::EventType,
    read_error::ReadError,
    record::{Envelope, Records},
    type_pattern::{TypePattern, TypeSelection},
};

/// Selects events: those that pass every part that is set.
///
/// ```
/// use spacefold::{EventType, SpaceEvent, event::EventFilter};
/// let filter = EventFilter::all().spaces(["handbook"]).types([EventType::DocumentAdded]);
/// assert!(filter.selects(&SpaceEvent::document_added("handbook", "intro", "/intro.md")));
/// assert!(!filter.selects(&SpaceEvent::space_activated("handbook")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    types: TypeSelection,
    spaces: Option<BTreeSet<String>>,
    tags: BTreeSet<String>,
    document_id: Option<String>,
    source: Option<String>,
    correlation_id: Option<String>,
    /// Stores whose events do not pass.
    not_from: BTreeSet<[u8; 16]>,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self::all()
    }
}

impl EventFilter {
    /// Every event.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            types: TypeSelection::ALL,
            spaces: None,
            tags: BTreeSet::new(),
            document_id: None,
            source: None,
            correlation_id: None,
            not_from: BTreeSet::new(),
        }
    }

    /// Only events of these types: core ones, or what a [`TypePattern`] says of names.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = impl Into<TypePattern>>) -> Self {
        self.types = TypeSelection::of(types);
        self
    }

    /// Only events that have all of these tags.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Only events that do not come from the store with this id; called again, from another one
    /// neither.
    #[must_use]
    pub fn not_from(mut self, store_id: [u8; 16]) -> Self {
        self.not_from.insert(store_id);
        self
    }

    /// Only events of these spaces.
    #[must_use]
    pub fn spaces(mut self, spaces: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.spaces = Some(spaces.into_iter().map(|id| id.as_ref().to_owned()).collect());
        self
    }

    /// Only events whose payload names this document.
    #[must_use]
    pub fn document(mut self, document_id: impl Into<String>) -> Self {
        self.document_id = Some(document_id.into());
        self
    }

    /// Only events of this source.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Only events with this correlation id.
    #[must_use]
    pub fn correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }

    /// The types that pass; [`EventType::Application`] among them when events of any name of an
    /// application's own do.
    #[must_use]
    pub const fn event_types(&self) -> EventTypes {
        self.types.types
    }

    /// The types that pass, as the fewest patterns.
    #[must_use]
    pub fn type_patterns(&self) -> Vec<TypePattern> {
        self.types.patterns()
    }

    /// The tags that an event must have to pass, all of them.
    #[must_use]
    pub const fn wanted_tags(&self) -> &BTreeSet<String> {
        &self.tags
    }

    /// The ids of the stores whose events do not pass.
    #[must_use]
    pub const fn unwanted_stores(&self) -> &BTreeSet<[u8; 16]> {
        &self.not_from
    }

    /// The spaces that pass; `None` for every one.
    #[must_use]
    pub const fn space_ids(&self) -> Option<&BTreeSet<String>> {
        self.spaces.as_ref()
    }

    /// The document that a payload must name to pass; `None` when it need not name any.
    #[must_use]
    pub fn document_id(&self) -> Option<&str> {
        self.document_id.as_deref()
    }

    /// The source that passes; `None` for every one.
    #[must_use]
    pub fn wanted_source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The correlation id that passes; `None` for every one.
    #[must_use]
    pub fn wanted_correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// Whether every event passes.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether an event passes.
    #[must_use]
    pub fn selects(&self, event: &SpaceEvent) -> bool {
        self.types.passes(event.event_type(), || event.type_name())
            && self.spaces.as_ref().is_none_or(|spaces| spaces.contains(&event.space_id))
            && passes(self.source.as_deref(), event.source.as_deref())
            && passes(self.correlation_id.as_deref(), event.correlation_id.as_deref())
            && self.tags.iter().all(|tag| event.tags.contains(tag))
            && self.origin_passes(event.origin.as_ref())
            && self.document_id.as_ref().is_none_or(|id| event.payload.names_document(id))
    }

    fn origin_passes(&self, origin: Option<&EventOrigin>) -> bool {
        origin.is_none_or(|origin| !self.not_from.contains(&origin.store_id))
    }

    /// The places of the records that pass, ascending.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when a payload has to be decoded and does not.
    pub fn select(&self, records: &Records) -> Result<Vec<usize>, ReadError> {
        let spaces: Option<Vec<bool>> = self.spaces.as_ref().map(|wanted| {
            records.spaces().map(|(space_id, ..)| wanted.contains(space_id)).collect()
        });
        let space_passes = |space: usize| {
            spaces.as_ref().is_none_or(|passes| passes.get(space).copied().unwrap_or(false))
        };
        let is_selected =
            |index: usize, event_type: EventType, space: usize| -> Result<bool, ReadError> {
                let is_told = self.types.types.contains(event_type) && space_passes(space);
                Ok(is_told && self.rest_passes(records, index)?)
            };
        let mut selected = Vec::new();
        if let Some(tag) = self.tags.first() {
            // Few events have a tag: the others are not looked at.
            for index in records.tagged(tag) {
                let event_type = records.event_types().get(index);
                let row = event_type.zip(records.space_indexes().nth(index));
                if let Some((event_type, space)) = row
                    && is_selected(index, *event_type, space)?
                {
                    selected.push(index);
                }
            }
            return Ok(selected);
        }
        let rows = records.event_types().iter().zip(records.space_indexes()).enumerate();
        for (index, (event_type, space)) in rows {
            if is_selected(index, *event_type, space)? {
                selected.push(index);
            }
        }
        Ok(selected)
    }

    /// Whether a record of a type and space that pass also passes the parts that cost more to
    /// look at, the payload last.
    fn rest_passes(&self, records: &Records, index: usize) -> Result<bool, ReadError> {
        let Some(envelope) = self.rest(records, index) else { return Ok(true) };
        if !self.types.passes(envelope.event_type, || envelope.type_name())
            || !self.tags.iter().all(|tag| envelope.tags().contains(tag))
            || !self.origin_passes(envelope.origin())
        {
            return Ok(false);
        }
        if !passes(self.source.as_deref(), envelope.source)
            || !passes(self.correlation_id.as_deref(), envelope.correlation_id)
        {
            return Ok(false);
        }
        match &self.document_id {
            Some(document_id) => Ok(envelope.decode()?.payload.names_document(document_id)),
            None => Ok(true),
        }
    }
}

impl EventFilter {
    /// The record at `index`, when more than its type and its space has to be looked at.
    fn rest<'a>(&self, records: &'a Records, index: usize) -> Option<Envelope<'a>> {
        let is_told = self.document_id.is_none()
            && self.source.is_none()
            && self.correlation_id.is_none()
            && self.tags.is_empty()
            && self.not_from.is_empty()
            && self.types.passes_every_name();
        if is_told { None } else { records.envelope(index) }
    }
}

/// How many names of spaces or types are written out.
const MAX_WRITTEN: usize = 8;

/// In words: `every event`, or the parts that are set, such as `types space.created; spaces "a"`.
/// Of many types or spaces the first few.
impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("every event");
        }
        let mut parts = Vec::new();
        if self.types != TypeSelection::ALL {
            let patterns = self.types.patterns();
            parts.push(format!("types {}", listed(patterns.iter().map(ToString::to_string))));
        }
        if let Some(spaces) = &self.spaces {
            parts.push(format!("spaces {}", listed(spaces.iter().map(|id| format!("{id:?}")))));
        }
        if !self.tags.is_empty() {
            parts.push(format!("tags {}", listed(self.tags.iter().map(|tag| format!("{tag:?}")))));
        }
        let labels = [
            ("document", &self.document_id),
            ("source", &self.source),
            ("correlation id", &self.correlation_id),
        ];
        for (what, label) in labels {
            parts.extend(label.as_ref().map(|label| format!("{what} {label:?}")));
        }
        if !self.not_from.is_empty() {
            let stores = self.not_from.iter().map(|id| id_text(*id));
            parts.push(format!("not from {}", listed(stores)));
        }
        f.write_str(&parts.join("; "))
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return "none".to_owned();
    }
    let written: Vec<String> = names.by_ref().take(MAX_WRITTEN).collect();
    match names.count() {
        0 => written.join(", "),
        more => format!("{} and {more} more", written.join(", ")),
    }
}

/// Whether a label is the one that is wanted, if one is.
fn passes(wanted: Option<&str>, label: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| label == Some(wanted))
}
