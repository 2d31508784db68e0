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
const ROWS: [&str; 7] = ["append", "producers", "bulk", "open", "replay", "rebuild", "syncs"];

/// Writes `README.md` into the folder of the raw data.
pub(crate) fn write(results: &Path) -> Result<()> {
    let reports =
        Report::load_newest(results).with_context(|| format!("reading {}", results.display()))?;
    let mut page = String::from(INTRODUCTION);
    for row in ROWS {
        for report in reports.iter().filter(|report| report.row == row) {
            page.push_str(&section(report));
        }
    }
    Ok(fs::write(results.join("README.md"), page)?)
}

const INTRODUCTION: &str = "\
# spacefold beside other storage engines

Written by `compare table` from the raw data beside this page; `benches/compare` has the program. Every row was measured
in one run, the subjects in slices that took turns, in another order each time. Machines are shared: **only ratios
inside one row count**. A ratio is taken slice by slice, more than 1 is faster; shown are its **median** [middle half]
(least–greatest). Where the middle half is wide, other work decided, and the median says little. Ratios of one kind of
processor do not hold on another: a row has a section for each kind that it was measured on, the newest of each.

- **Same events:** of four kinds, made from a seed, over skewed spaces. Each producer hands over events, and encodes them
  in its own thread while the clock runs. The rivals store one record an event, in bincode's native encoding, under its
  number, and do not keep revisions. spacefold does what it always does: checks limits, retries and conditions, assigns
  revisions, keeps two copies.
- **Same durability:** every append is on the disk when it is answered; the section *syncs* shows by which calls.
- **plain** is a file that grows, **preallocated** a file of zeros that is written over and over: what the disk allows.
  It keeps no events.
- With many producers, every rival and both files stand behind the same group commit: one thread drains a channel and
  commits once a group.
- `bulk`, `open`, `replay` and `rebuild` give every subject a process of its own. *written* is what the kernel sent to the disk for it;
  *disk* is what is allocated after closing, of spacefold's with the journal files and the reserve, which are filled with
  zeros ahead of use. *peak* is the most memory of the process, mapped pages included.
- `open` kills a process in the middle of appends, copies the folder for each round and syncs the copy; the time runs in
  a fresh process, with everything in the page cache, until the first event is decoded.
- `rebuild` folds the state of every space in a fresh process, opening included. The rivals fold as one writes it first:
  records with texts of their own, maps of the standard library, one thread; spacefold's rebuild folds with one thread a
  core and persists the states, which the rivals' do not. The same documents are met again and again.
- `append` and `producers` wait between two subjects until background threads are idle, so that nobody pays for his
  neighbour; `bulk` charges everything until the store is closed.

```sh
cargo build --release --manifest-path benches/compare/Cargo.toml
benches/compare/target/release/compare run --out benches/results
benches/compare/target/release/compare strace --out benches/results
benches/compare/target/release/compare table
```

RocksDB takes part with `--features rocksdb`: with a library of version 7.8 installed and named by `ROCKSDB_LIB_DIR`, or
built from source, which takes half an hour. It needs libclang.
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
        "\n## {}, {}\n\n`{}`, {}, sources at {}; {}, {} cores, {} GiB, Linux {}, {}, {}.\n",
        report.row,
        machine.maker(),
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
    if let Some(note) = report.settings.get("note") {
        let _ = writeln!(text, "\n*{note}*");
    }
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

/// The rows of one case, the best subject first.
fn case_table(samples: &[&Sample], headline: &Headline) -> String {
    let subjects: BTreeSet<Kind> = samples.iter().map(|sample| sample.subject).collect();
    let columns = Columns::of(samples, &subjects, headline);
    let head = columns.head(headline);
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    let mut rows: Vec<(f64, String)> = subjects
        .into_iter()
        .map(|subject| {
            let own = |sample: &&Sample| sample.subject == subject;
            let own: Vec<&Sample> = samples.iter().copied().filter(own).collect();
            let mut times: Vec<f64> = own.iter().map(|s| s.seconds / s.events as f64).collect();
            let order = if columns.references.is_empty() { 0.0 } else { quantile(&mut times, 0.5) };
            (order, columns.row(subject, &own, samples, headline))
        })
        .collect();
    rows.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    rows.iter().for_each(|(_, row)| text.push_str(row));
    text
}

/// What the table of a case shows beside the headline.
struct Columns<'s> {
    /// To whom the subjects are compared.
    references: Vec<Kind>,
    /// What else was measured.
    names: BTreeSet<&'s str>,
}

impl<'s> Columns<'s> {
    fn of(samples: &[&'s Sample], subjects: &BTreeSet<Kind>, headline: &Headline) -> Self {
        let mut references = vec![Kind::Preallocated, Kind::Spacefold];
        references.retain(|kind| subjects.contains(kind) && !matches!(headline, Headline::None));
        let names = samples.iter().flat_map(|sample| sample.more.keys().map(String::as_str));
        // A time stands in the headline already.
        Self { references, names: names.filter(|name| *name != "ms").collect() }
    }

    fn head(&self, headline: &Headline) -> Vec<String> {
        let mut head = vec!["subject".to_owned()];
        match headline {
            Headline::Rate => head.push("events/s".to_owned()),
            Headline::Time => head.push("ms".to_owned()),
            Headline::None => {}
        }
        head.extend(self.references.iter().map(|kind| format!("× {}", kind.name())));
        head.extend(self.names.iter().map(|name| (*name).to_owned()));
        head
    }

    fn row(
        &self,
        subject: Kind,
        own: &[&Sample],
        samples: &[&Sample],
        headline: &Headline,
    ) -> String {
        let name = subject.name();
        let mut fields =
            vec![if subject == Kind::Spacefold { format!("**{name}**") } else { name.to_owned() }];
        match headline {
            Headline::Rate => {
                let mut rates: Vec<f64> = own.iter().map(|s| s.events as f64 / s.seconds).collect();
                fields.push(number(quantile(&mut rates, 0.5)));
            }
            Headline::Time => {
                let mut times: Vec<f64> = own.iter().map(|s| s.seconds * 1e3).collect();
                fields.push(spread(&mut times));
            }
            Headline::None => {}
        }
        for reference in &self.references {
            fields.push(spread(&mut ratios(samples, own, *reference)));
        }
        for name in &self.names {
            let mut values: Vec<f64> =
                own.iter().filter_map(|sample| sample.more.get(*name).copied()).collect();
            let median = quantile(&mut values, 0.5);
            fields.push(if median.is_nan() { String::new() } else { number(median) });
        }
        format!("| {} |\n", fields.join(" | "))
    }
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

/// Median, the middle half, least and greatest.
fn spread(values: &mut [f64]) -> String {
    let mut at = |share| number(quantile(values, share));
    let (least, low, median, high, greatest) = (at(0.0), at(0.25), at(0.5), at(0.75), at(1.0));
    format!("**{median}** [{low}–{high}] ({least}–{greatest})")
}

/// A number with as many digits as it carries.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
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
