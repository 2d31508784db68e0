//! Which types of events one is interested in: core ones, and an application's own by their names.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{
    event_type::EventTypes,
    payload::EventType,
    type_name::{self, COMMAND_UNCHANGED, UnknownEventType, UnknownTypeReason},
};

/// A name of an event type, the begin of names, or every name: `document.added`,
/// `com.example.comment.added`, `com.example.*`, `*`.
///
/// ```
/// use spacefold::{EventType, SpaceEvent, event::{EventFilter, Object, TypePattern}};
/// let billing: TypePattern = "com.example.*".parse()?;
/// let filter = EventFilter::all().types([billing, EventType::SpaceDeleted.into()]);
/// assert!(filter.selects(&SpaceEvent::application("a", "com.example.paid", Object::new())?));
/// assert!(!filter.selects(&SpaceEvent::space_activated("a")));
/// assert!("document.eaten".parse::<TypePattern>().is_err());
/// # Ok::<(), spacefold::event::UnknownEventType>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypePattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    Every,
    Core(EventType),
    /// The name of an application's type.
    Own(String),
    /// The begin of names, its last dot included.
    Begin(String),
}

impl FromStr for TypePattern {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self(Pattern::Every));
        }
        let Some(begin) = text.strip_suffix('*') else {
            return Ok(Self(match EventType::of_name(text)? {
                EventType::Application => Pattern::Own(text.to_owned()),
                core => Pattern::Core(core),
            }));
        };
        let refused = |reason| UnknownEventType::new(text, reason);
        let labels = begin.strip_suffix('.').ok_or(refused(UnknownTypeReason::Begin))?;
        type_name::check_labels(labels).map_err(refused)?;
        let is_of_any = || {
            let core = EventType::CORE.into_iter().any(|core| core.name().starts_with(begin));
            core || COMMAND_UNCHANGED.starts_with(begin)
        };
        if type_name::is_reserved(begin) && !is_of_any() {
            return Err(refused(UnknownTypeReason::Reserved));
        }
        Ok(Self(Pattern::Begin(begin.to_owned())))
    }
}

impl TryFrom<&str> for TypePattern {
    type Error = UnknownEventType;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EventType> for TypePattern {
    /// Events of this type; of [`EventType::Application`] all that are of an application's own.
    fn from(event_type: EventType) -> Self {
        Self(Pattern::Core(event_type))
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Every => f.write_str("*"),
            Pattern::Core(event_type) => write!(f, "{event_type}"),
            Pattern::Own(name) => f.write_str(name),
            Pattern::Begin(begin) => write!(f, "{begin}*"),
        }
    }
}

impl TypePattern {
    /// The core type that it is, or [`EventType::Application`] for all of an application's own; `None`
    /// of names and of the begin of names.
    #[must_use]
    pub const fn event_type(&self) -> Option<EventType> {
        match &self.0 {
            Pattern::Core(event_type) => Some(*event_type),
            _ => None,
        }
    }
}

/// The types that patterns select: core ones as bits, an application's own by their names.
///
/// ```
/// use spacefold::event::{TypePattern, TypeSelection};
/// let selection = TypeSelection::of(["com.example.*".parse::<TypePattern>()?]);
/// assert!(selection.selects("com.example.paid") && !selection.selects("space.created"));
/// # Ok::<(), spacefold::event::UnknownEventType>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSelection {
    /// The application's own among them when any of their names passes.
    pub(crate) types: EventTypes,
    own: OwnNames,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnNames {
    All,
    Listed { names: BTreeSet<String>, begins: BTreeSet<String> },
}

impl TypeSelection {
    /// Every type.
    pub const ALL: Self = Self { types: EventTypes::ALL, own: OwnNames::All };

