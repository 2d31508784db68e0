//! Where an event is: in the whole log, and inside its space.

use std::fmt;

macro_rules! sequence_number {
    ($(#[$doc:meta])* $name:ident, $none:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Zero: before the first event.
            pub const $none: Self = Self(0);

            /// The number as a typed value.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number that follows, saturating at the end of `u64`.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The number before, or zero when there is none.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// This number advanced by `count`, saturating at the end of `u64`.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// How many numbers lie between `earlier` and this one; zero when `earlier` is not
            /// earlier.
            #[must_use]
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

sequence_number!(
    /// Sequence number of an event in the whole log: from 1, gapless, given at commit.
    ///
    /// [`Position::START`] (0) lies before the first event. The head of a log is the position of
    /// its last event, which is also the number of its events.
    ///
    /// ```
    /// use spacefold::Position;
    /// assert_eq!(Position::START.next(), Position::new(1));
    /// assert_eq!(Position::new(9).since(Position::new(4)), 5);
    /// ```
    Position,
    START
);

sequence_number!(
    /// Sequence number of an event inside its space: from 1, gapless; it goes on over deletion
    /// and re-creation of the space.
    ///
    /// [`Revision::NONE`] (0) is the revision of a space that has no event yet.
    ///
    /// ```
    /// use spacefold::Revision;
    /// assert_eq!(Revision::NONE.next(), Revision::new(1));
    /// ```
    Revision,
    NONE
);
