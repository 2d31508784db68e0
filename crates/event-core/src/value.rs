//! Free-form JSON: what a payload holds where the contract fixes no type.

mod object;
mod tree;
mod wire;

use std::{fmt, ops::Deref};

pub use self::object::Object;
use crate::limits::{LimitExceeded, MAX_JSON_DEPTH};

/// A JSON value that keeps every integer and every finite float exactly.
///
/// Generic over its text: a `Value` owns it, a `Value<&str>` borrows it from the page of events
/// that it was read with. Two values are equal when they print the same JSON: `1` and `1.0` differ.
///
/// ```
/// use spacefold::{Object, Value};
/// let value = Value::from("draft");
/// assert_eq!(value.to_string(), r#""draft""#);
/// let object: Object = [("pages", Value::from(12)), ("open", Value::from(true))].into_iter().collect();
/// assert_eq!(Value::from(object).to_string(), r#"{"open":true,"pages":12}"#);
/// assert_eq!("[1, 1.0]".parse::<Value>()?.to_string(), "[1,1.0]");
/// # Ok::<(), spacefold::JsonError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<S = String> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Integer(i64),
    /// Any other integer, as the decimal digits JSON writes.
    BigInteger(Digits<S>),
    /// A finite float.
    Float(Finite),
    /// A string.
    String(S),
    /// An array.
    Array(Vec<Value<S>>),
    /// An object.
    Object(Object<S>),
}

/// The decimal digits of an integer beyond 64 bits with sign, led by `-` when it is negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digits<S = String>(S);

/// A text as it is decoded, or what stands for one.
pub(crate) trait StoredText {
    /// The text, unless this only stands for it.
    fn known(&self) -> Option<&str>;
}

impl StoredText for String {
    fn known(&self) -> Option<&str> {
        Some(self)
    }
}

impl StoredText for &str {
    fn known(&self) -> Option<&str> {
        Some(self)
    }
}

impl<S> Digits<S> {
    /// The digits that were stored; `None` when they are no JSON integer beyond `i64`, which only
    /// damage makes them. What only stands for a text is looked at when that is decoded.
    fn decoded(text: S) -> Option<Self>
    where
        S: StoredText,
    {
        text.known().is_none_or(is_beyond_i64).then_some(Self(text))
    }
}

/// Whether a text is an integer as JSON writes it, and does not fit `i64`.
fn is_beyond_i64(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_integer && !digits.starts_with('0') && text.parse::<i64>().is_err() && !digits.is_empty()
}

impl<S: AsRef<str>> Digits<S> {
    /// The digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }
}

impl Digits {
    /// The digits of the integer that `text` writes as JSON does, when it does not fit `i64`.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A float that is neither NaN nor infinite, so that it can be compared and printed as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Finite(f64);

impl Finite {
    /// The float, or `None` when it is NaN or infinite.
    #[must_use]
    pub const fn new(float: f64) -> Option<Self> {
        if float.is_finite() { Some(Self(float)) } else { None }
    }

    /// The bare float.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Finite {
    /// By bits: `0.0` and `-0.0` differ, as their JSON does.
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Finite {}

impl<S: AsRef<str>> Value<S> {
    /// The string, when the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_ref()),
            _ => None,
        }
    }

    /// The value with all of its text owned.
    #[must_use]
    pub fn to_owned_value(&self) -> Value {
        self.map_text(&mut |text: &S| text.as_ref().to_owned())
    }
}

impl<S> Value<S> {
    /// What JSON calls the type of this value.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::BigInteger(_) => "an integer",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The same value with every text replaced by what `text` makes of it.
    pub(crate) fn map_text<'a, T>(&'a self, text: &mut impl FnMut(&'a S) -> T) -> Value<T> {
        match self.try_map_text(&mut |s| Ok::<T, std::convert::Infallible>(text(s))) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The same value with every text replaced by what `text` makes of it, or its first error.
    pub(crate) fn try_map_text<'a, T, E>(
        &'a self,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Value<T>, E> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Integer(integer) => Value::Integer(*integer),
            Self::BigInteger(digits) => Value::BigInteger(Digits(text(&digits.0)?)),
            Self::Float(float) => Value::Float(*float),
            Self::String(string) => Value::String(text(string)?),
            Self::Array(values) => {
                let mut mapped = Vec::with_capacity(values.len());
                for value in values {
                    mapped.push(value.try_map_text(text)?);
                }
                Value::Array(mapped)
            }
            Self::Object(object) => Value::Object(object.try_map_text(text)?),
        })
    }

    /// Refuses a value that nests deeper than [`MAX_JSON_DEPTH`], where `above` levels enclose it.
    pub(crate) fn check_depth(&self, above: usize) -> Result<(), LimitExceeded> {
        let depth = above + 1;
        match self {
            Self::Array(_) | Self::Object(_) if depth > MAX_JSON_DEPTH => {
                Err(LimitExceeded::TooDeep { depth })
            }
            Self::Array(values) => values.iter().try_for_each(|value| value.check_depth(depth)),
            Self::Object(object) => {
                object.iter().try_for_each(|(_, value)| value.check_depth(depth))
            }
            _ => Ok(()),
        }
    }
}

impl Deref for Finite {
    type Target = f64;

    fn deref(&self) -> &f64 {
        &self.0
    }
}

impl<S: AsRef<str>> fmt::Display for Value<S> {
    /// Canonical JSON: no white space, object keys sorted by their bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl<S> From<bool> for Value<S> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<S> From<i64> for Value<S> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl<S> From<i32> for Value<S> {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl<S> From<u32> for Value<S> {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value)
            .map_or_else(|_| Self::BigInteger(Digits(value.to_string())), Self::Integer)
    }
}

impl<S> From<Finite> for Value<S> {
    fn from(value: Finite) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl<S> From<Vec<Value<S>>> for Value<S> {
    fn from(values: Vec<Value<S>>) -> Self {
        Self::Array(values)
    }
}

impl<S> From<Object<S>> for Value<S> {
    fn from(object: Object<S>) -> Self {
        Self::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_were_stored_are_an_integer_beyond_64_bits_or_nothing() {
        let beyond =
            ["9223372036854775808", "-9223372036854775809", "123456789012345678901234567890"];
        assert!(beyond.iter().all(|text| Digits::decoded(*text).is_some()));
        let others = [
            "",
            "-",
            "0",
            "1",
            "-9223372036854775808",
            "09223372036854775808",
            "null",
            "1e999",
            "--9",
        ];
        assert!(others.iter().all(|text| Digits::decoded(*text).is_none()));
        let inside = ["9223372036854775808x", "92233720368 54775808", "+9223372036854775808"];
        assert!(inside.iter().all(|text| Digits::decoded(*text).is_none()));
    }
}
