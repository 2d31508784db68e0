//! Absent, null, or there: the three states of an optional payload key.

use bincode::{Encode, de::Decoder, enc::Encoder, error::EncodeError};

use crate::content_hash::ContentHash;
use crate::varint::{Malformed, decode_u8};

/// An optional payload key, which the interchange form tells apart when it is absent and when it
/// is null.
///
/// From an option, `None` is null, as the Python factories write it. There is one such conversion,
/// from `Option<String>`, so that a bare `None` says what it is the none of.
///
/// ```
/// use spacefold::event::Presence;
/// let kind: Presence = "cites".into();
/// assert_eq!(kind.as_deref(), Some("cites"));
/// assert_eq!(Presence::<String>::Null.as_deref(), None);
/// assert_ne!(Presence::<String>::Null, Presence::Absent);
/// assert_eq!(Presence::from(None), Presence::Null);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence<S = String> {
    /// The key is not there.
    #[default]
    Absent,
    /// The key is there, with null.
    Null,
    /// The key is there, with a value.
    Value(S),
}

impl<S> Presence<S> {
    /// The value, when there is one.
    #[must_use]
    pub const fn as_ref(&self) -> Option<&S> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The same presence of what `map` makes of the value, or its error.
    pub(crate) fn try_map<'a, T, E>(
        &'a self,
        map: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Presence<T>, E> {
        Ok(match self {
            Self::Absent => Presence::Absent,
            Self::Null => Presence::Null,
            Self::Value(value) => Presence::Value(map(value)?),
        })
    }
}

impl<S: AsRef<str>> Presence<S> {
    /// The text of the value, when there is one.
    #[must_use]
    pub fn as_deref(&self) -> Option<&str> {
        self.as_ref().map(AsRef::as_ref)
    }
}

impl From<&str> for Presence {
    fn from(text: &str) -> Self {
        Self::Value(text.to_owned())
    }
}

impl From<String> for Presence {
    fn from(text: String) -> Self {
        Self::Value(text)
    }
}

impl From<ContentHash> for Presence {
    fn from(hash: ContentHash) -> Self {
        Self::Value(hash.to_string())
    }
}

impl From<Option<String>> for Presence {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Value)
    }
}

const ABSENT: u8 = 0;
const NULL: u8 = 1;
const VALUE: u8 = 2;

impl<S> Presence<S> {
    /// Encodes the presence, and the value as `text` does.
    pub(crate) fn encode_with<'a, E: Encoder>(
        &'a self,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Absent => ABSENT.encode(encoder),
            Self::Null => NULL.encode(encoder),
            Self::Value(value) => {
                VALUE.encode(encoder)?;
                text(value, encoder)
            }
        }
    }

    /// Decodes a presence, and the value as `text` does.
    pub(crate) fn decode_with<D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Self, Malformed> {
        match decode_u8(decoder)? {
            ABSENT => Ok(Self::Absent),
            NULL => Ok(Self::Null),
            VALUE => Ok(Self::Value(text(decoder)?)),
            _ => Err(Malformed),
        }
    }
}
