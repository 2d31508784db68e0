//! The 21 core event types and what each carries: the contract, as one table; and what an application
//! has of its own.

pub(crate) mod field;
pub(crate) mod layout;
mod naming;
mod presence;

use std::iter;

use bincode::{de::Decoder, enc::Encoder, error::EncodeError};

use self::field::{
    FieldValue, Id, Ids, Json, Label, MaybeId, MaybeLabel, MaybeText, Members, PayloadField, Text,
};
pub use self::{naming::NamedDocuments, presence::Presence};
use crate::{
    limits::LimitExceeded,
    type_name::{self, UnknownEventType, UnknownTypeReason},
    value::{Object, StoredText, Value},
    varint::Malformed,
};

/// The code of events of an application's own. The next one, 23, is kept free for sealed payloads.
const APPLICATION_CODE: u8 = 22;

/// No type has more fields.
const MAX_FIELDS: usize = 3;

/// Makes the event types and their payloads from the table below.
macro_rules! payloads {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $code:literal, $name:literal {
            $( $(#[$field_doc:meta])* $field:ident : $kind:ident($type:ty), )*
        }
    )*) => {
        /// What kind of thing happened. The codes are frozen: they stand in every record, beside
        /// the version of the payload.
        ///
        /// ```
        /// use spacefold::EventType;
        /// assert_eq!(EventType::DocumentAdded.name(), "document.added");
        /// assert_eq!("document.added".parse(), Ok(EventType::DocumentAdded));
        /// assert!("document.eaten".parse::<EventType>().is_err());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum EventType {
            $( $(#[$doc])* $variant = $code, )*
            /// Something of the application's own, which its name tells.
            Application = APPLICATION_CODE,
        }

        impl EventType {
            /// The 21 core types, in the order of the contract: every one but
            /// [`EventType::Application`].
            pub const CORE: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            /// The name in the interchange form, such as `document.added`. Of
            /// [`EventType::Application`] it is `application`: each of its events has a name of
            /// its own, as [`Payload::type_name`] gives it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )*
                    Self::Application => "application",
                }
            }

            /// The core type of that name, if there is one.
            pub(crate) fn core(name: &str) -> Option<Self> {
                match name {
                    $( $name => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The type with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$variant), )*
                    APPLICATION_CODE => Some(Self::Application),
                    _ => None,
                }
            }
        }

        /// What an event carries, by its type.
        ///
        /// Generic over its text: a `Payload` owns it, a `Payload<&str>` borrows it from the page
        /// of events that it was read with. `extra` holds the keys that the contract does not
        /// name; they are kept and given back unchanged.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Payload<S = String> {
            $(
                $(#[$doc])*
                $variant {
                    $( $(#[$field_doc])* $field: $type, )*
                    /// The keys that the contract does not name.
                    extra: Object<S>,
                },
            )*
            /// Something of the application's own.
            Application {
                /// The name of its type, such as `com.example.comment.added`.
                name: S,
                /// All of its payload: the contract names no key.
                extra: Object<S>,
            },
        }

        impl<S> Payload<S> {
            /// The type of the event that carries this.
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self {
                    $( Self::$variant { .. } => EventType::$variant, )*
                    Self::Application { .. } => EventType::Application,
                }
            }

            /// The keys that the contract does not name.
            #[must_use]
            pub const fn extra(&self) -> &Object<S> {
                match self {
                    $( Self::$variant { extra, .. } => extra, )*
                    Self::Application { extra, .. } => extra,
                }
            }

            /// The same payload with every text replaced by what `text` makes of it, or its first
            /// error.
            pub(crate) fn try_map_text<'a, T, E>(
                &'a self,
                text: &mut impl FnMut(&'a S) -> Result<T, E>,
            ) -> Result<Payload<T>, E> {
                Ok(match self {
                    $(
                        Self::$variant { $($field,)* extra } => Payload::$variant {
                            $( $field: <$kind as PayloadField>::map($field, text)?, )*
                            extra: extra.try_map_text(text)?,
                        },
                    )*
                    Self::Application { name, extra } => Payload::Application {
                        name: text(name)?,
                        extra: extra.try_map_text(text)?,
                    },
                })
            }
        }

        impl Payload {
            pub(crate) fn extra_mut(&mut self) -> &mut Object {
                match self {
                    $( Self::$variant { extra, .. } => extra, )*
                    Self::Application { extra, .. } => extra,
                }
            }

            /// Whether the contract names `key` for events of this type.
            pub(crate) fn names(event_type: EventType, key: &str) -> bool {
                match event_type {
                    $( EventType::$variant => [$(stringify!($field)),*].contains(&key), )*
                    EventType::Application => false,
                }
            }
        }

        impl<S: AsRef<str>> Payload<S> {
            /// What stands under each key of the payload as a JSON object, sorted by key.
            pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, FieldValue<'_, S>)> {
                let mut named: [Option<(&str, FieldValue<'_, S>)>; MAX_FIELDS] = Default::default();
                match self {
                    $(
                        Self::$variant { $($field,)* .. } => {
                            let fields = [$(
                                <$kind as PayloadField>::value($field)
                                    .map(|field| (stringify!($field), field)),
                            )*];
                            for (place, field) in named.iter_mut().zip(fields) {
                                *place = field;
                            }
                        }
                    )*
                    Self::Application { .. } => {}
                }
                named.sort_unstable_by_key(|entry| entry.as_ref().map(|(key, _)| *key));
                let mut named = named.into_iter().flatten().peekable();
                let extra = self.extra().iter();
                let mut extra =
                    extra.map(|(key, value)| (key.as_ref(), FieldValue::Json(value))).peekable();
                iter::from_fn(move || match (extra.peek(), named.peek()) {
                    (Some((own, _)), Some((name, _))) if own > name => named.next(),
                    (None, Some(_)) => named.next(),
                    _ => extra.next(),
                })
            }

            /// Checks ids, labels and nesting against their limits.
            pub(crate) fn check_limits(&self) -> Result<(), LimitExceeded> {
                match self {
                    $(
                        Self::$variant { $($field,)* extra } => {
                            $( <$kind as PayloadField>::check($field, stringify!($field))?; )*
                            extra.iter().try_for_each(|(_, value)| value.check_depth(0))
                        }
                    )*
                    Self::Application { name, extra } => {
                        type_name::check(name.as_ref())?;
                        extra.iter().try_for_each(|(_, value)| value.check_depth(0))
                    }
                }
            }
        }

        impl<S> Payload<S> {
            /// The payload of an event of this type from the keys of its JSON object; what the
            /// contract does not name becomes `extra`. `name` is of an application's type.
            pub(crate) fn from_object(
                event_type: EventType,
                name: S,
                object: Object<S>,
            ) -> Result<Self, PayloadError>
            where
                S: AsRef<str> + Clone,
            {
                let mut entries = object.into_entries();
                Ok(match event_type {
                    $(
                        EventType::$variant => Self::$variant {
                            $( $field: <$kind as PayloadField>::take(&mut entries, stringify!($field))?, )*
                            extra: Object::of_sorted(entries),
                        },
                    )*
                    EventType::Application => {
                        Self::Application { name, extra: Object::of_sorted(entries) }
                    }
                })
            }

            /// Encodes the payload, each of its texts as `text` does.
            pub(crate) fn encode_with<'a, E: Encoder>(
                &'a self,
                encoder: &mut E,
                text: &mut impl FnMut(&'a S, &mut E) -> Result<(), EncodeError>,
            ) -> Result<(), EncodeError> {
                match self {
                    $(
                        Self::$variant { $($field,)* extra } => {
                            $( <$kind as PayloadField>::encode($field, encoder, text)?; )*
                            extra.encode_with(encoder, text)
                        }
                    )*
                    // The name is in the envelope, as the type is.
                    Self::Application { extra, .. } => extra.encode_with(encoder, text),
                }
            }

            /// Decodes the payload of an event whose envelope says this core type, each of its texts as
            /// `text` does.
            pub(crate) fn decode_as<D: Decoder>(
                event_type: EventType,
                decoder: &mut D,
                text: &mut impl FnMut(&mut D) -> Result<S, Malformed>,
            ) -> Result<Self, Malformed>
            where
                S: StoredText,
            {
                Ok(match event_type {
                    $(
                        EventType::$variant => Self::$variant {
                            $( $field: <$kind as PayloadField>::decode(decoder, text)?, )*
                            extra: Object::decode_with(decoder, text)?,
                        },
                    )*
                    EventType::Application => return Err(Malformed),
                })
            }
        }
    };
}

