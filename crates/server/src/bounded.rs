//! Lists and maps of JSON that keep no more than they may have.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// What is written as an object: a list of its values, which serde takes for one too, is refused.
#[derive(Default)]
pub(crate) struct ObjectOf<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersOf<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersOf<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(MembersOf::<T>(PhantomData)).map(Self)
    }
}

/// A list of which at most one element more than `MAX` is kept, so that one too many shows.
pub(crate) struct Bounded<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut kept = Vec::new();
                while kept.len() <= MAX {
                    match list.next_element()? {
                        Some(element) => kept.push(element),
                        None => return Ok(kept),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(kept)
            }
        }
        deserializer.deserialize_seq(Elements::<T, MAX>(PhantomData)).map(Self)
    }
}

/// A list of at most `MAX` elements, or one element alone.
pub(crate) struct OneOrMore<const MAX: usize>(pub(crate) Vec<String>);

impl<const MAX: usize> Default for OneOrMore<MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for OneOrMore<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for Texts<MAX> {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text, or a list of at most {MAX}")
            }

            fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
                Ok(vec![text.to_owned()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    if texts.len() == MAX {
                        return Err(A::Error::custom(format_args!("a list of more than {MAX}")));
                    }
                    texts.push(text);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_any(Texts::<MAX>).map(Self)
    }
}

/// The entries of an object, each as often as it is there, at most `MAX`.
pub(crate) struct Entries<T, const MAX: usize>(pub(crate) Vec<(String, T)>);

impl<T, const MAX: usize> Default for Entries<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Entries<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Pairs<T, MAX> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {MAX} entries")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if entries.len() == MAX {
                        let detail = format_args!("an object of more than {MAX} entries");
                        return Err(A::Error::custom(detail));
                    }
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Pairs::<T, MAX>(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_may_be_there() {
        let list: Bounded<u8, 2> = serde_json::from_str("[1, 2, 3, \"x\", [[]]]").unwrap();
        assert_eq!(list.0, [1, 2, 3]);
        assert!(serde_json::from_str::<Bounded<u8, 2>>("[1, 2, 3, x]").is_err());
        let texts = |json| serde_json::from_str::<OneOrMore<2>>(json).map(|texts| texts.0);
        assert_eq!(texts("\"a\"").unwrap(), ["a"]);
        assert_eq!(texts("[\"a\", \"b\"]").unwrap(), ["a", "b"]);
        assert!(texts("[\"a\", \"b\", \"c\"]").is_err() && texts("1").is_err());
        assert!(serde_json::from_str::<ObjectOf<u8>>("[1]").is_err());
        let entries = |json| serde_json::from_str::<Entries<u8, 2>>(json).map(|it| it.0.len());
        assert_eq!(entries("{\"a\": 1, \"a\": 2}").unwrap(), 2);
        assert!(entries("{\"a\": 1, \"b\": 2, \"c\": 3}").is_err());
    }
}
