//! A repository, and the branch of it that is read.

use std::path::Path;

use super::{
    GitError,
    locate::GitFolder,
    missing,
    objects::Objects,
    process::{answer, answer_of},
};

/// A repository, and the commit that is read up to.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(super) objects: Objects,
    /// The newest commit of the branch.
    pub(crate) tip: String,
    /// What its folder is called.
    pub(crate) name: String,
}

impl Repository {
    /// The repository at `path` with the branch, tag or commit `branch`, or what is checked out.
    pub(crate) fn open(path: &Path, branch: Option<&str>) -> Result<Self, GitError> {
        let folder = GitFolder::find(path)?;
        if folder.is_shallow() {
            return Err(GitError::Shallow);
        }
        let name = name_of(&folder.common);
        let objects = Objects::of(folder)?;
        let tip = commit_of(&objects, branch)?;
        Ok(Self { objects, tip, name })
    }

    /// Whether it has the commit.
    pub(super) fn has_commit(&self, commit: &str) -> Result<bool, GitError> {
        Ok(missing::kind_of(&self.objects, commit)?.as_deref() == Some("commit"))
    }
}

/// The commit that a branch, a tag or what is checked out is at.
fn commit_of(objects: &Objects, branch: Option<&str>) -> Result<String, GitError> {
    let name = branch.unwrap_or("HEAD");
    // What does not resolve is told with an exit code of its own.
    let resolve = |revision: &str| {
        let arguments = ["rev-parse", "--quiet", "--verify", "--end-of-options", revision];
        answer_of(&mut objects.git(arguments), "finding the branch", Some(1))
    };
    let Some(object) = resolve(name)?.filter(|found| !found.is_empty()) else {
        let count = ["for-each-ref", "--count=1", "--format=%(objectname)"];
        let any = answer(&mut objects.git(count), "listing the branches")?;
        return Err(match branch {
            _ if any.is_empty() => GitError::Empty,
            Some(branch) => GitError::NoSuchBranch { branch: branch.to_owned() },
            None => GitError::Unborn,
        });
    };
    match missing::kind_of(objects, &object)?.as_deref() {
        None => return Err(missing::tip(objects, name, object)),
        Some("commit" | "tag") => {}
        Some(kind) => {
            return Err(GitError::NoCommit { branch: name.to_owned(), kind: kind.to_owned() });
        }
    }
    let tip = resolve(&format!("{object}^{{commit}}"))?.unwrap_or_default();
    let is_hash = matches!(tip.len(), 40 | 64) && tip.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash {
        Ok(tip)
    } else {
        let kind = "tag of something else".to_owned();
        Err(GitError::NoCommit { branch: name.to_owned(), kind })
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
