//! The page that shows results: one section for each row.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use anyhow::{Context, Result};

use crate::{
    report::{Report, Sample},
    row::quantile,
    subject::Kind,
};

/// The order of the sections.
const ROWS: [&str; 6] = ["append", "producers", "bulk", "open", "replay", "syncs"];

/// Writes `README.md` into the folder of the raw data.
pub(crate) fn write(results: &Path) -> Result<()> {
    let reports =
        Report::load_newest(results).with_context(|| format!("reading {}", results.display()))?;
    let mut page = String::from(INTRODUCTION);
    for row in ROWS {
        if let Some(report) = reports.get(row) {
            page.push_str(&section(report));
        }
    }
    Ok(fs::write(results.join("README.md"), page)?)
}

const INTRODUCTION: &str = "\
# spacefold beside other storage engines

Written by `compare table` from the raw data beside this page; `benches/compare` has the program. Every row was measured
in one run, the subjects in slices that took turns, in another order each time. Machines are shared: **only ratios
inside one row count**. A ratio is taken slice by slice; shown are the median, the least and the greatest.

- **Same events:** of four kinds, made from a seed, over skewed spaces. Each producer hands over events, and encodes them
  in its own thread while the clock runs. The rivals store one record an event, in bincode's native encoding, under its
  number, and do not keep revisions. spacefold does what it always does: checks limits, retries and conditions, assigns
  revisions, keeps two copies.
- **Same durability:** every append is on the disk when it is answered; the section *syncs* shows by which calls.
- **plain** is a file that grows, **preallocated** a file of zeros that is written over and over: what the disk allows.
  It keeps no events.
- With many producers, every rival and both files stand behind the same group commit: one thread drains a channel and
  commits once a group.
- `append` and `producers` wait between two subjects until background threads are idle, so that nobody pays for his
  neighbour; `bulk` charges everything until the store is closed.
";

/// What a row shows first.
enum Headline {
    /// Events a second: more is better.
    Rate,
    /// A time in ms: less is better.
    Time,
    /// Counts only.
    None,
}

/// The section of one row.
pub(crate) fn section(report: &Report) -> String {
    let headline = match report.row.as_str() {
        "open" => Headline::Time,
        "syncs" => Headline::None,
        _ => Headline::Rate,
    };
    let machine = &report.machine;
    let mut text = format!(
        "\n## {}\n\n`{}`, {}, sources at {}; {}, {} cores, {} GiB, Linux {}, {}, {}.\n",
        report.row,
        report.command,
        report.date,
        report.revision,
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        machine.rustc
    );
    let mut cases: Vec<&str> = Vec::new();
    for sample in &report.samples {
        if !cases.contains(&sample.case.as_str()) {
            cases.push(&sample.case);
        }
    }
    for case in cases {
        let samples: Vec<&Sample> = report.samples.iter().filter(|s| s.case == case).collect();
        let slices: BTreeSet<usize> = samples.iter().map(|sample| sample.slice).collect();
        let _ = write!(text, "\n### {case} ({} slices)\n\n", slices.len());
        text.push_str(&case_table(&samples, &headline));
    }
    text
}

fn case_table(samples: &[&Sample], headline: &Headline) -> String {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for sample in samples {
        names.extend(sample.more.keys().map(String::as_str));
    }
    let has = |kind: Kind| samples.iter().any(|sample| sample.subject == kind);
    let references: Vec<Kind> = match headline {
        Headline::None => Vec::new(),
        _ => [Kind::Preallocated, Kind::Spacefold].into_iter().filter(|kind| has(*kind)).collect(),
    };
    let mut head = vec!["subject".to_owned()];
    match headline {
        Headline::Rate => head.push("events/s".to_owned()),
        Headline::Time => head.push("ms, median (least to greatest)".to_owned()),
        Headline::None => {}
    }
    for reference in &references {
        head.push(format!("× {}", reference.name()));
    }
    head.extend(names.iter().filter(|name| **name != "ms").map(|name| (*name).to_owned()));
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));

    let mut rows: Vec<(f64, String)> = Vec::new();
    let subjects: BTreeSet<Kind> = samples.iter().map(|sample| sample.subject).collect();
    for subject in subjects {
        let own: Vec<&Sample> =
            samples.iter().filter(|sample| sample.subject == subject).copied().collect();
        let mut fields = vec![match subject {
            Kind::Spacefold => format!("**{}**", subject.name()),
            other => other.name().to_owned(),
        }];
        let mut rates: Vec<f64> = own.iter().map(|s| s.events as f64 / s.seconds).collect();
        let mut times: Vec<f64> = own.iter().map(|sample| sample.seconds * 1e3).collect();
        match headline {
            Headline::Rate => fields.push(number(quantile(&mut rates, 0.5))),
            Headline::Time => fields.push(spread(&mut times)),
            Headline::None => {}
        }
        for reference in &references {
            fields.push(spread(&mut ratios(samples, &own, *reference)));
        }
        for name in names.iter().filter(|name| **name != "ms") {
            let mut values: Vec<f64> =
                own.iter().filter_map(|sample| sample.more.get(*name).copied()).collect();
            let shown =
                if values.is_empty() { String::new() } else { number(quantile(&mut values, 0.5)) };
            fields.push(shown);
        }
        let order = match headline {
            Headline::Rate => -quantile(&mut rates, 0.5),
            Headline::Time => quantile(&mut times, 0.5),
            Headline::None => 0.0,
        };
        rows.push((order, format!("| {} |\n", fields.join(" | "))));
    }
    rows.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    rows.iter().for_each(|(_, row)| text.push_str(row));
    text
}

/// The speed of a subject over that of a reference, slice by slice.
fn ratios(samples: &[&Sample], own: &[&Sample], reference: Kind) -> Vec<f64> {
    let references: BTreeMap<usize, f64> = samples
        .iter()
        .filter(|sample| sample.subject == reference)
        .map(|sample| (sample.slice, sample.seconds))
        .collect();
    own.iter().filter_map(|sample| Some(references.get(&sample.slice)? / sample.seconds)).collect()
}

/// Median, least and greatest.
fn spread(values: &mut [f64]) -> String {
    let median = quantile(values, 0.5);
    format!(
        "{} ({} to {})",
        number(median),
        number(quantile(values, 0.0)),
        number(quantile(values, 1.0))
    )
}

/// A number with as many digits as it carries.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
