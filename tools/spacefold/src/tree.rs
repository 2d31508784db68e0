//! Files below a folder, and nowhere else: every step goes from an open folder to one in it, and
//! never through a link.

mod dot_git;

use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, mkdirat, openat, symlinkat, unlinkat},
    io::Errno,
};

use self::dot_git::{TakenFor, taken_for_git, taken_for_gitmodules};

/// Bytes of one name in a path.
const MAX_NAME_BYTES: usize = 255;

/// A path inside of a space, of one or more names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TreePath(Vec<Vec<u8>>);

/// What a document becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Plain,
    Program,
    Link,
    EmptyFolder,
}

/// Why a path is none that a file is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefusedPath {
    EmptyName,
    Dots,
    Nul,
    NameTooLong {
        bytes: usize,
    },
    Git {
        name: String,
        taken: TakenFor,
    },
    GitmodulesLink {
        name: String,
        taken: TakenFor,
    },
    /// What is kept of its bytes does not read.
    Unreadable,
}

impl fmt::Display for RefusedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str("a name in the path is empty"),
            Self::Dots => f.write_str("the path has . or .. in it"),
            Self::Nul => f.write_str("the path has a NUL in it"),
            Self::NameTooLong { bytes } => {
                write!(f, "a name in the path has {bytes} bytes: the limit is {MAX_NAME_BYTES}")
            }
            Self::Git { taken: TakenFor::Itself, .. } => f.write_str("the path is in .git"),
            Self::Git { name, taken } => {
                write!(f, "the name {name:?} in the path is taken for .git: {taken}")
            }
            Self::GitmodulesLink { taken: TakenFor::Itself, .. } => {
                f.write_str("it is a link in the place of .gitmodules, which git reads through it")
            }
            Self::GitmodulesLink { name, taken } => {
                write!(f, "the link {name:?} is taken for .gitmodules: {taken}")
            }
            Self::Unreadable => f.write_str("the bytes of its path do not read"),
        }
    }
}

/// Why a file was not written.
#[derive(Debug)]
pub(crate) struct TreeError {
    pub(crate) path: Option<TreePath>,
    pub(crate) error: io::Error,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP | Errno::NOTDIR) => {
                f.write_str("a folder of its path is a file or a link")
            }
            _ => self.error.fmt(f),
        }
    }
}

impl From<Errno> for TreeError {
    fn from(error: Errno) -> Self {
        Self { path: None, error: error.into() }
    }
}

impl TreePath {
    /// The path, or why it is none that stays inside of a folder and is harmless there. A slash in
    /// front of it means the space, not the root of the file system.
    pub(crate) fn new(path: &[u8], kind: FileKind) -> Result<Self, RefusedPath> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let names: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        for name in &names {
            match name.as_slice() {
                b"" => return Err(RefusedPath::EmptyName),
                b"." | b".." => return Err(RefusedPath::Dots),
                name if name.contains(&0) => return Err(RefusedPath::Nul),
                name if name.len() > MAX_NAME_BYTES => {
                    return Err(RefusedPath::NameTooLong { bytes: name.len() });
                }
                _ => {}
            }
            let text = || String::from_utf8_lossy(name).into_owned();
            if let Some(taken) = taken_for_git(name) {
                return Err(RefusedPath::Git { name: text(), taken });
            }
            if kind == FileKind::Link
                && let Some(taken) = taken_for_gitmodules(name)
            {
                return Err(RefusedPath::GitmodulesLink { name: text(), taken });
            }
        }
        Ok(Self(names))
    }

    /// The paths of the folders that it is in, the outermost first.
    pub(crate) fn folders(&self) -> impl Iterator<Item = Self> {
        (1..self.0.len()).map(|names| Self(self.0.iter().take(names).cloned().collect()))
    }

    /// The path in the file system, below a folder.
    pub(crate) fn below(&self, folder: &Path) -> PathBuf {
        self.0.iter().fold(folder.to_owned(), |path, name| path.join(OsStr::from_bytes(name)))
    }

    fn split(&self) -> (&[Vec<u8>], &[u8]) {
        match self.0.split_last() {
            Some((name, folders)) => (folders, name),
            None => (&[], b""),
        }
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0.join(&b'/')))
    }
}

