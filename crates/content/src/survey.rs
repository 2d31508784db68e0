//! Which packs are here, by their own headers, and what the manifest says of them.
//!
//! The manifest may be of another time than the packs, of a sibling, or of another store; so what
//! counts is what is here. A pack is what its header says it is: the manifest speaks of it only
//! where it lists the same id. What it does not list is taken in, and nothing is removed: what was
//! collected may be the only copy where it was put back.

use std::collections::BTreeMap;

use spacefold_disk::Access;

use crate::{
    error::OpenContentError,
    folder::ContentFolder,
    manifest::{FoundManifest, ListedPack, PackManifest, PackState},
    pack::{BadHeader, FORMAT_VERSION, PACK_HEADER_BYTES, PackHeader, read_footer},
    pack_id::PackId,
    scan::scan,
};

/// What is in a folder.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The packs that are here, and those that are lost.
    pub(crate) manifest: PackManifest,
    /// What stood in the place of the manifest.
    pub(crate) found: ManifestCondition,
    /// Whether there is a pack that the manifest on disk does not list as it is.
    pub(crate) has_news: bool,
}

/// What stood in the place of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestCondition {
    Whole,
    Missing,
    Damaged,
}

/// Looks at a folder, and changes nothing.
pub(crate) fn survey(folder: &ContentFolder) -> Result<Survey, OpenContentError> {
    let (manifest, found) = match PackManifest::read(folder)? {
        FoundManifest::Whole(manifest) => (manifest, ManifestCondition::Whole),
        FoundManifest::Missing => (PackManifest::default(), ManifestCondition::Missing),
        FoundManifest::Damaged => (PackManifest::default(), ManifestCondition::Damaged),
        FoundManifest::UnknownFormat { found, known } => {
            let path = folder.manifest_path();
            return Err(OpenContentError::UnknownFormat { path, found, known });
        }
    };
    let mut here = headers(folder)?;
    if found != ManifestCondition::Whole && !here.is_empty() {
        tracing::warn!("the manifest of the content does not read: it is made of the packs");
    }
    let mut packs = Vec::new();
    let mut lost = Vec::new();
    for listed in manifest.packs {
        let is_here = match here.get(&listed.number) {
            Some(Some(id)) => *id == listed.id,
            // Nothing else says what it is.
            Some(None) => true,
            None => false,
        };
        if is_here {
            here.remove(&listed.number);
            packs.push(listed);
        } else {
            lost.push(listed);
        }
    }
    let mut next_number = manifest.next_number;
    let mut has_news = false;
    for (number, id) in here {
        next_number = next_number.max(number.saturating_add(1));
        if let Some(id) = id {
            packs.push(adopt(folder, number, id)?);
            has_news = true;
        } else {
            let file = folder.pack_path(number);
            tracing::warn!(file = %file.display(), "a pack without a header is left alone");
        }
    }
    packs.sort_unstable_by_key(|pack| pack.number);
    let manifest = PackManifest { packs, lost, next_number, ..manifest };
    Ok(Survey { manifest, found, has_news })
}

/// The packs whose files are here, with the id that each has by its header; `None` when that is
/// damaged.
fn headers(folder: &ContentFolder) -> Result<BTreeMap<u32, Option<PackId>>, OpenContentError> {
    let mut headers = BTreeMap::new();
    for number in folder.packs()? {
        let file = folder.open_pack(number, Access::Read)?;
        let id = match PackHeader::read(file.as_ref())? {
            Ok(header) => Some(header.id),
            Err(BadHeader::Damaged) => None,
            Err(BadHeader::UnknownFormat(found)) => {
                let path = folder.pack_path(number);
                return Err(OpenContentError::UnknownFormat { path, found, known: FORMAT_VERSION });
            }
        };
        headers.insert(number, id);
    }
    Ok(headers)
}

/// A pack that no manifest lists. What is synced of it is what its entries say.
///
/// A process that stops between making a pack and listing it leaves no end that is torn: one that
/// is there is of a pack whose manifest is lost, and may have been whole. So it counts as damage,
/// which is kept, and not as what nobody was promised, which is cut off.
fn adopt(folder: &ContentFolder, number: u32, id: PackId) -> Result<ListedPack, OpenContentError> {
    let file = folder.open_pack(number, Access::Read)?;
    let bytes = file.bytes()?;
    let state = if read_footer(file.as_ref(), id, bytes)?.is_some() {
        PackState::Sealed { bytes }
    } else {
        let scanned = scan(file.as_ref(), id, bytes, PACK_HEADER_BYTES, &mut |_, _, _| {})?;
        let is_torn = scanned.end < bytes;
        PackState::Open { synced_bytes: if is_torn { bytes } else { PACK_HEADER_BYTES } }
    };
    Ok(ListedPack { number, id, state })
}
