//! What commands that write ask of a store, whichever door leads to it.

use std::{
    error::Error,
    fs::File,
    io::{Read, Seek, Write},
};

use serde_json::value::RawValue;
use spacefold::{
    AppendCondition, Receipt, SpaceEvent, SpaceService, Spacefold,
    command::{Command, Outcome},
    content::{ContentHash, ContentStore as _, StoredContent},
    log::{AppendRequest, EmbeddedLog, StorageErrorKind},
};
use spacefold_client::{ClientError, CommandAnswer, CommandMarks, ServerProblem};

use super::remote_door::RemoteDoor;
use crate::{
    error::{Failure, Status},
    refused::refused,
};

/// Bytes that are copied together.
const PIECE_BYTES: usize = 64 << 10;

/// A store that is written, through the door that was found.
pub(crate) enum WriteDoor {
    Open(Spacefold),
    Remote(RemoteDoor),
}

/// An event that a command recorded.
pub(crate) struct DoneEvent {
    /// As it is printed.
    pub(crate) json: Box<RawValue>,
    pub(crate) type_name: String,
    pub(crate) position: u64,
    pub(crate) revision: u64,
}

/// What a command came to.
pub(crate) struct DoneCommand {
    pub(crate) events: Vec<DoneEvent>,
    pub(crate) is_unchanged: bool,
    pub(crate) is_repeated: bool,
}

/// Takes appends, one after the other, from a thread of its own.
pub(crate) enum LineAppender {
    Log(EmbeddedLog),
    Remote(RemoteDoor),
}

/// Gives the answer to an append, once it is there.
pub(crate) type AwaitedReceipt = Box<dyn FnOnce() -> Result<Receipt, LineRefusal> + Send>;

/// Why an append was not taken, and what to do about it where that is no fault of it.
pub(crate) struct LineRefusal {
    pub(crate) reason: String,
    pub(crate) advice: Option<&'static str>,
}

impl<E: Error + 'static> From<E> for LineRefusal {
    fn from(error: E) -> Self {
        let advice = StorageErrorKind::behind(&error).and_then(StorageErrorKind::advice);
        Self { reason: error.to_string(), advice }
    }
}

impl LineAppender {
    pub(crate) fn submit(
        &self,
        events: &[SpaceEvent],
        condition: AppendCondition,
    ) -> Result<AwaitedReceipt, LineRefusal> {
        match self {
            Self::Log(log) => {
                let pending = log.submit(&AppendRequest::new(events).on(condition))?;
                Ok(Box::new(move || Ok(pending.wait()?)))
            }
            Self::Remote(door) => {
                let received = door.client().append(events, &condition)?.receipt;
                Ok(Box::new(move || Ok(received)))
            }
        }
    }
}

impl WriteDoor {
    pub(crate) fn appender(&self) -> LineAppender {
        match self {
            Self::Open(spaces) => LineAppender::Log(spaces.log().clone()),
            Self::Remote(door) => LineAppender::Remote(door.clone()),
        }
    }

    /// Commands a space.
    pub(crate) fn execute(
        &self,
        space_id: &str,
        command: Command,
        marks: &CommandMarks,
    ) -> Result<DoneCommand, Failure> {
        match self {
            Self::Open(spaces) => {
                let service = service_of(marks, spaces.service());
                Ok(DoneCommand::of(&service.execute(space_id, command)?))
            }
            Self::Remote(door) => door.execute(space_id, &command, marks),
        }
    }

    /// Gives a document all that `content` gives.
    pub(crate) fn set_content(
        &self,
        space_id: &str,
        document_id: String,
        content: &mut dyn Read,
        marks: &CommandMarks,
    ) -> Result<DoneCommand, Failure> {
        match self {
            Self::Open(spaces) => {
                let service = service_of(marks, spaces.service());
                let outcome = service.set_content_from(space_id, document_id, content)?;
                Ok(DoneCommand::of(&outcome))
            }
            Self::Remote(door) => {
                let hash = door.put_content(content)?.hash.to_string();
                let command = Command::SetContentHash { document_id, hash };
                door.execute(space_id, &command, marks)
            }
        }
    }

