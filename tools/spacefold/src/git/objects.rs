//! The objects of a repository, as git gives them.

use std::{ffi::OsStr, path::PathBuf, process::Command};

use super::{GitError, locate::GitFolder, view::RepositoryView};

/// Where the objects of a repository are, and a view of it for git.
#[derive(Debug)]
pub(super) struct Objects {
    folder: GitFolder,
    view: RepositoryView,
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

impl Objects {
    pub(super) fn of(folder: GitFolder) -> Result<Self, GitError> {
        let view = RepositoryView::of(&folder)?;
        Ok(Self { folder, view })
    }

    /// A git command on it, which knows nothing of its configuration.
    pub(super) fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.view.git(arguments)
    }

    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.folder.object_folders()
    }

    /// Why objects may be missing.
    pub(super) fn lack(&self) -> Lack {
        if self.folder.has_promised_packs() {
            return Lack::Partial;
        }
        let gone = self.folders().into_iter().find(|folder| !folder.is_dir());
        gone.map_or(Lack::Unknown, |folder| Lack::Borrowed { folder })
    }
}
