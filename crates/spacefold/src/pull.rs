//! Whole spaces of another store, taken over as far as they are not here.

use std::{collections::BTreeMap, error::Error, ops::Deref, time::Duration};

use rapidhash::RapidHashSet;
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, ContentError, ContentHash, ContentReader,
    ContentStore, EventFilter, EventOrigin, ExpectedRevision, LogReader, LogWriter, Position,
    ReadError, ReadRequest, RecordedEvent, Revision, SpaceEvent, Timestamp,
};

use crate::{spacefold::Spacefold, spaces_reader::SpacesReader};

/// Events that are appended together.
const MAX_PULLED_EVENTS: usize = 1_000;
/// About how many bytes of text they have together.
const MAX_PULLED_BYTES: usize = 4 << 20;
/// How long what the log has taken may need to be durable.
const LONGEST_SYNC: Duration = Duration::from_secs(60);
/// Events of a space here that are compared together.
const COMPARED_EVENTS: usize = 1_000;

/// What whole spaces are pulled from: a store that is open or followed here, or one that a server
/// answers for.
pub trait PullSource {
    /// Which store it is, and how far it is: nothing beyond that is pulled.
    ///
    /// # Errors
    /// [`PullError::Source`] where it does not say.
    fn store(&self) -> Result<PulledStore, PullError>;

    /// Calls `take` with every event of these spaces up to a position, in the order of the log.
    ///
    /// # Errors
    /// What `take` answers, and [`PullError::Source`].
    fn events(
        &self,
        space_ids: &[String],
        to: Position,
        take: &mut dyn FnMut(RecordedEvent) -> Result<(), PullError>,
    ) -> Result<(), PullError>;

    /// Opens content that an event names.
    ///
    /// # Errors
    /// [`ContentError::Missing`] where it is not there either.
    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentError>;
}

/// Which store is pulled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulledStore {
    /// Its id.
    pub store_id: [u8; 16],
    /// The course that its events have taken.
    pub timeline: [u8; 16],
    /// Its durable head.
    pub durable_head: Position,
}

/// What [`Spacefold::pull`] has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullReport {
    /// Each space, as they were asked for.
    pub spaces: Vec<PulledSpace>,
    /// Events that were stored.
    pub events: u64,
    /// Contents that were copied.
    pub contents: u64,
    /// Contents that the pulled events name and that the other store does not have either, or has
    /// damaged.
    pub lacking: u64,
}

/// A space that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PulledSpace {
    /// Its id.
    pub space_id: String,
    /// Its revision here before.
    pub before: Revision,
    /// Its revision now, which is that of the other store.
    pub revision: Revision,
}

/// Why spaces were not pulled, or not all of what they have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// No space was named. Nothing was pulled.
    #[error("no space is named that is to be pulled")]
    NoSpaces,
    /// The other store is this one. Nothing was pulled.
    #[error("a store pulls nothing from itself")]
    SameStore,
    /// The other store has no event of a space. Nothing was pulled.
    #[error("the other store has no space {space_id:?}")]
    UnknownSpace {
        /// Which.
        space_id: String,
    },
    /// A space was changed here, or was another one from the start: what both sides have changed is not
    /// for a store to decide. Nothing was pulled.
    #[error(
        "space {space_id:?} went a way of its own here: it is at revision {ours} here and at {theirs} \
         there, and differs from revision {differs} on"
    )]
    Changed {
        /// Which.
        space_id: String,
        /// Its revision here.
        ours: Revision,
        /// Its revision there.
        theirs: Revision,
        /// The first revision at which they are not the same.
        differs: Revision,
    },
    /// The other store could not be read on. What was pulled before stays, whole appends of it: pulled
    /// again, the rest follows.
    #[error("the other store cannot be read: {0}")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    /// This store could not be read. As [`PullError::Source`].
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This store refused events. As [`PullError::Source`].
    #[error(transparent)]
    Append(#[from] AppendError),
    /// This store refused content. As [`PullError::Source`].
    #[error(transparent)]
    Content(#[from] ContentError),
    /// It was stopped. As [`PullError::Source`].
    #[error("the pull was stopped; pulled again, the rest follows")]
    Stopped,
}

impl PullSource for SpacesReader {
    fn store(&self) -> Result<PulledStore, PullError> {
        let identity = self.log().identity();
        let origin = self.log().origin().map(|origin| origin.store_id);
        Ok(PulledStore {
            store_id: origin.unwrap_or_else(|| identity.log_id.to_bytes()),
            timeline: identity.timeline.to_bytes(),
            durable_head: self.durable_head(),
        })
    }

    fn events(
        &self,
        space_ids: &[String],
        to: Position,
        take: &mut dyn FnMut(RecordedEvent) -> Result<(), PullError>,
    ) -> Result<(), PullError> {
        let filter = EventFilter::all().spaces(space_ids.iter().cloned());
        let source = |error: ReadError| PullError::Source(Box::new(error));
        for page in self.log().pages(ReadRequest::from(Position::new(1)).to(to).matching(filter)) {
            for event in page.map_err(source)?.events() {
                take(event.map_err(source)?.to_owned_event())?;
            }
        }
        Ok(())
    }

    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        SpacesReader::open_content(self, hash)
    }
}

