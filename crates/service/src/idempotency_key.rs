//! Keys by which a repeated command is recognised.

use spacefold_event_core::{EventId, LogId};
use uuid::Uuid;

/// What the namespaces of logs are derived in.
const NAMESPACE: Uuid = Uuid::from_u128(0x7c9a_2d1e_5b0f_4c38_9e64_1f7a_d3b8_0c52);

/// What stands for one command or batch, chosen by the caller: while it is stored under its key, a
/// repetition emits nothing and answers as the first time.
///
/// The event ids are derived from the [id under which the log
/// began](spacefold_event_core::LogIdentity), the key and the index of the event: forks and restores of
/// a log recognise its keys, and the same key in another log gives no id that this one has. Keys are
/// recognised forever, as the ids of events are.
///
/// Other arguments under a used key are refused ([`Refusal::KeyReused`](crate::Refusal::KeyReused)):
/// extra keys are arguments; source, correlation id, tags and times are not. Of a batch that changed
/// something the events tell which commands it was of, so that one with further commands that would
/// have changed nothing then counts as the same.
///
/// ```
/// use spacefold::command::IdempotencyKey;
/// use spacefold::log::LogId;
/// let key = IdempotencyKey::new("request-17");
/// let (log, other) = (LogId::random(), LogId::random());
/// assert_eq!(key.event_id(log, 0), IdempotencyKey::new("request-17").event_id(log, 0));
/// assert_ne!(key.event_id(log, 0), key.event_id(log, 1));
/// assert_ne!(key.event_id(log, 0), key.event_id(other, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the event at `index`, from 0, of the command in a log: UUIDv5 of `KEY/INDEX`, in the
    /// namespace that is UUIDv5 of the 16 bytes of the log's id in
    /// `7c9a2d1e-5b0f-4c38-9e64-1f7ad3b80c52`.
    #[must_use]
    pub fn event_id(&self, log_id: LogId, index: usize) -> EventId {
        KeyInLog::new(self.clone(), log_id).event_id(index)
    }
}

/// A key, in the log that it is used in.
#[derive(Clone, Debug)]
pub(crate) struct KeyInLog {
    key: IdempotencyKey,
    namespace: Uuid,
}

impl KeyInLog {
    pub(crate) fn new(key: IdempotencyKey, log_id: LogId) -> Self {
        Self { key, namespace: Uuid::new_v5(&NAMESPACE, &log_id.to_bytes()) }
    }

    pub(crate) const fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// See [`IdempotencyKey::event_id`].
    pub(crate) fn event_id(&self, index: usize) -> EventId {
        let name = format!("{}/{index}", self.key.as_str());
        Uuid::new_v5(&self.namespace, name.as_bytes()).into()
    }
}

impl From<&str> for IdempotencyKey {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for IdempotencyKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}
