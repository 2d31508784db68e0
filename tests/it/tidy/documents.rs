//! The documents: every `.md` file of the repository.

use std::fs;

use super::{ALL, files, root};

/// What `rustfmt` holds the code to.
const MAX_COLUMNS: usize = 100;

/// A page of measurements that `compare table` writes.
const WRITTEN_BY_A_PROGRAM: &str = "benches/results/README.md";

/// Every document and its text, by its path.
pub(super) fn documents() -> Vec<(String, String)> {
    let mut documents = files(&[&["docs"], &ALL[..]].concat(), ".md");
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            documents.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    assert!(documents.len() >= 8, "where are the documents?");
    documents
}

/// The lines of a document that are in no block of code, each with its number.
pub(super) fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    let lines = document.lines().enumerate();
    lines.filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_fence && !is_code).then_some((index + 1, line))
    })
}

/// A row of a table is one line however much it holds, and code is as it is printed or typed.
fn too_long(document: &str) -> Vec<usize> {
    let is_long = |line: &str| line.chars().count() > MAX_COLUMNS && !line.starts_with('|');
    prose(document).filter_map(|(number, line)| is_long(line).then_some(number)).collect()
}

#[test]
fn documents_have_at_most_100_columns() {
    for (name, text) in documents() {
        if name != WRITTEN_BY_A_PROGRAM {
            let long = too_long(&text);
            assert!(long.is_empty(), "{name} is wider than {MAX_COLUMNS} in lines {long:?}");
        }
    }
}

#[test]
fn a_long_line_is_found_outside_of_tables_and_code() {
    let long = "x".repeat(MAX_COLUMNS + 1);
    let fits = "ü".repeat(MAX_COLUMNS);
    let document = format!("{long}\n{fits}\n|{long}|\n```\n{long}\n```\n- {long}\n");
    assert_eq!(too_long(&document), [1, 7]);
}
