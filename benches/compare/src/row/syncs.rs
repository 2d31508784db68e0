//! System calls a commit, counted by strace: what "durable" means for each subject.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    child::Task, measure::remove_folder, report::Sample, settings::Settings, subject::Kind,
};

/// The calls that make something durable, or pretend to.
const SYNCS: [&str; 5] = ["fdatasync", "fsync", "msync", "sync_file_range", "syncfs"];
/// The calls that write.
const WRITES: [&str; 6] = ["write", "pwrite64", "writev", "pwritev", "pwritev2", "io_uring_enter"];
/// Commits of one event that are counted.
const COMMITS: u64 = 200;

pub(super) fn measure(settings: &Settings) -> Result<Vec<Sample>> {
    settings.subjects.iter().map(|kind| count(settings, *kind)).collect()
}

/// The calls of a process with commits, less those of one without.
fn count(settings: &Settings, kind: Kind) -> Result<Sample> {
    let without = calls(settings, kind, 0)?;
    let with = calls(settings, kind, COMMITS)?;
    let per_commit = |names: &[&str]| {
        let of = |calls: &BTreeMap<String, f64>| -> f64 {
            names.iter().filter_map(|name| calls.get(*name)).sum()
        };
        (of(&with) - of(&without)) / COMMITS as f64
    };
    let mut more: BTreeMap<String, f64> = SYNCS
        .iter()
        .map(|name| ((*name).to_owned(), per_commit(&[name])))
        .filter(|(_, calls)| *calls > 0.0)
        .collect();
    more.insert("writes".to_owned(), per_commit(&WRITES));
    Ok(Sample {
        case: "calls per commit".to_owned(),
        slice: 0,
        subject: kind,
        events: COMMITS,
        seconds: 0.0,
        more,
    })
}

fn calls(settings: &Settings, kind: Kind, commits: u64) -> Result<BTreeMap<String, f64>> {
    let folder = settings.folder.join(format!("syncs-{}", kind.name()));
    let counts = settings.folder.join("strace.txt");
    remove_folder(&folder)?;
    let names: Vec<&str> = SYNCS.iter().chain(&WRITES).copied().collect();
    let output = Command::new("strace")
        .args(["-f", "-c", "-e", &format!("trace={}", names.join(",")), "-o"])
        .arg(&counts)
        .arg(std::env::current_exe()?)
        .args(Task::commits(settings, kind, &folder, commits).arguments())
        .output()
        .context("running strace")?;
    ensure!(
        output.status.success(),
        "{} under strace: {}",
        kind.name(),
        String::from_utf8_lossy(&output.stderr)
    );
    let table = std::fs::read_to_string(&counts)?;
    remove_folder(&folder)?;
    std::fs::remove_file(&counts)?;
    Ok(parse(&table))
}

/// The calls by name, out of the table that `strace -c` writes.
fn parse(table: &str) -> BTreeMap<String, f64> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let calls = fields.get(3)?.parse().ok()?;
        let name = fields.last().filter(|name| **name != "total")?;
        Some(((*name).to_owned(), calls))
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn counts_stand_in_the_fourth_column() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 66.99    2.807484        1601      1753           fsync
  6.20    0.259727         182      1422         3 pwrite64
------ ----------- ----------- --------- --------- ----------------
100.00    4.191151         704      3175         3 total
";
        let calls = parse(table);
        assert_eq!(calls.get("fsync"), Some(&1753.0));
        assert_eq!(calls.get("pwrite64"), Some(&1422.0));
        assert_eq!(calls.len(), 2);
    }
}
