//! The reading half of a store: what one that is open has in common with one that is followed.

mod at;
mod observing;
mod projecting;

pub use self::{
    at::{AsOf, Moment},
    projecting::ProjectionsHandle,
};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use spacefold_bus::{SubscribeError, Subscriber, Subscription};
use spacefold_event_core::{
    ContentError, ContentHash, ContentReader, EventId, LogReader, Position, ReadError, Revision,
};
use spacefold_projection::{SnapshotError, Snapshots};
use spacefold_service::SpaceService;
use spacefold_state::Snapshot;

use crate::{
    engine::Engine,
    snapshot_stream::{self, SnapshotStream, SnapshotStreamError},
};

/// The reading half of a store: states of now and of any moment, what changed and who changed it,
/// events as they come, projections and content.
///
/// A [`Spacefold`](crate::Spacefold), which has the store open, and a
/// [`FollowedStore`](crate::FollowedStore), which reads beside its owner, are both borrowed as
/// one: what only reads takes `&SpacesReader`, and works with either.
///
/// # Examples
/// ```
/// use spacefold::{CachePlace, Options, SnapshotError, SpaceEvent, Spacefold, SpacesReader};
///
/// fn title(spaces: &SpacesReader) -> Result<String, SnapshotError> {
///     let snapshot = spaces.snapshot("handbook")?;
///     Ok(snapshot.name().unwrap_or_default().to_owned())
/// }
///
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
/// assert_eq!(title(&spaces)?, "Handbook");
/// // Another process would do the same while this one has the store.
/// let beside = Options::new(&data).cache(CachePlace::Memory).follow()?;
/// assert_eq!(title(&beside)?, "Handbook");
/// # spaces.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SpacesReader {
    pub(crate) engine: Arc<Engine>,
    /// Whose commands a snapshot is not to lack.
    service: Option<SpaceService>,
    /// The newest position that a snapshot through this reader must not lack.
    floor: AtomicU64,
}

impl SpacesReader {
    pub(crate) const fn new(engine: Arc<Engine>, service: Option<SpaceService>) -> Self {
        Self { engine, service, floor: AtomicU64::new(0) }
    }

    /// Another session on the same store, which lacks nothing that this one has seen.
    pub(crate) fn another(&self) -> Self {
        let floor = AtomicU64::new(self.floor().get());
        Self { engine: Arc::clone(&self.engine), service: self.service.clone(), floor }
    }

    fn floor(&self) -> Position {
        let floor = Position::new(self.floor.load(Ordering::Acquire));
        floor.max(self.service.as_ref().map_or(Position::START, SpaceService::seen))
    }

    pub(crate) fn raise_floor(&self, position: Position) {
        self.floor.fetch_max(position.get(), Ordering::AcqRel);
    }

    /// The log of the store, to be read.
    #[must_use]
    pub fn log(&self) -> &dyn LogReader {
        &*self.engine.log
    }

    /// The position of the last event that is known to be durable: the newest one that is read.
    #[must_use]
    pub fn durable_head(&self) -> Position {
        self.log().durable_head()
    }

