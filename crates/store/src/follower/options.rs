//! How a store is followed.

use std::time::Duration;

use spacefold_event_core::Schemas;

use crate::options::StoreOptions;

/// The default of [`FollowerOptions::poll_interval`].
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How a store is followed.
///
/// ```
/// use std::time::Duration;
/// use spacefold::log::FollowerOptions;
/// let options = FollowerOptions::default().poll_interval(Duration::from_millis(20));
/// ```
#[derive(Clone, Debug)]
pub struct FollowerOptions {
    pub(super) poll_interval: Duration,
    pub(super) id_filter_bytes: u64,
    pub(super) schemas: &'static Schemas,
}

impl Default for FollowerOptions {
    fn default() -> Self {
        let StoreOptions { id_filter_bytes, schemas, .. } = StoreOptions::default();
        Self { poll_interval: POLL_INTERVAL, id_filter_bytes, schemas }
    }
}

impl FollowerOptions {
    /// How often whoever waits looks at the files where nothing tells that they have changed: on file
    /// systems of other machines, and while the owner gives no hints; 50 ms by default.
    #[must_use]
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// The bytes of memory for the filters of the index of event ids, as
    /// [`StoreOptions::id_filter_bytes`] says it.
    #[must_use]
    pub const fn id_filter_bytes(mut self, bytes: u64) -> Self {
        self.id_filter_bytes = bytes;
        self
    }

    /// The schemas of another program, which the store was written by: for tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn schemas(mut self, schemas: &'static Schemas) -> Self {
        self.schemas = schemas;
        self
    }
}
