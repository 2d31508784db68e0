//! The rules of the source tree.

mod circles;
mod crates;
mod documents;
mod glossary;
mod links;
mod modules;
mod owners;
mod pages;
mod references;
mod type_names;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lines of a source file.
const MAX_LINES: usize = 700;

/// What has no place in the sources. Put together here, so that this file may name it.
const UNFINISHED: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The path of every file below these folders of the repository whose name ends so.
fn paths(folders: &[&str], ending: &str) -> Vec<String> {
    fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !["target", ".venv", "node_modules"].iter().any(|name| path.ends_with(name)) {
                    collect(&path, ending, found);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), ending, &mut found);
    }
    found.sort();
    let name =
        |path: PathBuf| path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    found.into_iter().map(name).collect()
}

/// Every such file, and its text.
fn files(folders: &[&str], ending: &str) -> Vec<(String, String)> {
    let text = |path: &String| fs::read_to_string(root().join(path)).unwrap();
    let paths = paths(folders, ending).into_iter();
    paths.map(|path| (path.clone(), text(&path))).collect()
}

const ALL: [&str; 5] = ["crates", "tools", "tests", "benches", "bindings"];

fn sources() -> Vec<(String, String)> {
    let sources = files(&ALL, ".rs");
    assert!(sources.len() > 50, "where are the sources?");
    sources
}

/// The manifests of the members, by their folder.
fn manifests() -> Vec<(String, String)> {
    let manifests = files(&ALL, "Cargo.toml");
    assert!(manifests.len() >= 8, "where are the manifests?");
    manifests
        .into_iter()
        .map(|(name, text)| (name.trim_end_matches("/Cargo.toml").to_owned(), text))
        .collect()
}

/// Whether a manifest names a dependency, in whichever table.
fn depends_on(manifest: &str, package: &str) -> bool {
    manifest.lines().any(|line| {
        let name = line.split(['=', '.']).next().unwrap_or_default().trim();
        name == package || line.trim() == format!("[dependencies.{package}]")
    })
}

/// Whether code, comments apart, names sled's crate.
fn names_sled(text: &str) -> bool {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|line| {
        line.contains("use sled") && !line.contains("use sled_")
            || line.match_indices("sled::").any(|(at, _)| {
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            })
    })
}

/// The comparison has sled as one of its rivals, in a workspace of its own.
const COMPARISON: &str = "benches/compare";

#[test]
fn one_file_of_the_store_names_sled() {
    let with_sled: Vec<String> = manifests()
        .into_iter()
        .filter(|(folder, manifest)| folder != COMPARISON && depends_on(manifest, "sled"))
        .map(|(folder, _)| folder)
        .collect();
    assert_eq!(with_sled, ["crates/store"]);
    let naming: Vec<String> = sources()
        .into_iter()
        .filter(|(name, _)| !name.ends_with("tidy.rs") && !name.starts_with(COMPARISON))
        .filter(|(_, text)| names_sled(text))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(naming, ["crates/store/src/sled_copy.rs"]);
}

