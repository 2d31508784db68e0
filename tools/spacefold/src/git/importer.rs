//! From a history to events: each commit's as one append, with the content they name before them.

mod commit_events;
mod imported;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    io::{self, Read},
    sync::mpsc,
    thread,
};

use spacefold::{
    Append, AppendError, ContentError, ContentHash, ContentStore as _, MAX_APPEND_BYTES,
    MAX_APPEND_EVENTS, PendingAppend, ReadError, SnapshotError, SpaceEvent, Spacefold,
    StorageError, StoredContent, Timestamp,
};

pub(crate) use self::commit_events::SpacePer;
use self::{commit_events::CommitEvents, imported::Earlier};
use super::{
    GitError, Repository,
    blobs::{self, BlobRequests, Blobs},
    history::{Commit, History},
};

/// Commits that are read ahead.
const COMMITS_AHEAD: usize = 256;
/// Events that are handed to the log together, at the most, unless one commit has more.
const BATCH_EVENTS: usize = 4_096;
/// Bytes of content that are synced together, more or less.
const BATCH_CONTENT_BYTES: u64 = 64 << 20;

/// What an import did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Imported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    pub(crate) contents: u64,
    pub(crate) bytes: u64,
}

/// Why an import ended early. Every commit before is stored, with its content.
#[derive(Debug)]
pub(crate) enum ImportGitError {
    Git(GitError),
    /// A space that the import would write to is none of an earlier import of this kind.
    SpaceInUse {
        space_id: String,
    },
    /// The last imported commit is not on the branch.
    Diverged {
        head: String,
        tip: String,
    },
    Content(ContentError),
    Read(ReadError),
    Snapshot(SnapshotError),
    Append {
        commit: String,
        error: AppendError,
    },
    Stopped,
}

impl fmt::Display for ImportGitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(error) => error.fmt(f),
            Self::SpaceInUse { space_id } => {
                write!(
                    f,
                    "space {space_id:?} was not made by an import of this repository of this kind"
                )
            }
            Self::Diverged { head, tip } => write!(
                f,
                "commit {head}, the last that was imported, is not in the first-parent history of {tip}"
            ),
            Self::Content(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Snapshot(error) => error.fmt(f),
            Self::Append { commit, error } => write!(f, "commit {commit}: {error}"),
            Self::Stopped => f.write_str("the import was stopped"),
        }
    }
}

impl From<GitError> for ImportGitError {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl From<ContentError> for ImportGitError {
    fn from(error: ContentError) -> Self {
        Self::Content(error)
    }
}

impl From<ReadError> for ImportGitError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<SnapshotError> for ImportGitError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

/// Imports what of a branch is not imported yet, into spaces called `name`. Tells `progress` what is
/// done, which answers whether to go on.
pub(crate) fn import(
    store: &Spacefold,
    repository: &Repository,
    name: &str,
    space_per: SpacePer,
    progress: &mut dyn FnMut(&Imported) -> bool,
) -> Result<Imported, ImportGitError> {
    let earlier = imported::load(store, name, space_per)?;
    let mut history = History::of(repository, earlier.head.as_deref())?;
    let (requests, blobs) = blobs::read(repository)?;
    let (sender, commits) = mpsc::sync_channel(COMMITS_AHEAD);
    thread::scope(|scope| {
        let read = move || read_ahead(&mut history, requests, &sender);
        let reading = thread::Builder::new().spawn_scoped(scope, read).map_err(|error| {
            let doing = "starting a thread that reads the history";
            ImportGitError::Read(StorageError::new(doing, error).into())
        })?;
        let mut importer = Importer::new(store, blobs, name, space_per, earlier, repository);
        let outcome = importer.run(&commits, progress);
        // The reading thread ends when nobody takes its commits any more.
        drop(commits);
        if outcome.is_err() {
            // It may wait for git to take a request, and git for us to take a content.
            drop(importer);
            let _ = reading.join();
            return Err(outcome.err().unwrap_or(ImportGitError::Stopped));
        }
        match reading.join() {
            Ok(read) => read?,
            Err(_) => return Err(GitError::Unexpected("its reader ended".to_owned()).into()),
        }
        importer.blobs.finish()?;
        Ok(importer.done)
    })
}

/// A commit, and the objects that were asked for because of it.
type Ahead = (Commit, Vec<String>);

/// Reads the history, and asks for the content that it brings, each once.
fn read_ahead(
    history: &mut History,
    mut requests: BlobRequests,
    commits: &mpsc::SyncSender<Ahead>,
) -> Result<(), GitError> {
    let broken = |error: io::Error| GitError::Unexpected(error.to_string());
    let mut asked: HashSet<String> = HashSet::new();
    while let Some(commit) = history.next()? {
        let mut wanted = Vec::new();
        for entry in commit.changes.iter().filter_map(|change| change.entry()) {
            if !entry.is_submodule() && asked.insert(entry.object.clone()) {
                wanted.push(entry.object.clone());
            }
        }
        // The commit first: git answers only as fast as someone reads, and whoever has the commit
        // does.
        if commits.send((commit, wanted.clone())).is_err() {
            return Ok(());
        }
        for object in wanted {
            requests.ask(&object).map_err(broken)?;
        }
        requests.flush().map_err(broken)?;
    }
    Ok(())
}

struct Importer<'a> {
    store: &'a Spacefold,
    blobs: Blobs,
    /// The content of each object that was read.
    hashes: HashMap<String, ContentHash>,
    events: CommitEvents,
    /// Ids of events that an import which was stopped has stored of its last commit.
    stored: HashSet<spacefold::EventId>,
    after: Option<String>,
    tip: &'a str,
    batch: Vec<Vec<SpaceEvent>>,
    batch_events: usize,
    batch_bytes: u64,
    in_flight: Vec<(String, PendingAppend)>,
    done: Imported,
}

