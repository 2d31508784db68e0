//! What documents name between backticks: files of the repository, and what a file defines.
//!
//! `journal/frame.rs` is any file whose path ends so; `{a,b}.rs` is each of them; after `:` or `::`
//! comes what is defined there, the innermost last.

use std::collections::BTreeSet;

use super::{
    ALL,
    documents::{documents, prose},
    files,
    modules::{Token, tokens},
    root,
};

/// Endings of files that documents name.
const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".py", ".jsonl", ".jsonl.gz"];

/// What stands between backticks, each with the line of its begin.
fn quoted(document: &str) -> Vec<(usize, String)> {
    let mut quoted = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in prose(document) {
        for (index, part) in line.split('`').enumerate() {
            if index > 0 {
                match open.take() {
                    Some(whole) => quoted.push(whole),
                    None => open = Some((number, String::new())),
                }
            }
            if let Some((_, text)) = &mut open {
                // One that goes on in the next line goes on after a space.
                let gap = if index == 0 && !text.is_empty() { " " } else { "" };
                text.push_str(gap);
                text.push_str(part.trim_start_matches(if gap.is_empty() { '`' } else { ' ' }));
            }
        }
        // A paragraph ends what is open, and so does a row of a table.
        if line.is_empty() || line.starts_with('|') {
            open = None;
        }
    }
    quoted
}

/// Each of the paths that one with braces stands for.
fn each(path: &str) -> Vec<String> {
    let braces = path.split_once('{').and_then(|(before, rest)| {
        let (names, after) = rest.split_once('}')?;
        Some((before, names, after))
    });
    let Some((before, names, after)) = braces else { return vec![path.to_owned()] };
    names.split(',').flat_map(|name| each(&format!("{before}{name}{after}"))).collect()
}

/// The path that a text names, and what of it.
pub(super) fn reference(text: &str) -> Option<(&str, Option<&str>)> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/_-.{},:…".contains(c);
    if !text.chars().all(is_of_path) || text.starts_with(['/', '.']) {
        return None;
    }
    let (path, item) = match text.split_once(':') {
        Some((path, item)) => (path, item.rsplit(':').next()),
        None => (text, None),
    };
    let is_file = ENDINGS.iter().any(|ending| path.ends_with(ending));
    let is_below = ALL.iter().any(|folder| path.starts_with(&format!("{folder}/")));
    (is_file || is_below).then_some((path.trim_end_matches('/'), item))
}

