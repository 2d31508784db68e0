//! Reading and decoding every event in a fresh process, with one thread and with two.

use anyhow::{Context, Result, ensure};

use crate::{
    child::{self, Load, Replayed, Task},
    measure::{remove_folder, settle},
    record::Digest,
    report::Sample,
    settings::Settings,
    subject::Kind,
};

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    let settings = settings.keepers();
    let folder = |kind: Kind| settings.folder.join(format!("replay-{}", kind.name()));
    for kind in &settings.subjects {
        remove_folder(&folder(*kind))?;
        let _: Load = child::run(&Task::load(&settings, *kind, &folder(*kind)))
            .with_context(|| kind.name())?;
    }
    settle(&settings.folder)?;
    let mut samples = Vec::new();
    let mut expected: Option<Digest> = None;
    for slice in 0..settings.rounds {
        for threads in [1, 2] {
            for kind in settings.order(slice) {
                let task = Task::replay(&settings, kind, &folder(kind), threads);
                let replayed: Replayed = child::run(&task).with_context(|| kind.name())?;
                let digest = *expected.get_or_insert(replayed.digest);
                ensure!(replayed.digest == digest, "{} gives back other events", kind.name());
                samples.push(sample(kind, threads, slice, &replayed));
            }
        }
    }
    for kind in &settings.subjects {
        remove_folder(&folder(*kind))?;
    }
    Ok(samples)
}

fn sample(kind: Kind, threads: usize, slice: usize, replayed: &Replayed) -> Sample {
    let events = replayed.digest.events;
    let total = replayed.open_seconds + replayed.seconds;
    Sample {
        case: format!("{events} events, threads: {threads}"),
        slice,
        subject: kind,
        events,
        seconds: replayed.seconds,
        more: [
            ("CPU µs/event".to_owned(), replayed.cpu_seconds * 1e6 / events as f64),
            ("open ms".to_owned(), replayed.open_seconds * 1e3),
            ("events/s with opening".to_owned(), events as f64 / total),
            ("peak MiB".to_owned(), replayed.peak_memory_bytes as f64 / 1048576.0),
        ]
        .into(),
    }
}
