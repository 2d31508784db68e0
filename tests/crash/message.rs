//! What a writer says: one line each, in one write, so that a kill leaves whole lines.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    str::FromStr,
};

use spacefold_event_core::{AppendError, Position};

use crate::workload::{AppendKey, Profile};

/// Bytes of a line: what a pipe takes in one piece (`PIPE_BUF`).
const MAX_LINE_BYTES: usize = 4_096;

/// Something that a writer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It is about to open the store.
    Opening,
    /// The store is open, with its head at this position.
    Open(Position),
    /// An append was acknowledged.
    Acknowledged(Acknowledged),
    /// An append failed.
    Failed(Failed),
    /// It is about to close the store.
    Closing,
    /// The store is closed.
    Closed,
    /// The store did not open, read or close.
    Broken(String),
}

/// An append that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which append.
    pub key: AppendKey,
    /// Where its events are.
    pub place: Place,
}

/// Where the events of an append are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The position of the first.
    pub first: Position,
    /// How many.
    pub count: u64,
}

/// An append that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which append.
    pub key: AppendKey,
    /// What is known of it.
    pub outcome: Outcome,
    /// The error in words.
    pub why: String,
}

/// What is known of an append that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is stored, or nothing.
    Unknown,
    /// Nothing: the log takes no appends until it is opened again.
    Refused,
    /// Nothing, for another reason.
    Nothing,
}

impl Outcome {
    /// What an error says of its append.
    #[must_use]
    pub const fn of(error: &AppendError) -> Self {
        match error {
            AppendError::OutcomeUnknown(_) => Self::Unknown,
            AppendError::Refused { .. } => Self::Refused,
            _ => Self::Nothing,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Nothing => "nothing",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key: &AppendKey| format!("{} {} {}", key.writer, key.n, key.profile.name());
        match self {
            Self::Opening => f.write_str("opening"),
            Self::Open(head) => write!(f, "open {head}"),
            Self::Acknowledged(Acknowledged { key: own, place: Place { first, count } }) => {
                write!(f, "acknowledged {} {first} {count}", key(own))
            }
            Self::Failed(Failed { key: own, outcome, why }) => {
                write!(f, "failed {} {} {why}", key(own), outcome.name())
            }
            Self::Closing => f.write_str("closing"),
            Self::Closed => f.write_str("closed"),
            Self::Broken(why) => write!(f, "broken {why}"),
        }
    }
}

/// A line that is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} is no message")]
pub struct NoMessage {
    line: String,
}

impl FromStr for Message {
    type Err = NoMessage;

    fn from_str(line: &str) -> Result<Self, NoMessage> {
        parse(line).ok_or_else(|| NoMessage { line: line.to_owned() })
    }
}

fn parse(line: &str) -> Option<Message> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut words = rest.splitn(5, ' ');
    let mut key = || {
        let writer = words.next()?.parse().ok()?;
        let n = words.next()?.parse().ok()?;
        let profile = Profile::from_name(words.next()?)?;
        Some(AppendKey { writer, n, profile })
    };
    Some(match kind {
        "opening" => Message::Opening,
        "open" => Message::Open(Position::new(rest.parse().ok()?)),
        "acknowledged" => {
            let key = key()?;
            let first = Position::new(words.next()?.parse().ok()?);
            let count = words.next()?.parse().ok()?;
            Message::Acknowledged(Acknowledged { key, place: Place { first, count } })
        }
        "failed" => {
            let key = key()?;
            let name = words.next()?;
            let outcomes = [Outcome::Unknown, Outcome::Refused, Outcome::Nothing];
            let outcome = outcomes.into_iter().find(|outcome| outcome.name() == name)?;
            let why = words.next().unwrap_or("").to_owned();
            Message::Failed(Failed { key, outcome, why })
        }
        "closing" => Message::Closing,
        "closed" => Message::Closed,
        "broken" => Message::Broken(rest.to_owned()),
        _ => return None,
    })
}

/// Where a writer says things.
#[derive(Debug)]
pub struct Messenger {
    to: File,
}

impl Messenger {
    /// Says them on the standard output.
    ///
    /// # Errors
    /// When it cannot be duplicated.
    pub fn stdout() -> io::Result<Self> {
        Ok(Self { to: File::from(io::stdout().as_fd().try_clone_to_owned()?) })
    }

    /// Says them at the end of a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { to: File::options().create(true).append(true).open(path)? })
    }

    /// Says something, in one write. Whoever cannot be told is gone, and so does this process go:
    /// nobody would know what it does.
    pub fn say(&self, message: &Message) {
        let mut line = message.to_string().replace('\n', " ");
        let end = line.floor_char_boundary(MAX_LINE_BYTES - 1);
        line.truncate(end);
        line.push('\n');
        if (&self.to).write_all(line.as_bytes()).is_err() {
            std::process::exit(3);
        }
    }
}

/// The messages in what a writer left, up to the last whole line.
///
/// # Errors
/// [`NoMessage`] for the first line that is none.
pub fn read_messages(text: &str) -> Result<Vec<Message>, NoMessage> {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text.get(..whole).unwrap_or("").lines().map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back() {
        let key = AppendKey { writer: 7, n: 9, profile: Profile::Mixed };
        let place = Place { first: Position::new(4), count: 12 };
        let why = "the disk is full; nothing was written".to_owned();
        let messages = [
            Message::Opening,
            Message::Open(Position::new(3)),
            Message::Acknowledged(Acknowledged { key, place }),
            Message::Failed(Failed { key, outcome: Outcome::Refused, why }),
            Message::Closing,
            Message::Closed,
            Message::Broken("it is damaged".to_owned()),
        ];
        let text: String = messages.iter().map(|message| format!("{message}\n")).collect();
        assert_eq!(read_messages(&text).unwrap(), messages);
        let cut = text.trim_end_matches("damaged\n");
        assert_eq!(read_messages(cut).unwrap(), messages[..6]);
        assert!("acknowledged 1 2".parse::<Message>().is_err());
    }
}