    /// The types that any of these patterns selects.
    #[must_use]
    pub fn of(patterns: impl IntoIterator<Item = impl Into<TypePattern>>) -> Self {
        let (mut names, mut begins) = (BTreeSet::new(), BTreeSet::new());
        let mut types = EventTypes::NONE;
        let mut all = false;
        for TypePattern(pattern) in patterns.into_iter().map(Into::into) {
            match pattern {
                Pattern::Every => {
                    types = EventTypes::ALL;
                    all = true;
                }
                Pattern::Core(event_type) => {
                    types = types.with(event_type);
                    all |= event_type == EventType::Application;
                }
                Pattern::Own(name) => {
                    types = types.with(EventType::Application);
                    names.insert(name);
                }
                Pattern::Begin(begin) => {
                    let cores = EventType::CORE.into_iter();
                    types = cores
                        .filter(|core| core.name().starts_with(&begin))
                        .fold(types, EventTypes::with);
                    if !type_name::is_reserved(&begin) || COMMAND_UNCHANGED.starts_with(&begin) {
                        types = types.with(EventType::Application);
                        begins.insert(begin);
                    }
                }
            }
        }
        // What another pattern selects anyway makes no other selection.
        let is_begun = |text: &str, begins: &BTreeSet<String>| {
            begins.iter().any(|begin| begin != text && text.starts_with(begin.as_str()))
        };
        let least = begins.iter().filter(|begin| !is_begun(begin, &begins)).cloned().collect();
        names.retain(|name| !is_begun(name, &least));
        let own = if all { OwnNames::All } else { OwnNames::Listed { names, begins: least } };
        Self { types, own }
    }

    /// The fewest patterns that select the same.
    #[must_use]
    pub fn patterns(&self) -> Vec<TypePattern> {
        if *self == Self::ALL {
            return vec![TypePattern(Pattern::Every)];
        }
        let is_core = |event_type: &EventType| *event_type != EventType::Application;
        let cores = self.types.iter().filter(is_core).map(TypePattern::from);
        let mut patterns: Vec<TypePattern> = cores.collect();
        match &self.own {
            OwnNames::All => patterns.push(EventType::Application.into()),
            OwnNames::Listed { names, begins } => {
                let names = names.iter().cloned().map(Pattern::Own);
                let begins = begins.iter().cloned().map(Pattern::Begin);
                patterns.extend(names.chain(begins).map(TypePattern));
            }
        }
        patterns
    }

    /// Whether events whose type has this name are selected.
    #[must_use]
    pub fn selects(&self, name: &str) -> bool {
        let event_type = EventType::core(name).unwrap_or(EventType::Application);
        self.passes(event_type, || name)
    }

    /// Whether no name of an application's own has to be looked at.
    pub(crate) fn passes_every_name(&self) -> bool {
        self.own == OwnNames::All || !self.types.contains(EventType::Application)
    }

    /// Whether events of this type pass; `name` gives that of an application's own.
    #[inline]
    pub(crate) fn passes<'a>(&self, event_type: EventType, name: impl FnOnce() -> &'a str) -> bool {
        self.types.contains(event_type)
            && (event_type != EventType::Application || self.own.passes(name))
    }
}

impl Default for TypeSelection {
    fn default() -> Self {
        Self::ALL
    }
}

impl OwnNames {
    fn passes<'a>(&self, name: impl FnOnce() -> &'a str) -> bool {
        match self {
            Self::All => true,
            Self::Listed { names, begins } => {
                let name = name();
                names.contains(name) || begins.iter().any(|begin| name.starts_with(begin.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(patterns: &[&str]) -> TypeSelection {
        TypeSelection::of(patterns.iter().map(|it| it.parse::<TypePattern>().unwrap()))
    }

    #[test]
    fn patterns_select_what_they_say() {
        let cases: [(&[&str], &str, bool); 12] = [
            (&["*"], "space.created", true),
            (&["*"], "a.b", true),
            (&["document.*"], "document.moved", true),
            (&["document.*"], "space.created", false),
            (&["document.*"], "a.b", false),
            (&["com.example.*"], "com.example.a.b", true),
            (&["com.example.*"], "com.examples.a", false),
            (&["com.example.a"], "com.example.a", true),
            (&["com.example.a"], "com.example.a.b", false),
            (&["com.example.a", "space.created"], "space.created", true),
            (&["spacefold.*"], COMMAND_UNCHANGED, true),
            (&[], "a.b", false),
        ];
        for (patterns, name, passes) in cases {
            let selection = selected(patterns);
            let event_type = EventType::of_name(name).unwrap();
            assert_eq!(selection.passes(event_type, || name), passes, "{patterns:?} of {name}");
            assert_eq!(TypeSelection::of(selection.patterns()), selection);
        }
        for refused in ["document.eaten", "docu*", "sync.a.*", "a*", "**", ".*", "a..*", "", "a"] {
            assert!(refused.parse::<TypePattern>().is_err(), "{refused}");
        }
        assert_eq!(selected(&["a.*", "a.b", "a.b.*"]), selected(&["a.*"]));
        assert_eq!(selected(&["*", "a.b"]), TypeSelection::ALL);
    }
}
