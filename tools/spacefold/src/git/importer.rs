//! From a history to events: each commit's as one append, with the content they name before them.

mod appender;
mod commit_events;
mod error;
mod imported;
mod rewind;

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use spacefold::{
    EventId, SpaceEvent, Spacefold, StorageError,
    content::{ContentError, ContentHash, ContentStore as _, StoredContent},
};
use spacefold_event_core::bytes::to_u64;

use self::{appender::Appender, commit_events::CommitEvents, imported::Earlier};
pub(crate) use self::{commit_events::SpacePer, error::ImportGitError, rewind::Rewound};
use super::{
    GitError,
    blobs::{self, BlobRequests, Blobs, Wanted},
    history::{Commit, CommitHistory, PathChange},
    missing, path,
    repository::Repository,
};

/// Commits that are read ahead.
const COMMITS_AHEAD: usize = 256;
/// Events that are handed to the log together, at the most, unless one commit has more.
const BATCH_EVENTS: usize = 4_096;
/// Bytes of content that are synced together, more or less.
const BATCH_CONTENT_BYTES: u64 = 64 << 20;

/// How often it is asked whether to go on, while git has nothing to say.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Bytes of a content after which it is asked.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What an import did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Imported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    pub(crate) contents: u64,
    pub(crate) bytes: u64,
    pub(crate) rewound: Option<Rewound>,
    /// Events that were recorded at another time than their commits say.
    pub(crate) clamped: u64,
    /// The commit of the first of them.
    pub(crate) first_clamped: Option<String>,
}

/// What is done about a branch that does not lead on from what was imported before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenRewritten {
    Refuse,
    GoBackToTheFork,
}

/// Imports what of a branch is not imported yet, into spaces called `name`. Tells `progress` what is
/// done, which answers whether to go on.
pub(crate) fn import(
    store: &Spacefold,
    repository: &Repository,
    name: &str,
    (space_per, when_rewritten): (SpacePer, WhenRewritten),
    progress: &mut dyn FnMut(&Imported) -> bool,
) -> Result<Imported, ImportGitError> {
    let mut earlier = imported::load(store, name, space_per)?;
    let mut done = Imported::default();
    if when_rewritten == WhenRewritten::GoBackToTheFork {
        done.rewound = rewind::onto(store, repository, name, space_per, &earlier)?;
        if done.rewound.is_some() {
            earlier = imported::load(store, name, space_per)?;
        }
    }
    if let Some(head) = &earlier.head
        && !repository.has_commit(head)?
    {
        return Err(ImportGitError::HeadGone { head: head.clone() });
    }
    let mut history = CommitHistory::of(repository, earlier.head.as_deref())?;
    let (requests, blobs) = blobs::read(&repository.objects)?;
    let (sender, commits) = mpsc::sync_channel(COMMITS_AHEAD);
    thread::scope(|scope| {
        let read = move || read_ahead(&mut history, requests, &sender);
        let reading = thread::Builder::new().spawn_scoped(scope, read).map_err(|error| {
            let doing = "starting a thread that reads the history";
            ImportGitError::Read(StorageError::new(doing, error).into())
        })?;
        let events = CommitEvents::new(
            name.to_owned(),
            space_per,
            earlier.spaces.clone(),
            earlier.rewound_at,
        );
        let mut importer = GitImporter::new(store, blobs, events, earlier, repository, done);
        let outcome = importer.run(&commits, progress);
        // The reading thread ends when nobody takes its commits any more.
        drop(commits);
        if let Err(error) = outcome {
            // It may wait for git to take a request, and git for us to take a content.
            drop(importer);
            let _ = reading.join();
            return Err(error);
        }
        match reading.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let why = missing::in_history(
                    &repository.objects,
                    &repository.tip,
                    importer.after.as_deref(),
                );
                return Err(why.ok().flatten().unwrap_or(error).into());
            }
            Err(_) => return Err(GitError::Unexpected("its reader ended".to_owned()).into()),
        }
        importer.finish()
    })
}

/// A commit, and the objects that were asked for because of it.
type RequestedCommit = (Commit, Vec<Wanted>);

