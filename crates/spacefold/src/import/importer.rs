//! What is read, looked up and appended, in the order of the lines.

use std::{io::BufRead, mem};

use spacefold_event_core::{
    LogReader, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, PendingAppend, Position, ReadError, Receipt,
    SpaceEvent, Timestamp, bytes::to_u64,
};
use spacefold_store::EmbeddedLog;

use super::{
    BadLine, ClampedLine, ImportFailure, ImportHooks, ImportOptions, ImportReport, MissingIds,
    OnBadLine, RecordingTimes,
    blocks::BlockReader,
    clamped::Clamped,
    encoding::{
        BadBlockLine, BlockPart, Ended, LineEncoder, MAX_RUN_TEXT_BYTES, MadeUp, ReadBlock,
    },
    stored_events::{Clash, ClashOf, Known, find_known},
    window::{LineEvents, Window},
};

/// Events that are looked up among the stored ones together.
pub(super) const MAX_WINDOW_EVENTS: usize = 16_384;

/// Bytes of text that are held back to be looked up together.
const MAX_WINDOW_TEXT_BYTES: usize = 8 << 20;
/// The same, of what they were encoded to.
const MAX_WINDOW_ENCODED_BYTES: usize = 4 * MAX_APPEND_BYTES;

/// Imports what lines say.
pub(super) struct LineImporter<'a> {
    log: &'a EmbeddedLog,
    options: &'a ImportOptions,
    hooks: &'a mut dyn ImportHooks,
    report: ImportReport,
    /// Lines of the blocks that were dealt with.
    lines_before: u64,
    window: Window,
    /// Runs whose events are being made durable while the next window is read.
    in_flight: Vec<InFlight>,
}

struct InFlight {
    lines: Vec<u64>,
    /// When they are to be recorded, where the lines say that.
    times: Vec<Timestamp>,
    pending: PendingAppend,
}

impl<'a> LineImporter<'a> {
    pub(super) fn new(
        log: &'a EmbeddedLog,
        options: &'a ImportOptions,
        hooks: &'a mut dyn ImportHooks,
    ) -> Self {
        Self {
            log,
            options,
            hooks,
            report: ImportReport::default(),
            lines_before: 0,
            window: Window::default(),
            in_flight: Vec::new(),
        }
    }

    pub(super) const fn report(&self) -> &ImportReport {
        &self.report
    }

    pub(super) fn run(&mut self, input: BlockReader<impl BufRead>) -> Result<(), ImportFailure> {
        let encoder = LineEncoder { log: self.log, options: self.options };
        let ended = encoder.each_block(input, &mut |block| self.take(block))?;
        self.store_all()?;
        match ended {
            Ended::Input => Ok(()),
            Ended::Failed(source) => {
                Err(ImportFailure::Input { line: self.lines_before + 1, source })
            }
        }
    }

    /// Deals with what the lines of a block say.
    fn take(&mut self, block: ReadBlock) -> Result<(), ImportFailure> {
        let first = self.lines_before + 1;
        for part in block.parts {
            match part {
                BlockPart::Events(mut events, made_up) => {
                    events.lines.iter_mut().for_each(|line| *line += first);
                    self.take_events(events, made_up)?;
                }
                BlockPart::Bad(bad) => {
                    let text = block.text.get(bad.place.clone()).unwrap_or_default();
                    self.take_bad(BadBlockLine { line: first + bad.line, ..bad }, text)?;
                }
                BlockPart::Failed { lines, source } => {
                    self.store_all()?;
                    let line = first + lines.first().copied().unwrap_or_default();
                    return Err(ImportFailure::Append { line, source });
                }
            }
        }
        self.lines_before += block.lines;
        if self.hooks.progress(&self.report).is_break() {
            self.store_all()?;
            return Err(ImportFailure::Stopped);
        }
        Ok(())
    }

    fn take_events(&mut self, events: LineEvents, made_up: MadeUp) -> Result<(), ImportFailure> {
        self.report.read += to_u64(events.len());
        match self.options.ids {
            MissingIds::MakeUp => self.report.ids_made_up += made_up.ids,
            MissingIds::Derive => self.report.ids_derived += made_up.ids,
        }
        self.report.times_made_up += made_up.times;
        self.report.naive_times += made_up.naive_times;
        self.window.push(events);
        if self.window.len() >= MAX_WINDOW_EVENTS
            || self.window.text_bytes() >= MAX_WINDOW_TEXT_BYTES
            || self.window.encoded_bytes() >= MAX_WINDOW_ENCODED_BYTES
        {
            self.store_window()?;
        }
        Ok(())
    }