// # To add a core type
// 1. A row here, with the next free code: 22 is an application's own, 23 is kept free for sealed
//    payloads. The arms of `naming.rs` are what the compiler asks for next.
// 2. A new format version of the store (`FormatVersion` in `crates/store/src/head/format_version.rs`, and
//    what `Records::needs_version_2` tells): earlier programs refuse such a store by name.
// 3. `factory.rs`: its constructor.
// 4. What it does to the state: `crates/state/src/space_state/apply.rs`. The compiler does not ask for
//    it, since unknown payloads are passed over there. The versions of states and of the projections
//    that read it rise.
// 5. The command: `crates/service/src/command.rs` and `decide.rs`.
// 6. `docs/format.md`, the table of types; `tests/it/arbitrary.rs`, which has one of each, and the
//    Python module among the fixtures.
payloads! {
    /// The space came to be.
    SpaceCreated = 1, "space.created" {
        /// Its name.
        name: Text(S),
    }
    /// The space's metadata changed.
    SpaceUpdated = 2, "space.updated" {
        /// Top-level keys to replace; null removes; a string `name` also renames.
        changes: Members(Object<S>),
    }
    /// The space was deleted.
    SpaceDeleted = 3, "space.deleted" {
        /// The name it had.
        name: MaybeText(Presence<S>),
    }
    /// The space became active.
    SpaceActivated = 4, "space.activated" {}
    /// The space was archived.
    SpaceArchived = 5, "space.archived" {}
    /// A document came to be.
    DocumentAdded = 6, "document.added" {
        /// Its id.
        document_id: Id(S),
        /// Its path in the space.
        space_path: Text(S),
    }
    /// A document's attributes changed.
    DocumentUpdated = 7, "document.updated" {
        /// Which document.
        document_id: Id(S),
        /// Top-level keys to replace; null removes.
        changes: Members(Object<S>),
    }
    /// A document was removed.
    DocumentRemoved = 8, "document.removed" {
        /// Which document.
        document_id: Id(S),
        /// The path it had.
        space_path: MaybeText(Presence<S>),
    }
    /// A document moved to another path.
    DocumentMoved = 9, "document.moved" {
        /// Which document.
        document_id: Id(S),
        /// The path it had.
        old_path: MaybeText(Presence<S>),
        /// The path it has now.
        new_path: Text(S),
    }
    /// A document took new content.
    DocumentContentChanged = 10, "document.content_changed" {
        /// Which document.
        document_id: Id(S),
        /// The content hash it had.
        old_hash: MaybeLabel(Presence<S>),
        /// The content hash it has now.
        new_hash: Label(S),
    }
    /// A variable took a value.
    VariableSet = 11, "variable.set" {
        /// Its name.
        name: Id(S),
        /// Its value: any JSON.
        value: Json(Value<S>),
    }
    /// A variable went away.
    VariableDeleted = 12, "variable.deleted" {
        /// Its name.
        name: Id(S),
    }
    /// A document came to refer to something.
    ReferenceAdded = 13, "reference.added" {
        /// The document that refers.
        document_id: Id(S),
        /// What it refers to.
        target: Text(S),
        /// In which way.
        kind: MaybeText(Presence<S>),
    }
    /// The references of one document went away, or all of the space's.
    ReferenceCleared = 14, "reference.cleared" {
        /// Whose; without it, all of the space's.
        document_id: MaybeId(Presence<S>),
    }
    /// Rendering began.
    RenderStarted = 15, "render.started" {
        /// Of which document; without it, of the space.
        document_id: MaybeId(Presence<S>),
        /// The hash of what was rendered.
        output_hash: MaybeLabel(Presence<S>),
        /// What went wrong.
        error: MaybeText(Presence<S>),
    }
    /// Rendering ended well.
    RenderCompleted = 16, "render.completed" {
        /// Of which document; without it, of the space.
        document_id: MaybeId(Presence<S>),
        /// The hash of what was rendered.
        output_hash: MaybeLabel(Presence<S>),
        /// What went wrong.
        error: MaybeText(Presence<S>),
    }
    /// Rendering failed.
    RenderFailed = 17, "render.failed" {
        /// Of which document; without it, of the space.
        document_id: MaybeId(Presence<S>),
        /// The hash of what was rendered.
        output_hash: MaybeLabel(Presence<S>),
        /// What went wrong.
        error: MaybeText(Presence<S>),
    }
    /// A synchronisation began.
    SyncStarted = 18, "sync.started" {
        /// Which way.
        direction: MaybeText(Presence<S>),
    }
    /// A synchronisation ended well.
    SyncCompleted = 19, "sync.completed" {}
    /// A document differs here and at the other side.
    SyncConflict = 20, "sync.conflict" {
        /// Which document; it may be unknown here.
        document_id: Id(S),
        /// The content hash here.
        local_hash: MaybeLabel(Presence<S>),
        /// The content hash there.
        remote_hash: MaybeLabel(Presence<S>),
    }
    /// What was derived from these documents is out of date.
    CacheInvalidated = 21, "cache.invalidated" {
        /// Which documents.
        document_ids: Ids(Vec<S>),
        /// Why.
        reason: MaybeText(Presence<S>),
    }
}

