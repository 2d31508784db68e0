//! Tags of events: the keys of decisions over several spaces.

use std::fmt;

use crate::limits::{LimitExceeded, MAX_TAG_BYTES, MAX_TAGS};

/// The tags of an event, in the order that its caller gave them: at most 16, distinct, each of 1 to
/// 200 bytes.
///
/// They are borrowed from the page that the event was read with, or from an event that owns them.
///
/// ```
/// use spacefold::{Position, SpaceEvent, log::{AppendRequest, MemoryLog}, prelude::*};
/// let log = MemoryLog::new();
/// let event = SpaceEvent::space_activated("course").with_tags(["course:c1", "student:s7"]);
/// log.append(&AppendRequest::new(&[event]))?;
/// let page = log.page_at(Position::new(1))?.ok_or("no event")?;
/// let event = page.envelopes().next().ok_or("no event")?;
/// assert_eq!(event.tags().iter().collect::<Vec<_>>(), ["course:c1", "student:s7"]);
/// assert!(event.tags().contains("student:s7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Tags<'a> {
    place: TagsPlace<'a>,
}

#[derive(Clone, Copy)]
enum TagsPlace<'a> {
    Owned(&'a [String]),
    Stored { texts: &'a (dyn TagTexts + Sync), tags: &'a [u32] },
}

/// The texts of a run, of which some are tags.
pub(crate) trait TagTexts {
    /// The text at a place.
    fn tag(&self, place: u32) -> &str;
}

impl<'a> Tags<'a> {
    /// No tags.
    pub const NONE: Self = Self { place: TagsPlace::Owned(&[]) };

    pub(crate) const fn owned(tags: &'a [String]) -> Self {
        Self { place: TagsPlace::Owned(tags) }
    }

    pub(crate) fn stored(texts: &'a (impl TagTexts + Sync), tags: &'a [u32]) -> Self {
        Self { place: TagsPlace::Stored { texts, tags } }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        match self.place {
            TagsPlace::Owned(tags) => tags.len(),
            TagsPlace::Stored { tags, .. } => tags.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The tags, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        (0..self.len()).map(move |place| match self.place {
            TagsPlace::Owned(tags) => tags.get(place).map_or("", String::as_str),
            TagsPlace::Stored { texts, tags } => tags.get(place).map_or("", |tag| texts.tag(*tag)),
        })
    }

    /// Whether a tag is among them.
    #[must_use]
    pub fn contains(self, tag: &str) -> bool {
        self.iter().any(|own| own == tag)
    }

    /// The tags, owned.
    #[must_use]
    pub fn to_vec(self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }
}

impl fmt::Debug for Tags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Tags<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Tags<'_> {}

/// Checks tags against their limits.
pub(crate) fn check(tags: Tags<'_>) -> Result<(), LimitExceeded> {
    check_distinct(tags.len(), tags.iter())?;
    for (place, tag) in tags.iter().enumerate() {
        if tags.iter().take(place).any(|before| before == tag) {
            return Err(LimitExceeded::TagTwice { tag: tag.to_owned() });
        }
    }
    Ok(())
}

/// Checks this many tags, which are distinct, against their limits.
pub(crate) fn check_distinct<'a>(
    count: usize,
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<(), LimitExceeded> {
    if count > MAX_TAGS {
        return Err(LimitExceeded::TooManyTags { tags: count });
    }
    let is_within = |tag: &&str| (1..=MAX_TAG_BYTES).contains(&tag.len());
    match tags.into_iter().find(|tag| !is_within(tag)) {
        Some(tag) => Err(LimitExceeded::TagLength { bytes: tag.len() }),
        None => Ok(()),
    }
}
