//! What commands add to their events.

use clap::Args;
use spacefold::{Value, event::JsonError};
use spacefold_client::CommandMarks;

/// The options of every command on a space.
#[derive(Debug, Args)]
pub(crate) struct MarkArgs {
    /// Who does it: goes into the event.
    #[arg(long, global = true, value_name = "SOURCE")]
    source: Option<String>,

    /// What it belongs to: goes into the event.
    #[arg(long, global = true, value_name = "ID")]
    correlation_id: Option<String>,

    /// A tag of the event; may be given several times.
    #[arg(long = "tag", global = true, value_name = "TAG")]
    tags: Vec<String>,

    /// One more key of the event's payload, with its JSON value; may be given several times.
    #[arg(long, global = true, value_name = "KEY=JSON", value_parser = parse_extra)]
    extra: Vec<(String, Value)>,

    /// An idempotency key of your choice: repeated under the same key, the command emits nothing
    /// and answers as the first time.
    #[arg(long, global = true, value_name = "KEY")]
    key: Option<String>,
}

impl MarkArgs {
    /// What they say.
    pub(crate) fn told(&self) -> CommandMarks {
        let mut marks = CommandMarks::default();
        marks.source.clone_from(&self.source);
        marks.correlation_id.clone_from(&self.correlation_id);
        marks.tags.clone_from(&self.tags);
        for (key, value) in &self.extra {
            marks.extra.insert(key.as_str(), value.clone());
        }
        marks.key.clone_from(&self.key);
        marks
    }
}

fn parse_extra(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=JSON, such as ticket=17")?;
    let value = value.parse().map_err(|error: JsonError| error.to_string())?;
    Ok((key.to_owned(), value))
}
