//! Reading and encoding lines, in as many threads as there are processors, in the order of the lines.

use std::{
    io::{self, BufRead},
    ops::Range,
    thread,
};

use spacefold_event_core::{
    AppendError, JsonError, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES,
    MAX_JSON_LINE_BYTES, Timestamp,
    append_rules::{EncodedLine, EventEncoder},
};
use spacefold_store::EmbeddedLog;

use super::{
    FutureTimes, ImportFailure, ImportOptions, MissingIds, RecordingTimes,
    blocks::{BLOCK_BYTES, BlockReader, LineBlock, lines_of},
    occurrences::Occurrences,
    window::LineEvents,
};
use crate::{in_turns::InTurns, lines::SHOWN_BYTES};

/// Bytes of text that are appended together. An event encodes to less than eight times its text, unless
/// longer keys were put into it.
pub(super) const MAX_RUN_TEXT_BYTES: usize = 2 << 20;

/// About how long a line is.
const LINE_BYTES: usize = 320;

/// What the lines of a block say.
#[derive(Default)]
pub(super) struct ReadBlock {
    pub(super) text: Vec<u8>,
    /// How many lines there are, blank ones too.
    pub(super) lines: u64,
    /// What they say, in order; numbers of lines count from the first one of the block, which is 0.
    pub(super) parts: Vec<BlockPart>,
}

/// What some lines of a block say.
pub(super) enum BlockPart {
    Events(LineEvents, MadeUp),
    Bad(BadBlockLine),
    /// They could not be encoded.
    Failed {
        lines: Vec<u64>,
        source: AppendError,
    },
}

/// A line that is no event.
pub(super) struct BadBlockLine {
    pub(super) line: u64,
    pub(super) reason: JsonError,
    /// Where it is in the text of the block.
    pub(super) place: Range<usize>,
}

/// How often lines did not say what was made up then.
#[derive(Clone, Copy, Default)]
pub(super) struct MadeUp {
    pub(super) ids: u64,
    pub(super) times: u64,
    pub(super) naive_times: u64,
}

/// Reads blocks of lines.
pub(super) struct LineEncoder<'a> {
    pub(super) log: &'a EmbeddedLog,
    pub(super) options: &'a ImportOptions,
}

/// Why there are no more blocks.
pub(super) enum Ended {
    /// The input has ended.
    Input,
    /// It cannot be read on.
    Failed(io::Error),
}

