//! Looking through a folder for whatever there is of a log.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use spacefold_event_core::{Schemas, StorageError, StorageErrorKind};

use super::{
    blocks, frames,
    pieces::{FoundPieces, Trust},
    sled_blocks::SledFolder,
    window::SalvageWindow,
};
use crate::{
    folder::{HEAD, JOURNAL, SEALED},
    head::{self, HEAD_FILE_BYTES, Head},
    remake::RemakeError,
};

/// How deep below the folder it is looked.
const DEPTH: usize = 3;
/// Folders in which there is nothing of a log.
const NO_LOG: [&str; 3] = ["content", "derived", "subscriptions"];
const JOURNAL_ENDING: &str = "journal";
const SEGMENT_ENDING: &str = "sealed";

/// What a folder has of logs, and the folders of sled's, which were not opened.
#[derive(Debug, Default)]
pub(super) struct LogSurvey {
    pub(super) found: FoundPieces,
    pub(super) sled: Vec<SledFolder>,
    /// What HEAD says, in each of its slots that is whole.
    pub(super) heads: Vec<Head>,
}

/// Looks through a folder; nothing is changed in it.
pub(super) fn survey(root: &Path, schemas: &'static Schemas) -> Result<LogSurvey, RemakeError> {
    let mut survey = LogSurvey::default();
    let no_folder = |cause| RemakeError::NoFolder { path: root.to_owned(), cause };
    survey.heads = heads(&root.join(HEAD), &mut survey.found)?;
    let mut files = Vec::new();
    look(root, root, DEPTH, &mut files, &mut survey.sled).map_err(no_folder)?;
    files.sort();
    for path in files {
        survey.file(root, &path, schemas)?;
    }
    survey.sled.sort_by(|a, b| (a.trust, &a.path).cmp(&(b.trust, &b.path)));
    Ok(survey)
}

/// The slots of HEAD that are whole.
fn heads(path: &Path, found: &mut FoundPieces) -> Result<Vec<Head>, StorageError> {
    let heads = match fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {
            let mut window = SalvageWindow::open(path)?;
            let bytes = window.as_mut().map(|window| window.at(0, HEAD_FILE_BYTES)).transpose()?;
            head::intact_slots(bytes.unwrap_or_default())
        }
        _ => Vec::new(),
    };
    if heads.is_empty() {
        found.files.push(path.to_owned());
        found.damaged(found.files.len() - 1, None, "no slot of it is whole, or it is missing");
    }
    Ok(heads)
}

/// Finds the files below a folder that may have something of a log, and the folders of sled's. A folder
/// inside that cannot be listed has none.
fn look(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    sled: &mut Vec<SledFolder>,
) -> io::Result<()> {
    if is_sleds(folder) {
        let is_in_place = folder == root || folder == root.join("sled");
        let trust = if is_in_place { Trust::Copy } else { Trust::Aside };
        sled.push(SledFolder { path: folder.to_owned(), trust });
        if folder != root {
            return Ok(());
        }
    }
    for entry in fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir()
            && depth > 0
            && !NO_LOG.iter().any(|name| entry.file_name() == *name)
            && let Err(error) = look(root, &path, depth - 1, files, sled)
        {
            tracing::warn!(folder = %path.display(), %error, "a folder cannot be looked into");
        }
    }
    Ok(())
}

fn is_sleds(folder: &Path) -> bool {
    ["db", "conf"]
        .iter()
        .all(|name| fs::symlink_metadata(folder.join(name)).is_ok_and(|found| found.is_file()))
}

impl LogSurvey {
    /// Looks into a file.
    fn file(
        &mut self,
        root: &Path,
        path: &Path,
        schemas: &'static Schemas,
    ) -> Result<(), RemakeError> {
        let file = self.found.files.len();
        let looked = SalvageWindow::open(path).and_then(|window| {
            let Some(mut window) = window else { return Ok(()) };
            let Some(part) = part_of(path, &mut window)? else { return Ok(()) };
            self.found.files.push(path.to_owned());
            let is_in_place = path.parent() == Some(&root.join(part));
            let trust = if is_in_place { Trust::InPlace } else { Trust::Aside };
            if part == JOURNAL {
                frames::find(&mut window, file, trust, schemas, &mut self.found)
            } else {
                blocks::find(&mut window, file, trust, &mut self.found)
            }
        });
        match looked {
            Err(error) if error.kind() == StorageErrorKind::NoMemory => Err(error.into()),
            // What does not read is lost, and the rest may not be.
            Err(error) => {
                if self.found.files.len() == file {
                    self.found.files.push(path.to_owned());
                }
                self.found.damaged(file, None, error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Of which part of a store a file is, by its name or by its first bytes.
fn part_of(path: &Path, window: &mut SalvageWindow) -> Result<Option<&'static str>, StorageError> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(JOURNAL_ENDING) => return Ok(Some(JOURNAL)),
        Some(SEGMENT_ENDING) => return Ok(Some(SEALED)),
        _ => {}
    }
    let magic = window.at(0, 4)?;
    Ok(match magic {
        b"SFJF" | b"SFJ1" => Some(JOURNAL),
        b"SFSF" | b"SFB1" => Some(SEALED),
        _ => None,
    })
}