#[test]
fn the_language_the_projections_the_bus_and_the_service_know_no_store() {
    let known = |folder: &str, allowed: &[&str]| {
        let manifests = manifests();
        let (_, manifest) = manifests.iter().find(|(name, _)| name == folder).unwrap();
        for (other, _) in &manifests {
            let package = match other.strip_prefix("crates/") {
                Some("spacefold") => "spacefold".to_owned(),
                Some(name) => format!("spacefold-{name}"),
                None => format!("spacefold-{other}"),
            };
            let depends = depends_on(manifest, &package);
            assert_eq!(depends, allowed.contains(&package.as_str()), "{folder} on {package}");
        }
    };
    known("crates/event-core", &[]);
    known("crates/disk", &["spacefold-event-core"]);
    known("crates/store", &["spacefold-event-core", "spacefold-disk", "spacefold-runs"]);
    known("crates/content", &["spacefold-event-core", "spacefold-disk"]);
    known("crates/objects", &["spacefold-event-core", "spacefold-disk"]);
    known("crates/runs", &["spacefold-event-core", "spacefold-disk"]);
    known("crates/state", &["spacefold-event-core"]);
    let parts = ["spacefold-event-core", "spacefold-disk", "spacefold-runs", "spacefold-state"];
    known("crates/projection", &parts);
    known("crates/bus", &["spacefold-event-core", "spacefold-disk"]);
    let parts =
        ["spacefold-event-core", "spacefold-state", "spacefold-projection", "spacefold-bus"];
    known("crates/service", &parts);
    let parts = [
        "spacefold-event-core",
        "spacefold-disk",
        "spacefold-store",
        "spacefold-content",
        "spacefold-state",
        "spacefold-projection",
        "spacefold-service",
        "spacefold-bus",
    ];
    known("crates/spacefold", &parts);
    known("crates/console", &["spacefold"]);
    known("crates/server", &["spacefold", "spacefold-console"]);
    known("crates/client", &["spacefold"]);
    let parts = [
        "spacefold",
        "spacefold-content",
        "spacefold-disk",
        "spacefold-event-core",
        "spacefold-objects",
        "spacefold-state",
        "spacefold-store",
    ];
    known("crates/archive", &parts);
    let parts = ["spacefold-event-core", "spacefold-disk", "spacefold-objects"];
    known("crates/replicated", &parts);
    known("tests/examples", &["spacefold", "spacefold-archive"]);
    let manifest = fs::read_to_string(root().join("tests/examples/Cargo.toml")).unwrap();
    let alone = "[dependencies]\nspacefold.workspace = true\nspacefold-archive.workspace = true\n\n\
                 [lints]\nworkspace = true\n";
    assert!(manifest.ends_with(alone), "the examples have more than the facade and the archive");
    assert_eq!(manifest.matches("dependencies").count(), 1);
    let parts = [
        "spacefold",
        "spacefold-archive",
        "spacefold-client",
        "spacefold-event-core",
        "spacefold-server",
    ];
    known("tools/spacefold", &parts);
    known("tools/rebuild-projections", &[]);
}

#[test]
fn the_server_and_what_speaks_to_services_alone_have_a_runtime() {
    for (folder, manifest) in manifests() {
        let product = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        let is_product = folder.starts_with("crates/") || folder.starts_with("tools/");
        // The client of a bucket has one of its own, behind a feature.
        if is_product && !["crates/server", "crates/objects"].contains(&folder.as_str()) {
            for package in ["tokio", "axum", "hyper"] {
                assert!(!depends_on(product, package), "{folder} has {package}");
            }
        }
    }
}

#[test]
fn the_projections_and_the_bus_hold_readers() {
    for (name, text) in sources() {
        let reads = name.starts_with("crates/projection/") || name.starts_with("crates/bus/");
        if !reads || ["/tests.rs", "/testing.rs", "/tests/"].iter().any(|of| name.contains(of)) {
            continue;
        }
        let code = code(&text);
        let product = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for word in ["EventLog", "LogWriter", "AppendError"] {
            assert!(!product.contains(word), "{name} names {word}");
        }
    }
}

#[test]
fn the_language_does_no_io() {
    for (name, text) in sources() {
        let pure = ["event-core", "state", "projection", "bus", "service"]
            .iter()
            .any(|part| name.starts_with(&format!("crates/{part}/")));
        if pure {
            for word in ["std::fs", "fs::File", " File::", "std::net", "std::process"] {
                assert!(!text.contains(word), "{name} names {word}");
            }
        }
    }
}

