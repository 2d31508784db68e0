//! What a repository does not have, though its history needs it.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufWriter, Read, Write},
    process::ChildStdin,
};

use super::{
    GitError,
    blobs::{self, Answers},
    objects::{Lack, Objects},
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
pub(super) fn content(objects: &Objects, commit: &str, object: String, path: Vec<u8>) -> GitError {
    let needed_by = format!("commit {commit}");
    let lack = objects.lack();
    let missing = MissingObject { needed_by, kind: "content", object, path, lack };
    GitError::Missing(Box::new(missing))
}

/// The error about the tip of a branch that is not there.
pub(super) fn tip(objects: &Objects, branch: &str, object: String) -> GitError {
    let needed_by = format!("branch {branch:?}");
    let lack = objects.lack();
    let path = Vec::new();
    GitError::Missing(Box::new(MissingObject { needed_by, kind: "commit", object, path, lack }))
}

/// What kind of object it is; nothing when the repository does not have it.
pub(super) fn kind_of(objects: &Objects, object: &str) -> Result<Option<String>, GitError> {
    Asking::start(objects, "--batch-check")?.kind(object)
}

/// What the history after the commit `after` up to `tip` lacks, or has and cannot be read, when reading it has
/// failed: the first such thing from there on.
pub(super) fn in_history(
    objects: &Objects,
    tip: &str,
    after: Option<&str>,
) -> Result<Option<GitError>, GitError> {
    let mut looking = Looking {
        contents: Asking::start(objects, "--batch")?,
        kinds: Asking::start(objects, "--batch-check")?,
    };
    let mut commits = Vec::new();
    let (mut child, mut next) = (tip.to_owned(), Some(tip.to_owned()));
    while let Some(commit) = next.filter(|commit| Some(commit.as_str()) != after) {
        let Some(read) = looking.commit(&commit)? else {
            let found = CommitFault::Missing { kind: "commit", object: commit, path: Vec::new() };
            return Ok(Some(found.into_error(objects, &child)));
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
        if let Some(found) = looking.differences(before.take(), &tree) {
            return Ok(Some(found.into_error(objects, &commit)));
        }
        before = Some(tree);
    }
    Ok(None)
}

/// What is wrong in a commit, and where.
enum CommitFault {
    Missing { kind: &'static str, object: String, path: Vec<u8> },
    Unreadable { path: Vec<u8>, said: String },
}

impl CommitFault {
    fn into_error(self, objects: &Objects, commit: &str) -> GitError {
        match self {
            Self::Missing { kind, object, path } => {
                let needed_by = format!("commit {commit}");
                let lack = objects.lack();
                GitError::Missing(Box::new(MissingObject { needed_by, kind, object, path, lack }))
            }
            Self::Unreadable { path, said } => {
                GitError::Unreadable { commit: commit.to_owned(), path: path::text_of(&path), said }
            }
        }
    }
}

/// A `git cat-file` that is asked for one object at a time.
struct Asking {
    requests: BufWriter<ChildStdin>,
    answers: Answers,
}

impl Asking {
    fn start(objects: &Objects, option: &str) -> Result<Self, GitError> {
        let (requests, answers) = blobs::start(objects, option)?;
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

/// Two folders that differ, of which one may be nothing, and their path.
type Differing = (Option<String>, Option<String>, Vec<u8>);

struct Looking {
    contents: Asking,
    kinds: Asking,
}

/// What of a commit counts here.
struct CommitTree {
    tree: String,
    first_parent: Option<String>,
}

/// What is in a folder: whether it is a folder or content, and its name among the objects.
type TreeEntries = BTreeMap<Vec<u8>, (TreeEntryKind, String)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum TreeEntryKind {
    Folder,
    Content,
}

impl Looking {
    fn commit(&mut self, commit: &str) -> Result<Option<CommitTree>, GitError> {
        let Some(bytes) = self.contents.get(commit, "commit")? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let tree = lines.next().and_then(|line| line.strip_prefix("tree "));
        let tree = tree.ok_or_else(|| GitError::Unexpected(format!("{commit} has no tree")))?;
        let first_parent = lines.next().and_then(|line| line.strip_prefix("parent "));
        Ok(Some(CommitTree {
            tree: tree.to_owned(),
            first_parent: first_parent.map(str::to_owned),
        }))
    }

    /// The first object in which two folders differ that is not there, or does not read.
    fn differences(&mut self, old: Option<String>, new: &str) -> Option<CommitFault> {
        let mut folders = vec![(old, Some(new.to_owned()), Vec::new())];
        while let Some((old, new, path)) = folders.pop() {
            match self.folder(old, new, &path) {
                Ok(below) => folders.extend(below),
                Err(found) => return Some(found),
            }
        }
        None
    }

    /// Looks at what is in two folders, and answers those in them that differ.
    fn folder(
        &mut self,
        old: Option<String>,
        new: Option<String>,
        path: &[u8],
    ) -> Result<Vec<Differing>, CommitFault> {
        let mut entries: BTreeMap<Vec<u8>, [Option<(TreeEntryKind, String)>; 2]> = BTreeMap::new();
        for (side, folder) in [old, new].into_iter().enumerate() {
            let Some(object) = folder else { continue };
            let unreadable = |error: GitError| CommitFault::Unreadable {
                path: path.to_vec(),
                said: error.to_string(),
            };
            let Some(bytes) = self.contents.get(&object, "tree").map_err(unreadable)? else {
                return Err(CommitFault::Missing { kind: "folder", object, path: path.to_vec() });
            };
            for (name, entry) in entries_of(&bytes, object.len() / 2) {
                if let Some(place) = entries.entry(name).or_default().get_mut(side) {
                    *place = Some(entry);
                }
            }
        }
        let mut differing = Vec::new();
        for (name, [old, new]) in entries {
            if old == new {
                continue;
            }
            let mut below = path.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend(name);
            let mut folder_of = |entry: Option<(TreeEntryKind, String)>| match entry {
                Some((TreeEntryKind::Folder, object)) => Ok(Some(object)),
                Some((TreeEntryKind::Content, object)) => match self.kinds.kind(&object) {
                    Ok(Some(_)) => Ok(None),
                    Ok(None) => {
                        Err(CommitFault::Missing { kind: "content", object, path: below.clone() })
                    }
                    Err(error) => Err(CommitFault::Unreadable {
                        path: below.clone(),
                        said: error.to_string(),
                    }),
                },
                None => Ok(None),
            };
            let (old, new) = (folder_of(old)?, folder_of(new)?);
            if old.is_some() || new.is_some() {
                differing.push((old, new, below));
            }
        }
        Ok(differing)
    }
}

/// The entries of a folder, submodules apart, whose commits are in another repository.
fn entries_of(mut bytes: &[u8], hash_bytes: usize) -> TreeEntries {
    let mut entries = TreeEntries::new();
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
            b"40000" | b"040000" => Some(TreeEntryKind::Folder),
            b"160000" => None,
            _ => Some(TreeEntryKind::Content),
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
        assert!(entries[&b"a"[..]].0 == TreeEntryKind::Folder);
        for cut in 0..bytes.len() {
            assert!(entries_of(&bytes[..cut], 20).len() <= 2);
        }
        assert!(entries_of(b" \0", 20).is_empty());
    }
}
