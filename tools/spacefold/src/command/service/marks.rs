//! What commands add to their events.

use clap::Args;
use spacefold::{SpaceService, Value, event::JsonError};

/// The options of every command on a space.
#[derive(Debug, Args)]
pub(crate) struct CommandMarks {
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

impl CommandMarks {
    /// The service as the options say.
    pub(crate) fn of(&self, service: &SpaceService) -> SpaceService {
        let mut service = service.with_tags(&self.tags);
        if let Some(source) = &self.source {
            service = service.with_source(source);
        }
        if let Some(correlation_id) = &self.correlation_id {
            service = service.with_correlation_id(correlation_id);
        }
        for (key, value) in &self.extra {
            service = service.with_extra(key, value.clone());
        }
        if let Some(key) = &self.key {
            service = service.with_key(key.as_str());
        }
        service
    }
}

fn parse_extra(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=JSON, such as ticket=17")?;
    let value = value.parse().map_err(|error: JsonError| error.to_string())?;
    Ok((key.to_owned(), value))
}
