//! Reading git repositories, through the git program: whatever it can read, we can, whichever
//! storage and hash a repository has, and it is there wherever repositories are. Of their
//! configuration nothing counts (`view.rs`).

mod blobs;
mod history;
mod importer;
mod locate;
mod loose;
mod missing;
mod objects;
mod path;
mod process;
mod repository;
mod view;

use std::{fmt, io, path::PathBuf};

pub(crate) use self::{
    importer::{ImportGitError, Rewound, SpacePer, WhenRewritten, import},
    missing::MissingObject,
    objects::Lack,
    path::{ATTRIBUTE_PATH_HEX, bytes_of as path_bytes},
    repository::Repository,
};

/// The attribute that keeps the mode of a document which is no plain file.
pub(crate) const ATTRIBUTE_MODE: &str = "mode";
/// The attribute that keeps the commit that a submodule is at.
pub(crate) const ATTRIBUTE_COMMIT: &str = "commit";

/// Why git gave nothing.
#[derive(Debug)]
pub(crate) enum GitError {
    /// There is no git program, or it does not start.
    NoGit(io::Error),
    /// A file or a folder cannot be read or written.
    Io { path: PathBuf, error: io::Error },
    /// There is no repository.
    NoRepository { path: PathBuf },
    /// It is the address of a repository, not its folder.
    Url { url: String },
    /// The repository is of a kind that is not known.
    UnknownFormat { setting: String },
    /// The repository has only a part of its history.
    Shallow,
    /// There is no commit in it yet.
    Empty,
    /// What is checked out has no commit yet.
    Unborn,
    /// There is no such branch, tag or commit.
    NoSuchBranch { branch: String },
    /// What was named is no commit.
    NoCommit { branch: String, kind: String },
    /// The repository does not have what its history needs.
    Missing(Box<MissingObject>),
    /// It has it, but it cannot be read.
    Unreadable { commit: String, path: String, said: String },
    /// Git failed.
    Failed { doing: String, said: String },
    /// It does not answer as it should.
    Unexpected(String),
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGit(error) => write!(f, "the git program does not start: {error}"),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NoRepository { path } => {
                write!(f, "{} is no git repository, nor in one", path.display())
            }
            Self::Url { url } => {
                write!(f, "{url:?} is the address of a repository: nothing is fetched")
            }
            Self::UnknownFormat { setting } => {
                write!(f, "the repository has a format that is not known: {setting}")
            }
            Self::Shallow => {
                f.write_str("the repository is shallow: a part of its history is not there")
            }
            Self::Empty => f.write_str("the repository is empty: it has no commit yet"),
            Self::Unborn => f.write_str("the branch that is checked out has no commit yet"),
            Self::NoSuchBranch { branch } => {
                write!(f, "the repository has no branch, tag or commit {branch:?}")
            }
            Self::NoCommit { branch, kind } => write!(f, "{branch:?} is no commit: it is a {kind}"),
            Self::Missing(missing) => missing.fmt(f),
            Self::Unreadable { commit, path, said } => {
                write!(f, "commit {commit}: what it has at {path:?} cannot be read: {said}")
            }
            Self::Failed { doing, said } => write!(f, "git failed {doing}: {said}"),
            Self::Unexpected(what) => write!(f, "git answered what is not understood: {what}"),
        }
    }
}
