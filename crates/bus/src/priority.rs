//! Which handler comes first.

/// How early a handler runs among those of one event: higher first, equals in the order in which
/// they were registered.
///
/// ```
/// use spacefold::bus::Priority;
/// assert!(Priority::HIGH > Priority::NORMAL);
/// assert!(Priority::new(-1_000) < Priority::LOW);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(i16);

impl Priority {
    /// Before most others.
    pub const HIGH: Self = Self(100);
    /// What most have.
    pub const NORMAL: Self = Self(0);
    /// After most others.
    pub const LOW: Self = Self(-100);

    /// A priority between or beyond the named ones.
    #[must_use]
    pub const fn new(priority: i16) -> Self {
        Self(priority)
    }

    /// The priority as a number.
    #[must_use]
    pub const fn get(self) -> i16 {
        self.0
    }
}
