//! The map, the tours, the records of decisions, and the page of each crate.

use std::fs;

use super::{
    documents::documents,
    links::links,
    manifests,
    references::{defines, reference},
    root,
};

/// Lines of the map.
const MAX_MAP_LINES: usize = 250;
/// Lines of a tour.
const MAX_TOUR_LINES: usize = 80;
/// What a record of a decision has, in this order.
const RECORD: [&str; 5] =
    ["## Context", "## Decision", "## Measured", "## Rejected", "## When to look again"];
/// What the page of a crate has.
const CRATE_PAGE: [&str; 4] =
    ["## What it never does", "## Types to know", "## Data flow", "## Tests"];

fn documents_in(folder: &str) -> Vec<(String, String)> {
    let inside = |(name, _): &(String, String)| name.starts_with(&format!("{folder}/"));
    documents().into_iter().filter(inside).collect()
}

#[test]
fn the_map_has_at_most_250_lines() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let lines = map.lines().count();
    assert!(lines <= MAX_MAP_LINES, "ARCHITECTURE.md has {lines} lines");
    for (name, _) in documents_in("docs/tour") {
        assert!(map.contains(&format!("({name})")), "the map has no entry for {name}");
    }
}

#[test]
fn a_tour_has_at_most_80_lines_and_leads_from_file_to_file() {
    let tours = documents_in("docs/tour");
    assert!(tours.len() >= 6, "where are the tours?");
    for (name, tour) in tours {
        let lines = tour.lines().count();
        assert!(lines <= MAX_TOUR_LINES, "{name} has {lines} lines");
        let files = links(&tour).into_iter().filter(|(_, link)| link.ends_with(".rs")).count();
        assert!(files >= 8, "{name} links to {files} files");
    }
}

/// What is wrong with a record, by its name and text.
fn wrong_in_record(number: usize, name: &str, record: &str) -> Option<String> {
    if !name.starts_with(&format!("{number:04}-")) {
        return Some(format!("{name} is not the number {number}"));
    }
    if !record.starts_with(&format!("# {number:04}. ")) {
        return Some(format!("{name} has another title"));
    }
    if !record.contains("\nStatus: ") || !record.contains(" Date: 20") {
        return Some(format!("{name} has no status or no date"));
    }
    let mut rest = record;
    for heading in RECORD {
        let Some((_, after)) = rest.split_once(&format!("\n{heading}\n")) else {
            return Some(format!("{name} has no \"{heading}\", or not in its place"));
        };
        if after.trim_start().starts_with('#') || after.trim().is_empty() {
            return Some(format!("{name} says nothing under \"{heading}\""));
        }
        rest = after;
    }
    None
}

#[test]
fn decisions_are_numbered_without_gaps_complete_and_listed() {
    let index = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let records = documents_in("docs/decisions").into_iter().filter_map(|(path, text)| {
        let name = path.strip_prefix("docs/decisions/")?.to_owned();
        name.starts_with(|c: char| c.is_ascii_digit()).then_some((name, text))
    });
    let mut count = 0;
    for (name, record) in records {
        count += 1;
        assert_eq!(wrong_in_record(count, &name, &record), None);
        let title = record.lines().next().unwrap().trim_start_matches("# ");
        let entry = format!("[{title}]({name})");
        assert!(index.contains(&entry), "docs/decisions/README.md has no {entry}");
    }
    assert!(count >= 30, "where are the records?");
}

#[test]
fn an_incomplete_record_is_found() {
    let whole = "# 0007. A\n\nStatus: accepted. Date: 2026-11-30.\n\n## Context\n\na\n\n\
                 ## Decision\n\nb\n\n## Measured\n\nc\n\n## Rejected\n\nd\n\n\
                 ## When to look again\n\ne\n";
    assert_eq!(wrong_in_record(7, "0007-a.md", whole), None);
    let wrong = |record: &str| wrong_in_record(7, "0007-a.md", record).is_some();
    assert!(wrong_in_record(8, "0007-a.md", whole).is_some());
    assert!(wrong(&whole.replace("# 0007", "# 0008")));
    assert!(wrong(&whole.replace("Status: accepted. ", "")));
    assert!(wrong(&whole.replace("## Rejected\n\nd\n\n", "")));
    assert!(wrong(&whole.replace("## Rejected\n\nd\n\n", "## Rejected\n\n")));
    assert!(wrong(whole.strip_suffix("e\n").unwrap()));
}

