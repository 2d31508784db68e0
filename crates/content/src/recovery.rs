//! Opening: from the files to where every entry is.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use spacefold_event_core::{StorageError, StorageErrorKind};

use crate::{
    active::Active,
    error::{Doing, OpenContentError},
    folder::Folder,
    index::{Index, Place},
    manifest::{FoundManifest, ListedPack, Manifest, PackState, ReplaceError},
    options::ContentOptions,
    pack::{BadHeader, FORMAT_VERSION, Listed, PACK_HEADER_BYTES, PackHeader, read_footer},
    scan::{Scan, scan},
    wire::near,
    writer::Writer,
};

/// What is copied of a pack at once.
const COPY_BYTES: usize = 1 << 20;

/// A store that was opened: the files to change, and where everything is.
pub(crate) fn open(
    root: &Path,
    options: ContentOptions,
) -> Result<(Writer, Index), OpenContentError> {
    let folder = Folder::new(root, options.mode);
    if !folder.exists() {
        let writer = Writer::new(folder, options, Manifest::default(), None, None);
        return Ok((writer, Index::default()));
    }
    let lock = folder.lock()?;
    let (mut manifest, found) = read_manifest(&folder)?;
    folder.remove_unfinished()?;
    let mut recovery = Recovery {
        folder,
        index: Index::default(),
        active: None,
        damaged: BTreeSet::new(),
        refused: None,
    };
    let is_open = |pack: &ListedPack| matches!(pack.state, PackState::Open { .. });
    let newest_open = manifest.packs.iter().rposition(is_open);
    for (place, pack) in manifest.packs.iter().enumerate() {
        recovery.take(pack, if newest_open == Some(place) { Use::Append } else { Use::Read })?;
    }
    let Recovery { folder, index, active, damaged, refused } = recovery;
    if matches!(found, Found::ToBeWritten) {
        match manifest.write(&folder) {
            Ok(()) => remove_left_over(&folder, &manifest)?,
            // As on a full disk: the next opening finds the same, and this one reads all the same.
            Err(ReplaceError::OldStays(error)) => {
                tracing::warn!(%error, "the manifest of the content is not written yet");
            }
            Err(ReplaceError::Unknown(error)) => return Err(error.into()),
        }
    }
    let mut writer = Writer::new(folder, options, manifest, active, Some(lock));
    writer.damaged = damaged;
    if let Some(error) = refused {
        tracing::error!(%error, "nothing can be written: the content is opened to be read only");
        drop(writer.fail(error));
    }
    Ok((writer, index))
}

/// Whether the manifest says what is in the folder.
pub(crate) enum Found {
    AsIs,
    ToBeWritten,
}

/// The manifest, with packs that it does not list yet: those of a process that was stopped between
/// making a pack and listing it, or all of them where the manifest itself is damaged.
pub(crate) fn read_manifest(folder: &Folder) -> Result<(Manifest, Found), OpenContentError> {
    let there = folder.packs()?;
    let (mut manifest, mut found) = match Manifest::read(folder)? {
        FoundManifest::Whole(manifest) => (manifest, Found::AsIs),
        FoundManifest::UnknownFormat(format) => {
            let path = folder.manifest();
            return Err(OpenContentError::UnknownFormat {
                path,
                found: format,
                known: FORMAT_VERSION,
            });
        }
        FoundManifest::Missing | FoundManifest::Damaged => {
            if !there.is_empty() {
                tracing::warn!("the manifest of the content is damaged: it is made of the packs");
            }
            (Manifest::default(), Found::ToBeWritten)
        }
    };
    let listed = |number: &u32| manifest.packs.iter().any(|pack| pack.number == *number);
    if there.iter().any(|number| !listed(number)) {
        found = Found::ToBeWritten;
    }
    let next_number = manifest.next_number;
    for number in there.into_iter().filter(|number| *number >= next_number) {
        if let Some(pack) = adopt(folder, number)? {
            manifest.packs.push(pack);
        }
        manifest.next_number = number.saturating_add(1);
    }
    Ok((manifest, found))
}

/// A pack that no manifest lists. What is synced of it is what its entries say.
fn adopt(folder: &Folder, number: u32) -> Result<Option<ListedPack>, OpenContentError> {
    let path = folder.pack(number);
    let doing = || format!("reading {}", path.display());
    let file = File::open(&path).doing(doing)?;
    let header = match PackHeader::read(&file).doing(doing)? {
        Ok(header) => header,
        Err(BadHeader::UnknownFormat(found)) => {
            return Err(OpenContentError::UnknownFormat { path, found, known: FORMAT_VERSION });
        }
        Err(BadHeader::Damaged) => {
            tracing::warn!(file = %path.display(), "a pack without a header is left alone");
            return Ok(None);
        }
    };
    let bytes = file.metadata().doing(doing)?.len();
    let sealed = read_footer(&file, header.id, bytes).doing(doing)?.is_some();
    let state = if sealed {
        PackState::Sealed { bytes }
    } else {
        PackState::Open { synced_bytes: PACK_HEADER_BYTES }
    };
    Ok(Some(ListedPack { number, id: header.id, state }))
}

