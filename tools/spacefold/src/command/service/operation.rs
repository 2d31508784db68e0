//! The operations, as they are said on the command line.

use std::{io::Read, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgMatches, FromArgMatches, Subcommand, error::ErrorKind, value_parser,
};
use spacefold::{
    Position, Value,
    command::{Command, CommandFields, Field, FieldKind, Operation},
    event::{JsonError, Object, Presence},
    state::Reference,
};

use spacefold_client::CommandMarks;

use crate::{
    door::write_door::{DoneCommand, WriteDoor},
    error::{Failure, Status},
    input::Input,
};

/// An operation of the service by its name there, or `set_content`, and its arguments. `record` is a
/// command of its own: [`RecordArgs`](crate::command::record::RecordArgs).
#[derive(Clone, Debug)]
pub(super) struct OperationArgs {
    name: String,
    arguments: ArgMatches,
}

/// The arguments that are no field of a command.
const SPACE: &str = "space";
const FILE: &str = "file";
const TEXT: &str = "text";

/// The field that both `set_content` and the operations have.
const DOCUMENT: &str = "document_id";

impl Subcommand for OperationArgs {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let content = subcommand("set_content")
            .about("Gives a document the content of a file, or of standard input")
            .arg(positional(DOCUMENT))
            .arg(
                positional(FILE)
                    .help("The file; - for standard input")
                    .value_parser(value_parser!(PathBuf)),
            );
        command.subcommands(operations().map(described)).subcommand(content)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Self::augment_subcommands(clap::Command::new("")).find_subcommand(name).is_some()
    }
}

impl FromArgMatches for OperationArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (name, arguments) = matches.subcommand().ok_or_else(|| {
            clap::Error::raw(ErrorKind::MissingSubcommand, "an operation is missing")
        })?;
        Ok(Self { name: name.replace('-', "_"), arguments: arguments.clone() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The operations that are said here.
fn operations() -> impl Iterator<Item = &'static Operation> {
    Command::OPERATIONS.iter().filter(|operation| operation.name != "record")
}

fn subcommand(name: &str) -> clap::Command {
    clap::Command::new(name.replace('_', "-")).arg(positional(SPACE))
}

/// The subcommand of an operation: positions and what may be left out are options.
fn described(operation: &Operation) -> clap::Command {
    let summary = operation.summary();
    let mut about = summary.trim_end_matches('.').to_owned();
    if let Some(what) = operation.name.strip_prefix("take_over_") {
        let listing = format!("`spacefold problems --kind running_{what}` lists those that run");
        about = format!("{summary} {listing}, and since when");
    }
    let command = subcommand(operation.name).about(about);
    operation.fields.iter().fold(command, |command, field| command.args(arguments(field)))
}

/// The argument of a field, and the one that says how it is meant.
fn arguments(field: &Field) -> Vec<Arg> {
    let name = field.name;
    let (argument, form) = match field.kind {
        FieldKind::Text => (positional(name), ""),
        FieldKind::OptionalText => (option(name), ""),
        FieldKind::Texts => (positional(name).action(ArgAction::Append).num_args(1..), ""),
        FieldKind::Object => (positional(name).value_parser(parse_object), " (a JSON object)"),
        FieldKind::Value => (positional(name).allow_hyphen_values(true), " (JSON)"),
        FieldKind::References => (
            positional(name).value_parser(parse_references),
            " (a JSON array of targets, or of objects {\"target\": …, \"kind\": …})",
        ),
        FieldKind::Position => (position(name).required(true), ""),
        FieldKind::OptionalPosition => (position(name), ""),
    };
    let help = format!("{}{form}", field.summary().trim_end_matches('.'));
    let mut arguments = vec![argument.help(help)];
    if field.kind == FieldKind::Value {
        let help = format!("Take {} as it is, as a string", value_name(name));
        arguments.push(Arg::new(TEXT).long(TEXT).action(ArgAction::SetTrue).help(help));
    }
    arguments
}

fn positional(name: &'static str) -> Arg {
    Arg::new(name).value_name(value_name(name)).required(true)
}

fn option(name: &'static str) -> Arg {
    Arg::new(name).value_name(value_name(name)).long(said(name).replace('_', "-"))
}

fn position(name: &'static str) -> Arg {
    option(name).value_name("N").value_parser(value_parser!(u64))
}

/// A field as it is called here: `document` for `document_id` and `document_ids`.
fn said(name: &str) -> &str {
    name.trim_end_matches('s').strip_suffix("_id").unwrap_or(name)
}

/// The last word of what a field is called: `PATH` for `new_path`.
fn value_name(name: &str) -> String {
    said(name).rsplit('_').next().unwrap_or(name).to_uppercase()
}

/// An operation whose input is open.
pub(super) enum Ready {
    Command { space_id: String, command: Command },
    Content { space_id: String, document_id: String, content: Box<dyn Read + Send> },
}

impl Ready {
    pub(super) fn run(
        self,
        store: &WriteDoor,
        marks: &CommandMarks,
    ) -> Result<DoneCommand, Failure> {
        match self {
            Self::Command { space_id, command } => store.execute(&space_id, command, marks),
            Self::Content { space_id, document_id, mut content } => {
                store.set_content(&space_id, document_id, &mut content, marks)
            }
        }
    }
}

impl OperationArgs {
    /// Whether it makes a store where there is none: nothing but a first space has a place in an empty
    /// one.
    pub(super) fn creates_a_store(&self) -> bool {
        self.name == "create_space"
    }

    /// The operation with its input open; nothing is read yet.
    pub(super) fn ready(&self) -> Result<Ready, Failure> {
        let mut given = GivenArguments(&self.arguments);
        let space_id = given.required(SPACE);
        if let Some(command) = Command::from_fields(&self.name, &mut given)? {
            return Ok(Ready::Command { space_id, command });
        }
        let file: PathBuf = given.required(FILE);
        let hint = "name the file of the content, or - for standard input";
        let content = Input::open_as_it_is(&file, hint)?;
        Ok(Ready::Content { space_id, document_id: given.required(DOCUMENT), content })
    }
}

/// The fields as the arguments of the command line give them.
struct GivenArguments<'a>(&'a ArgMatches);

