//! What was measured, and how it is shown.

use std::{fmt::Write as _, fs, path::Path};

use rustix::time::{ClockId, clock_gettime};

/// Costs by name, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs(pub(crate) Vec<(String, f64)>);

impl Costs {
    pub(crate) fn add(&mut self, name: &str, cost: f64) {
        self.0.push((name.to_owned(), cost));
    }

    pub(crate) fn of(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, cost)| *cost)
    }
}

/// Nanoseconds of the processors that this process has had, or this thread.
pub(crate) fn cpu_nanos(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The most memory that this process has had resident.
pub(crate) fn peak_mib() -> f64 {
    number_behind("/proc/self/status", "VmHWM:") / 1024.0
}

/// Bytes that this process has sent to the disk.
pub(crate) fn written_bytes() -> f64 {
    number_behind("/proc/self/io", "write_bytes:")
}

fn number_behind(file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(f64::NAN)
}

/// Bytes that are allocated to a folder.
pub(crate) fn disk_bytes(path: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(path).unwrap();
    let own = (found.blocks() * 512) as f64;
    match found.is_dir() {
        true => fs::read_dir(path).unwrap().map(|it| disk_bytes(&it.unwrap().path())).sum::<f64>(),
        false => own,
    }
}

/// A table in Markdown: a line for each cost, and what it comes to in each log.
pub(crate) fn table(measured: &[(u64, Costs)]) -> String {
    let mut text = String::from("| cost |");
    measured.iter().for_each(|(size, _)| write!(text, " {} |", short(*size as f64)).unwrap());
    text += " last : first |\n|---|";
    (0..=measured.len()).for_each(|_| text += "---|");
    let Some((_, first)) = measured.first() else { return text };
    for (name, smallest) in &first.0 {
        write!(text, "\n| {name} |").unwrap();
        for (_, costs) in measured {
            write!(text, " {} |", number(costs.of(name).unwrap_or(f64::NAN))).unwrap();
        }
        let last = measured.last().and_then(|(_, costs)| costs.of(name)).unwrap_or(f64::NAN);
        write!(text, " {:.2} |", last / smallest).unwrap();
    }
    text
}

fn number(cost: f64) -> String {
    if cost < 100.0 { format!("{cost:.2}") } else { format!("{cost:.0}") }
}

/// A number of events in few letters.
pub(crate) fn short(size: f64) -> String {
    if size >= 1e6 { format!("{:.1} M", size / 1e6) } else { format!("{:.0} k", size / 1e3) }
}