/// Whether a source text defines a name, or what begins so before an ellipsis.
pub(super) fn defines(source: &str, item: &str) -> bool {
    let (name, is_begin) = item.strip_suffix('…').map_or((item, false), |begin| (begin, true));
    let before = ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "mod "];
    before.iter().any(|before| {
        source.match_indices(&format!("{before}{name}")).any(|(at, found)| {
            let next = source[at + found.len()..].chars().next();
            is_begin || !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

/// The references of a document that nothing in these files answers.
fn dangling(
    name: &str,
    document: &str,
    paths: &[String],
    read: impl Fn(&str) -> String,
) -> Vec<String> {
    let mut dangling = Vec::new();
    for (line, text) in quoted(document) {
        let Some((path, item)) = reference(&text) else { continue };
        for path in each(path) {
            let suffix = format!("/{path}");
            let below = format!("{path}/");
            let is_named = |of: &&String| **of == path || of.ends_with(&suffix);
            let mut named = paths.iter().filter(is_named);
            let is_there = match item {
                Some(item) => named.any(|of| defines(&read(of), item)),
                None => named.next().is_some() || paths.iter().any(|of| of.starts_with(&below)),
            };
            if !is_there {
                dangling.push(format!("{name}:{line}: {text}"));
            }
        }
    }
    dangling
}

/// The names of a quoted piece of code: `A::b`, `A::{b, c}` or `AbCd`, without what it is called with.
fn names(text: &str) -> Vec<&str> {
    let code = text.split(['(', '<', ' ', '=']).next().unwrap_or_default();
    let code = if text.contains("::{") { text } else { code };
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: Vec<&str> = code.split(|c| !is_of_name(c)).filter(|name| !name.is_empty()).collect();
    let is_type = |name: &str| {
        let humps = name.chars().filter(char::is_ascii_uppercase).count();
        humps > 1 && name.chars().any(|c| c.is_ascii_lowercase()) && !name.contains('_')
    };
    let is_code = code.contains("::") || (names == [code] && is_type(code));
    if is_code && reference(text).is_none() && !code.ends_with('…') { names } else { Vec::new() }
}

#[test]
fn names_that_documents_quote_are_in_the_sources() {
    let sources = files(&ALL, ".rs");
    let tokens: Vec<Token> = sources.iter().flat_map(|(_, text)| tokens(text)).collect();
    let python = files(&["bindings"], ".py");
    let words = python
        .iter()
        .flat_map(|(_, text)| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let known: BTreeSet<&str> =
        tokens.iter().map(|token| token.text.as_str()).chain(words).collect();
    let mut count = 0;
    for (document, text) in documents() {
        for (line, quoted) in quoted(&text) {
            let names = names(&quoted);
            count += names.len();
            let unknown: Vec<&&str> = names.iter().filter(|name| !known.contains(**name)).collect();
            assert!(unknown.is_empty(), "{document}:{line}: `{quoted}` names {unknown:?}");
        }
    }
    assert!(count > 200, "where are the names? there are {count}");
}

#[test]
fn the_names_of_a_piece_of_code_are_found() {
    assert_eq!(names("Feed::sync"), ["Feed", "sync"]);
    assert_eq!(names("Durability::{Sync, Os}"), ["Durability", "Sync", "Os"]);
    assert_eq!(names("LiveStates::new(log, derived)"), ["LiveStates", "new"]);
    assert_eq!(names("LogReader"), ["LogReader"]);
    let others =
        ["HEAD", "\\xNN", "Os", "--data", "docs/a.md", "frame.rs::tests", "a::b…", "event_model"];
    assert!(others.iter().all(|text| names(text).is_empty()));
}

#[test]
fn files_and_what_they_define_are_where_documents_say() {
    let folders = [&["docs"], &ALL[..]].concat();
    let mut paths: Vec<String> =
        ENDINGS.iter().flat_map(|ending| super::paths(&folders, ending)).collect();
    paths.extend(documents().into_iter().map(|(name, _)| name));
    paths.extend(["Cargo.toml", "clippy.toml", "deny.toml", "rustfmt.toml"].map(str::to_owned));
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let mut count = 0;
    for (name, document) in documents() {
        count += quoted(&document).iter().filter(|(_, text)| reference(text).is_some()).count();
        let dangling = dangling(&name, &document, &paths, read);
        assert!(dangling.is_empty(), "what is not there: {dangling:#?}");
    }
    assert!(count > 100, "where are the references? there are {count}");
}

#[test]
fn a_file_and_a_function_that_are_not_there_are_found() {
    let paths = ["crates/a/src/b.rs", "crates/a/src/b/c.rs"].map(str::to_owned);
    let read = |_: &str| "pub fn begin() {}\nstruct Held;".to_owned();
    let document = "`b.rs` `b/{b,c}.rs` `b.rs:begin` `b.rs::Held` `b.rs:beg`\n`crates/a/src/` \
                    `crates/c`\n`b.rs::tests::beg…` `d.rs` `x` ``y`` `/e.md`\n```\n`f.rs`\n```\n\
                    `two\nwords` `g.rs`\n";
    let expected = [
        "a.md:1: b/{b,c}.rs",
        "a.md:1: b.rs:beg",
        "a.md:2: crates/c",
        "a.md:3: d.rs",
        "a.md:8: g.rs",
    ];
    assert_eq!(dangling("a.md", document, &paths, read), expected);
}