    /// Every space that has an event, deleted ones included, with its revision at the durable
    /// head; sorted by id.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed by it.
    pub fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        self.engine.log.spaces()
    }

    /// Where the event with this id is, anywhere in the log, durable or not: as
    /// [`LogReader::find_event`].
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed by it.
    ///
    /// # Cost
    /// Mostly none for an id that no event has, else that of reading a block. Waits for a group of
    /// appends under way.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold, log::LogReader};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// let id = created.event_id;
    /// let receipt = spaces.append([created])?;
    /// assert_eq!(spaces.find_event(id)?, Some(receipt.first_position()));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.log().find_event(id)
    }

    /// Folds the states up to the durable head, and answers how far that is.
    ///
    /// # Errors
    /// [`SnapshotError`]; what was folded before stays.
    pub fn catch_up(&self) -> Result<Position, SnapshotError> {
        self.engine.live.catch_up()
    }

    /// The state of a space now: shared and immutable. It includes everything this clone has
    /// appended.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when the space has no event, or a failure to read.
    ///
    /// # Cost
    /// Below a microsecond, whatever the size of the space; the first time that a space is asked
    /// for, its state is loaded. With [`Folding::OnDemand`](crate::Folding::OnDemand), or right
    /// after an append of your own, what is new is folded first.
    pub fn snapshot(&self, space_id: &str) -> Result<Snapshot, SnapshotError> {
        self.engine.live.snapshot_from(space_id, self.floor())
    }

    /// The states of all spaces at one position, sorted by id; they include everything this clone
    /// has appended.
    ///
    /// # Errors
    /// [`SnapshotError`] when the log cannot be read.
    pub fn snapshot_all(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        self.engine.live.snapshot_all_from(self.floor())
    }

    /// The states of all spaces, sorted by id, one after the other: each as it is when it comes,
    /// with everything this clone has appended. Memory does not grow with the number of spaces.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = ["b", "a"].map(|id| SpaceEvent::space_created(id, id));
    /// spaces.append(created)?;
    /// let first = spaces.snapshots().next().expect("two spaces")?;
    /// assert_eq!(first.space_id(), "a");
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<'_> {
        self.engine.live.snapshots_from(self.floor())
    }

    /// The state of a space at `position` or later: waits until that is durable. For reading what
    /// was just written elsewhere.
    ///
    /// # Errors
    /// [`SnapshotError::TimedOut`], [`SnapshotError::UnknownSpace`], or a failure to read.
    pub fn snapshot_after(
        &self,
        space_id: &str,
        position: Position,
        timeout: Duration,
    ) -> Result<Snapshot, SnapshotError> {
        self.engine.live.snapshot_after(space_id, position, timeout)
    }

    /// Subscribes to events: history first, then live, nothing missed.
    ///
    /// # Errors
    /// [`SubscribeError`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Delivery, SpaceEvent, Spacefold, Subscription};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// spaces.append([created])?;
    /// let late = spaces.subscribe(Subscription::from_start().spaces(["handbook"]))?;
    /// let mut items = late.into_iter();
    /// assert!(matches!(items.next(), Some(Ok(Delivery::Events(_)))));
    /// assert!(matches!(items.next(), Some(Ok(Delivery::CaughtUp { .. }))));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self, subscription: Subscription) -> Result<Subscriber, SubscribeError> {
        self.engine.feed.subscribe(subscription)
    }

    /// The states of the spaces that a subscription is about, at one position, and every event
    /// after that position that passes it: how things are, then what happens. Where the
    /// subscription itself begins does not count. Of a space that it names and that is not there
    /// yet [`SnapshotStream::unknown`] says so, and its events follow once it is.
    ///
    /// # Errors
    /// [`SnapshotStreamError`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Delivery, SpaceEvent, Spacefold, Subscription};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// spaces.append([created])?;
    /// let late = spaces.snapshot_then_subscribe(Subscription::from_now().spaces(["handbook"]))?;
    /// assert_eq!(late.snapshots[0].name(), Some("Handbook"));
    /// let mut tail = late.tail;
    /// assert!(matches!(tail.recv()?, Delivery::CaughtUp { position } if position == late.position));
    ///
    /// let early = spaces.snapshot_then_subscribe(Subscription::from_now().spaces(["guide"]))?;
    /// assert_eq!((early.snapshots.len(), early.unknown), (0, vec!["guide".to_owned()]));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot_then_subscribe(
        &self,
        subscription: Subscription,
    ) -> Result<SnapshotStream, SnapshotStreamError> {
        snapshot_stream::take(&self.engine, subscription)
    }

    /// Opens content by its hash, to be read from its first byte on, checked while it is.
    ///
    /// # Errors
    /// [`ContentError::Missing`] when it is not here, or another [`ContentError`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::Spacefold;
    /// let spaces = Spacefold::in_memory()?;
    /// spaces.service().create_space("handbook", "Handbook")?;
    /// spaces.service().add_document("handbook", "intro", "/intro.md")?;
    /// spaces.service().set_content("handbook", "intro", b"# Hello")?;
    /// let hash = spaces.snapshot("handbook")?;
    /// let hash = hash.document("intro").and_then(|it| it.content_hash()?.content_hash());
    /// let mut text = String::new();
    /// let mut reader = spaces.open_content(&hash.expect("it has content"))?;
    /// std::io::Read::read_to_string(&mut reader, &mut text)?;
    /// assert_eq!(text, "# Hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        if self.engine.closing.load(Ordering::Acquire) {
            return Err(ContentError::Closed);
        }
        self.engine.content.open(hash)
    }

    /// All bytes of content that has at most `limit`.
    ///
    /// # Errors
    /// [`ContentError::PastLimit`] when it has more, nothing of which is read then; else as
    /// [`SpacesReader::open_content`].
    pub fn read_content(&self, hash: &ContentHash, limit: u64) -> Result<Vec<u8>, ContentError> {
        if self.engine.closing.load(Ordering::Acquire) {
            return Err(ContentError::Closed);
        }
        self.engine.content.get(hash, limit)
    }
}

impl fmt::Debug for SpacesReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpacesReader")
            .field("durable_head", &self.durable_head())
            .finish_non_exhaustive()
    }
}