    /// Stores content: it is durable when this is answered.
    pub(crate) fn put_content(&self, content: &mut dyn Read) -> Result<StoredContent, Failure> {
        match self {
            Self::Open(spaces) => {
                let stored = spaces.content().put(content)?;
                spaces.content().sync()?;
                Ok(stored)
            }
            Self::Remote(door) => door.put_content(content),
        }
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Open(spaces) => Ok(spaces.close()?),
            Self::Remote(_) => Ok(()),
        }
    }
}

impl DoneCommand {
    fn of(outcome: &Outcome) -> Self {
        let events = outcome.events().iter().map(|event| DoneEvent {
            json: serde_json::value::to_raw_value(event).expect("an event is valid JSON"),
            type_name: event.event.type_name().to_owned(),
            position: event.position.get(),
            revision: event.revision.get(),
        });
        Self {
            events: events.collect(),
            is_unchanged: outcome.is_unchanged(),
            is_repeated: outcome.is_repeated(),
        }
    }

    /// None where an event is none.
    fn answered(answer: CommandAnswer) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct DonePlace {
            event_type: String,
            position: u64,
            revision: u64,
        }
        let events = answer.events.into_iter().map(|json| {
            let DonePlace { event_type, position, revision } =
                serde_json::from_str(json.get()).ok()?;
            Some(DoneEvent { json, type_name: event_type, position, revision })
        });
        Some(Self {
            events: events.collect::<Option<_>>()?,
            is_unchanged: answer.is_unchanged,
            is_repeated: answer.is_replayed,
        })
    }
}

impl RemoteDoor {
    fn execute(
        &self,
        space_id: &str,
        command: &Command,
        marks: &CommandMarks,
    ) -> Result<DoneCommand, Failure> {
        let answer = self.client().execute(space_id, command, marks);
        let answer = answer.map_err(|error| self.refused(space_id, error))?;
        DoneCommand::answered(answer).ok_or_else(|| {
            let hint = "it was done; name a server of the version of this program";
            let what = "the server answered with an event that is none";
            Failure::new(Status::Failed, what, self.client().endpoint(), hint)
        })
    }

    fn refused(&self, space_id: &str, error: ClientError) -> Failure {
        let rule = error.problem().and_then(|problem| Some((problem, problem.text("rule")?)));
        match (rule, error.problem().map(ServerProblem::code)) {
            (Some((problem, rule)), _) => {
                let what = problem.text("refusal").unwrap_or_else(|| problem.detail());
                refused(space_id, what, rule)
            }
            (None, Some("unknown_space")) => Failure::unknown_space(space_id, "in the whole log"),
            _ => self.failure(error),
        }
    }

    /// Content goes by its hash, which is known at its end: until then it is in a temporary file.
    fn put_content(&self, content: &mut dyn Read) -> Result<StoredContent, Failure> {
        let spooling = |error: std::io::Error| {
            let hint = "make room for it, or set TMPDIR to another place";
            Failure::caused(&error, "keeping content in a temporary file", hint)
        };
        let mut file: File = tempfile::tempfile().map_err(spooling)?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut bytes = 0;
        loop {
            let read =
                content.read(&mut piece).map_err(spacefold::content::ContentError::Source)?;
            if read == 0 {
                break;
            }
            file.write_all(piece.get(..read).unwrap_or_default()).map_err(spooling)?;
            bytes += read as u64;
        }
        file.rewind().map_err(spooling)?;
        let hash = ContentHash::of_reader(&mut file).map_err(spooling)?;
        file.rewind().map_err(spooling)?;
        let put = self.client().put_content(&hash, &mut file, bytes);
        put.map_err(|error| self.failure(error))?;
        Ok(StoredContent { hash, bytes })
    }
}

/// The service as the marks say.
fn service_of(marks: &CommandMarks, service: &SpaceService) -> SpaceService {
    let mut service = service.with_tags(&marks.tags);
    if let Some(source) = &marks.source {
        service = service.with_source(source);
    }
    if let Some(correlation_id) = &marks.correlation_id {
        service = service.with_correlation_id(correlation_id);
    }
    for (key, value) in marks.extra.iter() {
        service = service.with_extra(key, value.clone());
    }
    if let Some(key) = &marks.key {
        service = service.with_key(key.as_str());
    }
    service
}
