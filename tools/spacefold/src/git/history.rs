//! The first-parent history of a branch: its commits, and what each changed.

use std::io::{BufRead, BufReader, Read};

use super::{GitError, process::GitProcess, repository::Repository};

use spacefold_event_core::bytes::to_u64;

/// What is read of a path at the most: whatever goes on without a NUL is none.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// What is kept of the name of an author and of a subject; the rest is passed over.
const MAX_TEXT_BYTES: u64 = 16 << 10;

/// A commit.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) hash: String,
    pub(super) first_parent: Option<String>,
    /// Seconds since 1970 at which it was committed.
    pub(super) time: i64,
    pub(super) author: String,
    pub(super) subject: String,
    pub(super) changes: Vec<PathChange>,
}

/// What a commit did to a path.
#[derive(Debug)]
pub(super) enum PathChange {
    /// The path has this now.
    Set { path: Vec<u8>, entry: TreeEntry },
    /// The path is no more.
    Removed { path: Vec<u8> },
    /// What was at a path is at another, as git takes it.
    Moved { from: Vec<u8>, to: Vec<u8>, entry: TreeEntry },
}

impl PathChange {
    pub(super) const fn entry(&self) -> Option<&TreeEntry> {
        match self {
            Self::Set { entry, .. } | Self::Moved { entry, .. } => Some(entry),
            Self::Removed { .. } => None,
        }
    }
}

/// What is at a path.
#[derive(Clone, Debug)]
pub(super) struct TreeEntry {
    /// As git writes it, such as `100644`.
    pub(super) mode: String,
    pub(super) object: String,
}

impl TreeEntry {
    /// Whether it is a commit of another repository, whose content is not here.
    pub(super) fn is_submodule(&self) -> bool {
        self.mode == "160000"
    }
}

/// The commits of a branch, the oldest first.
pub(super) struct CommitHistory {
    running: Option<GitProcess>,
    output: BufReader<Box<dyn Read + Send>>,
    next: Option<Vec<u8>>,
}

impl CommitHistory {
    /// The commits after `after`, or all of them.
    pub(super) fn of(repository: &Repository, after: Option<&str>) -> Result<Self, GitError> {
        let mut command = repository.objects.git([
            "log",
            "--first-parent",
            "--diff-merges=first-parent",
            "--reverse",
            "--raw",
            "-z",
            "--no-abbrev",
            "--no-color",
            "--no-mailmap",
            "--no-notes",
            "--no-relative",
            "--ignore-submodules=none",
            "--encoding=UTF-8",
            // Whatever the version of git does without, so that every run finds the same.
            "-M50%",
            "-l2000",
            "--format=tformat:%H %ct %P%x00%an%x00%s",
            "--end-of-options",
        ]);
        match after {
            Some(after) => command.arg(format!("{after}..{}", repository.tip)),
            None => command.arg(&repository.tip),
        };
        command.arg("--");
        let mut running = GitProcess::start(&mut command, "reading the history")?;
        let output: Box<dyn Read + Send> = Box::new(running.stdout()?);
        Ok(Self::reading(output, Some(running)))
    }

    fn reading(output: Box<dyn Read + Send>, running: Option<GitProcess>) -> Self {
        Self { running, output: BufReader::with_capacity(256 << 10, output), next: None }
    }

    pub(super) fn next(&mut self) -> Result<Option<Commit>, GitError> {
        let Some(head) = self.token()? else {
            return self.running.take().map_or(Ok(None), |running| running.finish().map(|()| None));
        };
        let mut commit = self.head(&head)?;
        while let Some(token) = self.token()? {
            // The first change of a commit has a line break before it.
            let Some(change) = token.trim_ascii_start().strip_prefix(b":") else {
                self.next = Some(token);
                break;
            };
            let change = self.change(&String::from_utf8_lossy(change))?;
            commit.changes.push(change);
        }
        Ok(Some(commit))
    }

    fn head(&mut self, head: &[u8]) -> Result<Commit, GitError> {
        let head = String::from_utf8_lossy(head).into_owned();
        let unexpected = || GitError::Unexpected(format!("{head:?} begins no commit"));
        let mut words = head.split(' ');
        let hash =
            words.next().filter(|hash| matches!(hash.len(), 40 | 64)).ok_or_else(unexpected)?;
        let time = words.next().and_then(|time| time.parse().ok()).ok_or_else(unexpected)?;
        let first_parent = words.next().filter(|parent| !parent.is_empty());
        Ok(Commit {
            hash: hash.to_owned(),
            first_parent: first_parent.map(str::to_owned),
            time,
            author: self.text()?,
            subject: self.text()?,
            changes: Vec::new(),
        })
    }

    /// A change: `100644 100644 <object> <object> M`, then the path, or both of a rename.
    fn change(&mut self, raw: &str) -> Result<PathChange, GitError> {
        let unexpected = || GitError::Unexpected(format!("{raw:?} is no change"));
        let words: Vec<&str> = raw.split(' ').collect();
        let [_, mode, _, object, status] = words[..] else { return Err(unexpected()) };
        let entry = TreeEntry { mode: mode.to_owned(), object: object.to_owned() };
        let path = self.path()?;
        match status.as_bytes().first() {
            Some(b'A' | b'M' | b'T') => Ok(PathChange::Set { path, entry }),
            Some(b'D') => Ok(PathChange::Removed { path }),
            Some(b'R') => Ok(PathChange::Moved { from: path, to: self.path()?, entry }),
            _ => Err(unexpected()),
        }
    }

