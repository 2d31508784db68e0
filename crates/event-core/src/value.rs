//! Free-form JSON: what a payload holds where the contract fixes no type.

mod wire;

use std::{fmt, ops::Deref};

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

/// A JSON object: its entries sorted by the bytes of their keys, each key once.
///
/// ```
/// use spacefold::{Object, Value};
/// let mut object = Object::new();
/// object.insert("b", Value::from(2));
/// object.insert("a", Value::from(1));
/// assert_eq!(object.get("a"), Some(&Value::from(1)));
/// assert_eq!(object.keys().collect::<Vec<_>>(), ["a", "b"]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Object<S = String> {
    entries: Vec<(S, Value<S>)>,
}

impl<S> Default for Object<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Object<S> {
    /// An object without entries; it allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in the order of their keys' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&S, &Value<S>)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

impl<S: AsRef<str>> Object<S> {
    /// The keys, in the order of their bytes.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_ref())
    }

    /// The value under `key`. Cost: a binary search.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<S>> {
        let index = self.find(key).ok()?;
        self.entries.get(index).map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| other.as_ref().cmp(key))
    }
}

impl Object {
    /// Puts `value` under `key` and gives back what was there.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> Option<Value> {
        let key = key.into();
        match self.find(&key) {
            Ok(index) => {
                self.entries.get_mut(index).map(|entry| std::mem::replace(&mut entry.1, value))
            }
            Err(index) => {
                self.entries.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes the entry under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.find(key).ok()?;
        Some(self.entries.remove(index).1)
    }

    /// Merges `changes` in: each of its top-level keys replaces the one here, null removes it.
    pub fn merge<S: AsRef<str>>(&mut self, changes: &Object<S>) {
        for (key, value) in &changes.entries {
            match value {
                Value::Null => {
                    self.remove(key.as_ref());
                }
                value => {
                    self.insert(key.as_ref(), value.to_owned_value());
                }
            }
        }
    }
}

impl Object {
    /// Puts every entry of `other` in, nulls too.
    pub(crate) fn insert_all<S: AsRef<str>>(&mut self, other: &Object<S>) {
        for (key, value) in &other.entries {
            self.insert(key.as_ref(), value.to_owned_value());
        }
    }
}

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

impl<S> Object<S> {
    /// The same object with every text replaced by what `text` makes of it, or its first error.
    ///
    /// The order of the entries is kept: `text` must keep the order and the identity of keys.
    pub(crate) fn try_map_text<'a, T, E>(
        &'a self,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Object<T>, E> {
        let mut entries = Vec::with_capacity(self.entries.len());
        for (key, value) in &self.entries {
            entries.push((text(key)?, value.try_map_text(text)?));
        }
        Ok(Object { entries })
    }
}

impl Deref for Finite {
    type Target = f64;

    fn deref(&self) -> &f64 {
        &self.0
    }
}

impl<S: fmt::Debug> fmt::Debug for Object<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<S: AsRef<str>> fmt::Display for Value<S> {
    /// Canonical JSON: no white space, object keys sorted by their bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = String::new();
        crate::json::write_value(&mut json, self);
        f.write_str(&json)
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let mut object = Self::new();
        for (key, value) in entries {
            object.insert(key, value);
        }
        object
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
