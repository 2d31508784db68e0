//! What a repository does not have, though its history needs it.

use std::{
    collections::HashMap,
    fmt,
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
    process::ChildStdin,
};

use super::{
    GitError, Repository,
    blobs::{self, Answers},
    path,
};

/// Bytes of a commit or a folder that is looked at.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// An object that is not there.
#[derive(Debug)]
pub(crate) struct MissingObject {
    /// What needs it: a commit, or what was asked for.
    pub(crate) needed_by: String,
    pub(crate) kind: &'static str,
    pub(crate) object: String,
    /// Where it is in the commit; empty for what has no path.
    pub(crate) path: Vec<u8>,
    pub(crate) lack: Lack,
}

/// Why objects are missing, as far as the repository tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// It is a partial clone: they were left where it was cloned from.
    Partial,
    /// The repository whose objects it borrows is gone.
    Borrowed { folder: PathBuf },
    /// It does not tell.
    Unknown,
}

impl fmt::Display for MissingObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed_by, kind, object, path, lack } = self;
        write!(f, "{needed_by} needs the {kind} {object}")?;
        if !path.is_empty() {
            write!(f, " at {:?}", path::text_of(path))?;
        }
        f.write_str(", which the repository does not have")?;
        match lack {
            Lack::Partial => f.write_str(": it is a partial clone"),
            Lack::Borrowed { folder } => {
                write!(f, ": it borrows objects from {}, which is not there", folder.display())
            }
            Lack::Unknown => Ok(()),
        }
    }
}

/// The error about what a commit does not have at a path.
pub(super) fn content(
    repository: &Repository,
    commit: &str,
    object: String,
    path: Vec<u8>,
) -> GitError {
    let needed_by = format!("commit {commit}");
    let lack = repository.lack();
    let missing = MissingObject { needed_by, kind: "content", object, path, lack };
    GitError::Missing(Box::new(missing))
}

/// The error about the tip of a branch that is not there.
pub(super) fn tip(repository: &Repository, branch: &str, object: String) -> GitError {
    let needed_by = format!("branch {branch:?}");
    let lack = repository.lack();
    let path = Vec::new();
    GitError::Missing(Box::new(MissingObject { needed_by, kind: "commit", object, path, lack }))
}

/// What kind of object it is; nothing when the repository does not have it.
pub(super) fn kind_of(repository: &Repository, object: &str) -> Result<Option<String>, GitError> {
    Asking::start(repository, "--batch-check")?.kind(object)
}

/// What the history after the commit `after` lacks, when reading it has failed: the first that is
/// missing, from there on.
pub(super) fn in_history(
    repository: &Repository,
    after: Option<&str>,
) -> Result<Option<MissingObject>, GitError> {
    let mut looking = Looking {
        contents: Asking::start(repository, "--batch")?,
        kinds: Asking::start(repository, "--batch-check")?,
    };
    let missing = |commit: &str, (kind, object, path): Found| {
        let needed_by = format!("commit {commit}");
        Some(MissingObject { needed_by, kind, object, path, lack: repository.lack() })
    };
    let mut commits = Vec::new();
    let (mut child, mut next) = (repository.tip.clone(), Some(repository.tip.clone()));
    while let Some(commit) = next.filter(|commit| Some(commit.as_str()) != after) {
        let Some(read) = looking.commit(&commit)? else {
            return Ok(missing(&child, ("commit", commit, Vec::new())));
        };
        commits.push((commit.clone(), read.tree));
        next = read.first_parent;
        child = commit;
    }
    let mut before = match after {
        Some(after) => looking.commit(after)?.map(|commit| commit.tree),
        None => None,
    };
    for (commit, tree) in commits.into_iter().rev() {
        if let Some(found) = looking.differences(before.take(), &tree)? {
            return Ok(missing(&commit, found));
        }
        before = Some(tree);
    }
    Ok(None)
}

