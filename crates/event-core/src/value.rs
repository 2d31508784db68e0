//! Free-form JSON: what a payload holds where the contract fixes no type.

mod object;
mod tree;
mod wire;

use std::{fmt, ops::Deref};

pub use self::object::Object;
pub(crate) use self::{object::take_entry, tree::ObjectEntry};
use crate::limits::{LimitExceeded, MAX_JSON_DEPTH};

/// A JSON value that keeps every integer and every finite float exactly.
///
/// Generic over its text: a `Value` owns it, a `Value<&str>` borrows it from the page of events
/// that it was read with. Two values are equal when they print the same JSON: `1` and `1.0` differ.
///
/// ```
/// use spacefold::{Value, event::Object};
/// let value = Value::from("draft");
/// assert_eq!(value.to_string(), r#""draft""#);
/// let object: Object = [("pages", Value::from(12)), ("open", Value::from(true))].into_iter().collect();
/// assert_eq!(Value::from(object).to_string(), r#"{"open":true,"pages":12}"#);
/// assert_eq!("[1, 1.0]".parse::<Value>()?.to_string(), "[1,1.0]");
///
/// let page: Value = r#"{"draft": false, "length": 12, "ratio": 0.5}"#.parse()?;
/// let page = page.as_object().unwrap();
/// assert_eq!(page.get("length").and_then(Value::as_i64), Some(12));
/// assert_eq!(page.get("draft").and_then(Value::as_bool), Some(false));
/// assert_eq!(page.get("ratio").and_then(Value::as_f64), Some(0.5));
/// assert_eq!(page.get("ratio").and_then(Value::as_i64), None);
/// # Ok::<(), spacefold::event::JsonError>(())
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

impl<S> Digits<S> {
    /// The digits of the integer that `text` writes as JSON does, when it does not fit `i64`.
    pub(crate) const fn new(text: S) -> Self {
        Self(text)
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

    /// The integer, when the value is one from 0 on that fits 64 bits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(integer) => u64::try_from(*integer).ok(),
            Self::BigInteger(digits) => digits.as_str().parse().ok(),
            _ => None,
        }
    }

    /// The number as a float: the nearest one to an integer that no float is. `None` for an integer
    /// beyond the largest float.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        let float = match self {
            Self::Float(float) => float.get(),
            // Floats have 53 bits for digits: the nearest one is what is asked for.
            #[expect(clippy::cast_precision_loss)]
            Self::Integer(integer) => *integer as f64,
            Self::BigInteger(digits) => digits.as_str().parse().ok()?,
            _ => return None,
        };
        float.is_finite().then_some(float)
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

    /// Whether the value is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, when the value is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The integer, when the value is one that fits 64 bits with sign. A float is none: `1.0` and
    /// `1` differ.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The values of the array, when the value is one.
    #[must_use]
    pub const fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values.as_slice()),
            _ => None,
        }
    }

    /// The object, when the value is one.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object<S>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
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

    fn read(text: &str) -> Value {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_is_taken_as_what_it_is_and_as_nothing_else() {
        let values = ["null", "true", "-3", "2.0", r#""x""#, "[1]", r#"{"a":1}"#].map(read);
        let each = |is: fn(&Value) -> bool| {
            values.iter().map(|value| char::from(b'0' + u8::from(is(value)))).collect::<String>()
        };
        assert_eq!(each(|value| value.is_null()), "1000000");
        assert_eq!(each(|value| value.as_bool() == Some(true)), "0100000");
        assert_eq!(each(|value| value.as_i64() == Some(-3)), "0010000");
        assert_eq!(each(|value| value.as_f64().is_some()), "0011000");
        assert_eq!(each(|value| value.as_str() == Some("x")), "0000100");
        assert_eq!(each(|value| value.as_array() == Some(&[Value::from(1)])), "0000010");
        let is_object = |value: &Value| value.as_object().is_some_and(|it| it.get("a").is_some());
        assert_eq!(each(is_object), "0000001");
        assert_eq!(each(|value| value.as_u64().is_some()), "0000000");
    }

    #[test]
    fn numbers_are_taken_as_far_as_they_fit() {
        let taken = |text: &str| (read(text).as_i64(), read(text).as_u64(), read(text).as_f64());
        assert_eq!(taken("7"), (Some(7), Some(7), Some(7.0)));
        assert_eq!(taken("-7"), (Some(-7), None, Some(-7.0)));
        assert_eq!(taken("7.0"), (None, None, Some(7.0)));
        let (low, high) = (i64::MIN.to_string(), i64::MAX.to_string());
        assert_eq!(taken(&low), (Some(i64::MIN), None, Some(-9_223_372_036_854_775_808.0)));
        let high_float = Some(9_223_372_036_854_775_808.0);
        assert_eq!(taken(&high), (Some(i64::MAX), Some(i64::MAX as u64), high_float));
        assert_eq!(taken("9223372036854775808"), (None, Some(1 << 63), high_float));
        let most = u64::MAX.to_string();
        assert_eq!(taken(&most), (None, Some(u64::MAX), Some(18_446_744_073_709_551_616.0)));
        assert_eq!(taken("18446744073709551616"), (None, None, Some(18_446_744_073_709_551_616.0)));
        assert_eq!(taken(&"9".repeat(400)), (None, None, None), "beyond every float");
        assert_eq!(taken("1e300"), (None, None, Some(1e300)));
    }

    #[test]
    fn a_borrowed_value_is_taken_as_an_owned_one() {
        let value: Value<&str> = Value::Array(vec![Value::String("x"), Value::from(3)]);
        let values = value.as_array().unwrap();
        assert_eq!((values[0].as_str(), values[1].as_u64()), (Some("x"), Some(3)));
    }

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