/// Removes packs whose content a collection has put elsewhere before it was stopped.
fn remove_left_over(folder: &Folder, manifest: &Manifest) -> Result<(), StorageError> {
    for number in folder.packs()? {
        let listed = manifest.packs.iter().any(|pack| pack.number == number);
        let path = folder.pack(number);
        // A pack that could not be adopted is damaged: it stays for someone to look at.
        let is_whole = || {
            let file = File::open(&path).ok()?;
            PackHeader::read(&file).ok()?.ok()
        };
        if !listed && is_whole().is_some() {
            fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        }
    }
    folder.sync()
}

/// What a pack is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Append,
}

struct Recovery {
    folder: Folder,
    index: Index,
    active: Option<Active>,
    /// Packs of which nobody knows all that they held.
    damaged: BTreeSet<u32>,
    /// Why nothing can be put, where the packs can be read only.
    refused: Option<StorageError>,
}

impl Recovery {
    fn take(&mut self, pack: &ListedPack, usage: Use) -> Result<(), StorageError> {
        let path = self.folder.pack(pack.number);
        let doing = || format!("reading {}", path.display());
        let mut usage = usage;
        let opened = OpenOptions::new().read(true).write(usage == Use::Append).open(&path);
        let opened = opened.or_else(|error| {
            if !StorageErrorKind::of_io(&error).forbids_writing_only() {
                return Err(error);
            }
            usage = Use::Read;
            let file = File::open(&path)?;
            self.refused = Some(StorageError::new(doing(), error));
            Ok(file)
        });
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::error!(file = %path.display(), "a pack of the content is missing");
                self.damaged.insert(pack.number);
                return Ok(());
            }
            Err(error) => return Err(StorageError::new(doing(), error)),
        };
        let len = file.metadata().doing(doing)?.len();
        if let PackState::Sealed { bytes } = pack.state
            && let Some((entries, _)) = read_footer(&file, pack.id, bytes.min(len)).doing(doing)?
        {
            self.index(pack.number, entries);
            return Ok(());
        }
        let synced_bytes = pack.state.synced_bytes().min(len);
        let scanned = scan(&file, pack.id, len, synced_bytes, &mut |_, _, _| {}).doing(doing)?;
        let near_offset = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        let listed = scanned.entries.iter();
        let entries: Vec<Listed> =
            listed.map(|(offset, header)| Listed::of(header, near_offset(*offset))).collect();
        self.index(pack.number, entries.iter().copied());
        let is_sound = scanned.damaged.is_empty() && len >= pack.state.synced_bytes();
        if !is_sound {
            tracing::error!(file = %path.display(), "a pack of the content is damaged");
            self.damaged.insert(pack.number);
        }
        let has_header = matches!(
            PackHeader::read(&file).doing(doing)?,
            Ok(header) if header.id == pack.id && header.number == pack.number
        );
        if usage == Use::Append && is_sound && has_header {
            match secure_tail(&file, &path, len, &scanned) {
                // What reads is read; nothing is put behind what may not be on disk.
                Err(error) if error.kind().forbids_writing_only() => {
                    self.refused = Some(error);
                    return Ok(());
                }
                secured => secured?,
            }
            self.active = Some(Active {
                number: pack.number,
                id: pack.id,
                file: Arc::new(file),
                end: scanned.end,
                synced_bytes: scanned.end,
                entries,
            });
        }
        Ok(())
    }

    fn index(&mut self, number: u32, entries: impl IntoIterator<Item = Listed>) {
        for entry in entries {
            self.index.insert(entry.hash, Place::listed_in(number, &entry));
        }
    }
}

/// Cuts the torn end of a pack off, and makes sure that what is left is on disk.
///
/// What reads back may be in the page cache alone: a sync that failed marks pages as clean. So what
/// nothing proves to have been synced is written again in its place, then synced.
fn secure_tail(file: &File, path: &Path, len: u64, scanned: &Scan) -> Result<(), StorageError> {
    let doing = || format!("securing the end of {}", path.display());
    if len > scanned.end {
        file.set_len(scanned.end).doing(doing)?;
    }
    let mut offset = scanned.synced_bytes;
    let mut bytes = Vec::new();
    while offset < scanned.end {
        let count = near(scanned.end - offset).min(COPY_BYTES);
        bytes.resize(count, 0);
        file.read_exact_at(&mut bytes, offset).doing(doing)?;
        file.write_all_at(&bytes, offset).doing(doing)?;
        offset += crate::wire::wide(count);
    }
    if len > scanned.end || scanned.synced_bytes < scanned.end {
        file.sync_all().doing(doing)?;
    }
    Ok(())
}
