//! What the tests of this crate share.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_disk::{Access, Disk as _, Folder, MemoryDisk};
use spacefold_event_core::{
    Assignments, EventLog, LogReader, MemoryLog, Page, Position, ReadError, ReadRequest, Records,
    Revision, SpaceEvent, StorageError, testing,
};
use spacefold_state::{Effects, SpaceState, SpaceStates};

use crate::{
    DerivedState, LiveStates, Projection, ProjectionHandle, Projections,
    generations::Generations,
    kept_states::{KeptStates, Marker},
    replay::fold_log,
};

/// The states of a log, persisted in a folder.
pub(crate) fn states_in(
    log: &Arc<impl LogReader + 'static>,
    folder: Arc<dyn Folder>,
) -> LiveStates {
    LiveStates::new(log.clone(), DerivedState::in_folder(folder))
}

/// No projections yet, of a log and what a folder has of it.
pub(crate) fn projections_in(
    log: &Arc<impl LogReader + 'static>,
    folder: Arc<dyn Folder>,
) -> Projections {
    Projections::new(Arc::new(states_in(log, folder)))
}

/// A projection, folded up to the head of a log.
pub(crate) fn folded<P: Projection>(log: &Arc<MemoryLog>, projection: P) -> ProjectionHandle<P> {
    registered(log, projection).1
}

/// A projection, registered and folded up to the head of a log.
pub(crate) fn registered<P: Projection>(
    log: &Arc<MemoryLog>,
    projection: P,
) -> (Projections, ProjectionHandle<P>) {
    let projections = projections_in(log, MemoryDisk::new().root());
    let handle = projections.register(projection).unwrap();
    handle.catch_up().unwrap();
    (projections, handle)
}

/// What the events of a log did, as folding it anew gives it.
pub(crate) fn effects_of(log: &dyn LogReader) -> Effects {
    let mut states = SpaceStates::new();
    let mut effects = Effects::new(Position::START, log.durable_head());
    let folded = fold_log(log, Position::START, log.durable_head(), |event| {
        effects.push(event.position, states.apply(event));
        Ok::<(), ReadError>(())
    });
    folded.unwrap();
    effects
}

/// The generation of the states that counts in a folder, and how far it is folded.
pub(crate) fn persisted_states(folder: &Arc<dyn Folder>) -> (KeptStates, Marker) {
    let place = DerivedState::in_folder(Arc::clone(folder)).part("space-state");
    let generations = Generations::open(place).unwrap();
    let number = generations.current().expect("no generation counts");
    let (states, owner) = KeptStates::open(&generations, number).unwrap().expect("it is damaged");
    (states, Marker::decode(&owner).expect("it is not complete"))
}

pub(crate) const NO_EFFECTS: Effects = Effects::new(Position::START, Position::START);

/// Puts a state in the place of the persisted one of its space, as no fold has.
pub(crate) fn tamper(folder: &Arc<dyn Folder>, state: &SpaceState) {
    let (mut states, marker) = persisted_states(folder);
    states.write([state], &NO_EFFECTS, &marker.encode()).unwrap();
}

/// The ids of the spaces whose states are persisted in a folder.
pub(crate) fn persisted_spaces(folder: &Arc<dyn Folder>) -> Vec<String> {
    let mut ids = Vec::new();
    let visit = |state: SpaceState| {
        ids.push(state.space_id().to_owned());
        Ok::<_, StorageError>(())
    };
    persisted_states(folder).0.view().each_state(|_| true, visit).unwrap();
    ids
}

/// Two spaces, a document and a variable.
pub(crate) fn sample() -> Vec<SpaceEvent> {
    vec![
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::space_created("t", "T"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::space_activated("t"),
        SpaceEvent::variable_set("s", "v", 1),
    ]
}

/// The numbers of the generations in a folder.
pub(crate) fn generations(folder: &Arc<dyn Folder>, below: &str) -> Vec<String> {
    let place = below
        .split('/')
        .try_fold(Arc::clone(folder), |folder, name| folder.folder(name.as_ref()).unwrap());
    let names = place.map_or_else(Vec::new, |place| place.names().unwrap());
    names.into_iter().filter(|name| name.parse::<u64>().is_ok()).collect()
}

/// A log one of whose events does not decode.
pub(crate) struct CorruptLog {
    pub(crate) inner: Arc<MemoryLog>,
    pub(crate) corrupt: Position,
}

impl CorruptLog {
    fn check(&self, page: Page) -> Result<Page, ReadError> {
        if page.envelopes().any(|event| event.position == self.corrupt) {
            let cause = Records::decode(b"noise", 1, NO_ASSIGNMENTS).unwrap_err();
            let position = self.corrupt;
            return Err(ReadError::Corrupt { position, cause });
        }
        Ok(page)
    }
}

const NO_ASSIGNMENTS: Assignments = Assignments {
    first_position: Position::START,
    recorded_at: Vec::new(),
    base_revisions: Vec::new(),
};

impl testing::LogWrapper for CorruptLog {
    fn inner(&self) -> &dyn EventLog {
        &*self.inner
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        // Small pages, so that there are many.
        self.check(self.inner.read(&read.clone().limit(read.limit.min(2)))?)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.check(self.inner.read_space(space_id, from, limit.min(2))?)
    }
}

/// Every file in a folder and in those below it: its path there, and its bytes.
pub(crate) fn files(folder: &Arc<dyn Folder>) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in folder.names().unwrap() {
        match folder.folder(name.as_ref()).unwrap() {
            Some(below) => {
                let below = self::files(&below).into_iter();
                files.extend(below.map(|(path, bytes)| (Path::new(&name).join(path), bytes)));
            }
            None => {
                let bytes = folder.open(&name, Access::Read).unwrap().read_all().unwrap();
                files.insert(name.into(), bytes);
            }
        }
    }
    files
}

/// A disk with these files.
pub(crate) fn disk_of(files: &BTreeMap<PathBuf, Vec<u8>>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (path, bytes) in files {
        let (above, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
        disk.create_folders(above).unwrap();
        let folder = disk.folder(above).unwrap().unwrap();
        folder.create(name).unwrap().write_all_at(bytes, 0).unwrap();
    }
    disk
}
