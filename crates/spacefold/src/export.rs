//! Exports: events as JSON lines, in as many threads as there are processors, in their order.

use std::thread;

use spacefold_event_core::{LogReader, Page, Position, ReadError, ReadRequest, bytes::to_u64};

use crate::{in_turns::InTurns, spaces_reader::SpacesReader};

/// Events that are printed together.
const PAGE_EVENTS: usize = 1_024;

/// Bytes from which on the lines of a page are handed out in pieces, each printed when the one before
/// was taken.
const MAX_PRINTED_BYTES: usize = 4 << 20;

/// About how long a line is.
const LINE_BYTES: usize = 512;

/// Events as lines of JSON: see [`SpacesReader::export`](crate::SpacesReader::export).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonLines<'a> {
    /// Whole lines, each of them an event as
    /// [`RecordedEventRef::to_json`](spacefold_event_core::RecordedEventRef::to_json) gives it, and a
    /// line break.
    pub text: &'a [u8],
    /// How many there are.
    pub events: u64,
    /// Everything before this position was handed out, or is not asked for.
    pub next: Position,
}

impl SpacesReader {
    /// Hands out the events of a read as lines of JSON, in order, many at a time, up to the durable head
    /// as it is now: what [`Spacefold::import`](crate::Spacefold::import) reads. How many
    /// events the read takes at a time counts for nothing.
    ///
    /// # Errors
    /// A [`ReadError`], after all lines before it; and what `take` answers, which gets no more then.
    ///
    /// # Cost
    /// Some 0.2 µs an event on one processor; from the second thousand of events on all processors
    /// are at work. Some 10 MiB of memory a processor.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Position, ReadError, SpaceEvent, Spacefold, log::ReadRequest};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// let mut text = Vec::new();
    /// spaces.export::<ReadError>(ReadRequest::from(Position::new(1)), &mut |lines| {
    ///     text.extend_from_slice(lines.text);
    ///     Ok(())
    /// })?;
    /// assert!(text.ends_with(b"\n") && text.starts_with(br#"{"event_id":""#));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn export<E: From<ReadError>>(
        &self,
        read: ReadRequest,
        take: &mut dyn FnMut(JsonLines<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        export(self.log(), read, take)
    }
}

fn export<E: From<ReadError>>(
    log: &dyn LogReader,
    read: ReadRequest,
    take: &mut dyn FnMut(JsonLines<'_>) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let mut turns = InTurns::alone();
        for (index, page) in log.pages(read.limit(PAGE_EVENTS)).enumerate() {
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    turns.take_down_to(0, |printed| hand_out(printed, take))?;
                    return Err(error.into());
                }
            };
            // What is little is printed before a thread has begun.
            if index == 1 {
                turns = InTurns::start(scope, "spacefold-export", PrintedPage::of);
            }
            // Of pages with large events, one at a time is in memory.
            let is_large = page.memory_bytes() > MAX_PRINTED_BYTES;
            if let Some(page) = turns.hand_over(page) {
                hand_out(PrintedPage::of(page), take)?;
            }
            let most = if is_large { 0 } else { turns.most() };
            turns.take_down_to(most, |printed| hand_out(printed, take))?;
        }
        turns.take_down_to(0, |printed| hand_out(printed, take))
    })
}

/// The lines of a page, or the first of them.
struct PrintedPage {
    page: Page,
    text: Vec<u8>,
    /// How many of its events are printed, with those of pieces before.
    printed: usize,
    next: Position,
    /// Why no more of them are.
    failure: Option<ReadError>,
}

impl PrintedPage {
    fn of(page: Page) -> Self {
        let text = Vec::with_capacity(page.len() * LINE_BYTES);
        let mut printed = Self { page, text, printed: 0, next: Position::START, failure: None };
        printed.go_on();
        printed
    }

    /// Prints the next piece in the place of the one before.
    fn go_on(&mut self) {
        self.text.clear();
        self.next = self.page.next();
        for envelope in self.page.envelopes().skip(self.printed) {
            if self.text.len() >= MAX_PRINTED_BYTES {
                self.next = envelope.position;
                return;
            }
            match envelope.decode() {
                Ok(event) => event.write_json(&mut self.text),
                Err(error) => {
                    self.failure = Some(error);
                    return;
                }
            }
            self.text.push(b'\n');
            self.printed += 1;
        }
    }
}

/// Hands out all lines of a page, the rest of which are printed here.
fn hand_out<E: From<ReadError>>(
    mut printed: PrintedPage,
    take: &mut dyn FnMut(JsonLines<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut before = 0;
    loop {
        let events = to_u64(printed.printed - before);
        before = printed.printed;
        take(JsonLines { text: &printed.text, events, next: printed.next })?;
        if let Some(error) = printed.failure {
            return Err(error.into());
        }
        if printed.printed >= printed.page.len() {
            return Ok(());
        }
        printed.go_on();
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{
        AppendRequest, LogWriter, MAX_APPEND_EVENTS, MemoryLog, SpaceEvent,
    };

    use super::*;

    fn exported(log: &MemoryLog, read: ReadRequest) -> (String, Vec<usize>) {
        let (mut text, mut pieces, mut events, mut last) =
            (Vec::new(), Vec::new(), 0, Position::START);
        export::<ReadError>(log, read, &mut |lines| {
            text.extend_from_slice(lines.text);
            pieces.push(lines.text.len());
            events += lines.events;
            assert!(lines.next >= last, "{} after {last}", lines.next);
            last = lines.next;
            Ok(())
        })
        .unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(to_u64(text.lines().count()), events);
        (text, pieces)
    }

    fn one_by_one(log: &MemoryLog, read: ReadRequest) -> String {
        let mut text = String::new();
        for page in log.pages(read) {
            page.unwrap().events().for_each(|event| text += &(event.unwrap().to_json() + "\n"));
        }
        text
    }

    #[test]
    fn many_events_come_in_their_order() {
        let log = MemoryLog::new();
        let mut number = 0;
        for _ in 0..5 {
            let events = std::iter::repeat_with(|| {
                number += 1;
                SpaceEvent::variable_set(format!("space-{}", number % 7), "n", number)
            });
            let events: Vec<_> = events.take(MAX_APPEND_EVENTS).collect();
            log.append(&AppendRequest::new(&events)).unwrap();
        }
        let all = ReadRequest::from(Position::new(1));
        let some = ReadRequest::from(Position::new(700)).to(Position::new(9_000));
        for read in [all, some] {
            let (text, pieces) = exported(&log, read.clone());
            assert_eq!(text, one_by_one(&log, read));
            assert!(pieces.len() > 5);
        }
    }

    #[test]
    fn large_events_come_in_bounded_pieces() {
        let log = MemoryLog::new();
        // Each takes six bytes where it is printed.
        let event = SpaceEvent::variable_set("a", "n", "\u{1}".repeat(900_000));
        for _ in 0..2 {
            let events: Vec<_> = (0..8)
                .map(|_| event.clone().with_event_id(spacefold_event_core::EventId::new()))
                .collect();
            log.append(&AppendRequest::new(&events)).unwrap();
        }
        let read = ReadRequest::from(Position::new(1));
        let (text, pieces) = exported(&log, read.clone());
        assert_eq!(text, one_by_one(&log, read));
        let line = text.lines().next().unwrap().len();
        assert!(pieces.iter().all(|piece| *piece < MAX_PRINTED_BYTES + line + 100), "{pieces:?}");
    }
}