impl EventType {
    /// The frozen code that stands for the type in records, from 1.
    #[must_use]
    #[allow(clippy::as_conversions, reason = "the discriminant of a fieldless `repr(u8)` enum")]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The core type of that name: names of an application are none.
impl std::str::FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::core(name).ok_or_else(|| UnknownEventType::new(name, UnknownTypeReason::NotCore))
    }
}

impl EventType {
    /// The type of events with this name: a core type, or [`EventType::Application`].
    ///
    /// # Errors
    /// [`UnknownEventType`] for a name that no event can have: one whose first label is reserved and
    /// that is none of the 21, one without a dot, one of other characters or another length.
    ///
    /// ```
    /// use spacefold::EventType;
    /// assert_eq!(EventType::of_name("document.added"), Ok(EventType::DocumentAdded));
    /// assert_eq!(EventType::of_name("com.example.paid"), Ok(EventType::Application));
    /// assert!(EventType::of_name("document.eaten").is_err());
    /// ```
    pub fn of_name(name: &str) -> Result<Self, UnknownEventType> {
        if let Some(core) = Self::core(name) {
            return Ok(core);
        }
        type_name::check(name)?;
        Ok(Self::Application)
    }
}

impl<S: AsRef<str>> Payload<S> {
    /// The payload as a JSON object.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let owned =
            |(key, field): (&str, FieldValue<'_, S>)| (key.to_owned(), field.to_owned_value());
        Object::of_entries(self.entries().map(owned).collect())
    }

