//! Names of event types: which are an application's own.

/// Bytes of the name of an application's event type, at the least.
pub const MIN_TYPE_NAME_BYTES: usize = 3;
/// Bytes of the name of an application's event type, at the most.
pub const MAX_TYPE_NAME_BYTES: usize = 200;

/// The one type under `spacefold.` that there is: what a command under an idempotency key records when
/// it changed nothing. Its payload: `operation` and `arguments_hash`.
pub const COMMAND_UNCHANGED: &str = "spacefold.command.unchanged";

/// First labels of names that no application's type may have, in upper or lower case, so that a core
/// name with a typo is never taken for one.
pub const RESERVED_LABELS: [&str; 8] =
    ["space", "document", "variable", "reference", "render", "sync", "cache", "spacefold"];

/// A name that no event type can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type {name:?}{reason}")]
pub struct UnknownEventType {
    name: String,
    reason: UnknownTypeReason,
}

/// Why a name is none of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownTypeReason {
    #[error("")]
    NotCore,
    #[error(": it is a core type, not one of an application's own")]
    Core,
    #[error("")]
    NoDot,
    /// Its first label is reserved, and it is none of the 21.
    #[error("")]
    Reserved,
    #[error(
        ": a name of an application's own has {MIN_TYPE_NAME_BYTES} to {MAX_TYPE_NAME_BYTES} bytes"
    )]
    Length,
    #[error(": a name has ASCII letters, digits, '_', '-', ':' and dots")]
    Character,
    #[error(": a label between dots is empty")]
    EmptyLabel,
    #[error(": what comes before '*' ends in a dot")]
    Begin,
}

impl UnknownEventType {
    /// The name, cut to 80 characters, and why it is none.
    pub(crate) fn new(name: &str, reason: UnknownTypeReason) -> Self {
        Self { name: name.chars().take(80).collect(), reason }
    }

    /// The name, cut to 80 characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Checks the name of an application's type.
pub(crate) fn check(name: &str) -> Result<(), UnknownEventType> {
    if name == COMMAND_UNCHANGED {
        return Ok(());
    }
    let refused = |reason| Err(UnknownEventType::new(name, reason));
    if !name.contains('.') {
        return refused(UnknownTypeReason::NoDot);
    }
    if is_reserved(name) {
        return refused(UnknownTypeReason::Reserved);
    }
    if !(MIN_TYPE_NAME_BYTES..=MAX_TYPE_NAME_BYTES).contains(&name.len()) {
        return refused(UnknownTypeReason::Length);
    }
    check_labels(name).or_else(refused)
}

/// Whether the first label of a name is reserved, in whatever case: a core name in capitals is a typo
/// too.
pub(crate) fn is_reserved(name: &str) -> bool {
    let is_first = |reserved: &&str| {
        name.split('.').next().is_some_and(|label| label.eq_ignore_ascii_case(reserved))
    };
    RESERVED_LABELS.iter().any(is_first)
}

/// Checks the characters and labels of a name, or of the begin of one.
pub(crate) fn check_labels(name: &str) -> Result<(), UnknownTypeReason> {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
    if !name.bytes().all(is_allowed) {
        return Err(UnknownTypeReason::Character);
    }
    if name.split('.').any(str::is_empty) {
        return Err(UnknownTypeReason::EmptyLabel);
    }
    Ok(())
}
