//! Values as bytes: a tag, then what it announces; depth is checked before anything is entered.

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{Digits, Finite, StoredText, Value, object::Object};
use crate::{
    limits::MAX_JSON_DEPTH,
    varint::{Malformed, decode, decode_len, decode_u8},
};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const BIG_INTEGER: u8 = 4;
const FLOAT: u8 = 5;
const STRING: u8 = 6;
const ARRAY: u8 = 7;
const OBJECT: u8 = 8;

impl<S: Encode> Encode for Value<S> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.encode_with(encoder, &mut |text, encoder| text.encode(encoder))
    }
}

impl<C, S: StoredText + Decode<C>> Decode<C> for Value<S> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode_with(decoder, &mut decode)
            .map_err(|Malformed| DecodeError::Other("a JSON value that does not decode"))
    }
}

impl<S> Value<S> {
    /// Encodes the value, each of its texts as `text` does.
    pub(crate) fn encode_with<'a, E: Encoder>(
        &'a self,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Null => NULL.encode(encoder),
            Self::Bool(false) => FALSE.encode(encoder),
            Self::Bool(true) => TRUE.encode(encoder),
            Self::Integer(integer) => {
                INTEGER.encode(encoder)?;
                integer.encode(encoder)
            }
            Self::BigInteger(digits) => {
                BIG_INTEGER.encode(encoder)?;
                text(&digits.0, encoder)
            }
            Self::Float(float) => {
                FLOAT.encode(encoder)?;
                float.0.to_bits().to_le_bytes().encode(encoder)
            }
            Self::String(string) => {
                STRING.encode(encoder)?;
                text(string, encoder)
            }
            Self::Array(values) => {
                ARRAY.encode(encoder)?;
                values.len().encode(encoder)?;
                values.iter().try_for_each(|value| value.encode_with(encoder, text))
            }
            Self::Object(object) => {
                OBJECT.encode(encoder)?;
                object.encode_with(encoder, text)
            }
        }
    }

    /// Decodes a value, each of its texts as `text` does.
    pub(crate) fn decode_with<D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Self, Malformed>
    where
        S: StoredText,
    {
        decode_value(decoder, 0, text)
    }
}

impl<S> Object<S> {
    /// Encodes the object, each of its texts as `text` does.
    pub(crate) fn encode_with<'a, E: Encoder>(
        &'a self,
        encoder: &mut E,
        text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.len().encode(encoder)?;
        self.iter().try_for_each(|(key, value)| {
            text(key, encoder)?;
            value.encode_with(encoder, text)
        })
    }

    /// Decodes an object, each of its texts as `text` does.
    pub(crate) fn decode_with<D: Decoder>(
        decoder: &mut D,
        text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
    ) -> Result<Self, Malformed>
    where
        S: StoredText,
    {
        decode_object(decoder, 0, text)
    }
}

fn decode_value<S: StoredText, D: Decoder>(
    decoder: &mut D,
    above: usize,
    text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
) -> Result<Value<S>, Malformed> {
    Ok(match decode_u8(decoder)? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INTEGER => Value::Integer(decode(decoder)?),
        BIG_INTEGER => Value::BigInteger(Digits::decoded(text(decoder)?).ok_or(Malformed)?),
        FLOAT => {
            let float = f64::from_bits(u64::from_le_bytes(decode(decoder)?));
            Value::Float(Finite::new(float).ok_or(Malformed)?)
        }
        STRING => Value::String(text(decoder)?),
        ARRAY => {
            let inside = enter(above)?;
            let count = decode_len(decoder)?;
            // Every value takes a byte or more, so the input bounds the loop; the capacity grows
            // with what is really there, not with what the count claims.
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(decode_value(decoder, inside, text)?);
            }
            Value::Array(values)
        }
        OBJECT => Value::Object(decode_object(decoder, above, text)?),
        _ => return Err(Malformed),
    })
}

fn decode_object<S: StoredText, D: Decoder>(
    decoder: &mut D,
    above: usize,
    text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
) -> Result<Object<S>, Malformed> {
    let inside = enter(above)?;
    let count = decode_len(decoder)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push((text(decoder)?, decode_value(decoder, inside, text)?));
    }
    Ok(Object::of_sorted(entries))
}

fn enter(above: usize) -> Result<usize, Malformed> {
    // One level more than a value may have: the object of a payload's extra keys encloses them.
    if above > MAX_JSON_DEPTH {
        return Err(Malformed);
    }
    Ok(above + 1)
}
