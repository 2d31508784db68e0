//! Reading git repositories, through the git program: whatever it can read, we can, whichever
//! storage, hash and configuration a repository has, and it is there wherever repositories are.

mod blobs;
mod history;
mod importer;
mod path;
mod process;
mod repository;

pub(crate) use self::{
    importer::{ImportGitError, Imported, SpacePer, import},
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
    NoGit(std::io::Error),
    /// It failed.
    Failed { doing: String, said: String },
    /// It does not answer as it should.
    Unexpected(String),
    /// The repository has only a part of its history.
    Shallow,
}

impl std::fmt::Display for GitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoGit(error) => write!(f, "the git program does not start: {error}"),
            Self::Failed { doing, said } => write!(f, "git failed {doing}: {said}"),
            Self::Unexpected(what) => write!(f, "git answered what is not understood: {what}"),
            Self::Shallow => {
                f.write_str("the repository is shallow: a part of its history is not there")
            }
        }
    }
}
