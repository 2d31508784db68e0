//! Lines of an input of any length, none of which is buffered past its limit.

use std::{
    io::{self, BufRead, Read},
    mem,
};

use memchr::memchr;
use spacefold_event_core::{MAX_JSON_LINE_BYTES, bytes::to_u64};

/// Bytes that are kept of a line past its limit, to show which one it is.
pub(crate) const SHOWN_BYTES: usize = 4 << 10;

/// What some programs put before UTF-8 text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the lines of an input one by one, numbered from 1, blank ones counted and skipped. A byte
/// order mark at the start of the input is passed over.
///
/// ```
/// use spacefold::admin::{LineReader, LineText};
/// let mut lines = LineReader::new("{}\n\n  \n[]".as_bytes());
/// assert_eq!(lines.next_line()?.map(|line| line.number), Some(1));
/// let last = lines.next_line()?.expect("there is one more line");
/// assert_eq!((last.number, last.text), (4, LineText::Whole(b"[]")));
/// assert!(lines.next_line()?.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    limit: usize,
    /// Nothing was read yet: a byte order mark may come.
    at_start: bool,
}

/// A line that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// What it holds.
    pub text: LineText<'a>,
}

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineText<'a> {
    /// All of it, without the line break.
    Whole(&'a [u8]),
    /// The line is longer than [`MAX_JSON_LINE_BYTES`].
    TooLong {
        /// How it begins.
        beginning: &'a [u8],
        /// How many bytes it has.
        bytes: usize,
    },
}

impl<R: BufRead> LineReader<R> {
    /// Reads the lines of `input`.
    #[must_use]
    pub const fn new(input: R) -> Self {
        Self::with_limit(input, MAX_JSON_LINE_BYTES)
    }

    pub(crate) const fn with_limit(input: R, limit: usize) -> Self {
        Self { input, buffer: Vec::new(), number: 0, limit, at_start: true }
    }

    /// The number of the line that was read last, or at which reading failed.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not blank; `None` at the end of the input.
    ///
    /// # Errors
    /// What the input answers; [`LineReader::number`] is then that of the line it broke off in,
    /// nothing of which is given.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let bytes = loop {
            self.number += 1;
            let bytes = self.fill()?;
            if bytes == 0 && self.buffer.is_empty() {
                self.number -= 1;
                return Ok(None);
            }
            if self.buffer.last() == Some(&b'\n') {
                self.buffer.pop();
            }
            if bytes > self.limit || !self.buffer.trim_ascii().is_empty() {
                break bytes;
            }
        };
        let text = if bytes > self.limit {
            LineText::TooLong { beginning: &self.buffer, bytes }
        } else {
            LineText::Whole(&self.buffer)
        };
        Ok(Some(Line { number: self.number, text }))
    }

    /// Reads a line into the buffer, only its beginning if it is too long, and answers how many
    /// bytes it has without the line break.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.clear();
        let mark = if mem::take(&mut self.at_start) { BYTE_ORDER_MARK } else { &[] };
        let most = self.limit.saturating_add(1).saturating_add(mark.len());
        let most = to_u64(most);
        (&mut self.input).take(most).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.starts_with(mark) {
            self.buffer.drain(..mark.len());
        }
        let is_ended = self.buffer.last() == Some(&b'\n');
        let read = self.buffer.len() - usize::from(is_ended);
        if read <= self.limit {
            return Ok(read);
        }
        self.buffer.truncate(SHOWN_BYTES);
        self.buffer.shrink_to_fit();
        let rest = if is_ended { 0 } else { pass_line(&mut self.input)? };
        Ok(read.saturating_add(rest))
    }
}

/// Passes over the rest of a line and its line break, and answers how many bytes it had without that.
pub(crate) fn pass_line(input: &mut impl BufRead) -> io::Result<usize> {
    let mut passed = 0_usize;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = memchr(b'\n', available);
        let bytes = end.unwrap_or(available.len());
        let is_over = end.is_some() || available.is_empty();
        input.consume(bytes + usize::from(end.is_some()));
        passed = passed.saturating_add(bytes);
        if is_over {
            return Ok(passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str, limit: usize) -> Vec<(u64, String, usize)> {
        let small_buffer = io::BufReader::with_capacity(3, input.as_bytes());
        let mut lines = LineReader::with_limit(small_buffer, limit);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let (text, bytes) = match line.text {
                LineText::Whole(text) => (text, text.len()),
                LineText::TooLong { beginning, bytes } => (beginning, bytes),
            };
            found.push((line.number, String::from_utf8(text.to_vec()).unwrap(), bytes));
        }
        found
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_one_past_it_is_not() {
        let found = read("12345678\n123456789\nab", 8);
        let expected = [(1, "12345678", 8), (2, "123456789", 9), (3, "ab", 2)];
        let expected = expected.map(|(number, text, bytes)| (number, text.to_owned(), bytes));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_at_the_start_alone() {
        let texts = |input: &str, limit| {
            read(input, limit).into_iter().map(|(number, text, _)| (number, text)).collect()
        };
        let found: Vec<(u64, String)> = texts("\u{feff}12345678\n\u{feff}a", 8);
        assert_eq!(found, [(1, "12345678".to_owned()), (2, "\u{feff}a".to_owned())]);
        let found: Vec<(u64, String)> = texts("\u{feff}\n\u{feff}", 8);
        assert_eq!(found, [(2, "\u{feff}".to_owned())]);
        assert_eq!(read("\u{feff}", 8), []);
        // It takes nothing off what a line may have, nor adds to it.
        let lens: Vec<usize> = [1, 8, 9, 10, 11, 12, 13]
            .map(|len| format!("{}\n\u{feff}", "x".repeat(len)))
            .iter()
            .flat_map(|line| [line.clone(), format!("\u{feff}{line}")])
            .map(|input| read(&input, 8)[0].2)
            .collect();
        assert_eq!(lens, [1, 1, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13]);
    }

    #[test]
    fn blank_lines_are_counted() {
        let numbers: Vec<u64> = read("\n\r\na\n \t\nb\n\n", 8).iter().map(|line| line.0).collect();
        assert_eq!(numbers, [3, 5]);
    }

    #[test]
    fn a_line_that_is_blank_up_to_the_limit_is_too_long() {
        let found = read(&format!("{}\nx", " ".repeat(100)), 8);
        assert_eq!(found.iter().map(|line| line.2).collect::<Vec<_>>(), [100, 1]);
    }

    #[test]
    fn a_failing_input_names_the_line_it_broke_off_in() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let input = io::BufReader::new("{}\n{\"event".as_bytes().chain(Broken));
        let mut lines = LineReader::new(input);
        assert!(lines.next_line().unwrap().is_some());
        assert!(lines.next_line().is_err());
        assert_eq!(lines.number(), 2);
    }
}
