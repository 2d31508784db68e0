//! A store that a server answers for.

use std::time::Duration;

use serde_json::value::RawValue;
use spacefold::{
    EventId, Moment, Position, Snapshot, Timestamp,
    content::{ContentHash, ContentReader},
    event::EventFilter,
    log::StorageErrorKind,
    projection::{ActivityCount, ActivityFilter, Occurrence, OpenProblem, ProblemFilter},
};
use spacefold_client::{Client, ClientError, RequestEffects, ServerProblem};

use super::{
    printed_info::PrintedInfo,
    read_door::{
        ContentFailure, DoorLines, FollowedLines, ReadDoor, Take, TakeFollowed, TakeLines,
    },
    space_row::SpaceRow,
};
use crate::{
    error::{CONTENT_DAMAGED, Failure, Status},
    interrupt,
};

/// How long the server waits for events before it is looked for Ctrl-C, and for who reads the output.
const WAIT: Duration = Duration::from_millis(500);

/// Newest events that are searched for together; servers search for 1,000 unless they are told otherwise.
const SEARCHED_EVENTS: u64 = 1_000;

/// A store, through a server.
#[derive(Clone, Debug)]
pub(crate) struct RemoteDoor {
    client: Client,
    name: &'static str,
}

impl RemoteDoor {
    /// The store whose server the user names.
    pub(crate) const fn by_url(client: Client) -> Self {
        Self { client, name: "url" }
    }

    /// The store whose socket is in its folder.
    pub(crate) const fn by_socket(client: Client) -> Self {
        Self { client, name: "socket" }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// What of the answers is told otherwise, where nothing else is known of it.
    pub(crate) fn failure(&self, error: ClientError) -> Failure {
        let place = self.client.endpoint();
        if let Some(problem) = error.problem() {
            return self.of_problem(problem);
        }
        let hint = match (&error, error.effects()) {
            (ClientError::Source(_), _) => "name what can be read",
            (ClientError::Unsayable { .. }, _) => "write keys and tokens in visible ASCII",
            (ClientError::Unreachable { .. }, _) => {
                "start the server with `spacefold serve`, or name another one"
            }
            (ClientError::Unexpected { .. }, RequestEffects::None) => {
                "name a server of spacefold, of the version of this program"
            }
            (_, RequestEffects::Unknown) => {
                "whether it was done is not known: look before you run it again"
            }
            (_, RequestEffects::None) => "run the command again",
        };
        Failure::new(Status::Failed, &error, place, hint)
    }

    fn of_problem(&self, problem: &ServerProblem) -> Failure {
        if let Some(error) = problem.snapshot_error() {
            return error.into();
        }
        if let Some(error) = problem.content_error() {
            return error.into();
        }
        let place = self.client.endpoint();
        if problem.code() == "content_damaged" {
            return Failure::new(Status::Damaged, problem.detail(), place, CONTENT_DAMAGED);
        }
        let verify = "`spacefold verify` says whether the store is damaged";
        let kind = problem.text("reason").and_then(StorageErrorKind::of_name);
        let advice = kind.and_then(StorageErrorKind::advice);
        let hint = match problem.code() {
            "unauthorized" | "right_missing" | "space_not_allowed" => {
                "name the file of a token that may with --token-file, or the token in SPACEFOLD_TOKEN"
            }
            "read_only" => "name a server that writes the store",
            "host_not_allowed" => "name the server as it knows itself",
            "outcome_unknown" => "whether it was done is not known: look before you run it again",
            _ if problem.is_retryable() => advice.unwrap_or("run the command again"),
            _ if problem.status() >= 500 => advice.unwrap_or(verify),
            _ => advice.unwrap_or("nothing was done: correct the command and run it again"),
        };
        Failure::new(Status::Failed, problem.detail(), place, hint)
    }

    fn of_state_at(&self, error: ClientError, at: Option<Position>) -> Failure {
        match (error.problem().and_then(ServerProblem::snapshot_error), at) {
            (Some(error), Some(at)) => Failure::of_state_at(error, at),
            _ => self.failure(error),
        }
    }
}

impl ReadDoor for RemoteDoor {
    fn durable_head(&self) -> Result<Position, Failure> {
        let store = self.client.store().map_err(|error| self.failure(error))?;
        Ok(store.durable_head)
    }