/// Reads the history, and asks for the content that it brings, each once.
fn read_ahead(
    history: &mut CommitHistory,
    mut requests: BlobRequests,
    commits: &mpsc::SyncSender<RequestedCommit>,
) -> Result<(), GitError> {
    let mut asked: HashSet<String> = HashSet::new();
    while let Some(commit) = history.next()? {
        let mut wanted = Vec::new();
        for entry in commit.changes.iter().filter_map(|change| change.entry()) {
            if !entry.is_submodule() && asked.insert(entry.object.clone()) {
                wanted.push(requests.wanted(&entry.object));
            }
        }
        // The commit first: git answers only as fast as someone reads, and whoever has the commit
        // does.
        if commits.send((commit, wanted.clone())).is_err() {
            return Ok(());
        }
        let asked = wanted.iter().try_for_each(|wanted| requests.ask(wanted));
        if asked.and_then(|()| requests.flush()).is_err() {
            // Git has given up; whoever waits for what it answers is told why.
            return Ok(());
        }
    }
    Ok(())
}

struct GitImporter<'a> {
    store: &'a Spacefold,
    blobs: Blobs<'a>,
    /// The content of each object that was read.
    hashes: HashMap<String, ContentHash>,
    events: CommitEvents,
    /// Ids of events that an import which was stopped has stored of its last commit.
    stored: HashSet<EventId>,
    stored_commit: Option<String>,
    /// The last commit whose events were made.
    after: Option<String>,
    repository: &'a Repository,
    log: Appender<'a>,
    batch_bytes: u64,
    done: Imported,
}

impl<'a> GitImporter<'a> {
    fn new(
        store: &'a Spacefold,
        blobs: Blobs<'a>,
        events: CommitEvents,
        earlier: Earlier,
        repository: &'a Repository,
        done: Imported,
    ) -> Self {
        Self {
            store,
            blobs,
            hashes: HashMap::new(),
            events,
            stored: earlier.unfinished.events,
            stored_commit: earlier.unfinished.commit,
            after: earlier.head,
            repository,
            log: Appender::to(store),
            batch_bytes: 0,
            done,
        }
    }

    /// Imports the commits. What they had before an error is stored.
    fn run(
        &mut self,
        commits: &mpsc::Receiver<RequestedCommit>,
        progress: &mut dyn FnMut(&Imported) -> bool,
    ) -> Result<(), ImportGitError> {
        let taken = self.take_all(commits, progress);
        // Of what did not fit in the store, nothing more does.
        if !matches!(taken, Err(ImportGitError::Content(_) | ImportGitError::Append { .. })) {
            self.hand_over()?;
            self.log.settle()?;
        }
        if taken.is_ok() && !self.stored.is_empty() {
            return Err(self.unfinished());
        }
        taken
    }

    fn take_all(
        &mut self,
        commits: &mpsc::Receiver<RequestedCommit>,
        progress: &mut dyn FnMut(&Imported) -> bool,
    ) -> Result<(), ImportGitError> {
        let mut is_first = true;
        loop {
            if !progress(&self.done) {
                return Err(ImportGitError::Stopped);
            }
            let (commit, wanted) = match commits.recv_timeout(PROGRESS_EVERY) {
                Ok(ahead) => ahead,
                Err(RecvTimeoutError::Timeout) => continue,
                // Where not one came, the tip is in what was imported: it is older, or was merged.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if std::mem::take(&mut is_first) && commit.first_parent != self.after {
                return Err(self.diverged());
            }
            self.take(&commit, &wanted, progress)?;
            if self.log.waiting >= BATCH_EVENTS || self.batch_bytes >= BATCH_CONTENT_BYTES {
                self.hand_over()?;
            }
        }
    }

    fn finish(self) -> Result<Imported, ImportGitError> {
        self.blobs.finish()?;
        Ok(Imported {
            events: self.log.appended,
            clamped: self.log.clamped,
            first_clamped: self.log.first_clamped,
            ..self.done
        })
    }

    fn diverged(&self) -> ImportGitError {
        let head = self.after.clone().unwrap_or_default();
        ImportGitError::Diverged { head, tip: self.repository.tip.clone() }
    }

    fn unfinished(&self) -> ImportGitError {
        let commit = self.stored_commit.clone().unwrap_or_default();
        ImportGitError::Unfinished { commit, tip: self.repository.tip.clone() }
    }

