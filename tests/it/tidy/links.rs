//! Links from a document to files and headings of the repository.

use super::{
    documents::{documents, prose},
    root,
};

/// What a document links to, each with its line.
pub(super) fn links(document: &str) -> Vec<(usize, &str)> {
    let of_line = |(number, line): (usize, &'_ str)| {
        let begins: Vec<usize> = line.match_indices("](").map(|(at, _)| at + 2).collect();
        begins.into_iter().map(move |at| (number, at)).collect::<Vec<_>>()
    };
    let lines: Vec<&str> = document.lines().collect();
    let begins = prose(document).flat_map(of_line);
    let target = |(number, at): (usize, usize)| {
        let line: &str = lines[number - 1];
        (number, line[at..].split(')').next().unwrap_or_default())
    };
    begins.map(target).collect()
}

/// The anchors that a page has for its headings, as the usual viewers make them.
fn anchors(document: &str) -> Vec<String> {
    let heading = |(_, line): (usize, &str)| {
        let text = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
        let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        Some(text.chars().filter(is_kept).collect::<String>().replace(' ', "-"))
    };
    prose(document).filter_map(heading).collect()
}

/// The links of a document that lead nowhere; `text` answers what is at a path of the repository,
/// nothing where there is only a folder.
fn broken(name: &str, document: &str, text: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut broken = Vec::new();
    for (line, link) in links(document) {
        if link.starts_with("https://") || link.starts_with("http://") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/') {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        let linked =
            if path.is_empty() { Some(document.to_owned()) } else { text(&parts.join("/")) };
        let is_whole = match linked {
            Some(linked) => anchor.is_empty() || anchors(&linked).iter().any(|of| of == anchor),
            None => false,
        };
        if !is_whole {
            broken.push(format!("{name}:{line}: {link}"));
        }
    }
    broken
}

#[test]
fn links_between_documents_and_to_files_resolve() {
    let text = |path: &str| {
        let path = root().join(path);
        if path.is_dir() { Some(String::new()) } else { std::fs::read_to_string(path).ok() }
    };
    let mut count = 0;
    for (name, document) in documents() {
        count += links(&document).len();
        let broken = broken(&name, &document, text);
        assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
    }
    assert!(count > 30, "where are the links? there are {count}");
}

#[test]
fn a_link_to_no_file_and_one_to_no_heading_are_found() {
    let text = |path: &str| {
        let there = ["docs/b.md", "c.rs"];
        there.contains(&path).then(|| "# One & two\n```\n# Three\n```\n".to_owned())
    };
    let document = "# A\n[1](b.md) [2](../c.rs) [3](#a) [4](b.md#one--two) [5](https://x.y/z)\n\
                    [6](c.rs)\n[7](#b)\n[8](b.md#three)\n```\n[9](d)\n```\n";
    let expected = ["docs/a.md:3: c.rs", "docs/a.md:4: #b", "docs/a.md:5: b.md#three"];
    assert_eq!(broken("docs/a.md", document, text), expected);
}
