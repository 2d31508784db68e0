//! Opening after a kill in the middle of appends, with everything in the page cache.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{
    child::{self, Opened, Task},
    measure::{copy_folder, remove_folder, settle},
    report::Sample,
    settings::Settings,
    subject::Kind,
};

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    let settings = settings.keepers();
    for kind in &settings.subjects {
        let folder = killed_folder(&settings, *kind);
        remove_folder(&folder)?;
        child::run_and_kill(&Task::load_until_killed(&settings, *kind, &folder))
            .with_context(|| kind.name())?;
    }
    let mut samples = Vec::new();
    for slice in 0..settings.rounds {
        for kind in settings.order(slice) {
            samples.push(open(&settings, kind, slice).with_context(|| kind.name())?);
        }
    }
    for kind in &settings.subjects {
        remove_folder(&killed_folder(&settings, *kind))?;
    }
    Ok(samples)
}

fn killed_folder(settings: &Settings, kind: Kind) -> std::path::PathBuf {
    settings.folder.join(format!("killed-{}", kind.name()))
}

fn open(settings: &Settings, kind: Kind, slice: usize) -> Result<Sample> {
    let killed = killed_folder(settings, kind);
    let copy = settings.folder.join("opened");
    let fresh = || -> Result<()> {
        remove_folder(&copy)?;
        copy_folder(&killed, &copy)?;
        settle(&copy)
    };
    fresh()?;
    let opened: Opened = child::run(&Task::open(settings, kind, &copy))?;
    ensure!(opened.events > settings.events, "only {} events are left", opened.events);
    let again: Opened = child::run(&Task::open(settings, kind, &copy))?;
    let mut more: std::collections::BTreeMap<String, f64> = [
        ("ms".to_owned(), opened.seconds * 1e3),
        ("ms after a clean close".to_owned(), again.seconds * 1e3),
        ("peak MiB".to_owned(), opened.peak_memory_bytes as f64 / 1048576.0),
    ]
    .into();
    if kind == Kind::Spacefold && Path::exists(&killed.join("sled")) {
        fresh()?;
        let own: Opened = child::run(&Task::open_sled(settings, &copy.join("sled")))?;
        more.insert("ms of sled's own".to_owned(), own.seconds * 1e3);
    }
    remove_folder(&copy)?;
    Ok(Sample {
        case: format!("{} events", settings.events),
        slice,
        subject: kind,
        events: opened.events,
        seconds: opened.seconds,
        more,
    })
}
