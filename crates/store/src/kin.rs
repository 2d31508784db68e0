//! Whose copy lies in the folder of a store: this one's, another's, or that of a copy of the store that
//! went on apart.

use spacefold_event_core::Position;

use crate::{
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::{Head, sessions::Kinship},
};

/// Whose copy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kin {
    /// This store's, as it says; the log went up to this position at least.
    Own(Position),
    /// The copy does not say it, or is of a time that HEAD has forgotten.
    Unknown,
    OtherStore,
}

impl Kin {
    /// The position that the log is known to have had.
    pub(crate) const fn known(self) -> Position {
        match self {
            Self::Own(known) => known,
            Self::Unknown | Self::OtherStore => Position::START,
        }
    }
}

/// Whose copy lies in the folder of a store, as far as it says so. Sled is not opened.
///
/// # Errors
/// [`OpenError::PartsDiffer`] when it is of a copy of the store that went on apart, or when it knows
/// of sessions that HEAD does not.
pub(crate) fn judge(folder: &StoreFolder, head: &Head) -> Result<Kin, OpenError> {
    let Some(copy) = folder.copies().lineage() else { return Ok(Kin::Unknown) };
    if copy.store_id != head.store_id {
        return Ok(Kin::OtherStore);
    }
    let differ = |part, what| OpenError::PartsDiffer { path: folder.root().into(), part, what };
    let newest = copy.sessions.newest().map_or(0, |newest| newest.incarnation);
    if newest > head.incarnation && head.sessions.kinship(&copy.sessions) != Kinship::Parted {
        let what = format!(
            "it ends with session {}, sled's copy is of session {newest} and position {}: HEAD is \
             older",
            head.incarnation, copy.position
        );
        return Err(differ(StorePart::Head, what));
    }
    let parted = |place: Position| {
        let what = format!(
            "it is of a copy of the store that went on apart, at position {place}; put the right one \
             back, or remove it: it is rebuilt from the journal"
        );
        Err(differ(StorePart::Sled, what))
    };
    match head.sessions.kinship(&copy.sessions) {
        Kinship::Unknown => Ok(Kin::Unknown),
        Kinship::Same => Ok(Kin::Own(copy.position)),
        // That session went on behind what the copy knows, if the copy is this store's.
        Kinship::FirstGoesOn(after) if copy.position <= after => Ok(Kin::Own(copy.position)),
        Kinship::FirstGoesOn(_) | Kinship::SecondGoesOn(_) | Kinship::Parted => {
            parted(copy.position)
        }
    }
}
