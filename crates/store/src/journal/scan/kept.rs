//! Frames as they were read, so that what is looked for in them need not be known before.

use spacefold_event_core::Position;

use crate::journal::frame::{Frame, FrameHeader};

/// Frames in order, with the bytes of the files that they are in.
#[derive(Debug, Default)]
pub(crate) struct KeptFrames {
    files: Vec<Vec<u8>>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    header: FrameHeader,
    file: usize,
    start: usize,
}

impl KeptFrames {
    /// Takes in a frame of the file that is read now.
    pub(super) fn push(&mut self, header: FrameHeader, start: usize) {
        self.places.push(Place { header, file: self.files.len(), start });
    }

    /// Takes in the file that was read: the frames since the last one are in it.
    pub(super) fn push_file(&mut self, bytes: Vec<u8>) {
        self.files.push(bytes);
    }

    /// The frames from the one that holds a position on.
    pub(crate) fn from(&self, position: Position) -> impl Iterator<Item = Frame<'_>> {
        let begin = self.places.partition_point(|place| place.header.last_position() < position);
        let places = self.places.get(begin..).unwrap_or_default();
        places.iter().filter_map(|place| {
            let bytes = self.files.get(place.file)?.get(place.start..)?;
            Frame::of(place.header, bytes)
        })
    }
}
