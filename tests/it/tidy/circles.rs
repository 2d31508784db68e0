//! Inside a crate no two files import one another, directly or through others.
//!
//! A file imports the one that defines what it names, by whichever path: a name that the root of the
//! crate or a parent gives on hides nothing. What files have of those above and below them is left
//! out, and so is what is there for tests alone.
//!
//! The same holds for the parts of a crate: a file and the files in its folder are one, beside the
//! others in the folder that they are in.

use std::collections::{BTreeMap, BTreeSet};

use super::crates::{Crate, Target, roots, sources};

/// Crates whose circles are still to be opened.
const FILES_STILL_IN_CIRCLES: [&str; 0] = [];
const PARTS_STILL_IN_CIRCLES: [&str; 0] = [];

/// An import of one file from another, neither of which is above the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Import {
    from: String,
    line: usize,
    path: String,
    to: String,
    /// The parts that the files are in, side by side in the same folder.
    parts: [String; 2],
}

/// What an import leads from and to.
type Ends = fn(&Import) -> [&str; 2];

fn files(import: &Import) -> [&str; 2] {
    [&import.from, &import.to]
}

fn parts(import: &Import) -> [&str; 2] {
    import.parts.each_ref().map(String::as_str)
}

impl Crate {
    /// The first import of each file from each other that is neither above nor below it.
    fn imports(&self) -> Vec<Import> {
        let mut found = BTreeMap::new();
        for (index, module) in self.modules.iter().enumerate() {
            let words = module.words.iter().filter(|(word, _)| !module.names.contains_key(*word));
            let words = words.map(|(word, line)| (vec![word.clone()], *line));
            for (path, line) in module.mentions.iter().cloned().chain(words) {
                for target in self.resolve(index, &path) {
                    let Target::Item(owner) = target else { continue };
                    let (from, to) = (&module.file, &self.modules[owner].file);
                    let Some(parts) = self.parts(from, to) else { continue };
                    found.entry((from, to)).or_insert_with(|| Import {
                        from: from.clone(),
                        line,
                        path: path.join("::"),
                        to: to.clone(),
                        parts,
                    });
                }
            }
        }
        found.into_values().collect()
    }

    /// The parts that two files are in, in the folder that has both.
    fn parts(&self, from: &str, to: &str) -> Option<[String; 2]> {
        let path = |file| self.modules.iter().find(|module| module.file == file).map(|of| &of.path);
        let (from, to) = (path(from)?, path(to)?);
        let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        let is_between = from.len() > shared && to.len() > shared;
        is_between.then(|| [from, to].map(|path| path[..=shared].join("::")))
    }
}

/// Every circle of a crate: the imports that make it.
fn circles(root: &str, sources: &BTreeMap<String, String>, ends: Ends) -> Vec<Vec<Import>> {
    let imports = Crate::of(root, sources).imports();
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for [from, to] in imports.iter().map(ends) {
        reached.entry(from).or_default().insert(to);
    }
    loop {
        let mut further = reached.clone();
        for ends in further.values_mut() {
            let next = ends.iter().filter_map(|end| reached.get(end)).flatten().copied();
            ends.extend(next.collect::<Vec<_>>());
        }
        if further == reached {
            break;
        }
        reached = further;
    }
    let leads = |from: &str, to: &str| reached.get(from).is_some_and(|on| on.contains(to));
    let mut by_circle: BTreeMap<Vec<&str>, Vec<Import>> = BTreeMap::new();
    for import in &imports {
        let [from, to] = ends(import);
        if leads(to, from) {
            let is_in = |end: &&str| leads(end, from) && leads(from, end);
            let circle = reached.keys().copied().filter(is_in).collect();
            by_circle.entry(circle).or_default().push(import.clone());
        }
    }
    by_circle.into_values().collect()
}

/// The circles of all crates but those in `open`, as text.
fn told(open: &[&str], ends: Ends) -> String {
    let sources = sources();
    let held = roots(&sources).into_iter();
    let held = held.filter(|root| !open.iter().any(|folder| root.starts_with(folder)));
    let mut told = String::new();
    for circle in held.flat_map(|root| circles(root, &sources, ends)) {
        told.push_str("\na circle:\n");
        for Import { from, line, path, to, .. } in circle {
            told.push_str(&format!("  {from}:{line} has {path} of {to}\n"));
        }
    }
    told
}

