//! Standard output: JSON for programs, as it is; lines and aligned tables for people, in which nothing
//! that others wrote moves the cursor. What people are told on standard error is in `error.rs`.

use std::io::{self, BufWriter, Stdout, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use spacefold::event::printable;

use crate::error::Failure;

const BUFFER_BYTES: usize = 64 << 10;
/// Rows of a table that are aligned with one another; those behind them are as wide or wider.
const MANY_ROWS: usize = 1_024;

/// Standard output, buffered; every write says whether someone still reads.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    /// Room for a line of JSON, kept between lines.
    json: Vec<u8>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, io::stdout()), json: Vec::new() }
    }

    /// Writes a line for people; it may stay in the buffer.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.out.write_all(printable(line).as_bytes());
        written.and_then(|()| self.out.write_all(b"\n")).map_err(|error| Failure::output(&error))
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| Failure::output(&error))
    }

    /// Writes what is JSON already as one line; it may stay in the buffer.
    pub(crate) fn text_of_json(&mut self, json: &str) -> Result<(), Failure> {
        self.bytes(json.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes a value as one line of JSON; it may stay in the buffer.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, value).expect("our own values are valid JSON");
        self.json.push(b'\n');
        self.out.write_all(&self.json).map_err(|error| Failure::output(&error))
    }

    /// Writes the rows of a table, columns aligned, when there are many: then as wide as those were.
    pub(crate) fn many_rows(&mut self, table: &mut CellTable) -> Result<(), Failure> {
        if table.rows.len() < MANY_ROWS {
            return Ok(());
        }
        table.widths = self.rows(table)?;
        table.head = None;
        table.rows.clear();
        Ok(())
    }

    /// Writes the rows of a table, columns aligned.
    pub(crate) fn table(&mut self, table: &CellTable) -> Result<(), Failure> {
        self.rows(table).map(drop)
    }

    /// Writes rows, and answers how wide their columns are.
    fn rows(&mut self, table: &CellTable) -> Result<Vec<usize>, Failure> {
        let rows = || table.head.iter().chain(&table.rows);
        let mut widths = table.widths.clone();
        for row in rows() {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        for row in rows() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let padding = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                match cell.align {
                    Align::Left => line.extend([cell.text.as_str(), &padding]),
                    Align::Right => line.extend([&padding, cell.text.as_str()]),
                }
            }
            self.line(line.trim_end())?;
        }
        Ok(widths)
    }

    /// Fails where nobody reads the output any more, without writing to it.
    pub(crate) fn check_reader(&self) -> Result<(), Failure> {
        let stdout = self.out.get_ref();
        let mut polled = [PollFd::new(stdout, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // What cannot be polled is found out by writing.
        let is_ready = poll(&mut polled, Some(&at_once)).unwrap_or(0) > 0;
        let is_gone = polled.iter().any(|it| it.revents().contains(PollFlags::ERR));
        if is_ready && is_gone { Err(Failure::ClosedPipe) } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::output(&error))
    }
}

/// Rows of cells.
#[derive(Debug, Default)]
pub(crate) struct CellTable {
    head: Option<Vec<Cell>>,
    rows: Vec<Vec<Cell>>,
    /// How wide the columns are at least.
    widths: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    align: Align,
}

#[derive(Clone, Copy, Debug)]
enum Align {
    Left,
    Right,
}

impl CellTable {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn head<const N: usize>(mut self, titles: [&str; N]) -> Self {
        self.head = Some(titles.into_iter().map(text).collect());
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }
}

/// A cell of text.
pub(crate) fn text(text: impl AsRef<str>) -> Cell {
    Cell { text: printable(text.as_ref()).into_owned(), align: Align::Left }
}

/// A cell with a number.
pub(crate) fn number(number: u64) -> Cell {
    Cell { text: grouped(number), align: Align::Right }
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the largest unit that leaves something before the point.
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 999, 1_000, 25_557, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "25,557", "1,234,567"]);
    }

    #[test]
    fn cells_move_no_cursor() {
        assert_eq!(text("a\u{1b}[2J\nb").text, "a\\u{1b}[2J\\nb");
    }
}