#[test]
fn architecture_names_every_folder_and_every_folder_it_names_is_there() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (folder, _) in manifests() {
        assert!(architecture.contains(&folder), "ARCHITECTURE.md does not name {folder}");
    }
    let words = architecture.split(|c: char| !(c.is_ascii_alphanumeric() || "/_-.".contains(c)));
    for word in words {
        let path = word.trim_end_matches(['/', '.']);
        if ALL.iter().any(|folder| path.starts_with(&format!("{folder}/"))) {
            assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which is not there");
        }
    }
}

#[test]
fn no_source_file_is_too_long() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{name} has {lines} lines: the limit is {MAX_LINES}");
    }
}

#[test]
fn nothing_unfinished_lands() {
    for (name, text) in sources() {
        for word in UNFINISHED {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}

/// Hashers that whoever chooses the keys can know, and so make all of them collide.
const UNSEEDED: [&str; 9] = [
    "rustc_hash",
    "BuildHasherDefault",
    "DefaultHasher",
    "FixedState",
    "FixedHasher",
    "fxhash",
    "FnvHash",
    "RapidHasher::default",
    "SeedableState",
];

#[test]
fn every_table_is_seeded() {
    for (name, text) in files(&["crates", "tools"], ".rs") {
        // What is behind the tests is theirs: they make keys that collide.
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        if name.ends_with("tests.rs") || name.contains("/tests/") {
            continue;
        }
        for hasher in UNSEEDED {
            assert!(!product.contains(hasher), "{name} has tables of {hasher}");
        }
    }
    for (folder, manifest) in manifests() {
        let product = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for package in ["rustc-hash", "fxhash", "fnv"] {
            assert!(!depends_on(product, package), "{folder} has tables of {package}");
        }
    }
}

#[test]
fn members_share_version_licence_and_lints() {
    let is_own_workspace = |manifest: &str| manifest.lines().any(|line| line == "[workspace]");
    for (folder, manifest) in manifests() {
        if is_own_workspace(&manifest) {
            continue;
        }
        for key in ["version", "edition", "rust-version", "license", "repository"] {
            let inherited = format!("{key}.workspace = true");
            assert!(manifest.lines().any(|line| line == inherited), "{folder}: {inherited}");
        }
        let lints = manifest.contains("[lints]\nworkspace = true");
        assert!(lints || folder == "tests", "{folder} has lints of its own");
        let published = folder.starts_with("crates/") || folder.starts_with("tools/");
        assert_eq!(!manifest.contains("publish = false"), published, "{folder}");
    }
}

#[test]
fn the_readme_has_two_commands_and_the_example_that_is_tested() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 110, "the README is more than a screen or two");
    let block = |language: &str| {
        let begin = format!("```{language}\n");
        let after = readme.split(&begin).nth(1).unwrap();
        let lines: Vec<String> =
            after.lines().take_while(|line| *line != "```").map(str::to_owned).collect();
        lines
    };
    assert_eq!(
        block("sh"),
        ["cargo run --release --bin spacefold -- demo", "cargo test --release"]
    );
    // The example of the library's front page runs as a test; this is the same.
    let library = fs::read_to_string(root().join("crates/spacefold/src/lib.rs")).unwrap();
    let example: Vec<String> = library
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        .skip_while(|line| line != "```")
        .skip(1)
        .take_while(|line| line != "```")
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.replace("&path", "\"data\""))
        .collect();
    let readme_example: Vec<String> = block("rust")
        .into_iter()
        .enumerate()
        .filter(|(index, line)| !(*index == 1 && line.is_empty()))
        .map(|(_, line)| line)
        .collect();
    assert_eq!(readme_example, example);
}

/// The code of a source file, comments apart.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that a crate gives out, by `pub use` of this and `pub mod`.
fn given_out(library: &str, of: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let code = code(library);
    let begin = format!("pub use {of}::");
    let lists = code.split(&begin).skip(1);
    let mut names = BTreeSet::new();
    for list in lists.map(|list| list.split(';').next().unwrap_or_default()) {
        for part in list.split([',', '{', '}']).map(str::trim) {
            let name = part.rsplit("::").next().unwrap_or_default();
            names.extend((!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned()));
        }
    }
    names
}

