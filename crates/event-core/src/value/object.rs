//! JSON objects.

use std::{fmt, mem, slice, sync::Arc};

use super::{
    Value,
    tree::{self, ObjectEntry, ObjectTree},
};

/// A JSON object: its entries sorted by the bytes of their keys, each key once.
///
/// A clone of one with many entries shares them, and what is changed in it afterwards is copied and
/// no more than that.
///
/// ```
/// use spacefold::{Value, event::Object};
/// let mut object = Object::new();
/// object.insert("b", Value::from(2));
/// object.insert("a", Value::from(1));
/// assert_eq!(object.get("a"), Some(&Value::from(1)));
/// assert_eq!(object.keys().collect::<Vec<_>>(), ["a", "b"]);
/// ```
#[derive(Clone)]
pub struct Object<S = String> {
    entries: ObjectEntries<S>,
}

#[derive(Clone)]
enum ObjectEntries<S> {
    /// However many there were when it was made; what is changed is not many.
    Listed(Vec<ObjectEntry<S>>),
    /// Many that have been changed. Behind a pointer, so that every value is as small as it can be.
    Shared(Arc<ObjectTree<S>>),
}

const _: () = assert!(size_of::<Object>() == size_of::<Vec<u8>>(), "events are moved about a lot");

/// An object that is changed while it has more entries shares them with its clones.
const MAX_LISTED: usize = 32;
/// So does one into which a text of more bytes is merged,
const MAX_COPIED_BYTES: usize = 256;
/// or a list of more values, or one that is nested.
const MAX_COPIED_VALUES: usize = 16;

impl<S> Default for Object<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Object<S> {
    /// An object without entries; it allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: ObjectEntries::Listed(Vec::new()) }
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.entries {
            ObjectEntries::Listed(entries) => entries.len(),
            ObjectEntries::Shared(tree) => tree.len(),
        }
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, in the order of their keys' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&S, &Value<S>)> {
        match &self.entries {
            ObjectEntries::Listed(entries) => ObjectIter::Listed(entries.iter()),
            ObjectEntries::Shared(tree) => ObjectIter::Shared(tree.iter()),
        }
    }

    /// Of entries that are sorted by key, each key once.
    pub(crate) const fn of_sorted(entries: Vec<ObjectEntry<S>>) -> Self {
        Self { entries: ObjectEntries::Listed(entries) }
    }

    /// The same object with every text replaced by what `text` makes of it, or its first error.
    ///
    /// The order of the entries is kept: `text` must keep the order and the identity of keys.
    pub(crate) fn try_map_text<'a, T, E>(
        &'a self,
        text: &mut impl FnMut(&'a S) -> Result<T, E>,
    ) -> Result<Object<T>, E> {
        let mut entries = Vec::with_capacity(self.len());
        for (key, value) in self.iter() {
            entries.push((text(key)?, value.try_map_text(text)?));
        }
        Ok(Object::of_sorted(entries))
    }
}

impl<S: Clone> Object<S> {
    /// The entries, sorted by key. Cost: none, but where many have been changed.
    pub(crate) fn into_entries(self) -> Vec<ObjectEntry<S>> {
        match self.entries {
            ObjectEntries::Listed(entries) => entries,
            ObjectEntries::Shared(tree) => {
                tree.iter().map(|entry| (entry.0.clone(), entry.1.clone())).collect()
            }
        }
    }
}

impl<S: AsRef<str>> Object<S> {
    /// Of entries in any order: of several with one key the last one counts.
    pub(crate) fn of_entries(mut entries: Vec<ObjectEntry<S>>) -> Self {
        if !entries.is_sorted_by(|before, after| key_of(before) < key_of(after)) {
            entries.sort_by(|a, b| key_of(a).cmp(key_of(b)));
            entries.dedup_by(|later, earlier| {
                let is_again = key_of(later) == key_of(earlier);
                if is_again {
                    mem::swap(later, earlier);
                }
                is_again
            });
        }
        Self::of_sorted(entries)
    }

    /// The keys, in the order of their bytes.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.iter().map(|(key, _)| key.as_ref())
    }

    /// The value under `key`. Cost: a binary search.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<S>> {
        match &self.entries {
            ObjectEntries::Listed(entries) => {
                let at = place_of(entries, key).ok()?;
                entries.get(at).map(|(_, value)| value)
            }
            ObjectEntries::Shared(tree) => tree.get(key),
        }
    }
}

impl<S: AsRef<str>> Object<S> {
    /// The object with all of its text owned.
    pub(crate) fn to_owned_object(&self) -> Object {
        let owned =
            self.iter().map(|(key, value)| (key.as_ref().to_owned(), value.to_owned_value()));
        Object::of_sorted(owned.collect())
    }
}