#[test]
fn every_crate_has_a_page_that_is_its_documentation() {
    let mut count = 0;
    for (folder, manifest) in manifests() {
        let Some(name) = folder.strip_prefix("crates/") else { continue };
        count += 1;
        let page = fs::read_to_string(root().join(&folder).join("README.md"));
        let page = page.unwrap_or_else(|error| panic!("{folder}/README.md: {error}"));
        for heading in CRATE_PAGE {
            assert!(page.contains(&format!("\n{heading}\n")), "{folder} has no \"{heading}\"");
        }
        let package =
            if name == "spacefold" { name.to_owned() } else { format!("spacefold-{name}") };
        assert!(page.starts_with(&format!("# {package}\n")), "{folder} has another title");
        let library = fs::read_to_string(root().join(&folder).join("src/lib.rs")).unwrap();
        let included = "#![doc = include_str!(\"../README.md\")]";
        assert!(library.contains(included), "{folder} documents itself apart from its README");
        assert!(manifest.contains("\nreadme = \"README.md\"\n"), "{folder} has no readme");
        types_are_there(&folder, &page);
    }
    assert!(count >= 12, "where are the crates?");
}

/// The types to know are defined in the crate, or in one whose types it gives out.
fn types_are_there(folder: &str, page: &str) {
    let (_, section) = page.split_once("\n## Types to know\n").unwrap();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| [`")?.split('`').next());
    let names: Vec<&str> = rows.collect();
    assert!(names.len() >= 2, "{folder} has {} types to know", names.len());
    let sources = super::files(&["crates"], ".rs");
    for name in names {
        assert!(reference(name).is_none(), "{folder}: {name} is a file");
        let item = name.rsplit("::").next().unwrap_or(name).trim_end_matches("()");
        let is_there = sources.iter().any(|(_, source)| defines(source, item));
        assert!(is_there, "{folder}: {name} is nowhere");
    }
}

#[test]
fn the_guide_has_the_wiki_that_is_tested() {
    let page = fs::read_to_string(root().join("docs/guide/wiki.md")).unwrap();
    let source = fs::read_to_string(root().join("tests/wiki/src/main.rs")).unwrap();
    let (_header, code) = source.split_once("\n\n").unwrap();
    let (code, _tests) = code.split_once("\n#[cfg(test)]").unwrap();
    assert!(page.contains(&format!("```rust,ignore\n{code}```\n")), "docs/guide/wiki.md differs");
}

#[test]
fn other_platforms_are_refused_by_name_when_it_is_built() {
    // No other target is built here, so this reads: the crate that every store goes through.
    let disk = fs::read_to_string(root().join("crates/disk/src/lib.rs")).unwrap();
    let (_, after) = disk.split_once("#[cfg(not(all(target_os = \"linux\"").unwrap();
    assert!(after.lines().nth(1).unwrap().starts_with("compile_error!"), "it is only a condition");
    assert!(after.contains("spacefold runs on 64-bit Linux"));
}

#[test]
fn what_is_published_says_what_it_is() {
    for (folder, manifest) in manifests() {
        if manifest.contains("publish = false") || !manifest.contains("[package]") {
            continue;
        }
        if !folder.starts_with("crates/") && !folder.starts_with("tools/") {
            continue;
        }
        for key in ["description", "readme", "keywords", "categories"] {
            let has = manifest.lines().any(|line| line.starts_with(&format!("{key} = ")));
            assert!(has, "{folder} has no {key}");
        }
        let targets = "[package.metadata.docs.rs]\ntargets = [\"x86_64-unknown-linux-gnu\"]";
        assert!(manifest.contains(targets), "{folder} has no settings for docs.rs");
        let keywords = manifest.lines().find(|line| line.starts_with("keywords = ")).unwrap();
        let keywords: Vec<&str> = keywords.split('"').skip(1).step_by(2).collect();
        assert!(keywords.len() <= 5 && keywords.iter().all(|word| word.len() <= 20), "{folder}");
        assert!(root().join(&folder).join("README.md").exists(), "{folder} has no README.md");
    }
}

#[test]
fn the_oldest_compiler_is_the_same_wherever_it_is_named() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let version = line.trim_matches('"');
    let page = fs::read_to_string(root().join("docs/upgrading.md")).unwrap();
    assert!(page.contains(&format!("Rust {version} or later")), "docs/upgrading.md is of another");
}
