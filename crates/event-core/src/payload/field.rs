//! The kinds of payload fields: how each is taken from JSON, put back, checked and mapped.

use bincode::{Encode, de::Decoder, enc::Encoder, error::EncodeError};

use super::{PayloadError, presence::Presence};
use crate::{
    limits::{LimitExceeded, check_id, check_label},
    value::{Object, ObjectEntry, StoredText, Value, take_entry},
    varint::{Malformed, decode_len},
};

/// What stands under a key of a payload.
pub(crate) enum FieldValue<'a, S> {
    Null,
    Text(&'a S),
    Json(&'a Value<S>),
    Members(&'a Object<S>),
    Texts(&'a [S]),
}

impl<S: AsRef<str>> FieldValue<'_, S> {
    /// The value with all of its text owned.
    pub(super) fn to_owned_value(&self) -> Value {
        let owned = |text: &S| text.as_ref().to_owned();
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => Value::String(owned(text)),
            Self::Json(value) => value.to_owned_value(),
            Self::Members(members) => Value::Object(members.to_owned_object()),
            Self::Texts(texts) => {
                Value::Array(texts.iter().map(|text| Value::String(owned(text))).collect())
            }
        }
    }
}

/// One kind of payload field, over any text `S`.
pub(super) trait PayloadField {
    type Of<S>;

    /// Takes the field out of the entries of a payload.
    fn take<S: AsRef<str>>(
        entries: &mut Vec<ObjectEntry<S>>,
        key: &'static str,
    ) -> Result<Self::Of<S>, PayloadError>;

    /// The field as it stands under its key in JSON; nothing where the key is absent.
    fn value<S>(field: &Self::Of<S>) -> Option<FieldValue<'_, S>>;

    /// Checks the field against the limits of its kind.
    fn check<S: AsRef<str>>(field: &Self::Of<S>, key: &'static str) -> Result<(), LimitExceeded>;

    /// The field with every text replaced by what `text` makes of it, or its first error.
    fn map<'a, S: 'a, T, E>(
        field: &'a Self::Of<S>,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Self::Of<T>, E>;

    /// Encodes the field, each of its texts as `text` does.
    fn encode<'a, S: 'a, E: Encoder>(
        field: &'a Self::Of<S>,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError>;

    /// Decodes the field, each of its texts as `text` does.
    fn decode<S: StoredText, D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Self::Of<S>, Malformed>;
}

type TextCheck = fn(&'static str, &str) -> Result<(), LimitExceeded>;

fn unlimited(_: &'static str, _: &str) -> Result<(), LimitExceeded> {
    Ok(())
}

/// A kind that is a required text with a limit of its own.
macro_rules! required_text {
    ($(#[$doc:meta])* $kind:ident, $check:expr) => {
        $(#[$doc])*
        pub(super) struct $kind;

        impl PayloadField for $kind {
            type Of<S> = S;

            fn take<S: AsRef<str>>(
                entries: &mut Vec<ObjectEntry<S>>,
                key: &'static str,
            ) -> Result<S, PayloadError> {
                match take_entry(entries, key) {
                    Some(Value::String(text)) => Ok(text),
                    None | Some(Value::Null) => Err(PayloadError::MissingKey { key }),
                    Some(other) => Err(wrong_type(key, "a string", &other)),
                }
            }

            fn value<S>(field: &S) -> Option<FieldValue<'_, S>> {
                Some(FieldValue::Text(field))
            }

            fn check<S: AsRef<str>>(field: &S, key: &'static str) -> Result<(), LimitExceeded> {
                let check: TextCheck = $check;
                check(key, field.as_ref())
            }

            fn map<'a, S: 'a, T, E>(
                field: &'a S,
                text: &mut impl FnMut(&'a S) -> Result<T, E>,
            ) -> Result<T, E> {
                text(field)
            }

            fn encode<'a, S: 'a, E: Encoder>(
                field: &'a S,
                encoder: &mut E,
                text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
            ) -> Result<(), EncodeError> {
                text(field, encoder)
            }

            fn decode<S: StoredText, D: Decoder>(
                decoder: &mut D,
                text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
            ) -> Result<S, Malformed> {
                text(decoder)
            }
        }
    };
}

/// A kind that is an optional text with a limit of its own.
macro_rules! optional_text {
    ($(#[$doc:meta])* $kind:ident, $check:expr) => {
        $(#[$doc])*
        pub(super) struct $kind;

        impl PayloadField for $kind {
            type Of<S> = Presence<S>;

            fn take<S: AsRef<str>>(
                entries: &mut Vec<ObjectEntry<S>>,
                key: &'static str,
            ) -> Result<Presence<S>, PayloadError> {
                match take_entry(entries, key) {
                    None => Ok(Presence::Absent),
                    Some(Value::Null) => Ok(Presence::Null),
                    Some(Value::String(text)) => Ok(Presence::Value(text)),
                    Some(other) => Err(wrong_type(key, "a string or null", &other)),
                }
            }

            fn value<S>(field: &Presence<S>) -> Option<FieldValue<'_, S>> {
                match field {
                    Presence::Absent => None,
                    Presence::Null => Some(FieldValue::Null),
                    Presence::Value(text) => Some(FieldValue::Text(text)),
                }
            }

            fn check<S: AsRef<str>>(
                field: &Presence<S>,
                key: &'static str,
            ) -> Result<(), LimitExceeded> {
                let check: TextCheck = $check;
                field.as_deref().map_or(Ok(()), |text| check(key, text))
            }

            fn map<'a, S: 'a, T, E>(
                field: &'a Presence<S>,
                text: &mut impl FnMut(&'a S) -> Result<T, E>,
            ) -> Result<Presence<T>, E> {
                field.try_map(text)
            }

            fn encode<'a, S: 'a, E: Encoder>(
                field: &'a Presence<S>,
                encoder: &mut E,
                text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
            ) -> Result<(), EncodeError> {
                field.encode_with(encoder, text)
            }

            fn decode<S: StoredText, D: Decoder>(
                decoder: &mut D,
                text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
            ) -> Result<Presence<S>, Malformed> {
                Presence::decode_with(decoder, text)
            }
        }
    };
}

required_text!(
    /// Any text.
    Text,
    unlimited
);
required_text!(
    /// An id of a document or variable.
    Id,
    check_id
);
required_text!(
    /// An opaque hash.
    Label,
    check_label
);
optional_text!(
    /// Any text, or null, or absent.
    MaybeText,
    unlimited
);
optional_text!(
    /// An id of a document, or null, or absent.
    MaybeId,
    check_id
);
optional_text!(
    /// An opaque hash, or null, or absent.
    MaybeLabel,
    check_label
);

/// A JSON object.
pub(super) struct Members;

impl PayloadField for Members {
    type Of<S> = Object<S>;

    fn take<S: AsRef<str>>(
        entries: &mut Vec<ObjectEntry<S>>,
        key: &'static str,
    ) -> Result<Object<S>, PayloadError> {
        match take_entry(entries, key) {
            Some(Value::Object(members)) => Ok(members),
            None | Some(Value::Null) => Err(PayloadError::MissingKey { key }),
            Some(other) => Err(wrong_type(key, "an object", &other)),
        }
    }

    fn value<S>(field: &Object<S>) -> Option<FieldValue<'_, S>> {
        Some(FieldValue::Members(field))
    }

    fn check<S: AsRef<str>>(field: &Object<S>, _: &'static str) -> Result<(), LimitExceeded> {
        field.iter().try_for_each(|(_, value)| value.check_depth(1))
    }

    fn map<'a, S: 'a, T, E>(
        field: &'a Object<S>,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Object<T>, E> {
        field.try_map_text(text)
    }

    fn encode<'a, S: 'a, E: Encoder>(
        field: &'a Object<S>,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        field.encode_with(encoder, text)
    }

    fn decode<S: StoredText, D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Object<S>, Malformed> {
        Object::decode_with(decoder, text)
    }
}

/// Any JSON, null too.
pub(super) struct Json;

impl PayloadField for Json {
    type Of<S> = Value<S>;

    fn take<S: AsRef<str>>(
        entries: &mut Vec<ObjectEntry<S>>,
        key: &'static str,
    ) -> Result<Value<S>, PayloadError> {
        take_entry(entries, key).ok_or(PayloadError::MissingKey { key })
    }

    fn value<S>(field: &Value<S>) -> Option<FieldValue<'_, S>> {
        Some(FieldValue::Json(field))
    }

    fn check<S: AsRef<str>>(field: &Value<S>, _: &'static str) -> Result<(), LimitExceeded> {
        field.check_depth(0)
    }

    fn map<'a, S: 'a, T, E>(
        field: &'a Value<S>,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Value<T>, E> {
        field.try_map_text(text)
    }

    fn encode<'a, S: 'a, E: Encoder>(
        field: &'a Value<S>,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        field.encode_with(encoder, text)
    }

    fn decode<S: StoredText, D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Value<S>, Malformed> {
        Value::decode_with(decoder, text)
    }
}

/// A list of document ids.
pub(super) struct Ids;

impl PayloadField for Ids {
    type Of<S> = Vec<S>;

    fn take<S: AsRef<str>>(
        entries: &mut Vec<ObjectEntry<S>>,
        key: &'static str,
    ) -> Result<Vec<S>, PayloadError> {
        let values = match take_entry(entries, key) {
            Some(Value::Array(values)) => values,
            None | Some(Value::Null) => return Err(PayloadError::MissingKey { key }),
            Some(other) => return Err(wrong_type(key, "an array of strings", &other)),
        };
        let as_id = |value| match value {
            Value::String(id) => Ok(id),
            Value::Null => Err(PayloadError::WrongType {
                key,
                expected: "an array of strings",
                found: "an array that holds null",
            }),
            other => Err(wrong_type(key, "an array of strings", &other)),
        };
        values.into_iter().map(as_id).collect()
    }

    fn value<S>(field: &Vec<S>) -> Option<FieldValue<'_, S>> {
        Some(FieldValue::Texts(field))
    }

    fn check<S: AsRef<str>>(field: &Vec<S>, key: &'static str) -> Result<(), LimitExceeded> {
        field.iter().try_for_each(|id| check_id(key, id.as_ref()))
    }

    fn map<'a, S: 'a, T, E>(
        field: &'a Vec<S>,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        field.iter().map(text).collect()
    }

    fn encode<'a, S: 'a, E: Encoder>(
        field: &'a Vec<S>,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        field.len().encode(encoder)?;
        field.iter().try_for_each(|id| text(id, encoder))
    }

    fn decode<S: StoredText, D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Vec<S>, Malformed> {
        let count = decode_len(decoder)?;
        // Every id takes a byte or more, so the input bounds the loop; the capacity grows with
        // what is really there, not with what the count claims.
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(text(decoder)?);
        }
        Ok(ids)
    }
}

fn wrong_type<S>(key: &'static str, expected: &'static str, found: &Value<S>) -> PayloadError {
    PayloadError::WrongType { key, expected, found: found.type_name() }
}
