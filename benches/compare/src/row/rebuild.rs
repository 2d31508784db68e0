//! Folding the state of every space in a fresh process.

use anyhow::{Context, Result, ensure};

use crate::{
    child::{self, Load, Rebuilt, Task},
    fold::Summary,
    measure::{remove_folder, settle},
    report::Sample,
    settings::Settings,
    subject::Kind,
};

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    let settings = settings.keepers();
    let folder = |kind: Kind| settings.folder.join(format!("rebuild-{}", kind.name()));
    for kind in &settings.subjects {
        remove_folder(&folder(*kind))?;
        let _: Load = child::run(&Task::load_to_fold(&settings, *kind, &folder(*kind)))
            .with_context(|| kind.name())?;
    }
    settle(&settings.folder)?;
    let mut samples = Vec::new();
    let mut expected: Option<Summary> = None;
    for slice in 0..settings.rounds {
        for kind in settings.order(slice) {
            let task = Task::rebuild(&settings, kind, &folder(kind));
            let rebuilt: Rebuilt = child::run(&task).with_context(|| kind.name())?;
            let summary = *expected.get_or_insert(rebuilt.summary);
            ensure!(rebuilt.summary == summary, "{} folds to another state", kind.name());
            samples.push(sample(kind, slice, &rebuilt));
        }
    }
    for kind in &settings.subjects {
        remove_folder(&folder(*kind))?;
    }
    Ok(samples)
}

fn sample(kind: Kind, slice: usize, rebuilt: &Rebuilt) -> Sample {
    let events = rebuilt.events;
    Sample {
        case: format!("{events} events"),
        slice,
        subject: kind,
        events,
        seconds: rebuilt.seconds,
        more: [
            ("CPU µs/event".to_owned(), rebuilt.cpu_seconds * 1e6 / events as f64),
            ("peak MiB".to_owned(), rebuilt.peak_memory_bytes as f64 / 1048576.0),
        ]
        .into(),
    }
}