    /// Adds a commit to what goes to the log.
    fn take(
        &mut self,
        commit: &Commit,
        wanted: &[Wanted],
        progress: &mut dyn FnMut(&Imported) -> bool,
    ) -> Result<(), ImportGitError> {
        for wanted in wanted {
            self.take_content(commit, wanted, progress)?;
        }
        let mut events = self.events.of(commit, &self.hashes).map_err(|too_long| {
            let (path, bytes) = (path::text_of(&too_long.path), too_long.bytes);
            ImportGitError::SpaceIdTooLong { commit: commit.hash.clone(), path, bytes }
        })?;
        self.leave_out_stored(&mut events)?;
        self.log.push(events);
        self.done.commits += 1;
        self.after = Some(commit.hash.clone());
        Ok(())
    }

    fn take_content(
        &mut self,
        commit: &Commit,
        wanted: &Wanted,
        progress: &mut dyn FnMut(&Imported) -> bool,
    ) -> Result<(), ImportGitError> {
        let content = self.store.content();
        let mut watched =
            WatchedReader { done: self.done.clone(), progress, unsaid: 0, is_stopped: false };
        let put = |reader: &mut dyn Read| content.put(&mut watched.reading(reader));
        let path = || path_of(commit, &wanted.object);
        let unreadable = |error: String| GitError::Unreadable {
            commit: commit.hash.clone(),
            path: path::text_of(&path()),
            said: error,
        };
        let next = self.blobs.next(wanted, put);
        if watched.is_stopped {
            return Err(ImportGitError::Stopped);
        }
        let stored = match next {
            Ok(Some(Ok(stored))) => stored,
            Ok(Some(Err(ContentError::Source(error)))) => {
                return Err(unreadable(error.to_string()).into());
            }
            Ok(Some(Err(error))) => return Err(error.into()),
            Ok(None) => {
                let object = wanted.object.clone();
                return Err(missing::content(
                    &self.repository.objects,
                    &commit.hash,
                    object,
                    path(),
                )
                .into());
            }
            Err(error) => return Err(unreadable(error.to_string()).into()),
        };
        let StoredContent { hash, bytes } = stored;
        self.hashes.insert(wanted.object.clone(), hash);
        self.done.contents += 1;
        self.done.bytes += bytes;
        self.batch_bytes += bytes;
        Ok(())
    }

    /// Leaves out what an import that was stopped has stored, which is of the next commit if the
    /// branch is still the one that it was.
    fn leave_out_stored(&mut self, events: &mut Vec<SpaceEvent>) -> Result<(), ImportGitError> {
        if self.stored.is_empty() {
            return Ok(());
        }
        let all = events.len();
        events.retain(|event| !self.stored.contains(&event.event_id));
        if all - events.len() != self.stored.len() {
            return Err(self.unfinished());
        }
        self.stored.clear();
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), ImportGitError> {
        self.batch_bytes = 0;
        self.log.hand_over()
    }
}

/// Tells how far a content is read, and stops when told to.
struct WatchedReader<'p> {
    done: Imported,
    progress: &'p mut dyn FnMut(&Imported) -> bool,
    /// Bytes that were read since it was told last.
    unsaid: u64,
    is_stopped: bool,
}

impl<'p> WatchedReader<'p> {
    const fn reading<'w>(&'w mut self, source: &'w mut dyn Read) -> WatchedRead<'w, 'p> {
        WatchedRead { source, watched: self }
    }
}

struct WatchedRead<'w, 'p> {
    source: &'w mut dyn Read,
    watched: &'w mut WatchedReader<'p>,
}

impl Read for WatchedRead<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let watched = &mut *self.watched;
        watched.unsaid += to_u64(read);
        if watched.unsaid >= PROGRESS_BYTES {
            watched.done.bytes += std::mem::take(&mut watched.unsaid);
            if !(watched.progress)(&watched.done) {
                watched.is_stopped = true;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(read)
    }
}

/// The first path at which a commit has an object.
fn path_of(commit: &Commit, object: &str) -> Vec<u8> {
    let path = commit.changes.iter().find_map(|change| match change {
        PathChange::Set { path, entry } if entry.object == object => Some(path.clone()),
        PathChange::Moved { to, entry, .. } if entry.object == object => Some(to.clone()),
        _ => None,
    });
    path.unwrap_or_default()
}
