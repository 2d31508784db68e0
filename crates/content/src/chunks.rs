//! A stream, cut where its content says.
//!
//! Cutting by content and not by length makes versions of a large document share what they have in
//! common: an insertion moves the cuts behind it along with the bytes. Small content stays whole,
//! since what a chunk costs beside its bytes would be more than versions of it share.

use std::io::{self, Read};

use fastcdc::v2020::FastCDC;
use spacefold_event_core::bytes::to_u64;

/// Content of at most this many bytes is one chunk.
pub const WHOLE_CONTENT_BYTES: usize = 64 << 10;
/// The fewest bytes of a chunk that is not the last of its content.
pub(crate) const MIN_CHUNK_BYTES: usize = 16 << 10;
/// The bytes of a chunk, on average.
const AVERAGE_CHUNK_BYTES: usize = 64 << 10;
/// The most bytes of a chunk.
pub const MAX_CHUNK_BYTES: usize = 256 << 10;
/// From this many bytes on two threads take a content in, or give it out.
pub(crate) const PARALLEL_BYTES: u64 = 1 << 20;
/// What is read of a stream at first.
const FIRST_BUFFER_BYTES: usize = 8 << 10;
/// What is read of the stream ahead of the cuts.
const BUFFER_BYTES: usize = 4 * MAX_CHUNK_BYTES;

/// The chunks of a stream.
pub(crate) struct Chunks<'a> {
    source: &'a mut dyn Read,
    buffer: Vec<u8>,
    /// What of the buffer has been read and not yet given.
    begin: usize,
    end: usize,
    /// Whether the source has nothing more.
    ended: bool,
    given: u64,
}

/// A chunk of a stream.
pub(crate) struct Chunk<'c> {
    pub(crate) bytes: &'c [u8],
    /// Whether it is known that nothing follows.
    pub(crate) is_last: bool,
}

impl<'a> Chunks<'a> {
    /// The chunks of a stream, read into a buffer that may have been used before.
    pub(crate) fn of(source: &'a mut dyn Read, buffer: Vec<u8>) -> Self {
        Self { source, buffer, begin: 0, end: 0, ended: false, given: 0 }
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The next chunk. At the end of the stream it is empty, and so is the only one of a stream
    /// without bytes.
    pub(crate) fn next(&mut self) -> io::Result<Chunk<'_>> {
        // A first read that ends within a small content costs no large buffer.
        let wanted = if self.given == 0 { WHOLE_CONTENT_BYTES + 1 } else { MAX_CHUNK_BYTES };
        self.fill(wanted)?;
        if self.given == 0 && self.end - self.begin > WHOLE_CONTENT_BYTES {
            self.fill(MAX_CHUNK_BYTES)?;
        }
        let waiting = self.end - self.begin;
        let whole = self.given == 0 && self.ended && waiting <= WHOLE_CONTENT_BYTES;
        let len = if whole || waiting == 0 { waiting } else { self.cut() };
        let begin = self.begin;
        self.begin += len;
        self.given += to_u64(len);
        let is_last = self.ended && self.begin == self.end;
        Ok(Chunk { bytes: self.buffer.get(begin..begin + len).unwrap_or(&[]), is_last })
    }

    fn cut(&self) -> usize {
        let waiting = self.buffer.get(self.begin..self.end).unwrap_or(&[]);
        let cutter = FastCDC::new(waiting, MIN_CHUNK_BYTES, AVERAGE_CHUNK_BYTES, MAX_CHUNK_BYTES);
        // Where the source has ended the rest is the last chunk, if no cut comes before.
        let (_, end) = cutter.cut(0, waiting.len().min(MAX_CHUNK_BYTES));
        end.clamp(1, waiting.len())
    }

    /// Reads until `wanted` bytes wait, or the source has no more.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.ended || self.end - self.begin >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        while self.end < wanted {
            if self.end == self.buffer.len() {
                // A small content costs a small buffer.
                let room = (self.buffer.len() * 4).clamp(FIRST_BUFFER_BYTES, BUFFER_BYTES);
                self.buffer.resize(room, 0);
            }
            let free = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
            match self.source.read(free) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => self.end += read.min(free.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(source: &mut dyn Read) -> Vec<Vec<u8>> {
        let mut chunks = Chunks::of(source, Vec::new());
        let mut cut = Vec::new();
        loop {
            let chunk = chunks.next().unwrap();
            if cut.is_empty() || !chunk.bytes.is_empty() {
                cut.push(chunk.bytes.to_vec());
            }
            if chunk.is_last {
                return cut;
            }
        }
    }

    fn noise(bytes: usize, seed: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
    }

    /// A source that gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            Read::read(&mut self.0, &mut buffer[..most])
        }
    }

    #[test]
    fn chunks_put_together_are_the_content() {
        for bytes in [0, 1, WHOLE_CONTENT_BYTES, WHOLE_CONTENT_BYTES + 1, 300_000, 3_000_000] {
            let content = noise(bytes, 1);
            let chunks = cut(&mut &*content);
            assert_eq!(chunks.concat(), content);
            assert!(chunks.len() == 1 || bytes > WHOLE_CONTENT_BYTES, "{bytes}");
            assert!(chunks.len() > 1 || bytes <= MAX_CHUNK_BYTES, "{bytes}");
            let (last, others) = chunks.split_last().unwrap();
            assert!(last.len() <= MAX_CHUNK_BYTES.max(WHOLE_CONTENT_BYTES));
            for chunk in others {
                assert!((MIN_CHUNK_BYTES..=MAX_CHUNK_BYTES).contains(&chunk.len()));
            }
        }
    }

    #[test]
    fn cuts_do_not_depend_on_how_the_source_gives_its_bytes() {
        let content = noise(1_500_000, 2);
        let expected = cut(&mut &*content);
        for most in [1_000, 65_537, 300_000] {
            assert!(cut(&mut Drip(&content, most)) == expected);
        }
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let before = noise(4 << 20, 3);
        let mut after = before.clone();
        after.splice(1_000_000..1_000_000, *b"inserted");
        let (before, after) = (cut(&mut &*before), cut(&mut &*after));
        let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!(after.len() > 40, "{} chunks", after.len());
        assert!(new <= 3, "{new} of {} chunks are new", after.len());
    }

    #[test]
    fn content_without_a_cut_is_cut_at_the_limit() {
        let chunks = cut(&mut &vec![7; 1 << 20][..]);
        assert!(chunks.iter().all(|chunk| chunk.len() == MAX_CHUNK_BYTES), "no cut in equal bytes");
    }
}
