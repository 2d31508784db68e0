//! What the objects of a repository are, and what they are called.

use spacefold_objects::ObjectKey;

/// What an object is, which says in which folder of the repository it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ObjectKind {
    /// What the repository says of itself: one object, in no folder.
    Repository,
    /// A backup: what it consists of.
    Manifest,
    /// A page of a list that manifests share.
    Page,
    /// A segment of a log, or a part of one.
    Segment,
    /// Events behind the segments.
    Frames,
    /// A part of a pack of content.
    Pack,
    /// The places of durable subscriptions.
    Places,
    /// The record of a drill.
    Drill,
}

impl ObjectKind {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Repository,
        Self::Manifest,
        Self::Page,
        Self::Segment,
        Self::Frames,
        Self::Pack,
        Self::Places,
        Self::Drill,
    ];

    /// The folder; the empty one is the repository itself.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Repository => "",
            Self::Manifest => "manifests",
            Self::Page => "pages",
            Self::Segment => "segments",
            Self::Frames => "frames",
            Self::Pack => "packs",
            Self::Places => "places",
            Self::Drill => "drills",
        }
    }

    /// The key of an object of this name, which is made of numbers and hashes.
    pub(crate) fn key(self, name: &str) -> ObjectKey {
        match self.folder() {
            "" => ObjectKey::new(name),
            folder => ObjectKey::new(format!("{folder}/{name}")),
        }
    }

    /// The key of an object of this name, as it was listed; `None` of what is no name of one.
    pub(crate) fn listed(self, name: &str) -> Option<ObjectKey> {
        ObjectKey::listed(self.folder(), name)
    }
}