    fn path(&mut self) -> Result<Vec<u8>, GitError> {
        self.token()?.ok_or_else(|| GitError::Unexpected("a change without a path".to_owned()))
    }

    /// A text, of which no more is kept than is of use.
    fn text(&mut self) -> Result<String, GitError> {
        let mut text = Vec::new();
        let mut part = Vec::new();
        loop {
            part.clear();
            let read = (&mut self.output).take(MAX_TEXT_BYTES).read_until(0, &mut part);
            read.map_err(|error| GitError::Unexpected(error.to_string()))?;
            let is_last = part.last() == Some(&0);
            if part.is_empty() {
                return Err(self.breaks_off());
            }
            if text.is_empty() {
                text.clone_from(&part);
            }
            if is_last {
                break;
            }
        }
        if text.last() == Some(&0) {
            text.pop();
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// What comes before the next NUL; `None` at the end.
    fn token(&mut self) -> Result<Option<Vec<u8>>, GitError> {
        if let Some(token) = self.next.take() {
            return Ok(Some(token));
        }
        let mut token = Vec::new();
        let read = (&mut self.output).take(MAX_TOKEN_BYTES).read_until(0, &mut token);
        read.map_err(|error| GitError::Unexpected(error.to_string()))?;
        match token.pop() {
            Some(0) => Ok(Some(token)),
            Some(_) if to_u64(token.len()) + 1 >= MAX_TOKEN_BYTES => {
                let what = format!("a path of more than {MAX_TOKEN_BYTES} bytes");
                Err(GitError::Unexpected(what))
            }
            Some(_) => Err(self.breaks_off()),
            None => Ok(None),
        }
    }

    /// Why the history ends in the middle: what git says of it is better than what is known here.
    fn breaks_off(&mut self) -> GitError {
        match self.running.take().map(GitProcess::finish) {
            Some(Err(error)) => error,
            _ => GitError::Unexpected("the history breaks off".to_owned()),
        }
    }
}

/// Where a branch leaves what is known.
pub(super) struct Fork {
    /// The newest known commit of its first-parent history.
    pub(super) commit: Option<String>,
    /// The commit after it.
    pub(super) next: Option<String>,
}

/// Finds where the branch of a repository leaves the commits that are known.
pub(super) fn fork(
    repository: &Repository,
    is_known: &dyn Fn(&str) -> bool,
) -> Result<Fork, GitError> {
    let mut command = repository.objects.git(["rev-list", "--first-parent", &repository.tip, "--"]);
    let mut running = GitProcess::start(&mut command, "reading the history")?;
    let mut next = None;
    for line in BufReader::new(running.stdout()?).lines() {
        let commit = line.map_err(|error| GitError::Unexpected(error.to_string()))?;
        if is_known(&commit) {
            return Ok(Fork { commit: Some(commit), next });
        }
        next = Some(commit);
    }
    running.finish()?;
    Ok(Fork { commit: None, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &[u8]) -> Result<Vec<Commit>, GitError> {
        let mut history =
            CommitHistory::reading(Box::new(std::io::Cursor::new(output.to_vec())), None);
        let mut commits = Vec::new();
        while let Some(commit) = history.next()? {
            commits.push(commit);
        }
        Ok(commits)
    }

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    #[test]
    fn commits_and_changes_are_told_apart() {
        let output = format!(
            "{ONE} 5 \0Ü\0:first\0\n:000000 100644 {TWO} {ONE} A\0a b\0:100644 100755 {ONE} {TWO} R090\0:x\0y\nz\0{TWO} 6 {ONE} {TWO}\0\0\0"
        );
        let commits = read(output.as_bytes()).unwrap();
        assert_eq!(commits.len(), 2);
        let first = &commits[0];
        assert_eq!((first.time, first.first_parent.as_deref()), (5, None));
        assert_eq!((first.author.as_str(), first.subject.as_str()), ("Ü", ":first"));
        assert!(
            matches!(&first.changes[0], PathChange::Set { path, entry } if path == b"a b" && entry.object == ONE)
        );
        assert!(matches!(&first.changes[1], PathChange::Moved { from, to, entry }
            if from == b":x" && to == b"y\nz" && entry.mode == "100755"));
        assert_eq!(commits[1].first_parent.as_deref(), Some(ONE));
        assert!(commits[1].changes.is_empty());
    }

    #[test]
    fn what_is_no_history_is_an_error() {
        let head = format!("{ONE} 5 \0a\0s\0");
        for output in [
            "nonsense\0".to_owned(),
            format!("{ONE} 5 "),
            format!("{ONE} x \0a\0s\0"),
            format!("{ONE} 5 \0a"),
            format!("{head}\n:100644 100644 {ONE} {TWO} M\0"),
            format!("{head}\n:100644 100644 {ONE} {TWO} X\0p\0"),
            format!("{head}\n:100644 {ONE} M\0p\0"),
            format!("{head}\n:100644 100644 {ONE} {TWO} R100\0p\0"),
        ] {
            assert!(read(output.as_bytes()).is_err(), "{output:?}");
        }
    }
}