impl GivenArguments<'_> {
    fn optional<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Option<T> {
        self.0.get_one(name).cloned()
    }

    fn required<T: Clone + Send + Sync + 'static>(&self, name: &str) -> T {
        self.optional(name).expect("clap refuses what lacks a required argument")
    }
}

impl CommandFields for GivenArguments<'_> {
    type Error = Failure;

    fn text(&mut self, name: &str) -> Result<String, Failure> {
        Ok(self.required(name))
    }

    /// What is not said is not in the event.
    fn optional_text(&mut self, name: &str) -> Result<Presence, Failure> {
        Ok(self.optional(name).map_or(Presence::Absent, Presence::Value))
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        Ok(self.0.get_many(name).into_iter().flatten().cloned().collect())
    }

    fn object(&mut self, name: &str) -> Result<Object, Failure> {
        Ok(self.required(name))
    }

    fn value(&mut self, name: &str) -> Result<Value, Failure> {
        let value: String = self.required(name);
        if self.0.get_flag(TEXT) { Ok(Value::from(value)) } else { parse_value(&value) }
    }

    fn references(&mut self, name: &str) -> Result<Vec<Reference>, Failure> {
        Ok(self.required(name))
    }

    fn position(&mut self, name: &str) -> Result<Position, Failure> {
        Ok(Position::new(self.required(name)))
    }

    fn optional_position(&mut self, name: &str) -> Result<Option<Position>, Failure> {
        Ok(self.optional(name).map(Position::new))
    }
}

fn parse_value(text: &str) -> Result<Value, Failure> {
    text.parse().map_err(|error: JsonError| {
        let hint = "write a JSON value, such as 3 or \"three\", or add --text for a string";
        Failure::new(Status::Usage, error, format_args!("the value {text:?}"), hint)
    })
}

