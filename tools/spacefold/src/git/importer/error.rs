//! How an import fails.

use std::fmt;

use spacefold::{
    AppendError, ReadError, SnapshotError, content::ContentError, event::MAX_ID_BYTES,
};

use crate::git::GitError;

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
    /// The last imported commit is not in the repository.
    HeadGone {
        head: String,
    },
    /// An import was stopped in the middle of a commit that is not the next of the branch.
    Unfinished {
        commit: String,
        tip: String,
    },
    /// The id of a space that a commit changes is past its limit.
    SpaceIdTooLong {
        commit: String,
        path: String,
        bytes: usize,
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
            Self::HeadGone { head } => {
                write!(f, "commit {head}, the last that was imported, is not in the repository")
            }
            Self::Unfinished { commit, tip } => write!(
                f,
                "an import was stopped in the middle of commit {commit}, which is not what comes \
                 next in the first-parent history of {tip}"
            ),
            Self::SpaceIdTooLong { commit, path, bytes } => write!(
                f,
                "commit {commit}: the space of {path:?} would have an id of {bytes} bytes: the \
                 limit is {MAX_ID_BYTES}"
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
