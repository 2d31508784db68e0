//! The lines of an input, many at a time.

use std::{
    io::{self, BufRead},
    mem,
    ops::Range,
};

use memchr::{memchr, memrchr};
use spacefold_event_core::MAX_JSON_LINE_BYTES;

use crate::lines::{BYTE_ORDER_MARK, SHOWN_BYTES, pass_line};

/// Bytes from which on a block is given as soon as a line ends in it: some thousand lines.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Input that comes in pieces of this length is fast: a block of it is filled.
const FAST_BYTES: usize = 64 << 10;

/// Input that comes in smaller pieces is slow: what it has brought is dealt with before more is waited
/// for.
const SLOW_BYTES: usize = 16 << 10;

/// Reads an input in blocks of whole lines, none of which is buffered past its limit. A byte order mark
/// at the start of the input is passed over.
pub(super) struct BlockReader<R> {
    input: R,
    /// What follows the last line break.
    rest: Vec<u8>,
    limit: usize,
    /// Nothing was given yet: a byte order mark may come.
    at_start: bool,
    is_slow: bool,
    /// Why the input cannot be read on, which is told after all lines before.
    failure: Option<io::Error>,
}

/// Lines of an input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineBlock {
    /// Whole ones, the last of which may lack its line break.
    Whole(Vec<u8>),
    /// One that is longer than its limit.
    TooLong {
        /// How it begins.
        beginning: Vec<u8>,
        /// How many bytes it has.
        bytes: usize,
    },
}

impl LineBlock {
    /// Bytes in memory.
    pub(super) const fn bytes(&self) -> usize {
        let (Self::Whole(text) | Self::TooLong { beginning: text, .. }) = self;
        text.len()
    }
}

impl<R: BufRead> BlockReader<R> {
    /// Reads the lines of `input`.
    pub(super) const fn new(input: R) -> Self {
        Self::with_limit(input, MAX_JSON_LINE_BYTES)
    }

    const fn with_limit(input: R, limit: usize) -> Self {
        Self { input, rest: Vec::new(), limit, at_start: true, is_slow: false, failure: None }
    }

    /// Whether the input gave little when it was read last.
    pub(super) const fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// The next lines; `None` at the end of the input.
    ///
    /// # Errors
    /// What the input answers; nothing of the line that it broke off in is given, and all lines before
    /// were.
    pub(super) fn next_block(&mut self) -> io::Result<Option<LineBlock>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut block = mem::take(&mut self.rest);
        // After the last line break: each byte is looked at once.
        let mut lines_end = None;
        loop {
            let looked_at = block.len();
            let read = match self.read_to(&mut block) {
                Ok(read) => read,
                // All lines before the one that it broke off in are given first.
                Err(error) => match lines_end {
                    Some(end) => {
                        block.truncate(end);
                        self.failure = Some(error);
                        return Ok(Some(LineBlock::Whole(block)));
                    }
                    None => return Err(error),
                },
            };
            self.is_slow = read < SLOW_BYTES;
            let passed = self.pass_mark(&mut block, read == 0);
            let looked_at = looked_at.saturating_sub(passed);
            if let Some(place) = memrchr(b'\n', block.get(looked_at..).unwrap_or_default()) {
                lines_end = Some(looked_at + place + 1);
            }
            if read == 0 {
                return Ok((!block.is_empty()).then_some(LineBlock::Whole(block)));
            }
            if read >= FAST_BYTES && block.len() < BLOCK_BYTES {
                continue;
            }
            if let Some(end) = lines_end {
                self.rest = block.split_off(end);
                return Ok(Some(LineBlock::Whole(block)));
            }
            if block.len() > self.limit.saturating_add(BYTE_ORDER_MARK.len()) {
                return self.pass_line(block).map(Some);
            }
        }
    }

    /// Reads a piece of the input; answers how much, nothing at its end.
    fn read_to(&mut self, block: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let piece = available.get(..BLOCK_BYTES).unwrap_or(available);
            let read = piece.len();
            block.extend_from_slice(piece);
            self.input.consume(read);
            return Ok(read);
        }
    }

    /// Passes over a byte order mark at the start, once it is told apart; answers its bytes.
    fn pass_mark(&mut self, block: &mut Vec<u8>, is_end: bool) -> usize {
        if !self.at_start
            || !is_end && BYTE_ORDER_MARK.starts_with(block) && *block != BYTE_ORDER_MARK
        {
            return 0;
        }
        self.at_start = false;
        if !block.starts_with(BYTE_ORDER_MARK) {
            return 0;
        }
        block.drain(..BYTE_ORDER_MARK.len());
        BYTE_ORDER_MARK.len()
    }

    /// Passes over the rest of a line that is too long.
    fn pass_line(&mut self, mut beginning: Vec<u8>) -> io::Result<LineBlock> {
        let bytes = beginning.len().saturating_add(pass_line(&mut self.input)?);
        beginning.truncate(SHOWN_BYTES);
        beginning.shrink_to_fit();
        Ok(LineBlock::TooLong { beginning, bytes })
    }
}