/// A folder that files are written below.
pub(crate) struct OutputTree {
    root: OwnedFd,
}

impl OutputTree {
    pub(crate) fn open(folder: &Path) -> Result<Self, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: openat(rustix::fs::CWD, folder, flags, Mode::empty())? })
    }

    /// A new, empty file in the place of what is there.
    pub(crate) fn make_file(&self, path: &TreePath, kind: FileKind) -> Result<File, TreeError> {
        let (folders, name) = path.split();
        let folder = self.folder(folders)?;
        remove(&folder, name)?;
        let mode = if kind == FileKind::Program { 0o777 } else { 0o666 };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&folder, name, flags, Mode::from_raw_mode(mode))?))
    }

    /// A link in the place of what is there.
    pub(crate) fn make_link(&self, path: &TreePath, target: &[u8]) -> Result<(), TreeError> {
        let (folders, name) = path.split();
        let folder = self.folder(folders)?;
        remove(&folder, name)?;
        Ok(symlinkat(target, &folder, name)?)
    }

    /// Takes back a file that could not be written whole.
    pub(crate) fn remove_file(&self, path: &TreePath) -> Result<(), TreeError> {
        let (folders, name) = path.split();
        remove(&self.folder(folders)?, name)
    }

    /// The folder at a path, whether it was there or not.
    pub(crate) fn make_folder(&self, path: &TreePath) -> Result<(), TreeError> {
        self.folder(&path.0).map(drop)
    }

    /// Opens a folder, and makes what of it is not there.
    fn folder(&self, names: &[Vec<u8>]) -> Result<OwnedFd, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = self.root.try_clone().map_err(|error| TreeError { path: None, error })?;
        for name in names {
            let name = name.as_slice();
            folder = match openat(&folder, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&folder, name, Mode::from_raw_mode(0o777))?;
                    openat(&folder, name, flags, Mode::empty())?
                }
                other => other?,
            };
        }
        Ok(folder)
    }
}

/// Removes a file or a link; a folder stays, and is in the way.
fn remove(folder: &OwnedFd, name: &[u8]) -> Result<(), TreeError> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        for path in
            ["..", "a/../b", "./a", "a//b", "", "/", "//a", "a/", ".git/config", "a/.GIT/x", "a\0b"]
        {
            assert!(TreePath::new(path.as_bytes(), FileKind::Plain).is_err(), "{path:?}");
        }
        let too_long = TreePath::new(&[b'x'; 256], FileKind::Plain);
        assert_eq!(too_long, Err(RefusedPath::NameTooLong { bytes: 256 }));
        let path = TreePath::new(b"/a/..b/c.md", FileKind::Plain).unwrap();
        assert_eq!(path.to_string(), "a/..b/c.md");
        assert_eq!(path, TreePath::new(b"a/..b/c.md", FileKind::Plain).unwrap());
        let folders: Vec<String> = path.folders().map(|folder| folder.to_string()).collect();
        assert_eq!(folders, ["a", "a/..b"]);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("kept"), inside.join("file")).unwrap();
        let tree = OutputTree::open(&inside).unwrap();
        let through = TreePath::new(b"link/new", FileKind::Plain).unwrap();
        for refused in [
            tree.make_file(&through, FileKind::Plain).map(drop),
            tree.make_link(&through, b"x"),
            tree.make_folder(&through),
        ] {
            assert_eq!(
                refused.unwrap_err().to_string(),
                "a folder of its path is a file or a link"
            );
        }
        // A link where a file goes is replaced, not followed.
        let file = TreePath::new(b"file", FileKind::Plain).unwrap();
        drop(tree.make_file(&file, FileKind::Plain).unwrap());
        assert_eq!(std::fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        assert!(!std::fs::symlink_metadata(inside.join("file")).unwrap().is_symlink());
    }
}
