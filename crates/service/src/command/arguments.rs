//! Commands as data: what tells one from another.

use spacefold_event_core::{Object, Position, Presence, Value};
use spacefold_state::Reference;

use super::Command;
use crate::operations::operations;

/// What a field of a command may be.
trait Argument {
    /// It as JSON; `None` where it is left out.
    fn to_argument(&self) -> Option<Value>;
}

impl Argument for String {
    fn to_argument(&self) -> Option<Value> {
        Some(Value::from(self.as_str()))
    }
}

impl Argument for Presence {
    fn to_argument(&self) -> Option<Value> {
        match self {
            Self::Absent => None,
            Self::Null => Some(Value::Null),
            Self::Value(text) => text.to_argument(),
        }
    }
}

impl<T: Argument> Argument for Vec<T> {
    fn to_argument(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(Argument::to_argument).collect()))
    }
}

impl Argument for Object {
    fn to_argument(&self) -> Option<Value> {
        Some(Value::Object(self.clone()))
    }
}

impl Argument for Value {
    fn to_argument(&self) -> Option<Value> {
        Some(self.clone())
    }
}

impl Argument for Reference {
    fn to_argument(&self) -> Option<Value> {
        let kind = self.kind.as_deref().map_or(Value::Null, Value::from);
        let pair = [("target", Value::from(self.target.as_str())), ("kind", kind)];
        Some(Value::Object(pair.into_iter().collect()))
    }
}

impl Argument for Position {
    fn to_argument(&self) -> Option<Value> {
        Some(Value::from(self.get()))
    }
}

impl Argument for Option<Position> {
    fn to_argument(&self) -> Option<Value> {
        self.and_then(|position| position.to_argument())
    }
}

macro_rules! arguments {
    ($(
        $(#[$doc:meta])*
        $method:ident => $command:ident $({ $(
            $(#[$field_doc:meta])*
            $field:ident: $type:ty $(= $argument:ty $(=> $value:expr)?)?
        ),* $(,)? })?;
    )*) => {
        impl Command {
            /// The name of its [operation](Self::OPERATIONS).
            #[must_use]
            pub const fn operation(&self) -> &'static str {
                match self {
                    $( Self::$command { .. } => stringify!($method), )*
                }
            }

            /// Its fields by their names, as JSON, without those that are left out: what the interface over
            /// HTTP takes.
            #[must_use]
            pub fn arguments(&self) -> Object {
                let mut arguments = Object::new();
                match self {
                    $( Self::$command $({ $($field),* })? => {
                        $($(
                            if let Some(value) = $field.to_argument() {
                                arguments.insert(stringify!($field), value);
                            }
                        )*)?
                    } )*
                }
                arguments
            }
        }
    };
}

operations!(arguments);