impl Spacefold {
    /// Takes over whole spaces of another store: the events that are not here yet, with their ids, tags
    /// and times, each with where it comes from as its origin, and the content that they name. A space
    /// has to be as it is there from its first event on, or not to be here at all: of one that was
    /// changed here nothing is pulled. `goes_on` is asked now and then, with the number of events that
    /// were stored.
    ///
    /// Pulled again, what has come since follows. Spaces are not bound to where they came from: once one
    /// is changed here, it is this store's.
    ///
    /// # Ordering
    /// In the order of the other log, its appends cut or joined. While it is pulled a space is at an
    /// earlier state of its own. Positions are those of this log, also in what states say of them; events
    /// are recorded when the other store has recorded them, or when this one's newest was, if that is
    /// later. State hashes are of both.
    ///
    /// # Durability
    /// As [`Spacefold::append`]; content before the events that name it.
    ///
    /// # Errors
    /// [`PullError`]: nothing was stored where the spaces do not fit, which is looked at first.
    ///
    /// # Cost
    /// Reads the events of the spaces there, those that are here twice, and the content that is new.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Options, SpaceEvent, Spacefold};
    /// let (here, there) = (Spacefold::in_memory()?, Spacefold::in_memory()?);
    /// there.service().create_space("handbook", "Handbook")?;
    /// let spaces = ["handbook".to_owned()];
    /// assert_eq!(here.pull(&*there, &spaces, &mut |_| true)?.events, 1);
    /// there.service().add_document("handbook", "intro", "/intro.md")?;
    /// assert_eq!(here.pull(&*there, &spaces, &mut |_| true)?.events, 1);
    /// assert_eq!(here.snapshot("handbook")?.state(), there.snapshot("handbook")?.state());
    /// // What is changed here goes its own way.
    /// here.service().activate_space("handbook")?;
    /// assert!(here.pull(&*there, &spaces, &mut |_| true).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pull(
        &self,
        source: &dyn PullSource,
        space_ids: &[String],
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<PullReport, PullError> {
        let there = source.store()?;
        let here = self.deref().store()?;
        if (there.store_id, there.timeline) == (here.store_id, here.timeline) {
            return Err(PullError::SameStore);
        }
        let mut puller = Puller {
            target: self,
            source,
            there,
            revisions: BTreeMap::new(),
            batch: PulledBatch::default(),
            known_content: RapidHashSet::default(),
            report: PullReport::default(),
            goes_on,
        };
        puller.look(space_ids)?;
        puller.take_over()?;
        Ok(puller.report)
    }
}

struct Puller<'a> {
    target: &'a Spacefold,
    source: &'a dyn PullSource,
    there: PulledStore,
    /// The revision of each space here.
    revisions: BTreeMap<String, Revision>,
    batch: PulledBatch,
    known_content: RapidHashSet<ContentHash>,
    report: PullReport,
    goes_on: &'a mut dyn FnMut(u64) -> bool,
}

/// What is appended together next.
#[derive(Default)]
struct PulledBatch {
    events: Vec<SpaceEvent>,
    /// When the other store has recorded them.
    times: Vec<Timestamp>,
    bytes: usize,
    condition: AppendCondition,
    /// Spaces that have their part of the condition.
    spaces: RapidHashSet<String>,
}

