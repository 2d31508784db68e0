//! What is done to a store.

use spacefold::{AppendCondition, SpaceEvent, Value, command::Command, event::Object};

use crate::{
    answers::{CommandAnswer, RemoteReceipt, WrittenReceipt},
    client::Client,
    client_error::ClientError,
    exchange::{Ask, JSON},
    request_json::append_json,
    request_target::RequestTarget,
};

/// What is said beside a command: who does it, why, and under which key.
///
/// # Examples
/// ```
/// use spacefold_client::CommandMarks;
/// let mut marks = CommandMarks::default();
/// marks.source = Some("editor".to_owned());
/// marks.key = Some("import-17".to_owned());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandMarks {
    /// Who does it.
    pub source: Option<String>,
    /// What it belongs to.
    pub correlation_id: Option<String>,
    /// The tags of its events.
    pub tags: Vec<String>,
    /// Keys that are added to the payloads of its events.
    pub extra: Object,
    /// The idempotency key: repeated under it, the command is answered as the first time. It is then tried
    /// again by itself.
    pub key: Option<String>,
}

impl CommandMarks {
    fn add_to(&self, said: &mut Object) {
        let texts = [("source", &self.source), ("correlation_id", &self.correlation_id)];
        for (name, text) in texts {
            if let Some(text) = text {
                said.insert(name, text.as_str().into());
            }
        }
        if !self.tags.is_empty() {
            let tags: Vec<Value> = self.tags.iter().map(|tag| tag.as_str().into()).collect();
            said.insert("tags", tags.into());
        }
        if !self.extra.is_empty() {
            said.insert("extra", self.extra.clone().into());
        }
    }
}

impl Client {
    /// Appends events, all or none, where the condition holds; answered once they are durable. Tried again
    /// where the answer was lost: their ids tell what was stored.
    ///
    /// # Errors
    /// [`ClientError`]: a problem `condition_failed` has every part that failed, with what was found.
    pub fn append(
        &self,
        events: &[SpaceEvent],
        condition: &AppendCondition,
    ) -> Result<RemoteReceipt, ClientError> {
        let body = append_json(events, condition);
        let target = RequestTarget::path("/v1/append");
        // What was stored is answered before its condition is looked at.
        let ask = Ask::post(target, JSON, &body).repeatable(true);
        let (written, asked): (WrittenReceipt, _) = self.ask_json_noted(ask)?;
        written.read().ok_or_else(|| asked.unexpected("a receipt of no append"))
    }

    /// Commands a space: checked against its state, and recorded.
    ///
    /// # Errors
    /// [`ClientError`]: a problem `refused` has the `rule` and what was `found`. Without a key, nobody knows
    /// whether a command was done whose answer was lost.
    pub fn execute(
        &self,
        space_id: &str,
        command: &Command,
        marks: &CommandMarks,
    ) -> Result<CommandAnswer, ClientError> {
        let mut said = command.arguments();
        marks.add_to(&mut said);
        let body = Value::from(said).to_string();
        let target = RequestTarget::path("/v1/spaces").id(space_id).part(command.operation());
        let mut ask = Ask::post(target, JSON, &body).repeatable(marks.key.is_some());
        ask.key = marks.key.as_deref();
        self.ask_json(ask)
    }
}
