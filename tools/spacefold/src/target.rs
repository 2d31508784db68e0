//! Where a command is told to write: never over what is there, unless that is wanted, never through a
//! link, and never into a store.

use std::{
    fs::{self, File, FileType},
    io::{self, BufWriter, Write},
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use spacefold::admin::is_store;
use tempfile::NamedTempFile;

use crate::error::{Failure, Status};

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

impl Existing {
    /// As `--force` says.
    pub(crate) const fn forced(force: bool) -> Self {
        if force { Self::Replace } else { Self::Keep }
    }
}

/// A file that is written beside its place, and put there once it is whole.
pub(crate) struct TargetFile {
    path: PathBuf,
    existing: Existing,
    out: Sink,
}

enum Sink {
    Beside(BufWriter<NamedTempFile>),
    /// A pipe or a terminal is written to as it is.
    Stream(BufWriter<File>),
}

impl TargetFile {
    /// Begins a file; its place is looked at before anything is written. `data` is where a store is,
    /// or will be.
    pub(crate) fn create(path: &Path, existing: Existing, data: &Path) -> Result<Self, Failure> {
        let out = match fs::symlink_metadata(path) {
            Ok(found) if is_stream(found.file_type()) => {
                let stream = File::options().write(true).open(path);
                Sink::Stream(BufWriter::new(stream.map_err(|error| unwritable(path, &error))?))
            }
            Ok(found) => {
                check_replaceable(path, found.file_type(), existing)?;
                Sink::Beside(beside(path, data)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Sink::Beside(beside(path, data)?)
            }
            Err(error) => return Err(unwritable(path, &error)),
        };
        Ok(Self { path: path.to_owned(), existing, out })
    }

    /// Puts the file in its place.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { path, existing, out } = self;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&path),
            _ => unwritable(&path, &error),
        };
        match out {
            Sink::Stream(mut stream) => stream.flush().map_err(failed),
            Sink::Beside(file) => {
                let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
                let put = match existing {
                    Existing::Keep => file.persist_noclobber(&path),
                    Existing::Replace => file.persist(&path),
                };
                put.map(drop).map_err(|error| failed(error.error))
            }
        }
    }
}

impl Write for TargetFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Sink::Beside(file) => file.write(bytes),
            Sink::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Sink::Beside(file) => file.flush(),
            Sink::Stream(stream) => stream.flush(),
        }
    }
}

/// Fails for a folder that files are to be written to, where it is a store or in one.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Failure> {
    match store_around(folder, None) {
        Some(store) => Err(in_a_store(folder, &store)),
        None => Ok(()),
    }
}

/// Fails for a folder that is a store itself.
pub(crate) fn check_no_store(folder: &Path) -> Result<(), Failure> {
    if is_store(folder) { Err(in_a_store(folder, folder)) } else { Ok(()) }
}

/// Fails where a new store would be put into another one.
pub(crate) fn check_store(data: &Path) -> Result<(), Failure> {
    if is_store(data) { Ok(()) } else { check_folder(data) }
}

/// What is written to as it is: nothing of it is kept.
fn is_stream(found: FileType) -> bool {
    found.is_char_device() || found.is_fifo() || found.is_socket()
}

fn check_replaceable(path: &Path, found: FileType, existing: Existing) -> Result<(), Failure> {
    let no_file = |what| {
        Err(Failure::new(Status::Failed, what, path.display(), "name the path of a plain file"))
    };
    if found.is_symlink() {
        no_file("nothing is written through a link")
    } else if found.is_dir() {
        no_file("it is a folder")
    } else if !found.is_file() {
        no_file("it is no plain file")
    } else if existing == Existing::Keep {
        Err(is_there(path))
    } else {
        Ok(())
    }
}

/// A file beside the one at `path`, which goes with this process when it is not put there.
fn beside(path: &Path, data: &Path) -> Result<BufWriter<NamedTempFile>, Failure> {
    let folder = folder_of(path);
    if let Some(store) = store_around(folder, Some(data)) {
        return Err(in_a_store(path, &store));
    }
    let made = tempfile::Builder::new()
        .prefix(".spacefold-")
        .suffix(".part")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder);
    made.map(BufWriter::new).map_err(|error| unwritable(path, &error))
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The store that a folder is or lies in, whichever way the path leads there; of a folder that is not
/// there yet, that its first one lies in that is. What is at `data` counts as one.
fn store_around(folder: &Path, data: Option<&Path>) -> Option<PathBuf> {
    let data = data.and_then(|data| data.canonicalize().ok());
    let there = folder.ancestors().find_map(|above| {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        above.canonicalize().ok()
    })?;
    let mut above = there.ancestors();
    above.find(|above| is_store(above) || data.as_deref() == Some(*above)).map(Path::to_owned)
}

fn in_a_store(path: &Path, store: &Path) -> Failure {
    Failure::new(
        Status::Failed,
        format_args!("nothing but a store's own files goes into its folder {}", store.display()),
        path.display(),
        "name a place outside of it",
    )
}

fn is_there(path: &Path) -> Failure {
    Failure::new(
        Status::Failed,
        "the file is there already",
        path.display(),
        "name another file, or say --force to replace it",
    )
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Status::Failed,
        format_args!("the file cannot be written: {error}"),
        path.display(),
        "name a file that can be written",
    )
}
