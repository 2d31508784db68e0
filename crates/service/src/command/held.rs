//! How much memory commands hold, about.

use spacefold_event_core::{Object, Position, Presence, Value};
use spacefold_state::Reference;

use super::Command;
use crate::operations::operations;

/// What a field of a command may be.
pub(crate) trait Held {
    /// Bytes beside those of the value itself.
    fn held_bytes(&self) -> usize;
}

impl Held for String {
    fn held_bytes(&self) -> usize {
        self.len()
    }
}

impl Held for Presence {
    fn held_bytes(&self) -> usize {
        self.as_deref().map_or(0, str::len)
    }
}

impl<T: Held> Held for Vec<T> {
    fn held_bytes(&self) -> usize {
        self.iter().map(|one| size_of::<T>() + one.held_bytes()).sum()
    }
}

impl Held for Object {
    fn held_bytes(&self) -> usize {
        let entry = |(key, value): (&String, &Value)| {
            size_of::<(String, Value)>() + key.len() + value.held_bytes()
        };
        self.iter().map(entry).sum()
    }
}

impl Held for Value {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) => 0,
            Self::BigInteger(digits) => digits.as_str().len(),
            Self::String(text) => text.len(),
            Self::Array(values) => values.held_bytes(),
            Self::Object(object) => object.held_bytes(),
        }
    }
}

impl Held for Reference {
    fn held_bytes(&self) -> usize {
        self.target.len() + self.kind.as_deref().map_or(0, str::len)
    }
}

impl Held for Position {
    fn held_bytes(&self) -> usize {
        0
    }
}

impl Held for Option<Position> {
    fn held_bytes(&self) -> usize {
        0
    }
}

macro_rules! held {
    ($(
        $(#[$doc:meta])*
        $method:ident => $command:ident $({ $(
            $(#[$field_doc:meta])*
            $field:ident: $type:ty $(= $argument:ty $(=> $value:expr)?)?
        ),* $(,)? })?;
    )*) => {
        impl Command {
            /// The bytes of memory that the command holds, about.
            pub(crate) fn held_bytes(&self) -> usize {
                size_of::<Self>() + match self {
                    $( Self::$command $({ $($field),* })? => 0 $($( + $field.held_bytes() )*)?, )*
                }
            }
        }
    };
}

operations!(held);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_hold_is_counted_at_every_depth() {
        let text = "x".repeat(1_000);
        let value = format!(r#"{{"{text}": ["{text}", {{"a": "{text}"}}, null, 1, 0.5, true]}}"#);
        let set = Command::SetVariable { name: text.clone(), value: value.parse().unwrap() };
        assert!((4_000..6_000).contains(&set.held_bytes()), "{}", set.held_bytes());
        let reference = (text.as_str(), text.as_str()).into();
        let refers = Command::SetReferences { document_id: text, references: vec![reference] };
        assert!((3_000..4_000).contains(&refers.held_bytes()), "{}", refers.held_bytes());
    }
}
