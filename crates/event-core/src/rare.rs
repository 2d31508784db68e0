//! Where what few events have is to be found: tags and an origin.

use std::fmt;

use crate::{origin::EventOrigin, tags::Tags};

/// A run of events of which few have tags or an origin.
pub(crate) trait RareRun: fmt::Debug + Send + Sync {
    /// The tags of the event at a place.
    fn tags_at(&self, place: u32) -> Tags<'_>;

    /// The origin of the event at a place.
    fn origin_at(&self, place: u32) -> Option<&EventOrigin>;
}

/// What one event has of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EventRare<'a> {
    Owned { tags: &'a [String], origin: Option<&'a EventOrigin> },
    Stored { run: &'a dyn RareRun, place: u32 },
}

impl<'a> EventRare<'a> {
    pub(crate) fn tags(self) -> Tags<'a> {
        match self {
            Self::Owned { tags, .. } => Tags::owned(tags),
            Self::Stored { run, place } => run.tags_at(place),
        }
    }

    pub(crate) fn origin(self) -> Option<&'a EventOrigin> {
        match self {
            Self::Owned { origin, .. } => origin,
            Self::Stored { run, place } => run.origin_at(place),
        }
    }
}