pub(crate) fn parse_object(text: &str) -> Result<Object, String> {
    match text.parse() {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("expected a JSON object, found {}", other.type_name())),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_references(text: &str) -> Result<Vec<Reference>, String> {
    let value = text.parse().map_err(|error: JsonError| error.to_string())?;
    let Value::Array(references) = value else {
        return Err(format!("expected a JSON array, found {}", value.type_name()));
    };
    references.iter().map(reference).collect()
}

fn reference(value: &Value) -> Result<Reference, String> {
    let wrong = |what: &str, found: &Value| Err(format!("{what}, found {}", found.type_name()));
    let object = match value {
        Value::String(target) => return Ok(Reference::from(target.as_str())),
        Value::Object(object) => object,
        other => return wrong("a reference is a target or an object", other),
    };
    if let Some(key) = object.keys().find(|key| !["target", "kind"].contains(key)) {
        return Err(format!("a reference has a target and a kind, and no {key:?}"));
    }
    let target = match object.get("target") {
        Some(Value::String(target)) => target.clone(),
        Some(other) => return wrong("the target of a reference is a string", other),
        None => return Err("a reference has a target".to_owned()),
    };
    let kind = match object.get("kind") {
        Some(Value::String(kind)) => Some(kind.clone()),
        Some(Value::Null) | None => None,
        Some(other) => return wrong("the kind of a reference is a string", other),
    };
    Ok(Reference { target, kind })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        operation: OperationArgs,
    }

    /// The fields that [`arguments_of`] says.
    struct Told;

    impl CommandFields for Told {
        type Error = Infallible;

        fn text(&mut self, name: &str) -> Result<String, Infallible> {
            Ok(name.to_owned())
        }

        fn optional_text(&mut self, name: &str) -> Result<Presence, Infallible> {
            Ok(name.into())
        }

        fn texts(&mut self, name: &str) -> Result<Vec<String>, Infallible> {
            Ok(vec![name.to_owned(), "more".to_owned()])
        }

        fn object(&mut self, name: &str) -> Result<Object, Infallible> {
            Ok([(name.to_owned(), Value::Null)].into_iter().collect())
        }

        fn value(&mut self, _: &str) -> Result<Value, Infallible> {
            Ok((-7).into())
        }

        fn references(&mut self, name: &str) -> Result<Vec<Reference>, Infallible> {
            Ok(vec![name.into(), (name, "cites").into()])
        }

        fn position(&mut self, name: &str) -> Result<Position, Infallible> {
            Ok(Position::new(name.len() as u64))
        }

        fn optional_position(&mut self, name: &str) -> Result<Option<Position>, Infallible> {
            self.position(name).map(Some)
        }
    }

    fn arguments_of(field: &Field) -> Vec<String> {
        let name = field.name;
        let option = format!("--{}", said(name).replace('_', "-"));
        match field.kind {
            FieldKind::Text => vec![name.to_owned()],
            FieldKind::OptionalText => vec![option, name.to_owned()],
            FieldKind::Texts => vec![name.to_owned(), "more".to_owned()],
            FieldKind::Object => vec![format!(r#"{{"{name}":null}}"#)],
            FieldKind::Value => vec!["-7".to_owned()],
            FieldKind::References => {
                vec![format!(r#"["{name}",{{"target":"{name}","kind":"cites"}}]"#)]
            }
            FieldKind::Position | FieldKind::OptionalPosition => {
                vec![option, name.len().to_string()]
            }
        }
    }

    #[test]
    fn every_operation_of_the_service_is_a_command_with_all_of_its_fields() {
        for operation in operations() {
            let line = ["spacefold".to_owned(), operation.name.replace('_', "-"), "s".to_owned()];
            let fields = operation.fields.iter().flat_map(arguments_of);
            let line = Line::try_parse_from(line.into_iter().chain(fields)).unwrap();
            let ready = line.operation.ready().unwrap();
            let Ready::Command { space_id, command } = ready else { panic!("{operation:?}") };
            let told = Command::from_fields(operation.name, &mut Told).unwrap();
            assert_eq!((space_id.as_str(), Some(command)), ("s", told));
        }
    }

    #[test]
    fn help_has_no_links() {
        let mut command = OperationArgs::augment_subcommands(clap::Command::new("service"));
        for subcommand in command.get_subcommands_mut() {
            let help = subcommand.render_long_help().to_string();
            assert!(!help.contains("](") && !help.contains("::"), "{help}");
        }
    }
}