impl<'a> Importer<'a> {
    fn new(
        store: &'a Spacefold,
        blobs: Blobs,
        name: &str,
        space_per: SpacePer,
        earlier: Earlier,
        repository: &'a Repository,
    ) -> Self {
        Self {
            store,
            blobs,
            hashes: HashMap::new(),
            events: CommitEvents::new(name.to_owned(), space_per, earlier.spaces),
            stored: earlier.unfinished,
            after: earlier.head,
            tip: &repository.tip,
            batch: Vec::new(),
            batch_events: 0,
            batch_bytes: 0,
            in_flight: Vec::new(),
            done: Imported::default(),
        }
    }

    fn run(
        &mut self,
        commits: &mpsc::Receiver<Ahead>,
        progress: &mut dyn FnMut(&Imported) -> bool,
    ) -> Result<(), ImportGitError> {
        let mut first = true;
        for (commit, wanted) in commits {
            if std::mem::take(&mut first) && commit.first_parent != self.after {
                return Err(self.diverged());
            }
            self.take_contents(&wanted)?;
            let events = self.events.of(&commit, &self.hashes);
            self.done.commits += 1;
            self.push(events);
            if self.batch_events >= BATCH_EVENTS || self.batch_bytes >= BATCH_CONTENT_BYTES {
                self.store_batch()?;
            }
            if !progress(&self.done) {
                self.store_batch()?;
                self.settle()?;
                return Err(ImportGitError::Stopped);
            }
        }
        if first && self.after.as_deref().is_some_and(|after| after != self.tip) {
            return Err(self.diverged());
        }
        self.store_batch()?;
        self.settle()
    }

    fn diverged(&self) -> ImportGitError {
        let head = self.after.clone().unwrap_or_default();
        ImportGitError::Diverged { head, tip: self.tip.to_owned() }
    }

    fn take_contents(&mut self, wanted: &[String]) -> Result<(), ImportGitError> {
        let content = self.store.content();
        for object in wanted {
            let put = |reader: &mut dyn Read| content.put(reader);
            let StoredContent { hash, bytes } = self.blobs.next(object, put)??;
            self.hashes.insert(object.clone(), hash);
            self.done.contents += 1;
            self.done.bytes += bytes;
            self.batch_bytes += bytes;
        }
        Ok(())
    }

    /// Adds the events of a commit to the batch: as one append, or several if they are too many.
    fn push(&mut self, mut events: Vec<SpaceEvent>) {
        if !self.stored.is_empty() {
            events.retain(|event| !self.stored.contains(&event.event_id));
        }
        let mut append = Vec::new();
        let mut bytes = 0;
        for event in events {
            let event_bytes = event.encoded_len();
            if append.len() == MAX_APPEND_EVENTS || bytes + event_bytes > MAX_APPEND_BYTES {
                self.batch.push(std::mem::take(&mut append));
                bytes = 0;
            }
            bytes += event_bytes;
            self.batch_events += 1;
            append.push(event);
        }
        if !append.is_empty() {
            self.batch.push(append);
        }
    }

    /// Makes the content of the batch durable, then hands its events to the log.
    fn store_batch(&mut self) -> Result<(), ImportGitError> {
        self.store.content().sync()?;
        self.settle()?;
        for events in std::mem::take(&mut self.batch) {
            let commit =
                events.first().and_then(|event| event.correlation_id.clone()).unwrap_or_default();
            let times: Vec<Timestamp> = events.iter().map(|event| event.timestamp).collect();
            let append = Append::new(&events).recorded_at(&times);
            match self.store.log().submit(&append) {
                Ok(pending) => self.in_flight.push((commit, pending)),
                Err(error) => {
                    self.settle()?;
                    return Err(ImportGitError::Append { commit, error });
                }
            }
        }
        self.batch_events = 0;
        self.batch_bytes = 0;
        Ok(())
    }

    /// Waits until the events that the log was handed are durable.
    fn settle(&mut self) -> Result<(), ImportGitError> {
        let mut outcome = Ok(());
        for (commit, pending) in self.in_flight.drain(..) {
            match pending.wait() {
                Ok(receipt) => self.done.events += receipt.count(),
                Err(error) => outcome = outcome.and(Err(ImportGitError::Append { commit, error })),
            }
        }
        outcome
    }
}
