//! The operations described as data, and commands made of fields by name.

use spacefold_event_core::{Object, Position, Presence, Value};
use spacefold_state::Reference;

use super::Command;
use crate::operations::operations;

/// What an operation is called and made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// The name of its method, such as `add_document`.
    pub name: &'static str,
    /// Its documentation, as lines of Markdown.
    pub doc: &'static str,
    /// What it takes beside the id of the space.
    pub fields: &'static [Field],
}

impl Operation {
    /// The first paragraph of its documentation, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        first_paragraph(self.doc)
    }
}

/// A field of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name, such as `document_id`.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Its documentation, as lines of Markdown.
    pub doc: &'static str,
}

impl Field {
    /// The first paragraph of its documentation, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        first_paragraph(self.doc)
    }
}

fn first_paragraph(doc: &str) -> String {
    let lines = doc.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// The type of a field: what the table has no kind for, it cannot have.
trait FieldType: Sized {
    const KIND: FieldKind;

    fn take<F: CommandFields>(fields: &mut F, name: &str) -> Result<Self, F::Error>;
}

macro_rules! field_types {
    ($( $(#[$doc:meta])* $kind:ident, $take:ident: $type:ty; )*) => {
        /// What a field of a command holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FieldKind {
            $( $(#[$doc])* $kind, )*
        }

        /// Gives the fields of a command by their names: a request to a server, or a command line.
        pub trait CommandFields {
            /// Why a field is missing or is not what it has to be.
            type Error;

            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// When the field is missing or is something else.
                fn $take(&mut self, name: &str) -> Result<$type, Self::Error>;
            )*
        }

        $(
            impl FieldType for $type {
                const KIND: FieldKind = FieldKind::$kind;

                fn take<F: CommandFields>(
                    fields: &mut F,
                    name: &str,
                ) -> Result<Self, F::Error> {
                    fields.$take(name)
                }
            }
        )*
    };
}

field_types! {
    /// A text.
    Text, text: String;
    /// A text that may be left out.
    OptionalText, optional_text: Presence;
    /// Several texts.
    Texts, texts: Vec<String>;
    /// A JSON object.
    Object, object: Object;
    /// A JSON value.
    Value, value: Value;
    /// The references of a document.
    References, references: Vec<Reference>;
    /// A position in the log.
    Position, position: Position;
    /// A position in the log that may be left out.
    OptionalPosition, optional_position: Option<Position>;
}

macro_rules! described {
    ($(
        $(#[doc = $doc:literal])*
        $method:ident => $command:ident $({ $(
            $(#[doc = $field_doc:literal])*
            $field:ident: $type:ty $(= $argument:ty $(=> $value:expr)?)?
        ),* $(,)? })?;
    )*) => {
        impl Command {
            /// Every operation on a space.
            pub const OPERATIONS: &'static [Operation] = &[$(
                Operation {
                    name: stringify!($method),
                    doc: concat!($($doc, "\n"),*),
                    fields: &[$($( Field {
                        name: stringify!($field),
                        kind: <$type as FieldType>::KIND,
                        doc: concat!($($field_doc, "\n"),*),
                    } ),*)?],
                },
            )*];

            /// The command of the operation with this name, made of its fields in their order; none
            /// where no operation has the name.
            ///
            /// # Errors
            /// What the fields say of the first that is missing or is something else.
            ///
            /// # Examples
            /// ```
            /// use spacefold::{
            ///     Position, SpaceService, Value,
            ///     command::{Command, CommandFields, Field, FieldKind},
            ///     event::{Object, Presence}, state::Reference,
            /// };
            ///
            /// /// A form that was filled in: texts by the names of the fields.
            /// struct Form<'a>(&'a [(&'a str, &'a str)]);
            /// type Given<T> = Result<T, String>;
            ///
            /// impl CommandFields for Form<'_> {
            ///     type Error = String;
            ///
            ///     fn text(&mut self, name: &str) -> Given<String> {
            ///         let given = self.0.iter().find(|(key, _)| *key == name);
            ///         given.map(|(_, text)| text.to_string()).ok_or(format!("{name} is missing"))
            ///     }
            ///     fn optional_text(&mut self, name: &str) -> Given<Presence> {
            ///         Ok(self.text(name).map_or(Presence::Absent, Presence::Value))
            ///     }
            ///     fn texts(&mut self, name: &str) -> Given<Vec<String>> {
            ///         Ok(self.text(name)?.split(',').map(str::to_owned).collect())
            ///     }
            ///     fn value(&mut self, name: &str) -> Given<Value> {
            ///         self.text(name)?.parse().map_err(|error| format!("{name}: {error}"))
            ///     }
            ///     fn object(&mut self, name: &str) -> Given<Object> {
            ///         let Value::Object(object) = self.value(name)? else {
            ///             return Err(format!("{name} is no object"));
            ///         };
            ///         Ok(object)
            ///     }
            ///     fn references(&mut self, name: &str) -> Given<Vec<Reference>> {
            ///         Ok(self.texts(name)?.into_iter().map(Reference::from).collect())
            ///     }
            ///     fn position(&mut self, name: &str) -> Given<Position> {
            ///         let position = self.text(name)?.parse().map(Position::new);
            ///         position.map_err(|error| format!("{name}: {error}"))
            ///     }
            ///     fn optional_position(&mut self, name: &str) -> Given<Option<Position>> {
            ///         self.text(name).ok().map(|_| self.position(name)).transpose()
            ///     }
            /// }
            ///
            /// let Field { name, kind, .. } = Command::OPERATIONS[0].fields[0];
            /// assert_eq!((name, kind), ("name", FieldKind::Text));
            /// let command = Command::from_fields("create_space", &mut Form(&[("name", "Handbook")]))?;
            /// let service = SpaceService::in_memory();
            /// service.execute("handbook", command.ok_or("no such operation")?)?;
            /// assert!(service.states().snapshot("handbook").is_ok());
            ///
            /// let missing = Command::from_fields("create_space", &mut Form(&[]));
            /// assert_eq!(missing, Err("name is missing".to_owned()));
            /// assert_eq!(Command::from_fields("print_space", &mut Form(&[]))?, None);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            pub fn from_fields<F: CommandFields>(
                operation: &str,
                fields: &mut F,
            ) -> Result<Option<Self>, F::Error> {
                Ok(Some(match operation {
                    $( stringify!($method) => Self::$command $({ $(
                        $field: FieldType::take(fields, stringify!($field))?
                    ),* })?, )*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

operations!(described);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{SpaceService, operations::operations};

    /// Fields that hold their names.
    struct Named;

    impl CommandFields for Named {
        type Error = Infallible;

        fn text(&mut self, name: &str) -> Result<String, Infallible> {
            Ok(name.to_owned())
        }

        fn optional_text(&mut self, name: &str) -> Result<Presence, Infallible> {
            Ok(name.into())
        }

        fn texts(&mut self, name: &str) -> Result<Vec<String>, Infallible> {
            Ok(vec![name.to_owned(), "and another".to_owned()])
        }

        fn object(&mut self, name: &str) -> Result<Object, Infallible> {
            Ok([(name.to_owned(), Value::Null)].into_iter().collect())
        }

        fn value(&mut self, name: &str) -> Result<Value, Infallible> {
            Ok(name.into())
        }

        fn references(&mut self, name: &str) -> Result<Vec<Reference>, Infallible> {
            Ok(vec![name.into(), (name, "cites").into()])
        }

        fn position(&mut self, name: &str) -> Result<Position, Infallible> {
            Ok(Position::new(name.len() as u64))
        }

        /// The methods have no argument for it.
        fn optional_position(&mut self, _: &str) -> Result<Option<Position>, Infallible> {
            Ok(None)
        }
    }

    macro_rules! compare {
        ($(
            $(#[$doc:meta])*
            $method:ident => $command:ident $({ $(
                $(#[$field_doc:meta])*
                $field:ident: $type:ty $(= $argument:ty $(=> $value:expr)?)?
            ),* $(,)? })?;
        )*) => {
            $(
                let command = Command::from_fields(stringify!($method), &mut Named);
                let command = command.unwrap().unwrap();
                let batch = SpaceService::in_memory().batch("s");
                let batch = batch.$method($($( $(compare!(@ $field: $type = $argument),)? )*)?);
                let made = format!("commands: [{command:?}]");
                assert!(format!("{batch:?}").contains(&made), "{batch:?} has no {made}");
            )*
            assert_eq!([$(stringify!($method)),*].len(), Command::OPERATIONS.len());
        };
        (@ $field:ident: $type:ty = $argument:ty) => {
            <$type as FieldType>::take(&mut Named, stringify!($field)).unwrap()
        };
    }

    #[test]
    fn a_command_made_of_fields_is_the_one_that_the_method_makes() {
        operations!(compare);
    }
}
