//! Counts of outcomes, and the violations.

use std::collections::BTreeMap;

use crate::{bench::Work, case::Outcome};

/// How many violations of each kind are kept to be shown.
const SHOWN: usize = 3;

/// What came of many cases.
#[derive(Clone, Debug, Default)]
pub struct Report {
    cases: u64,
    counts: BTreeMap<String, u64>,
    /// By what they say but for numbers: how many, and the first of them.
    violations: BTreeMap<String, (u64, Vec<String>)>,
    violated: u64,
}

impl Report {
    /// Takes an outcome in.
    pub fn add(&mut self, work: &Work, outcome: &Outcome) {
        self.cases += 1;
        let what = format!("{}: {}", work.title(), outcome.what);
        *self.counts.entry(what).or_default() += 1;
        for violation in &outcome.violations {
            self.violated += 1;
            let is_word = |word: &&str| !word.contains(|c: char| c == '/' || c.is_ascii_digit());
            let kind = violation.split(' ').filter(is_word).collect::<Vec<_>>().join(" ");
            let (count, shown) = self.violations.entry(kind).or_default();
            *count += 1;
            if shown.len() < SHOWN {
                let case = serde_json::to_string(work).expect("a case is plain data");
                shown.push(format!("{violation}\n    case {case}"));
            }
        }
    }

    /// How many cases there were.
    #[must_use]
    pub const fn cases(&self) -> u64 {
        self.cases
    }

    /// How many cases came out so, over all stores and kinds of harm.
    #[must_use]
    pub fn count_of(&self, outcome: &str) -> u64 {
        let own = self.counts.iter().filter(|(what, _)| what.contains(outcome));
        own.map(|(_, count)| count).sum()
    }

    /// How many violations there were.
    #[must_use]
    pub const fn violated(&self) -> u64 {
        self.violated
    }

    /// Prints the counts and a closing line.
    pub fn print(&self, name: &str, seed: u64) {
        for (what, count) in &self.counts {
            println!("{count:8}  {what}");
        }
        for (count, shown) in self.violations.values() {
            for violation in shown {
                println!("VIOLATION ({count} like it) {violation}");
            }
        }
        let violated = self.violated;
        println!("{name}: {} cases, {violated} violations, seed {seed}", self.cases);
    }

    /// Prints everything, and fails when there is a violation.
    ///
    /// # Panics
    /// When a case violated what it must not, or there was none.
    pub fn conclude(&self, name: &str, seed: u64) {
        self.print(name, seed);
        assert!(self.cases > 0, "no case was run");
        assert_eq!(self.violated, 0, "{name}: see the violations above");
    }
}
