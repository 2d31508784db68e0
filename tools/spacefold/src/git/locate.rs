//! Where a repository keeps what it has.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::GitError;

use spacefold_event_core::bytes::to_u64;

/// Bytes of a file that only names a folder or a branch.
const MAX_POINTER_BYTES: u64 = 64 << 10;
/// Object stores that borrow from one another, as deep as git follows them.
const MAX_ALTERNATES_DEPTH: usize = 5;

/// The folders of a repository.
#[derive(Clone, Debug)]
pub(super) struct GitFolder {
    /// Where `HEAD` is: in a linked worktree that is a folder of its own.
    pub(super) own: PathBuf,
    /// Where branches and objects are.
    pub(super) common: PathBuf,
}

impl GitFolder {
    /// The repository that `path` is, or is in.
    pub(super) fn find(path: &Path) -> Result<Self, GitError> {
        let start = match fs::canonicalize(path) {
            Ok(start) => start,
            Err(_) if is_url(path) => {
                return Err(GitError::Url { url: path.display().to_string() });
            }
            Err(error) => return Err(GitError::Io { path: path.to_owned(), error }),
        };
        for folder in start.ancestors() {
            let dot_git = folder.join(".git");
            let candidate = if dot_git.is_file() { pointed_to(&dot_git)? } else { dot_git };
            for folder in [candidate.as_path(), folder] {
                if let Some(found) = Self::at(folder)? {
                    return Ok(found);
                }
            }
        }
        Err(GitError::NoRepository { path: path.to_owned() })
    }

    /// The repository whose own folder this is.
    fn at(folder: &Path) -> Result<Option<Self>, GitError> {
        if !folder.join("HEAD").is_file() {
            return Ok(None);
        }
        let pointer = folder.join("commondir");
        let common = if pointer.is_file() {
            folder.join(pointer_text(&pointer)?)
        } else {
            folder.to_owned()
        };
        if !common.join("objects").is_dir() || !common.join("refs").is_dir() {
            return Ok(None);
        }
        let resolved = |path: &Path| {
            fs::canonicalize(path).map_err(|error| GitError::Io { path: path.to_owned(), error })
        };
        Ok(Some(Self { own: resolved(folder)?, common: resolved(&common)? }))
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.common.join("objects")
    }

    /// Whether a part of the history was left out when it was cloned.
    pub(super) fn is_shallow(&self) -> bool {
        fs::metadata(self.common.join("shallow")).is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Whether objects were left out when it was cloned: packs that come from a promise say so.
    pub(super) fn has_promised_packs(&self) -> bool {
        let packs = fs::read_dir(self.objects().join("pack"));
        packs.into_iter().flatten().flatten().any(|file| {
            Path::new(&file.file_name()).extension().is_some_and(|ending| ending == "promisor")
        })
    }

    /// Every folder with objects of the repository: its own first, then those that it borrows
    /// from. They need not be there.
    pub(super) fn object_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.objects()];
        let mut new = 0..1;
        for _ in 0..MAX_ALTERNATES_DEPTH {
            let borrowed: Vec<PathBuf> = folders
                .get(new.clone())
                .unwrap_or_default()
                .iter()
                .flat_map(|objects| alternates(objects))
                .collect();
            for folder in borrowed {
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
            new = new.end..folders.len();
        }
        folders
    }
}

/// The folders that a folder of objects borrows from.
fn alternates(objects: &Path) -> Vec<PathBuf> {
    let Ok(text) = read_pointer(&objects.join("info/alternates")) else { return Vec::new() };
    let lines = text.split(|byte| *byte == b'\n');
    // A name in quotes is left to git: it is one with a line break.
    let named = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    named
        .filter(|line| !line.starts_with(b"\""))
        .map(|line| objects.join(path_of(line)))
        .map(|folder| fs::canonicalize(&folder).unwrap_or(folder))
        .collect()
}

/// What `gitdir: …` in the place of a `.git` folder names.
fn pointed_to(file: &Path) -> Result<PathBuf, GitError> {
    let text = read_pointer(file).map_err(|error| GitError::Io { path: file.to_owned(), error })?;
    let named = text.strip_prefix(b"gitdir:").map(<[u8]>::trim_ascii);
    let named = named.ok_or_else(|| GitError::NoRepository { path: file.to_owned() })?;
    Ok(file.parent().unwrap_or(file).join(path_of(named)))
}

fn pointer_text(file: &Path) -> Result<PathBuf, GitError> {
    let text = read_pointer(file).map_err(|error| GitError::Io { path: file.to_owned(), error })?;
    Ok(path_of(text.trim_ascii_end()))
}

/// The bytes of a small file.
pub(super) fn read_pointer(file: &Path) -> io::Result<Vec<u8>> {
    // What is no file, such as a pipe, might never end.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
    }
    let mut text = Vec::new();
    File::open(file)?.take(MAX_POINTER_BYTES + 1).read_to_end(&mut text)?;
    if to_u64(text.len()) > MAX_POINTER_BYTES {
        let what = format!("it has more than {MAX_POINTER_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(text)
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Whether git would take it for the address of a repository elsewhere: `https://…`, `host:path`,
/// `ext::…`.
fn is_url(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let before_slash = text.split('/').next().unwrap_or_default();
    before_slash.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_folders() {
        for url in [
            "https://example.org/book.git",
            "ssh://git@example.org/book",
            "git@example.org:book.git",
            "file:///srv/book.git",
            "ext::sh -c true",
        ] {
            assert!(is_url(Path::new(url)), "{url}");
        }
        for path in ["/srv/book.git", "book", "./a:b", "a/b:c", ""] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn borrowed_objects_are_found_and_a_circle_ends() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for (name, borrows) in
            [("a", "# comment\n../../b/objects\n"), ("b", "../../a/objects\n/no/such\n")]
        {
            let objects = root.join(name).join("objects");
            fs::create_dir_all(objects.join("info")).unwrap();
            fs::create_dir_all(root.join(name).join("refs")).unwrap();
            fs::write(root.join(name).join("HEAD"), "ref: refs/heads/main\n").unwrap();
            fs::write(objects.join("info/alternates"), borrows).unwrap();
        }
        let found = GitFolder::find(&root.join("a")).unwrap().object_folders();
        assert_eq!(
            found,
            [root.join("a/objects"), root.join("b/objects"), PathBuf::from("/no/such")]
        );
    }
}
