//! Inside a crate a name is imported from the file that defines it.
//!
//! Who is outside of a folder imports what is defined in it from the folder's own file, which gives
//! on what its files have for all the crate. The root of the crate gives on what others may have, and
//! is there for nobody inside: a use would not show whose name it is.

use std::collections::BTreeMap;

use super::{
    crates::{Crate, Target, roots, sources},
    modules::Meaning,
};

/// Crates in which names are still imported from elsewhere.
const STILL_TO_BE_NAMED: [&str; 0] = [];

impl Crate {
    /// The module in which a path finds a name that is only given on there, to a module that could
    /// have it from its owner, or not from one below.
    fn giver(&self, module: usize, path: &[String]) -> Option<usize> {
        let mut at = module;
        let mut rest = path;
        while let [first, further @ ..] = rest {
            let is_begin = rest.len() == path.len();
            let meanings = self.modules[at].names.get(first);
            let inner = meanings.into_iter().flatten().find_map(|meaning| match meaning {
                Meaning::Module(inner) if !further.is_empty() => Some(*inner),
                _ => None,
            });
            at = match first.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => self.parent(at)?,
                _ if inner.is_some() => inner?,
                _ if is_begin => return None,
                _ => return self.is_given_on(at, first, module).then_some(at),
            };
            rest = further;
        }
        None
    }

    fn is_given_on(&self, giver: usize, name: &str, to: usize) -> bool {
        let path = |module: usize| &self.modules[module].path;
        let is_import = |meaning: &Meaning| matches!(meaning, Meaning::Import(_));
        let meanings = self.modules[giver].names.get(name);
        giver != to
            && meanings.is_some_and(|meanings| meanings.iter().any(is_import))
            && (path(to).starts_with(path(giver))
                || self.resolve(giver, &[name.to_owned()]).into_iter().any(|target| {
                    let (Target::Item(owner) | Target::Module(owner)) = target;
                    !path(owner).starts_with(path(giver))
                }))
    }
}

/// Every import of a crate that is not from the owner: where, what, and who only gives it on.
fn others(root: &str, sources: &BTreeMap<String, String>) -> Vec<String> {
    let of_root = Crate::of(root, sources);
    let modules = of_root.modules.iter().enumerate();
    let mentions = modules.flat_map(|(index, module)| {
        module.mentions.iter().map(move |(path, line)| (index, module, path, line))
    });
    let told = mentions.filter_map(|(index, module, path, line)| {
        let giver = of_root.giver(index, path)?;
        let (file, giver) = (&module.file, &of_root.modules[giver].file);
        Some(format!("{file}:{line} has {} from {giver}", path.join("::")))
    });
    told.collect()
}

#[test]
fn names_are_imported_from_the_file_that_defines_them() {
    let sources = sources();
    let roots = roots(&sources).into_iter();
    let held =
        roots.filter(|root| !STILL_TO_BE_NAMED.iter().any(|folder| root.starts_with(folder)));
    let told: Vec<String> = held.flat_map(|root| others(root, &sources)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn what_the_root_a_parent_or_a_stranger_gives_on_is_not_imported() {
    let files = [
        ("lib", "mod one;\nmod two;\npub use self::one::{Inner, One};"),
        ("one", "mod inner;\nmod other;\npub use self::inner::Inner;\npub struct One;"),
        ("one/inner", "use crate::two::Two;\npub struct Inner(Two);"),
        ("one/other", "use super::{Inner, One, inner::Inner as Same};\nstruct Other(Same, One);"),
        ("two", "use crate::{one::{Inner, One},\n One as Same};\npub struct Two(crate::Inner);"),
        ("three", "use crate::{one::One, two::Inner};"),
    ];
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for (name, text) in files {
        sources.insert(format!("a/{name}.rs"), text.to_owned());
    }
    let told = others("a/lib.rs", &sources);
    let of_two = ["two.rs:2 has crate::One", "two.rs:3 has crate::Inner"];
    let expected = [
        "a/one/other.rs:1 has super::Inner from a/one.rs".to_owned(),
        format!("a/{} from a/lib.rs", of_two[0]),
        format!("a/{} from a/lib.rs", of_two[1]),
    ];
    assert_eq!(told, expected);
    sources.get_mut("a/lib.rs").unwrap().push_str("\nmod three;");
    let of_three = "a/three.rs:1 has crate::two::Inner from a/two.rs".to_owned();
    assert_eq!(others("a/lib.rs", &sources).last(), Some(&of_three));
}
