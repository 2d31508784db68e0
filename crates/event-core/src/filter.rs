//! Which events one is interested in.

use std::{collections::BTreeSet, fmt};

use crate::{
    event::SpaceEvent, event_type::EventTypes, payload::EventType, read_error::ReadError,
    record::Records,
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
    types: EventTypes,
    spaces: Option<BTreeSet<String>>,
    document_id: Option<String>,
    source: Option<String>,
    correlation_id: Option<String>,
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
            types: EventTypes::ALL,
            spaces: None,
            document_id: None,
            source: None,
            correlation_id: None,
        }
    }

    /// Only events of these types.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types = types.into_iter().collect();
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

    /// The types that pass.
    #[must_use]
    pub const fn event_types(&self) -> EventTypes {
        self.types
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
        self.types.contains(event.event_type())
            && self.spaces.as_ref().is_none_or(|spaces| spaces.contains(&event.space_id))
            && passes(self.source.as_deref(), event.source.as_deref())
            && passes(self.correlation_id.as_deref(), event.correlation_id.as_deref())
            && self.document_id.as_ref().is_none_or(|id| event.payload.names_document(id))
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
        let mut selected = Vec::new();
        let rows = records.event_types().iter().zip(records.space_indexes()).enumerate();
        for (index, (event_type, space)) in rows {
            if self.types.contains(*event_type)
                && space_passes(space)
                && self.rest_passes(records, index)?
            {
                selected.push(index);
            }
        }
        Ok(selected)
    }

    /// Whether a record of a type and space that pass also passes the parts that cost more to
    /// look at, the payload last.
    fn rest_passes(&self, records: &Records, index: usize) -> Result<bool, ReadError> {
        if self.document_id.is_none() && self.source.is_none() && self.correlation_id.is_none() {
            return Ok(true);
        }
        let Some(envelope) = records.envelope(index) else {
            return Ok(false);
        };
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
        if self.types != EventTypes::ALL {
            let types = EventType::ALL.into_iter().filter(|it| self.types.contains(*it));
            parts.push(format!("types {}", listed(types.map(|it| it.name().to_owned()))));
        }
        if let Some(spaces) = &self.spaces {
            parts.push(format!("spaces {}", listed(spaces.iter().map(|id| format!("{id:?}")))));
        }
        let labels = [
            ("document", &self.document_id),
            ("source", &self.source),
            ("correlation id", &self.correlation_id),
        ];
        for (what, label) in labels {
            parts.extend(label.as_ref().map(|label| format!("{what} {label:?}")));
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
