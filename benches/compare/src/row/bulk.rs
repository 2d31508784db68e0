//! Loading: each subject in a process of its own, until its store is closed.

use anyhow::{Context, Result};

use crate::{
    child::{self, Load, Task},
    measure::{remove_folder, settle},
    report::Sample,
    settings::Settings,
    subject::Kind,
};

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let raw_bytes = child::raw_bytes(settings)?;
    for slice in 0..settings.rounds {
        for kind in settings.order(slice) {
            let sample = load(settings, kind, slice, raw_bytes);
            samples.push(sample.with_context(|| kind.name())?);
        }
    }
    Ok(samples)
}

fn load(settings: &Settings, kind: Kind, slice: usize, raw_bytes: u64) -> Result<Sample> {
    let folder = settings.folder.join(format!("bulk-{}", kind.name()));
    remove_folder(&folder)?;
    settle(&settings.folder)?;
    let loaded: Load = child::run(&Task::load(settings, kind, &folder))?;
    let events = settings.events as f64;
    let per_event = |bytes: u64| bytes as f64 / events;
    let mut more: std::collections::BTreeMap<String, f64> = [
        ("seconds to close".to_owned(), loaded.close_seconds),
        ("CPU µs/event".to_owned(), loaded.cpu_seconds * 1e6 / events),
        ("written B/event".to_owned(), per_event(loaded.written_bytes)),
        ("disk B/event".to_owned(), per_event(loaded.disk_bytes)),
        ("disk / raw".to_owned(), loaded.disk_bytes as f64 / raw_bytes as f64),
        ("peak MiB".to_owned(), loaded.peak_memory_bytes as f64 / 1048576.0),
        ("of it before MiB".to_owned(), loaded.memory_before_bytes as f64 / 1048576.0),
    ]
    .into();
    for (part, bytes) in loaded.parts {
        more.insert(format!("{part} B/event"), per_event(bytes));
    }
    remove_folder(&folder)?;
    Ok(Sample {
        case: format!("{} events", settings.events),
        slice,
        subject: kind,
        events: settings.events,
        seconds: loaded.seconds,
        more,
    })
}