/// The lines of a block, each without its line break, one after the other.
pub(super) fn lines_of(block: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = block.get(start..).filter(|rest| !rest.is_empty())?;
        let len = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = start..start + len;
        start = line.end + 1;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of an input, numbered, and their lengths, as the importer sees them.
    fn read(input: &str, limit: usize, piece: usize) -> Vec<(u64, String, usize)> {
        let input = io::BufReader::with_capacity(piece, input.as_bytes());
        let mut blocks = BlockReader::with_limit(input, limit);
        let (mut found, mut number) = (Vec::new(), 0);
        while let Some(block) = blocks.next_block().unwrap() {
            let mut note = |text: &[u8], bytes| {
                number += 1;
                if bytes > limit || !text.trim_ascii().is_empty() {
                    found.push((number, String::from_utf8(text.to_vec()).unwrap(), bytes));
                }
            };
            match block {
                LineBlock::TooLong { beginning, bytes } => note(&beginning, bytes),
                LineBlock::Whole(block) => {
                    lines_of(&block).for_each(|line| note(&block[line.clone()], line.len()));
                }
            }
        }
        found
    }

    #[test]
    fn gives_the_lines_that_a_reader_of_lines_gives() {
        let texts = [
            "",
            "\n",
            "{}\n\n  \n[]",
            "12345678\n123456789\nab",
            "\u{feff}a\n\u{feff}b\n\n",
            "\u{feff}",
            "\u{feff}\n\u{feff}",
            "\n\u{feff}a",
            "\r\n\u{feff}a",
            "x\r\ny",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\nb\n",
            "          \nx",
            "a\n123456789012345678901234567890",
        ];
        for text in texts {
            for piece in 1..12 {
                let found = read(text, 8, piece);
                let lens: Vec<(u64, usize)> = found.iter().map(|line| (line.0, line.2)).collect();
                let mut lines = crate::lines::LineReader::with_limit(text.as_bytes(), 8);
                let mut expected = Vec::new();
                while let Some(line) = lines.next_line().unwrap() {
                    let bytes = match line.text {
                        crate::lines::LineText::Whole(text) => text.len(),
                        crate::lines::LineText::TooLong { bytes, .. } => bytes,
                    };
                    expected.push((line.number, bytes));
                }
                assert_eq!(lens, expected, "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_failing_input_gives_all_lines_before() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let input = io::BufReader::new(io::Read::chain("{}\n[]\n{\"event".as_bytes(), Broken));
        let mut blocks = BlockReader::new(input);
        let block = blocks.next_block().unwrap();
        assert_eq!(block, Some(LineBlock::Whole(b"{}\n[]\n".to_vec())));
        assert!(blocks.next_block().is_err());
    }
}