impl LineEncoder<'_> {
    /// Hands out what the lines of an input say, block by block, in their order.
    ///
    /// # Errors
    /// That of `take`, which gets no more then.
    pub(super) fn each_block(
        &self,
        mut input: BlockReader<impl BufRead>,
        take: &mut dyn FnMut(ReadBlock) -> Result<(), ImportFailure>,
    ) -> Result<Ended, ImportFailure> {
        let mut occurrences = Occurrences::default();
        thread::scope(|scope| {
            let read = |(block, now)| self.read(block, now, &mut Occurrences::default());
            let mut turns = match self.options.ids {
                MissingIds::MakeUp => InTurns::start(scope, "spacefold-import", read),
                // Which line is the first that says something is known once all before it were read.
                MissingIds::Derive => InTurns::alone(),
            };
            loop {
                let block = match input.next_block() {
                    Ok(Some(block)) => block,
                    ended => {
                        turns.take_down_to(0, &mut *take)?;
                        return Ok(ended.map_or_else(Ended::Failed, |_| Ended::Input));
                    }
                };
                // Of blocks with a long line, one at a time is in memory.
                let is_alone = block.bytes() > 2 * BLOCK_BYTES || input.is_slow();
                // Times that are made up rise along the input.
                if let Some((block, now)) = turns.hand_over((block, Timestamp::now())) {
                    take(self.read(block, now, &mut occurrences))?;
                }
                turns.take_down_to(if is_alone { 0 } else { turns.most() }, &mut *take)?;
            }
        })
    }

    fn read(&self, block: LineBlock, now: Timestamp, occurrences: &mut Occurrences) -> ReadBlock {
        let text = match block {
            LineBlock::Whole(text) => text,
            LineBlock::TooLong { beginning, bytes } => {
                let mut read = ReadBlock { lines: 1, ..ReadBlock::default() };
                read.note_bad(0, JsonError::TooLong { bytes }, 0..beginning.len());
                return ReadBlock { text: beginning, ..read };
            }
        };
        let mut read = ReadBlock::default();
        let mut part = OpenPart::new(self.log.encoder(text.len() / LINE_BYTES + 1));
        for place in lines_of(&text) {
            let line = text.get(place.clone()).unwrap_or_default();
            let number = read.lines;
            read.lines += 1;
            let bytes = line.len();
            if bytes > MAX_JSON_LINE_BYTES {
                let place = place.start..place.start + SHOWN_BYTES;
                part = self.close(part, &mut read, text.len() - place.end);
                read.note_bad(number, JsonError::TooLong { bytes }, place);
                continue;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            if part.is_full(bytes) {
                part = self.close(part, &mut read, text.len() - place.start);
            }
            match self.encode(line, now, &mut part.encoder, occurrences) {
                Ok(encoded) => part.note(number, bytes, &encoded),
                Err(reason) => {
                    part = self.close(part, &mut read, text.len() - place.end);
                    read.note_bad(number, reason, place);
                }
            }
        }
        self.close(part, &mut read, 0);
        ReadBlock { text, ..read }
    }

    /// Adds the events of a part, and begins the next one, of about this many bytes of text.
    fn close(&self, part: OpenPart, read: &mut ReadBlock, text_left: usize) -> OpenPart {
        if part.encoder.is_empty() {
            return part;
        }
        let OpenPart { encoder, mut events, made_up } = part;
        read.parts.push(match encoder.finish() {
            Ok(encoded) => {
                events.events = encoded;
                BlockPart::Events(events, made_up)
            }
            Err(source) => BlockPart::Failed { lines: events.lines, source },
        });
        OpenPart::new(self.log.encoder(text_left / LINE_BYTES))
    }

    fn encode(
        &self,
        line: &[u8],
        now: Timestamp,
        encoder: &mut EventEncoder,
        occurrences: &mut Occurrences,
    ) -> Result<EncodedLine, JsonError> {
        let reader = &self.options.reader;
        let check = |line: &EncodedLine| self.check_time(line, now);
        match self.options.ids {
            MissingIds::MakeUp => encoder.push_line(reader, line, now, check),
            MissingIds::Derive => encoder.push_settled(reader, line, |read, encoded| {
                check(encoded)?;
                if encoded.filled_in.event_id {
                    read.event.event_id = occurrences.id_of(read);
                }
                Ok(())
            }),
        }
    }

    fn check_time(&self, line: &EncodedLine, now: Timestamp) -> Result<(), JsonError> {
        if self.options.future == FutureTimes::Clamp || self.options.times == RecordingTimes::Now {
            return Ok(());
        }
        let (key, time) = match line.recorded_at {
            Some(time) => ("recorded_at", time),
            None => ("timestamp", line.timestamp),
        };
        if time > now {
            return Err(JsonError::InFuture { key, time, now });
        }
        Ok(())
    }
}

impl ReadBlock {
    fn note_bad(&mut self, line: u64, reason: JsonError, place: Range<usize>) {
        self.parts.push(BlockPart::Bad(BadBlockLine { line, reason, place }));
    }
}

/// Events that more are added to.
struct OpenPart {
    encoder: EventEncoder,
    events: LineEvents,
    made_up: MadeUp,
}

impl OpenPart {
    fn new(encoder: EventEncoder) -> Self {
        Self { encoder, events: LineEvents::default(), made_up: MadeUp::default() }
    }

    /// Whether a text of this length is too much for one append.
    fn is_full(&self, bytes: usize) -> bool {
        self.events.len() == MAX_APPEND_EVENTS
            || self.events.text_bytes + bytes > MAX_RUN_TEXT_BYTES
            || self.encoder.bytes() > MAX_APPEND_BYTES - MAX_EVENT_BYTES
    }

    fn note(&mut self, line: u64, bytes: usize, encoded: &EncodedLine) {
        self.events.lines.push(line);
        self.events.times.push(encoded.recorded_at.unwrap_or(encoded.timestamp));
        self.events.text_bytes += bytes;
        self.made_up.ids += u64::from(encoded.filled_in.event_id);
        self.made_up.times += u64::from(encoded.filled_in.timestamp);
        self.made_up.naive_times += u64::from(encoded.naive_times);
    }
}