impl Puller<'_> {
    /// Looks whether every space here is the beginning of the one there.
    fn look(&mut self, space_ids: &[String]) -> Result<(), PullError> {
        if space_ids.is_empty() {
            return Err(PullError::NoSpaces);
        }
        let log = self.target.log();
        // What is taken and not durable yet cannot be compared with.
        log.wait_durable(log.head(), LONGEST_SYNC)?;
        for space_id in space_ids {
            if self.revisions.contains_key(space_id) {
                continue;
            }
            let ours = self.target.log().revision(space_id)?;
            let theirs = self.compare(space_id, ours)?;
            self.revisions.insert(space_id.clone(), ours);
            let space_id = space_id.clone();
            self.report.spaces.push(PulledSpace { space_id, before: ours, revision: theirs });
        }
        Ok(())
    }

    /// The revision of a space there, which begins as the one here.
    fn compare(&mut self, space_id: &str, ours: Revision) -> Result<Revision, PullError> {
        let mut own = Vec::new().into_iter();
        let (mut theirs, mut differs) = (Revision::NONE, None);
        let log = self.target.log();
        let mut take = |event: RecordedEvent| -> Result<(), PullError> {
            theirs = event.revision;
            if theirs > ours || differs.is_some() {
                return Ok(());
            }
            if own.len() == 0 {
                let page = log.read_space(space_id, theirs, COMPARED_EVENTS)?;
                let events = page.events().map(|event| Ok(event?.to_owned_event().event));
                own = events.collect::<Result<Vec<_>, ReadError>>()?.into_iter();
            }
            let is_same = own.next().is_some_and(|own| event.event.is_stored_as(&own));
            if !is_same {
                differs = Some(theirs);
            }
            Ok(())
        };
        let one = [space_id.to_owned()];
        self.source.events(&one, self.there.durable_head, &mut take)?;
        if theirs == Revision::NONE {
            return Err(PullError::UnknownSpace { space_id: space_id.to_owned() });
        }
        let differs = differs.or_else(|| (theirs < ours).then(|| theirs.next()));
        match differs {
            Some(differs) => {
                let space_id = space_id.to_owned();
                Err(PullError::Changed { space_id, ours, theirs, differs })
            }
            None => Ok(theirs),
        }
    }

    /// Appends what is not here.
    fn take_over(&mut self) -> Result<(), PullError> {
        let space_ids: Vec<String> = self.revisions.keys().cloned().collect();
        let (source, to) = (self.source, self.there.durable_head);
        source.events(&space_ids, to, &mut |event| self.take(event))?;
        self.append()
    }

    fn take(&mut self, recorded: RecordedEvent) -> Result<(), PullError> {
        let RecordedEvent { mut event, position, revision, recorded_at } = recorded;
        // What was lacking there when the event was pulled may have come.
        self.take_content(&event)?;
        let Some(ours) = self.revisions.get_mut(&event.space_id) else { return Ok(()) };
        if revision <= *ours {
            return Ok(());
        }
        if !self.batch.spaces.contains(&event.space_id) {
            let expected = match *ours {
                Revision::NONE => ExpectedRevision::NoSpace,
                revision => ExpectedRevision::Exact(revision),
            };
            let condition = std::mem::take(&mut self.batch.condition);
            self.batch.condition = condition.and_expected(&event.space_id, expected);
            self.batch.spaces.insert(event.space_id.clone());
        }
        *ours = revision;
        if event.origin.is_none() {
            let PulledStore { store_id, timeline, .. } = self.there;
            event = event.with_origin(EventOrigin { store_id, timeline, position });
        }
        self.batch.bytes += event.to_json().len();
        self.batch.events.push(event);
        self.batch.times.push(recorded_at);
        if self.batch.events.len() >= MAX_PULLED_EVENTS || self.batch.bytes >= MAX_PULLED_BYTES {
            self.append()?;
        }
        Ok(())
    }

    fn take_content(&mut self, event: &SpaceEvent) -> Result<(), PullError> {
        let content = self.target.content();
        for text in event.payload.content_hashes() {
            // A hash that is not of this program's making names nothing that is kept.
            let Ok(hash) = text.parse::<ContentHash>() else { continue };
            if !self.known_content.insert(hash) || content.contains(&hash)? {
                continue;
            }
            match has_copied(self.source, content.as_ref(), hash)? {
                true => self.report.contents += 1,
                false => self.report.lacking += 1,
            }
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), PullError> {
        let PulledBatch { events, times, condition, .. } = std::mem::take(&mut self.batch);
        // Before the events that name it.
        self.target.content().sync()?;
        if events.is_empty() {
            return Ok(());
        }
        let request = AppendRequest::new(&events).on(condition);
        let request = request.recorded_at(&times).with_reserved_types();
        let receipt = self.target.log().append(&request)?;
        self.target.raise_floor(receipt.last_position().min(self.target.durable_head()));
        self.report.events += u64::try_from(events.len()).unwrap_or(u64::MAX);
        match (self.goes_on)(self.report.events) {
            true => Ok(()),
            false => Err(PullError::Stopped),
        }
    }
}

/// Copies a content, unless it is not there, or damaged.
fn has_copied(
    source: &dyn PullSource,
    target: &dyn ContentStore,
    hash: ContentHash,
) -> Result<bool, PullError> {
    let unread = |error| PullError::Source(Box::new(error));
    let mut content = match source.open_content(&hash) {
        Ok(content) => content,
        Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => {
            return Ok(false);
        }
        Err(error) => return Err(unread(error)),
    };
    match target.put(&mut content) {
        Ok(stored) => Ok(stored.hash == hash),
        Err(ContentError::Source(error)) => {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
            match cause {
                Some(ContentError::Damaged { .. }) => Ok(false),
                _ => Err(unread(ContentError::Source(error))),
            }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
