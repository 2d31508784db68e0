//! Events that were recorded at another time than they were to be.

use std::time::Duration;

use spacefold_event_core::{LogReader, Position, ReadError, ReadRequest, Receipt, Timestamp};

/// How long what was answered is waited for to become durable, where it was answered before.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Events of an append that the log recorded at another time than [`AppendRequest::recorded_at`] said: a
/// time never decreases along the log, and never lies ahead of the clock.
///
/// [`AppendRequest::recorded_at`]: spacefold_event_core::AppendRequest::recorded_at
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamped {
    /// How many.
    pub events: u64,
    /// The place of the first of them in the append, from 0.
    pub first: usize,
    /// When that was to be recorded.
    pub asked: Timestamp,
    /// When it was recorded.
    pub recorded: Timestamp,
}

impl Clamped {
    /// The events of an append, by its receipt, that were not recorded when they were `asked` to be;
    /// `None` when all were.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read, [`ReadError::NothingGiven`] when the events do not
    /// become durable within 10 s; they are stored all the same.
    ///
    /// # Cost
    /// One event is read; all of them where a time lies ahead of the clock.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Timestamp, admin::Clamped, log::{AppendRequest, LogWriter, MemoryLog}};
    /// let log = MemoryLog::new();
    /// let events = [SpaceEvent::space_activated("a"), SpaceEvent::space_archived("a")];
    /// let times: [Timestamp; 2] = ["2020-01-02".parse()?, "2020-01-01".parse()?];
    /// let receipt = log.append(&AppendRequest::new(&events).recorded_at(&times))?;
    /// let clamped = Clamped::of(&log, &receipt, &times)?.expect("the second is before the first");
    /// assert_eq!((clamped.events, clamped.first, clamped.recorded), (1, 1, times[0]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(
        log: &dyn LogReader,
        receipt: &Receipt,
        asked: &[Timestamp],
    ) -> Result<Option<Self>, ReadError> {
        if !receipt.is_durable() {
            let durable_head = log.wait_durable(receipt.last_position(), MAX_WAIT)?;
            if durable_head < receipt.last_position() {
                let (position, to) = (durable_head.next(), receipt.last_position());
                return Err(ReadError::NothingGiven { position, to });
            }
        }
        let mut clamped = None;
        let mut last = recorded_before(log, receipt.first_position())?;
        for (index, time) in asked.iter().enumerate() {
            last = last.max(*time);
            note(&mut clamped, index, *time, last);
        }
        if last == receipt.recorded_at() {
            return Ok(clamped);
        }
        // Some time lies ahead of the clock, and where that stood only the log knows.
        read_clamped(log, receipt, asked)
    }
}

/// When the event before a position was recorded.
fn recorded_before(log: &dyn LogReader, position: Position) -> Result<Timestamp, ReadError> {
    let page = log.page_at(position.previous())?;
    let event = page.as_ref().and_then(|page| page.envelopes().next());
    Ok(event.map_or(Timestamp::MIN, |event| event.recorded_at))
}

fn note(clamped: &mut Option<Clamped>, index: usize, asked: Timestamp, recorded: Timestamp) {
    if recorded != asked {
        let first = Clamped { events: 0, first: index, asked, recorded };
        clamped.get_or_insert(first).events += 1;
    }
}

fn read_clamped(
    log: &dyn LogReader,
    receipt: &Receipt,
    asked: &[Timestamp],
) -> Result<Option<Clamped>, ReadError> {
    let mut clamped = None;
    let mut asked = asked.iter().enumerate();
    for page in log.pages(ReadRequest::from(receipt.first_position()).to(receipt.last_position())) {
        let page = page?;
        for (event, (index, time)) in page.envelopes().zip(&mut asked) {
            note(&mut clamped, index, *time, event.recorded_at);
        }
    }
    Ok(clamped)
}
