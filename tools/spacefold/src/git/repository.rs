//! A repository, and the branch of it that is read.

use std::path::{Path, PathBuf};

use super::{
    GitError,
    process::{answer, git},
};

/// A repository, and the commit that is read up to.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
    /// The newest commit of the branch.
    pub(crate) tip: String,
    /// What its folder is called.
    pub(crate) name: String,
}

impl Repository {
    /// The repository at `path` with the branch, tag or commit `branch`, or what is checked out.
    pub(crate) fn open(path: &Path, branch: Option<&str>) -> Result<Self, GitError> {
        let ask = |arguments: &[&str], doing: &str| answer(git(path).args(arguments), doing);
        let shallow = ask(&["rev-parse", "--is-shallow-repository"], "opening the repository")?;
        if shallow == "true" {
            return Err(GitError::Shallow);
        }
        let revision = format!("{}^{{commit}}", branch.unwrap_or("HEAD"));
        let resolve = ["rev-parse", "--verify", "--end-of-options", &revision];
        let tip = ask(&resolve, "finding the branch")?;
        let is_hash =
            matches!(tip.len(), 40 | 64) && tip.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(GitError::Unexpected(format!("{tip:?} is no commit")));
        }
        let folder = ask(
            &["rev-parse", "--path-format=absolute", "--git-common-dir"],
            "finding its folder",
        )?;
        Ok(Self { path: path.to_owned(), tip, name: name_of(Path::new(&folder)) })
    }
}

/// What a repository is called: `book` for `/home/me/book/.git` and `/srv/book.git`.
fn name_of(git_folder: &Path) -> String {
    let named = match git_folder.file_name().and_then(|name| name.to_str()) {
        Some(".git") => {
            git_folder.parent().and_then(Path::file_name).and_then(|name| name.to_str())
        }
        name => name,
    };
    let name = named.map_or("", |name| name.strip_suffix(".git").unwrap_or(name));
    if name.is_empty() { "repository".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_called_as_its_folder() {
        let names =
            ["/home/me/book/.git", "/srv/book.git", "/.git"].map(|path| name_of(Path::new(path)));
        assert_eq!(names, ["book", "book", "repository"]);
    }
}
