//! Durable appends of one producer, slice by slice, each subject in turn.

use std::time::Instant;

use anyhow::{Context, Result};
use spacefold_event_core::SpaceEvent;

use super::quantile;
use crate::{
    measure::{remove_folder, settle, wait_until_idle},
    report::Sample,
    settings::Settings,
    subject::{Kind, Store},
    workload::Workload,
};

/// Events of an append, and commits of a slice.
const CASES: [(usize, usize); 4] = [(1, 20), (64, 15), (512, 8), (4_096, 3)];

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for (events, commits) in CASES {
        let commits = if settings.smoke { commits.div_ceil(20) } else { commits };
        measure_case(settings, events, commits, &mut samples)?;
    }
    Ok(samples)
}

fn measure_case(
    settings: &Settings,
    events: usize,
    commits: usize,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    let folder = settings.folder.join(format!("append-{events}"));
    remove_folder(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let open = |kind: &Kind| Ok((*kind, Store::open(*kind, &folder.join(kind.name()))?));
    let mut stores: Vec<(Kind, Store)> =
        settings.subjects.iter().map(open).collect::<Result<_>>()?;
    let mut workload = Workload::new(settings.seed, settings.spaces);
    let mut take = || (0..commits).map(|_| workload.take(events).to_vec()).collect::<Vec<_>>();

    // The first commit of a store makes files and loads tables.
    let warm_up = take();
    for (kind, store) in &mut stores {
        run_slice(store, &warm_up).with_context(|| kind.name())?;
    }
    settle(&folder)?;
    let begun = Instant::now();
    for slice in 0..settings.slices {
        if begun.elapsed() > settings.limit {
            break;
        }
        let appends = take();
        for kind in settings.order(slice) {
            let Some((_, store)) = stores.iter_mut().find(|(other, _)| *other == kind) else {
                continue;
            };
            wait_until_idle();
            let mut latencies = run_slice(store, &appends).with_context(|| kind.name())?;
            let seconds = latencies.iter().sum();
            samples.push(Sample {
                case: format!("{events} per append"),
                slice,
                subject: kind,
                events: (events * commits) as u64,
                seconds,
                more: [
                    ("median µs".to_owned(), quantile(&mut latencies, 0.5) * 1e6),
                    ("slowest µs".to_owned(), quantile(&mut latencies, 1.0) * 1e6),
                ]
                .into(),
            });
        }
    }
    for (_, store) in stores {
        store.close()?;
    }
    remove_folder(&folder)
}

/// Commits every append and answers how long each took.
fn run_slice(store: &mut Store, appends: &[Vec<SpaceEvent>]) -> Result<Vec<f64>> {
    let mut latencies = Vec::with_capacity(appends.len());
    for events in appends {
        let begun = Instant::now();
        store.append(events)?;
        latencies.push(begun.elapsed().as_secs_f64());
    }
    Ok(latencies)
}
