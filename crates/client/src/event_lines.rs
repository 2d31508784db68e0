//! Events as lines of JSON, one at a time.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    thread,
    time::Instant,
};

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use spacefold::{
    Position, Revision,
    event::{EventQuery, JsonReader, MAX_JSON_LINE_BYTES, RecordedEvent},
};

use crate::{
    client::Client,
    client_error::ClientError,
    exchange::{Ask, AskedServer, FIRST_PAUSE, LINES, QUERY},
    request_json::filters_json,
    request_target::RequestTarget,
};

/// Bytes that are read together.
const BUFFER_BYTES: usize = 64 << 10;

/// An event in the interchange form, as a server gave it.
#[derive(Clone)]
pub struct EventLine {
    text: String,
    position: Position,
    revision: Revision,
    asked: AskedServer,
}

/// What is looked at of a line.
#[derive(Deserialize)]
struct WrittenPlace {
    position: u64,
    revision: u64,
}

impl EventLine {
    pub(crate) fn read(text: String, asked: &AskedServer) -> Result<Self, ClientError> {
        let written: WrittenPlace = serde_json::from_str(&text)
            .map_err(|error| asked.unexpected(format!("a line that is no event: {error}")))?;
        let (position, revision) =
            (Position::new(written.position), Revision::new(written.revision));
        Ok(Self { text, position, revision, asked: asked.clone() })
    }

    /// Where the event is.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The event as the server wrote it: one JSON object, without a line break.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The event.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`] where it is none that this version knows.
    pub fn event(&self) -> Result<RecordedEvent, ClientError> {
        let read = JsonReader::default().read(self.text.as_bytes());
        let read = read.map_err(|error| self.asked.unexpected(error.to_string()))?;
        let recorded_at = read.recorded_at;
        let recorded_at =
            recorded_at.ok_or_else(|| self.asked.unexpected("an event without recorded_at"))?;
        let Self { position, revision, .. } = *self;
        Ok(RecordedEvent { event: read.event, position, revision, recorded_at })
    }
}

impl fmt::Debug for EventLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLine")
            .field("position", &self.position)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

/// A page of events that something was waited for with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteEventPage {
    /// The events; none where nothing has come.
    pub events: Vec<EventLine>,
    /// Everything up to here was looked at.
    pub next: Position,
    /// The durable head.
    pub head: Position,
}

#[derive(Deserialize)]
pub(crate) struct WrittenPage {
    events: Vec<Box<RawValue>>,
    next: u64,
    head: u64,
}

impl WrittenPage {
    pub(crate) fn read(self, asked: &AskedServer) -> Result<RemoteEventPage, ClientError> {
        let lines = self.events.into_iter().map(|event| {
            let text: Box<str> = event.into();
            EventLine::read(text.into_string(), asked)
        });
        Ok(RemoteEventPage {
            events: lines.collect::<Result<_, _>>()?,
            next: Position::new(self.next),
            head: Position::new(self.head),
        })
    }
}

/// Events as they come, in order, each once: one is in memory at a time.
///
/// Where the connection is lost it goes on behind the last event, for as long as
/// [`ClientOptions::retry_for`](crate::ClientOptions::retry_for) says. The first error ends it.
pub struct RemoteEvents {
    client: Client,
    query: EventQuery,
    /// What comes next is behind it.
    after: Position,
    to: Option<Position>,
    open: Option<OpenLines>,
    /// Since when no event has come over a connection that was lost.
    lost_since: Option<Instant>,
    has_ended: bool,
}

struct OpenLines {
    reader: BufReader<Box<dyn Read + Send>>,
    asked: AskedServer,
}

impl RemoteEvents {
    pub(crate) fn after(
        client: &Client,
        query: EventQuery,
        after: Position,
        to: Option<Position>,
    ) -> Result<Self, ClientError> {
        let (open, lost_since, has_ended) = (None, None, false);
        let client = client.clone();
        let mut lines = Self { client, query, after, to, open, lost_since, has_ended };
        lines.open()?;
        Ok(lines)
    }

    fn open(&mut self) -> Result<(), ClientError> {
        let Some(filters) = filters_json(&self.query) else {
            self.has_ended = true;
            return Ok(());
        };
        let mut body = json!({ "filters": filters, "after": self.after });
        if let (Some(to), Some(body)) = (self.to, body.as_object_mut()) {
            body.insert("to".to_owned(), json!(to));
        }
        let body = body.to_string();
        let ask = Ask::post(RequestTarget::path(QUERY), LINES, &body).repeatable(true);
        let (reader, asked) = self.client.ask(ask)?.into_reader();
        let reader: Box<dyn Read + Send> = Box::new(reader);
        self.open =
            Some(OpenLines { reader: BufReader::with_capacity(BUFFER_BYTES, reader), asked });
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<EventLine>, ClientError> {
        loop {
            if self.open.is_none() {
                self.open()?;
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            match open.next_line() {
                Ok(None) => return Ok(None),
                Ok(Some(line)) => {
                    if line.position <= self.after || self.to.is_some_and(|to| line.position > to) {
                        let position = line.position;
                        let what = format!("an event at {position}, which was not asked for");
                        return Err(open.asked.unexpected(what));
                    }
                    self.after = line.position;
                    self.lost_since = None;
                    return Ok(Some(line));
                }
                Err(error) => {
                    let since = *self.lost_since.get_or_insert_with(Instant::now);
                    if !error.is_passing() || since.elapsed() >= self.client.options.retry_for {
                        return Err(error);
                    }
                    self.open = None;
                    thread::sleep(FIRST_PAUSE);
                }
            }
        }
    }
}

impl OpenLines {
    fn next_line(&mut self) -> Result<Option<EventLine>, ClientError> {
        let mut line = Vec::new();
        let most = MAX_JSON_LINE_BYTES as u64 + 1;
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut line);
        read.map_err(|error| self.asked.failed_io(error))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(self.asked.unexpected("a line that is too long, or has no end"));
        }
        let text = String::from_utf8(line)
            .map_err(|_| self.asked.unexpected("a line that is not UTF-8"))?;
        EventLine::read(text, &self.asked).map(Some)
    }
}

impl Iterator for RemoteEvents {
    type Item = Result<EventLine, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.next_line();
        self.has_ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl fmt::Debug for RemoteEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEvents")
            .field("query", &self.query)
            .field("after", &self.after)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
