//! Whether what stands in the journal is of what HEAD knows.

use super::frame::{FileHeader, FrameHeader};
use crate::{
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::{Head, sessions::Kinship},
};

impl Head {
    /// Whether a frame is of an incarnation that may stand at its position.
    pub(crate) fn allows(&self, frame: &FrameHeader) -> bool {
        let is_cut_off = frame.first_position >= self.fence.position
            && frame.incarnation < self.fence.incarnation;
        self.knows(frame.incarnation) && !is_cut_off
    }

    /// Makes sure that a journal file was begun in a session that HEAD knows.
    pub(crate) fn check_file(
        &self,
        header: &FileHeader,
        folder: &StoreFolder,
    ) -> Result<(), OpenError> {
        let differ = |part, what| OpenError::PartsDiffer { path: folder.root().into(), part, what };
        match self.sessions.kinship(&header.sessions) {
            Kinship::SecondGoesOn(after) => {
                let what =
                    format!("the journal has a session that went on behind position {after}");
                Err(differ(StorePart::Head, what))
            }
            Kinship::Parted => {
                let what = format!(
                    "HEAD knows other sessions than its file number {}: HEAD or the journal is of \
                     another copy of the store",
                    header.file_number
                );
                Err(differ(StorePart::Journal, what))
            }
            Kinship::Unknown | Kinship::Same | Kinship::FirstGoesOn(_) => {
                self.check_incarnation(header.incarnation, folder)
            }
        }
    }

    /// Makes sure that something of the journal was written under an incarnation that was given out.
    pub(crate) fn check_incarnation(
        &self,
        incarnation: u64,
        folder: &StoreFolder,
    ) -> Result<(), OpenError> {
        let differ = |part, what| OpenError::PartsDiffer { path: folder.root().into(), part, what };
        if incarnation > self.incarnation {
            let what = format!(
                "it ends with session {}, the journal goes on with {incarnation}: HEAD is older, or \
                 of another copy of the store",
                self.incarnation
            );
            return Err(differ(StorePart::Head, what));
        }
        if self.sessions.excludes(incarnation) {
            let what = format!(
                "HEAD knows no session {incarnation}: HEAD or the journal is of another copy of the \
                 store"
            );
            return Err(differ(StorePart::Journal, what));
        }
        Ok(())
    }
}