/// What is missing: its kind, its name, and its path.
type Found = (&'static str, String, Vec<u8>);

/// A `git cat-file` that is asked for one object at a time.
struct Asking {
    requests: BufWriter<ChildStdin>,
    answers: Answers,
}

impl Asking {
    fn start(repository: &Repository, option: &str) -> Result<Self, GitError> {
        let (requests, answers) = blobs::start(repository, option)?;
        Ok(Self { requests, answers })
    }

    fn ask(&mut self, object: &str) -> Result<(), GitError> {
        let asked = writeln!(self.requests, "{object}").and_then(|()| self.requests.flush());
        asked.map_err(|error| GitError::Unexpected(error.to_string()))
    }

    fn kind(&mut self, object: &str) -> Result<Option<String>, GitError> {
        self.ask(object)?;
        Ok(self.answers.head(object)?.map(|(kind, _)| kind))
    }

    fn get(&mut self, object: &str, kind: &str) -> Result<Option<Vec<u8>>, GitError> {
        self.ask(object)?;
        let take = |reader: &mut dyn Read| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            reader.take(MAX_OBJECT_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        };
        let read = self.answers.next(object, kind, take)?.transpose();
        read.map_err(|error| GitError::Unexpected(error.to_string()))
    }
}

struct Looking {
    contents: Asking,
    kinds: Asking,
}

/// What of a commit counts here.
struct Commit {
    tree: String,
    first_parent: Option<String>,
}

/// What is in a folder: whether it is a folder or content, and its name among the objects.
type Entries = HashMap<Vec<u8>, (Kind, String)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Content,
}

impl Looking {
    fn commit(&mut self, commit: &str) -> Result<Option<Commit>, GitError> {
        let Some(bytes) = self.contents.get(commit, "commit")? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let tree = lines.next().and_then(|line| line.strip_prefix("tree "));
        let tree = tree.ok_or_else(|| GitError::Unexpected(format!("{commit} has no tree")))?;
        let first_parent = lines.next().and_then(|line| line.strip_prefix("parent "));
        Ok(Some(Commit { tree: tree.to_owned(), first_parent: first_parent.map(str::to_owned) }))
    }

    /// The first object in which the folders differ that is not there.
    fn differences(&mut self, old: Option<String>, new: &str) -> Result<Option<Found>, GitError> {
        let mut folders = vec![(old, Some(new.to_owned()), Vec::new())];
        while let Some((old, new, path)) = folders.pop() {
            let mut sides = [Entries::new(), Entries::new()];
            for (entries, folder) in sides.iter_mut().zip([old, new]) {
                let Some(folder) = folder else { continue };
                match self.contents.get(&folder, "tree")? {
                    Some(bytes) => *entries = entries_of(&bytes, folder.len() / 2),
                    None => return Ok(Some(("folder", folder, path))),
                }
            }
            let [mut old, new] = sides;
            let mut changed: Vec<(Vec<u8>, [Option<(Kind, String)>; 2])> = Vec::new();
            for (name, entry) in new {
                let was = old.remove(&name);
                if was.as_ref() != Some(&entry) {
                    changed.push((name, [was, Some(entry)]));
                }
            }
            changed.extend(old.into_iter().map(|(name, was)| (name, [Some(was), None])));
            changed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            for (name, sides) in changed {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend(name);
                let mut both = [None, None];
                for (folder, side) in both.iter_mut().zip(sides) {
                    match side {
                        Some((Kind::Folder, object)) => *folder = Some(object),
                        Some((Kind::Content, object)) if self.kinds.kind(&object)?.is_none() => {
                            return Ok(Some(("content", object, below)));
                        }
                        _ => {}
                    }
                }
                if let [old, new] = both
                    && (old.is_some() || new.is_some())
                {
                    folders.push((old, new, below));
                }
            }
        }
        Ok(None)
    }
}

/// The entries of a folder, submodules apart, whose commits are in another repository.
fn entries_of(mut bytes: &[u8], hash_bytes: usize) -> Entries {
    let mut entries = Entries::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let (mode, rest) = bytes.split_at(space);
        let Some(nul) = rest.iter().position(|byte| *byte == 0) else { break };
        let Some((name, rest)) = rest.get(1..).and_then(|rest| rest.split_at_checked(nul - 1))
        else {
            break;
        };
        let Some((hash, rest)) = rest.get(1..).and_then(|rest| rest.split_at_checked(hash_bytes))
        else {
            break;
        };
        let kind = match mode {
            b"40000" | b"040000" => Some(Kind::Folder),
            b"160000" => None,
            _ => Some(Kind::Content),
        };
        if let Some(kind) = kind {
            let object = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            entries.insert(name.to_vec(), (kind, object));
        }
        bytes = rest;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_and_what_is_none_ends() {
        let mut bytes = Vec::new();
        for (entry, byte) in [("40000 a", 1), ("100644 b c", 2), ("160000 d", 3)] {
            bytes.extend(entry.as_bytes());
            bytes.push(0);
            bytes.extend([byte; 20]);
        }
        let entries = entries_of(&bytes, 20);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[&b"b c"[..]].1, "02".repeat(20));
        assert!(entries[&b"a"[..]].0 == Kind::Folder);
        for cut in 0..bytes.len() {
            assert!(entries_of(&bytes[..cut], 20).len() <= 2);
        }
        assert!(entries_of(b" \0", 20).is_empty());
    }
}
