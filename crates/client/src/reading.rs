//! What is read of a store.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use spacefold::{
    EventId, Moment, Position, Snapshot, Timestamp,
    event::{EventFilter, EventQuery},
    projection::{
        ActivityCount, ActivityFilter, Occurrence, OpenProblem, ProblemDetail, ProblemFilter,
    },
    state::SpaceState,
};

use crate::{
    answers::{RemoteDiff, RemoteStore, SpaceListing, WrittenDiff, WrittenSpaces, WrittenStore},
    client::Client,
    client_error::ClientError,
    event_lines::{EventLine, RemoteEventPage, RemoteEvents, WrittenPage},
    exchange::{Ask, AskedServer, JSON, MAX_ANSWER_BYTES},
    request_json::selects_nothing,
    request_target::{RequestTarget, patterns_of},
};

/// The form of a state that is whole.
const STATE: &str = "application/vnd.spacefold.state";
/// The position that it is of.
const STATE_POSITION: &str = "spacefold-position";

/// Bytes of a state.
const MAX_STATE_BYTES: u64 = 1 << 30;

fn space(space_id: &str) -> RequestTarget {
    RequestTarget::path("/v1/spaces").id(space_id)
}

impl Client {
    /// Which store it is, and how far it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn store(&self) -> Result<RemoteStore, ClientError> {
        let written: WrittenStore = self.ask_json(Ask::get(RequestTarget::path("/v1"), JSON))?;
        Ok(written.into())
    }

    /// The store at a glance: the object of `/v1/info`, which later servers may add to.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Cost
    /// The server looks at every file.
    pub fn info(&self) -> Result<Value, ClientError> {
        self.ask_json(Ask::get(RequestTarget::path("/v1/info"), JSON))
    }

    /// The state of a space, now or as of a moment.
    ///
    /// # Errors
    /// [`ClientError`]; what [`snapshot_error`](crate::ServerProblem::snapshot_error) tells apart, and
    /// [`ClientError::Unexpected`] of a server that keeps states in another version.
    pub fn snapshot(&self, space_id: &str, at: Option<Moment>) -> Result<Snapshot, ClientError> {
        let answer = self.ask(Ask::get(space(space_id).at(at), STATE))?;
        let position = answer.number(STATE_POSITION);
        let asked = answer.asked.clone();
        let bytes = answer.whole(MAX_STATE_BYTES)?;
        let state = SpaceState::decode(bytes);
        let state = state.map_err(|error| asked.unexpected(error.to_string()))?;
        let position = position.ok_or_else(|| asked.unexpected("a state of no position"))?;
        if state.space_id() != space_id {
            return Err(asked.unexpected("the state of another space"));
        }
        Ok(Snapshot::new(state.into(), Position::new(position)))
    }

    /// The next spaces behind `after`, by their ids, now or as of a position, and where to go on; `None`
    /// where there are no more.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Examples
    /// ```no_run
    /// # fn named(client: &spacefold_client::Client) -> Result<Vec<String>, spacefold_client::ClientError> {
    /// let (mut ids, mut after) = (Vec::new(), None);
    /// loop {
    ///     let (spaces, next) = client.spaces_after(after.as_deref(), None)?;
    ///     ids.extend(spaces.into_iter().map(|space| space.space_id));
    ///     after = next;
    ///     if after.is_none() {
    ///         return Ok(ids);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn spaces_after(
        &self,
        after: Option<&str>,
        at: Option<Position>,
    ) -> Result<(Vec<SpaceListing>, Option<String>), ClientError> {
        let target = RequestTarget::path("/v1/spaces").at(at.map(Moment::Position));
        let ask = Ask::get(target.with_some("after", after), JSON);
        let (page, asked): (WrittenSpaces, _) = self.ask_json_noted(ask)?;
        // Else whoever reads on would do so for ever.
        if page.next.is_some() && page.next.as_deref() <= after {
            return Err(asked.unexpected("a page of spaces that leads back"));
        }
        Ok((page.spaces, page.next))
    }

    /// Whether the log has an event of a space.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn has_space(&self, space_id: &str) -> Result<bool, ClientError> {
        let target = RequestTarget::path("/v1/events").with("space", space_id).with("limit", 1);
        let mut after = Position::START;
        loop {
            let target = target.clone().with("after", after);
            let (page, asked) = self.page(target, Duration::ZERO)?;
            if !page.events.is_empty() {
                return Ok(true);
            }
            if page.next >= page.head {
                return Ok(false);
            }
            if page.next <= after {
                return Err(asked.unexpected("a page of events that leads back"));
            }
            after = page.next;
        }
    }

    /// What changed in a space from one moment to another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn diff(
        &self,
        space_id: &str,
        from: Moment,
        to: Moment,
    ) -> Result<RemoteDiff, ClientError> {
        let end = |moment| match moment {
            Moment::Position(position) => position.to_string(),
            Moment::Time(time) => time.to_string(),
            _ => String::new(),
        };
        let target = space(space_id).part("diff");
        let (mut ends, mut after, mut changes) = ((end(from), end(to)), 0, Vec::new());
        loop {
            let (from, to) = &ends;
            let target = target.clone().with("from", from).with("to", to).with("after", after);
            let (page, asked): (WrittenDiff, _) = self.ask_json_noted(Ask::get(target, JSON))?;
            changes.extend(page.changes);
            match page.next {
                // Of a time that is not over something may have been recorded since.
                Some(next) if next > after => {
                    ends = (page.from.to_string(), page.to.to_string());
                    after = next;
                }
                Some(_) => return Err(asked.unexpected("a page of changes that leads back")),
                None => {
                    let (from, to) = (Position::new(page.from), Position::new(page.to));
                    return Ok(RemoteDiff { from, to, changes });
                }
            }
        }
    }

    /// Which event gave each part of a space the value that it has, or had then: a
    /// [`Blame`](spacefold::state::Blame) as it is printed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn blame(&self, space_id: &str, at: Option<Moment>) -> Result<Value, ClientError> {
        self.ask_json(Ask::get(space(space_id).part("blame").at(at), JSON))
    }

    /// The position of the last event that was recorded at a time or before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn position_as_of(&self, time: Timestamp) -> Result<Position, ClientError> {
        #[derive(Deserialize)]
        struct WrittenPosition {
            position: u64,
        }
        let target = RequestTarget::path("/v1/position").with("as_of", time);
        let WrittenPosition { position } = self.ask_json(Ask::get(target, JSON))?;
        Ok(Position::new(position))
    }

    /// The events behind a position that pass a query, up to `to`, or to the durable head as it is now:
    /// one at a time, whatever there are.
    ///
    /// # Errors
    /// [`ClientError`] at the beginning; each item may be one too, and is then the last.
    ///
    /// # Examples
    /// ```no_run
    /// use spacefold::{Position, event::EventQuery};
    /// # fn read(client: &spacefold_client::Client) -> Result<(), spacefold_client::ClientError> {
    /// for line in client.events(EventQuery::all(), Position::START, None)? {
    ///     println!("{}", line?.text());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(
        &self,
        query: EventQuery,
        after: Position,
        to: Option<Position>,
    ) -> Result<RemoteEvents, ClientError> {
        RemoteEvents::after(self, query, after, to)
    }

    /// The newest events up to a position that pass a filter, at most `last` of them, in order; the server
    /// says how many it searches for together (`page_events` of its limits).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn newest_events(
        &self,
        filter: &EventFilter,
        to: Position,
        last: u64,
    ) -> Result<Vec<EventLine>, ClientError> {
        if selects_nothing(filter) || last == 0 {
            return Ok(Vec::new());
        }
        let target = RequestTarget::path("/v1/events").filter(filter);
        let mut after = None;
        let mut events = Vec::new();
        loop {
            let page = match after {
                None => target.clone().with("last", last),
                Some(after) => target.clone().with("after", after),
            };
            let page = page.with("to", to).with("limit", last);
            let (page, asked) = self.page(page, Duration::ZERO)?;
            events.extend(page.events);
            if page.next >= to.min(page.head) || events.len() as u64 >= last {
                return Ok(events);
            }
            if after.is_some_and(|after| page.next <= after) {
                return Err(asked.unexpected("a page of events that leads back"));
            }
            after = Some(page.next);
        }
    }

    /// A page of the events behind a position that pass a filter: once there is one, or `wait` is over.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn wait_for_events(
        &self,
        filter: &EventFilter,
        after: Position,
        wait: Duration,
    ) -> Result<RemoteEventPage, ClientError> {
        let target = RequestTarget::path("/v1/events").filter(filter).with("after", after);
        let target = match wait {
            Duration::ZERO => target,
            wait => target.with("wait", format_args!("{}ms", wait.as_millis())),
        };
        let (page, asked) = self.page(target, wait)?;
        if page.next < after {
            return Err(asked.unexpected("a page of events that leads back"));
        }
        Ok(page)
    }

    fn page(
        &self,
        target: RequestTarget,
        wait: Duration,
    ) -> Result<(RemoteEventPage, AskedServer), ClientError> {
        let mut ask = Ask::get(target, JSON);
        ask.wait = wait;
        let (page, asked): (WrittenPage, _) = self.ask_json_noted(ask)?;
        Ok((page.read(&asked)?, asked))
    }

    /// The event with an id; `None` where no event that may be seen has it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn find_event(&self, id: EventId) -> Result<Option<EventLine>, ClientError> {
        let target = RequestTarget::path("/v1/events").part(id);
        let answer = match self.ask(Ask::get(target, JSON)) {
            Err(ClientError::Problem(problem)) if problem.code() == "unknown_event" => {
                return Ok(None);
            }
            answer => answer?,
        };
        let asked = answer.asked.clone();
        let text = String::from_utf8(answer.whole(MAX_ANSWER_BYTES)?);
        let text = text.map_err(|_| asked.unexpected("an event that is not UTF-8"))?;
        EventLine::read(text, &asked).map(Some)
    }

    /// Where a content is and was, by its hash as events say it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn occurrences(&self, hash: &str) -> Result<Vec<Occurrence>, ClientError> {
        #[derive(Deserialize)]
        struct WrittenOccurrence {
            space_id: String,
            document_id: String,
            from: u64,
            until: Option<u64>,
        }
        let target = RequestTarget::path("/v1/occurrences").with("hash", hash);
        let written: Vec<WrittenOccurrence> = self.ask_json(Ask::get(target, JSON))?;
        let occurrences = written.into_iter().map(|it| Occurrence {
            space_id: it.space_id,
            document_id: it.document_id,
            from: Position::new(it.from),
            until: it.until.map(Position::new),
        });
        Ok(occurrences.collect())
    }

    /// How many events there were, by day, type and source.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn activity(&self, filter: &ActivityFilter) -> Result<Vec<ActivityCount>, ClientError> {
        #[derive(Deserialize)]
        struct WrittenCount {
            day: String,
            event_type: String,
            source: Option<String>,
            events: u64,
        }
        let mut target = RequestTarget::path("/v1/activity")
            .with_some("from", filter.from)
            .with_some("to", filter.to)
            .with_some("tag", filter.tag.as_ref());
        let ActivityFilter { types, .. } = filter;
        let patterns = patterns_of(&EventFilter::all().types(types.patterns()));
        for pattern in patterns {
            target = target.with("type", pattern);
        }
        let (written, asked): (Vec<WrittenCount>, _) =
            self.ask_json_noted(Ask::get(target, JSON))?;
        let counts = written.into_iter().map(|it| {
            let day = it.day.parse().map_err(|_| asked.unexpected("a day that is none"))?;
            let (type_name, source, events) = (it.event_type, it.source, it.events);
            Ok(ActivityCount { day, type_name, source, events })
        });
        counts.collect()
    }

    /// What is to be looked after.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open_problems(&self, filter: &ProblemFilter) -> Result<Vec<OpenProblem>, ClientError> {
        let target = RequestTarget::path("/v1/problems")
            .with_some("space", filter.space_id.as_ref())
            .with_some("kind", filter.kind.map(spacefold::projection::ProblemKind::name));
        let (written, asked): (Vec<WrittenOpenProblem>, _) =
            self.ask_json_noted(Ask::get(target, JSON))?;
        let problems = written.into_iter().map(WrittenOpenProblem::read);
        let problems = problems.collect::<Option<_>>();
        problems.ok_or_else(|| asked.unexpected("a problem of a kind that is not known here"))
    }
}

#[derive(Deserialize)]
struct WrittenOpenProblem {
    space_id: String,
    kind: String,
    document_id: Option<String>,
    since: u64,
    since_time: String,
    reported: u64,
    source: Option<String>,
    error: Option<String>,
    local_hash: Option<String>,
    remote_hash: Option<String>,
    reason: Option<String>,
    direction: Option<String>,
}

impl WrittenOpenProblem {
    fn read(self) -> Option<OpenProblem> {
        let Self { error, local_hash, remote_hash, reason, direction, .. } = self;
        let detail = match self.kind.as_str() {
            "failed_render" => ProblemDetail::FailedRender { error },
            "sync_conflict" => ProblemDetail::SyncConflict { local_hash, remote_hash },
            "stale_document" => ProblemDetail::StaleDocument { reason },
            "running_render" => ProblemDetail::RunningRender,
            "running_sync" => ProblemDetail::RunningSync { direction },
            _ => return None,
        };
        Some(OpenProblem {
            space_id: self.space_id,
            document_id: self.document_id,
            since: Position::new(self.since),
            since_time: self.since_time.parse().ok()?,
            reported: Position::new(self.reported),
            source: self.source,
            detail,
        })
    }
}