    fn take_bad(
        &mut self,
        BadBlockLine { line, reason, .. }: BadBlockLine,
        text: &[u8],
    ) -> Result<(), ImportFailure> {
        let bad = BadLine { number: line, reason: &reason, text };
        match self.hooks.bad_line(&bad) {
            Ok(OnBadLine::Reject) => {
                self.report.read += 1;
                self.report.rejected += 1;
                Ok(())
            }
            Ok(OnBadLine::Stop) => {
                self.store_all()?;
                Err(ImportFailure::BadLine { line, reason })
            }
            Err(source) => {
                self.store_all()?;
                Err(ImportFailure::Hook { line, source })
            }
        }
    }

    fn store_all(&mut self) -> Result<(), ImportFailure> {
        self.store_window()?;
        self.settle()
    }

    /// Looks the events of the window up and hands the new ones to the log.
    fn store_window(&mut self) -> Result<(), ImportFailure> {
        self.settle()?;
        let window = mem::take(&mut self.window);
        let Known { is_known, clash } = find_known(self.log, &window)?;
        let refused = clash.map(|clash| Ok::<_, ReadError>((clash, window.event(clash.place)?)));
        let refused = refused.transpose()?;
        let first_line = window.first_line();
        // Where an event is another one than that of its id or origin, those before it are stored.
        let read = window.len();
        let end = clash.map_or(read, |clash| clash.place);
        let known = is_known.iter().take(end).filter(|is_known| **is_known).count();
        self.report.already_present += to_u64(known);
        let is_new = |place: usize| place < end && is_known.get(place) == Some(&false);
        let kept = window.into_kept(|events| self.log.encoder(events), is_new);
        let mut run = LineEvents::default();
        for part in kept.map_err(|source| ImportFailure::Append { line: first_line, source })? {
            if run.len() + part.len() > MAX_APPEND_EVENTS
                || run.text_bytes + part.text_bytes > MAX_RUN_TEXT_BYTES
                || run.events.bytes() + part.events.bytes() > MAX_APPEND_BYTES
            {
                self.submit(mem::take(&mut run))?;
            }
            run.join(part);
        }
        self.submit(run)?;
        let Some((Clash { of, .. }, (event, line))) = refused else { return Ok(()) };
        self.settle()?;
        // Neither it nor what was read after it is dealt with.
        self.report.read -= to_u64(read - end);
        self.refuse(of, &event, line)
    }

    /// Ends at an event whose id or origin another event has.
    fn refuse(&self, of: ClashOf, event: &SpaceEvent, line: u64) -> Result<(), ImportFailure> {
        if let (ClashOf::Origin, Some(origin)) = (of, event.origin) {
            let found = self.log.find_origins(&[origin])?.into_iter().flatten().next();
            let position = found.unwrap_or(Position::START);
            return Err(ImportFailure::OriginReused { line, origin, position });
        }
        let id = event.event_id;
        let position = self.log.find_event(id)?.unwrap_or(Position::START);
        Err(ImportFailure::IdReused { line, id, position })
    }

    fn submit(&mut self, run: LineEvents) -> Result<(), ImportFailure> {
        let LineEvents { events, lines, times, .. } = run;
        let Some(line) = lines.first().copied() else {
            return Ok(());
        };
        let times = match self.options.times {
            RecordingTimes::FromInput => times,
            RecordingTimes::Now => Vec::new(),
        };
        let recorded_at = (!times.is_empty()).then(|| times.clone());
        let pending = self.log.submit_encoded(events, recorded_at);
        let pending = pending.map_err(|source| ImportFailure::Append { line, source })?;
        self.in_flight.push(InFlight { lines, times, pending });
        Ok(())
    }

    /// Waits until everything that the log was handed is durable, or refused.
    pub(super) fn settle(&mut self) -> Result<(), ImportFailure> {
        let mut outcome = Ok(());
        for InFlight { lines, times, pending } in mem::take(&mut self.in_flight) {
            match pending.wait() {
                Ok(receipt) => {
                    self.report.appended += receipt.count();
                    outcome = outcome.and(self.note_clamped(&receipt, &lines, &times));
                }
                Err(source) => {
                    let line = lines.first().copied().unwrap_or_default();
                    outcome = outcome.and(Err(ImportFailure::Append { line, source }));
                }
            }
        }
        outcome
    }

    /// Counts the events of an append that were recorded at another time than their lines say.
    fn note_clamped(
        &mut self,
        receipt: &Receipt,
        lines: &[u64],
        times: &[Timestamp],
    ) -> Result<(), ImportFailure> {
        if times.is_empty() {
            return Ok(());
        }
        if let Some(clamped) = Clamped::of(self.log, receipt, times)? {
            self.report.clamped += clamped.events;
            let line = lines.get(clamped.first).copied().unwrap_or_default();
            let Clamped { asked, recorded, .. } = clamped;
            self.report.first_clamped.get_or_insert(ClampedLine { line, asked, recorded });
        }
        Ok(())
    }
}
