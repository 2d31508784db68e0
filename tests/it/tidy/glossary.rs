//! `docs/glossary.md` explains the noun of every public type.
//!
//! A type is named in the row of its term, or its name is that of a term or of a type there with an
//! ending that says what it is to it.

use std::{collections::BTreeSet, fs};

use super::{crates::sources, modules::tokens, root, type_names::types};

/// What an ending says is the same of whatever comes before it.
const ENDINGS: [&str; 10] =
    ["Error", "Failure", "Filter", "Id", "Info", "Kind", "Options", "Outcome", "Report", "Ref"];

/// Simulated disks are for tests of the stores, which nobody has but from the repository.
const SIMULATED: &str = "crates/disk/src/sim";

struct Glossary {
    terms: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Glossary {
    fn of(page: &str) -> Self {
        let mut glossary = Self { terms: BTreeSet::new(), types: BTreeSet::new() };
        for row in page.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').skip(1).map(str::trim).collect();
            assert_eq!(cells.len(), 5, "term, meaning, type, not: {row}");
            if cells[0] == "term" || cells[0].starts_with('-') {
                continue;
            }
            assert!(!cells[1].is_empty(), "no meaning: {row}");
            for term in cells[0].split(", ") {
                let is_new = glossary.terms.insert(term.to_owned());
                assert!(is_new, "two rows are for {term}");
            }
            for name in cells[2].split('`').skip(1).step_by(2) {
                let is_new = glossary.types.insert(name.to_owned());
                assert!(is_new, "two rows are for {name}");
            }
        }
        glossary
    }

    fn explains(&self, name: &str) -> bool {
        let is_named = |name: &str| self.types.contains(name) || self.terms.contains(&words(name));
        let before = |ending: &&str| name.strip_suffix(*ending).is_some_and(is_named);
        is_named(name) || ENDINGS.iter().any(before)
    }
}

/// The words of the name of a type: `event id` of `EventId`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[test]
fn the_glossary_has_the_noun_of_every_public_type() {
    let page = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let glossary = Glossary::of(&page);
    let types = types();
    let is_of_all = |file: &str| file.starts_with("crates/") && !file.starts_with(SIMULATED);
    let public = types.iter().filter(|of| of.is_public && is_of_all(&of.file));
    let unknown: Vec<String> = public
        .filter(|of| !glossary.explains(&of.name))
        .map(|of| format!("{} ({}:{})", of.name, of.file, of.line))
        .collect();
    assert!(unknown.is_empty(), "{} types are in no row: {unknown:#?}", unknown.len());
    // Macros define some.
    let sources = sources();
    let words: BTreeSet<String> =
        sources.values().flat_map(|text| tokens(text)).map(|token| token.text).collect();
    let gone: Vec<&String> = glossary.types.iter().filter(|name| !words.contains(*name)).collect();
    assert!(gone.is_empty(), "the glossary has types that are not there: {gone:?}");
}

#[test]
fn a_type_without_a_term_is_not_explained() {
    let glossary = Glossary::of(
        "| term | meaning | type | not |\n|---|---|---|---|\n| log, open event | m | `LogReader`, `Id` | |\n",
    );
    let explained = ["Log", "LogReader", "LogReaderError", "OpenEventFilter", "Id"];
    assert!(explained.iter().all(|name| glossary.explains(name)));
    let unknown = ["Logs", "Reader", "LogWriter", "EventId", "Open", "LogErrorError"];
    assert!(!unknown.iter().any(|name| glossary.explains(name)));
}