    fn has_space(&self, space_id: &str) -> Result<bool, Failure> {
        self.client.has_space(space_id).map_err(|error| self.failure(error))
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, Failure> {
        self.client.position_as_of(time).map_err(|error| self.failure(error))
    }

    fn snapshot(&self, space_id: &str, at: Option<Position>) -> Result<Snapshot, Failure> {
        let snapshot = self.client.snapshot(space_id, at.map(Moment::Position));
        snapshot.map_err(|error| self.of_state_at(error, at))
    }

    fn snapshots(
        &self,
        at: Option<Position>,
        take: &mut Take<'_, Snapshot>,
    ) -> Result<(), Failure> {
        self.spaces(at, &mut |space| take(self.snapshot(&space.space_id, at)?))
    }

    fn spaces(&self, at: Option<Position>, take: &mut Take<'_, SpaceRow>) -> Result<(), Failure> {
        let mut after: Option<String> = None;
        loop {
            let page = self.client.spaces_after(after.as_deref(), at);
            let (spaces, next) = page.map_err(|error| self.failure(error))?;
            for space in spaces {
                interrupt::check()?;
                take(space.into())?;
            }
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn diff(
        &self,
        space_id: &str,
        from: Position,
        to: Position,
    ) -> Result<Vec<Box<RawValue>>, Failure> {
        let diff = self.client.diff(space_id, Moment::Position(from), Moment::Position(to));
        Ok(diff.map_err(|error| self.failure(error))?.changes)
    }

    fn blame(&self, space_id: &str, at: Position) -> Result<serde_json::Value, Failure> {
        let blame = self.client.blame(space_id, Some(Moment::Position(at)));
        blame.map_err(|error| self.of_state_at(error, Some(at)))
    }

    fn events(
        &self,
        (from, to): (Position, Position),
        filter: &EventFilter,
        take: &mut TakeLines<'_>,
    ) -> Result<(), Failure> {
        if from > to {
            return Ok(());
        }
        let events = self.client.events(filter.into(), from.previous(), Some(to));
        let mut text = Vec::new();
        for line in events.map_err(|error| self.failure(error))? {
            interrupt::check()?;
            let line = line.map_err(|error| self.failure(error))?;
            text.clear();
            text.extend_from_slice(line.text().as_bytes());
            text.push(b'\n');
            take(DoorLines { text: &text, next: line.position().next() })?;
        }
        Ok(())
    }

    fn begin_of_newest(&self, filter: &EventFilter, wanted: u64) -> Result<Position, Failure> {
        let head = self.durable_head()?;
        if filter.is_all() || wanted == 0 {
            let before = head.since(Position::new(wanted));
            return Ok(Position::new(before).next());
        }
        let (mut to, mut missing) = (head, wanted);
        loop {
            interrupt::check()?;
            let searched = missing.min(SEARCHED_EVENTS);
            let found = self.client.newest_events(filter, to, searched);
            let found = found.map_err(|error| self.failure(error))?;
            let Some(first) = found.first() else { return Ok(Position::START.next()) };
            missing = missing.saturating_sub(found.len() as u64);
            if missing == 0 {
                return Ok(first.position());
            }
            to = first.position().previous();
        }
    }

    fn follow(
        &self,
        mut after: Position,
        filter: EventFilter,
        take: &mut TakeFollowed<'_>,
    ) -> Result<(), Failure> {
        let mut lines = Vec::new();
        loop {
            interrupt::check()?;
            let page = self.client.wait_for_events(&filter, after, WAIT);
            let page = page.map_err(|error| self.failure(error))?;
            after = after.max(page.next);
            lines.clear();
            for line in &page.events {
                lines.extend_from_slice(line.text().as_bytes());
                lines.push(b'\n');
            }
            match lines.is_empty() {
                true => take(FollowedLines::Quiet)?,
                false => take(FollowedLines::Lines(&lines))?,
            }
        }
    }

    fn find_event(&self, id: EventId) -> Result<Option<String>, Failure> {
        let found = self.client.find_event(id).map_err(|error| self.failure(error))?;
        Ok(found.map(|line| line.text().to_owned()))
    }

    fn occurrences(&self, hash: &str) -> Result<Vec<Occurrence>, Failure> {
        self.client.occurrences(hash).map_err(|error| self.failure(error))
    }

    fn activity(&self, filter: &ActivityFilter) -> Result<Vec<ActivityCount>, Failure> {
        self.client.activity(filter).map_err(|error| self.failure(error))
    }

    fn open_problems(&self, filter: &ProblemFilter) -> Result<Vec<OpenProblem>, Failure> {
        self.client.open_problems(filter).map_err(|error| self.failure(error))
    }

    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentFailure> {
        self.client.open_content(hash).map_err(|error| {
            match error.problem().and_then(ServerProblem::content_error) {
                Some(error) => ContentFailure::Content(error),
                None => ContentFailure::Other(self.failure(error)),
            }
        })
    }

    fn info(&self) -> Result<PrintedInfo, Failure> {
        let info = self.client.info().map_err(|error| self.failure(error))?;
        let read = serde_json::from_value::<PrintedInfo>(info);
        let info = read.map_err(|error| {
            let hint = "name a server of spacefold, of the version of this program";
            Failure::new(Status::Failed, error, self.client.endpoint(), hint)
        })?;
        Ok(info.through(self.name))
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