/// What the parts give out to one another, and is no use to who has the facade.
const BETWEEN_PARTS: [&str; 43] = [
    // What authors of other logs need, which stays in event-core.
    "Answerer",
    "Assignments",
    "EncodedBody",
    "Envelope",
    "EventMark",
    "KeyMap",
    "LogMark",
    "RUN_BYTES",
    "RUN_EVENTS",
    "Records",
    "RecordsBuilder",
    "Schemas",
    "least_after",
    "split_array",
    // Its own checks the states too.
    "verify",
    "verify_states",
    "verify_beside",
    "StateFold",
    // Its own bring content along.
    "fork",
    "repair_log",
    "salvage",
    // What states are made of.
    "BlameFold",
    "Difference",
    "Key",
    "SharedMap",
    // Opening a store opens its content.
    "PreparedContent",
    "ContentFollower",
    // What backups are made of, and what is made of them.
    "BackupFrames",
    "BackupHead",
    "BackupPack",
    "BackupPacks",
    "BackupSegment",
    "BackupView",
    "ContentBackup",
    "ContentRestore",
    "LogRestore",
    "LogRestoreError",
    "RestoredPoint",
    "SegmentBytes",
    "frames_events",
    "frames_position_by",
    "segment_events",
    "segment_position_by",
];

#[test]
fn the_facade_gives_out_whatever_its_parts_do() {
    let library = |folder: &str| {
        fs::read_to_string(root().join("crates").join(folder).join("src/lib.rs")).unwrap()
    };
    let facade = library("spacefold");
    let mut names = 0;
    for part in ["event-core", "store", "content", "state", "projection", "bus", "service"] {
        let package = format!("spacefold_{}", part.replace('-', "_"));
        if facade.contains(&format!("pub use {package}::*;")) {
            continue;
        }
        let reached = given_out(&facade, &package);
        for name in given_out(&library(part), "self") {
            names += 1;
            let is_known = reached.contains(&name) || BETWEEN_PARTS.contains(&name.as_str());
            assert!(is_known, "{name} of {package} is not to be had from spacefold");
        }
    }
    assert!(names > 100, "where are the names? there are {names}");
}

#[test]
fn an_append_goes_through_seven_files_and_each_names_the_next() {
    let path = [
        "crates/spacefold/src/spacefold.rs",
        "crates/store/src/embedded_log.rs",
        "crates/event-core/src/append_rules.rs",
        "crates/store/src/writer/handover.rs",
        "crates/store/src/writer.rs",
        "crates/store/src/journal.rs",
        "crates/disk/src/real.rs",
    ];
    for pair in path.windows(2) {
        let source = fs::read_to_string(root().join(pair[0])).unwrap();
        let header: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let (_, next) = pair[1].split_once("/src/").unwrap();
        assert!(header.contains(&format!("`{next}`")), "{} does not name {next}", pair[0]);
    }
}

#[test]
fn no_documentation_runs_into_another() {
    let text = |line: &str| {
        let line = line.trim_start();
        let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
        Some(text.trim().to_owned())
    };
    for (name, source) in files(&["crates", "tools"], ".rs") {
        let lines: Vec<&str> = source.lines().collect();
        for (index, pair) in lines.windows(2).enumerate() {
            let (Some(one), Some(next)) = (text(pair[0]), text(pair[1])) else { continue };
            // A sentence that ends a line early, and another behind it that would have fit: one of
            // them came to stand there when what it is about went elsewhere.
            let word = next.split(' ').next().unwrap_or_default();
            let begins = word.starts_with(|c: char| c.is_ascii_uppercase() || "`[".contains(c));
            let fits = pair[0].chars().count() + 1 + word.chars().count() <= 90;
            let place = index + 1;
            assert!(!(one.ends_with('.') && begins && fits), "{name}:{place}: {one}");
        }
    }
}
