//! Durable appends of one event by many producers at once; the rivals behind a group commit.

use std::{sync::Barrier, thread, time::Instant};

use anyhow::{Context, Result, anyhow};

use crate::{
    front::{Front, Producer},
    measure::{remove_folder, settle, wait_until_idle},
    report::Sample,
    settings::Settings,
    workload::Workload,
};

/// Producers, and appends of each in a slice.
const CASES: [(usize, usize); 2] = [(16, 20), (64, 10)];
/// Events that a producer has ready.
const READY_EVENTS: usize = 1_024;

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for (producers, appends) in CASES {
        let appends = if settings.smoke { appends.div_ceil(20) } else { appends };
        measure_case(settings, producers, appends, &mut samples)?;
    }
    Ok(samples)
}

fn measure_case(
    settings: &Settings,
    producers: usize,
    appends: usize,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    let folder = settings.folder.join(format!("producers-{producers}"));
    remove_folder(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let mut subjects = Vec::new();
    for kind in &settings.subjects {
        let front = Front::open(*kind, &folder.join(kind.name()))?;
        let workload = |number: usize| {
            Workload::with_ready(settings.seed + number as u64, settings.spaces, READY_EVENTS)
        };
        let mut workloads: Vec<Workload> = (1..=producers).map(workload).collect();
        run_slice(&front, &mut workloads, appends.div_ceil(4)).with_context(|| kind.name())?;
        subjects.push((*kind, front, workloads));
    }
    settle(&folder)?;
    let begun = Instant::now();
    for slice in 0..settings.slices {
        if begun.elapsed() > settings.limit {
            break;
        }
        for kind in settings.order(slice) {
            let subject = subjects.iter_mut().find(|(other, ..)| *other == kind);
            let Some((_, front, workloads)) = subject else { continue };
            wait_until_idle();
            let seconds = run_slice(front, workloads, appends).with_context(|| kind.name())?;
            samples.push(Sample {
                case: format!("{producers} producers"),
                slice,
                subject: kind,
                events: (producers * appends) as u64,
                seconds,
                more: [].into(),
            });
        }
    }
    for (_, front, _) in subjects {
        front.close()?;
    }
    remove_folder(&folder)
}

/// Lets every producer append so often, one event at a time, and answers how long it took from
/// the moment all were ready to the last answer.
fn run_slice(front: &Front, workloads: &mut [Workload], appends: usize) -> Result<f64> {
    let ready = Barrier::new(workloads.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = workloads
            .iter_mut()
            .map(|workload| {
                let (ready, producer) = (&ready, front.producer());
                scope.spawn(move || produce(&producer, workload, appends, ready))
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a producer panicked"))??;
        }
        Ok(begun.elapsed().as_secs_f64())
    })
}

fn produce(
    producer: &Producer,
    workload: &mut Workload,
    appends: usize,
    ready: &Barrier,
) -> Result<()> {
    ready.wait();
    for _ in 0..appends {
        producer.append(workload.take(1))?;
    }
    Ok(())
}