impl Object {
    /// Puts `value` under `key` and gives back what was there.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> Option<Value> {
        let key = key.into();
        self.share_many();
        match &mut self.entries {
            ObjectEntries::Listed(entries) => match place_of(entries, &key) {
                Ok(at) => entries.get_mut(at).map(|entry| mem::replace(&mut entry.1, value)),
                Err(at) => {
                    #[cfg(test)]
                    tests::moved(entries.len() - at);
                    entries.insert(at, (key, value));
                    None
                }
            },
            ObjectEntries::Shared(tree) => {
                Arc::make_mut(tree).insert((key, value)).map(|old| Arc::unwrap_or_clone(old).1)
            }
        }
    }

    /// Takes the entry under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.share_many();
        let tree = match &mut self.entries {
            ObjectEntries::Listed(entries) => return take_entry(entries, key),
            ObjectEntries::Shared(tree) => Arc::make_mut(tree),
        };
        let removed = tree.remove(key)?;
        if tree.len() == 0 {
            *self = Self::new();
        }
        Some(Arc::unwrap_or_clone(removed).1)
    }

    /// Merges `changes` in: each of its top-level keys replaces the one here, null removes it.
    pub fn merge<S: AsRef<str>>(&mut self, changes: &Object<S>) {
        for (key, value) in changes.iter() {
            match value {
                Value::Null => {
                    self.remove(key.as_ref());
                }
                value => {
                    self.insert(key.as_ref(), value.to_owned_value());
                    if is_long(value) {
                        self.share();
                    }
                }
            }
        }
    }

    fn share_many(&mut self) {
        if matches!(&self.entries, ObjectEntries::Listed(entries) if entries.len() > MAX_LISTED) {
            self.share();
        }
    }

    fn share(&mut self) {
        if let ObjectEntries::Listed(entries) = &mut self.entries
            && let Some(tree) = ObjectTree::of(mem::take(entries))
        {
            self.entries = ObjectEntries::Shared(Arc::new(tree));
        }
    }
}

/// Takes the value under `key` out of sorted entries.
pub(crate) fn take_entry<S: AsRef<str>>(
    entries: &mut Vec<ObjectEntry<S>>,
    key: &str,
) -> Option<Value<S>> {
    let at = place_of(entries, key).ok()?;
    Some(entries.remove(at).1)
}

fn key_of<S: AsRef<str>>(entry: &ObjectEntry<S>) -> &str {
    entry.0.as_ref()
}

fn place_of<S: AsRef<str>>(entries: &[ObjectEntry<S>], key: &str) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.as_ref().cmp(key))
}

/// Whether a value is too long to be copied whenever a neighbour changes.
fn is_long<S: AsRef<str>>(value: &Value<S>) -> bool {
    match value {
        Value::String(text) => text.as_ref().len() > MAX_COPIED_BYTES,
        Value::BigInteger(digits) => digits.as_str().len() > MAX_COPIED_BYTES,
        Value::Array(values) => {
            let is_nested = |value: &Value<S>| matches!(value, Value::Array(_) | Value::Object(_));
            values.len() > MAX_COPIED_VALUES
                || values.iter().any(|value| is_nested(value) || is_long(value))
        }
        Value::Object(object) => !object.is_empty(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => false,
    }
}

enum ObjectIter<'a, S> {
    Listed(slice::Iter<'a, ObjectEntry<S>>),
    Shared(tree::TreeIter<'a, S>),
}

impl<'a, S> Iterator for ObjectIter<'a, S> {
    type Item = (&'a S, &'a Value<S>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Listed(entries) => entries.next().map(|(key, value)| (key, value)),
            Self::Shared(entries) => entries.next().map(|entry| (&entry.0, &entry.1)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Listed(entries) => entries.size_hint(),
            Self::Shared(entries) => entries.size_hint(),
        }
    }
}

impl<S> ExactSizeIterator for ObjectIter<'_, S> {}

impl<S: PartialEq> PartialEq for Object<S> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.entries, &other.entries) {
            (ObjectEntries::Listed(a), ObjectEntries::Listed(b)) => a == b,
            (ObjectEntries::Shared(a), ObjectEntries::Shared(b)) => a == b,
            _ => self.len() == other.len() && self.iter().eq(other.iter()),
        }
    }
}

impl<S: Eq> Eq for Object<S> {}

impl<S: fmt::Debug> fmt::Debug for Object<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Object {
    /// Of several entries with one key the last one counts.
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        Self::of_entries(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

#[cfg(test)]
mod tests;