#[test]
fn no_files_of_a_crate_import_one_another_in_a_circle() {
    let told = told(&FILES_STILL_IN_CIRCLES, files);
    assert!(told.is_empty(), "{told}");
}

#[test]
fn no_parts_of_a_crate_import_one_another_in_a_circle() {
    let told = told(&PARTS_STILL_IN_CIRCLES, parts);
    assert!(told.is_empty(), "{told}");
}

/// The circles of a crate of these files, each as the files from and to which it leads.
fn found(files: &[(&str, &str)], ends: Ends) -> Vec<Vec<String>> {
    let sources = files.iter().map(|(name, text)| (format!("a/{name}.rs"), (*text).to_owned()));
    let short = |file: &str| file["a/".len()..].trim_end_matches(".rs").to_owned();
    let written = |Import { from, line, path, to, .. }: Import| {
        format!("{}:{line} {path} {}", short(&from), short(&to))
    };
    let circles = circles("a/lib.rs", &sources.collect(), ends).into_iter();
    circles.map(|circle| circle.into_iter().map(written).collect()).collect()
}

#[test]
fn imports_that_lead_one_way_are_no_circle() {
    let parent_and_child = [
        ("lib", "mod one;\npub use self::one::One;\npub struct All(One);"),
        ("one", "mod two;\nuse self::two::Two;\npub struct One(Two); pub struct Of;"),
        ("one/two", "use crate::All;\npub struct Two(super::Of, Option<Box<All>>);"),
    ];
    assert!(found(&parent_and_child, parts).is_empty());
    let for_tests = [
        ("lib", "mod one;\nmod two;\n#[cfg(test)]\nmod testing;"),
        ("one", "pub struct One;\n#[cfg(test)]\nmod tests { use crate::two::Two; }"),
        ("two", "use crate::one::One;\npub struct Two(One);"),
        ("testing", "use crate::two::Two;"),
    ];
    assert!(found(&for_tests, parts).is_empty());
    let not_code = [
        ("lib", "mod one;\nmod two;"),
        ("one", "// use crate::two::Two;\npub struct One;\nconst A: &str = \"crate::two::Two\";"),
        ("two", "/* a */ use crate::{one::{One as First}};\npub struct Two<'a>(&'a First, u8);"),
    ];
    assert!(found(&not_code, parts).is_empty());
}

#[test]
fn a_circle_is_found_by_whichever_path() {
    let through_the_root = [
        ("lib", "mod one;\nmod two;\npub use self::{one::One, two::*};"),
        ("one", "use crate::Two;\npub struct One(Two);"),
        ("two", "fn f() -> impl Fn() + use<> { || () }\npub struct Two;\nstruct Of(crate::One);"),
    ];
    let circle = ["one:1 crate::Two two", "two:3 crate::One one"];
    assert_eq!(found(&through_the_root, files), [circle]);
    let through_a_parent_and_its_module = [
        ("lib", "mod a;"),
        ("a", "mod one;\nmod two;\nuse self::two::Two;"),
        ("a/one", "use super::*;\npub struct One(Two);"),
        ("a/two", "use super::one;\npub struct Two;\nstruct Of(one::One);"),
    ];
    let circle = ["a/one:2 Two a/two", "a/two:3 one::One a/one"];
    assert_eq!(found(&through_a_parent_and_its_module, files), [circle]);
    let of_three_with_one_inside_a_folder = [
        ("lib", "mod one;\nmod two;\nmod three;"),
        ("one", "mod inner;\npub struct One;"),
        ("one/inner", "use crate::two::Two;\npub struct Inner(Two);"),
        ("two", "use crate::three::Three;\npub struct Two(Three);"),
        ("three", "\nuse crate::one::One;\npub struct Three(One);"),
    ];
    let circle = [
        "one/inner:1 crate::two::Two two",
        "three:2 crate::one::One one",
        "two:1 crate::three::Three three",
    ];
    assert_eq!(found(&of_three_with_one_inside_a_folder, parts), [circle]);
    assert!(found(&of_three_with_one_inside_a_folder, files).is_empty());
}