    /// The name of a type of the application's own; `None` of a core type.
    #[must_use]
    pub fn own_type_name(&self) -> Option<&str> {
        match self {
            Self::Application { name, .. } => Some(name.as_ref()),
            _ => None,
        }
    }

    /// The name of the event's type in the interchange form: that of a core type, or the
    /// application's own.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::Application { name, .. } => name.as_ref(),
            core => core.event_type().name(),
        }
    }
}

/// A payload that does not fit its event type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A required key is not there, or null.
    #[error("payload key {key:?} is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A known key holds a value of another type.
    #[error("payload key {key:?} is {found}: expected {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// An extra key has the name of a key that the contract fixes for this type.
    #[error("payload key {key:?} is not an extra key: events of type {event_type} have it already")]
    NotExtra {
        /// The key.
        key: String,
        /// The type of the event.
        event_type: EventType,
    },
    /// The name of the type is none that an event can have.
    #[error(transparent)]
    UnknownEventType(#[from] UnknownEventType),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_dense_and_lead_back() {
        for (index, event_type) in EventType::CORE.into_iter().enumerate() {
            assert_eq!(usize::from(event_type.code()), index + 1);
            assert_eq!(EventType::from_code(event_type.code()), Some(event_type));
            assert_eq!(event_type.name().parse(), Ok(event_type));
        }
        assert_eq!(EventType::from_code(0), None);
        assert_eq!(EventType::from_code(22), Some(EventType::Application));
        // Kept free for sealed payloads.
        assert_eq!(EventType::from_code(23), None);
        let error = "space".parse::<EventType>().unwrap_err().to_string();
        assert!(error.starts_with("unknown event type \"space\""), "{error}");
    }

    #[test]
    fn names_are_core_or_an_applications_own_or_refused() {
        let long = format!("a.{}", "b".repeat(198));
        let own = ["a.b", "com.example.comment.added", "billing:Invoice.paid", "A-1_x.Y:2", &long];
        for name in own {
            assert_eq!(EventType::of_name(name), Ok(EventType::Application), "{name}");
        }
        assert_eq!(EventType::of_name(type_name::COMMAND_UNCHANGED), Ok(EventType::Application));
        for core in EventType::CORE {
            assert_eq!(EventType::of_name(core.name()), Ok(core));
        }
        let too_long = format!("{long}b");
        let refused = [
            ("", "type \"\""),
            ("application", "\"application\""),
            ("document.eaten", "\"document.eaten\""),
            ("document.", "\"document.\""),
            ("SPACE.CREATED", "\"SPACE.CREATED\""),
            ("space.", "\"space.\""),
            ("spacefold.command.changed", "\"spacefold.command.changed\""),
            ("spacefold.x", "\"spacefold.x\""),
            (".a", "3 to 200"),
            ("a..b", "empty"),
            (".a.b", "empty"),
            ("a.b.", "empty"),
            ("a.b c", "characters"),
            ("a.b/c", "characters"),
            ("ä.b", "characters"),
            (&too_long, "3 to 200"),
        ];
        for (name, why) in refused {
            let error = EventType::of_name(name).unwrap_err().to_string();
            let why = if why == "characters" { "ASCII" } else { why };
            assert!(error.contains(why), "{name:?}: {error}");
        }
    }
}
