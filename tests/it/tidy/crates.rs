//! What the paths in the files of a crate lead to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    files,
    modules::{Meaning, Module, modules},
};

/// What a path comes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Module(usize),
    /// An item, and the module that defines it.
    Item(usize),
}

pub(super) struct Crate {
    /// The first is the root.
    pub(super) modules: Vec<Module>,
}

impl Crate {
    /// The crate with this root file.
    pub(super) fn of(root: &str, sources: &BTreeMap<String, String>) -> Self {
        Self { modules: modules(root, sources) }
    }

    /// What a path written in a module leads to.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> BTreeSet<Target> {
        self.lead(module, path, 0)
    }

    fn lead(&self, module: usize, path: &[String], depth: usize) -> BTreeSet<Target> {
        let [first, rest @ ..] = path else { return BTreeSet::new() };
        let begin = match first.as_str() {
            "crate" => BTreeSet::from([Target::Module(0)]),
            "self" => BTreeSet::from([Target::Module(module)]),
            "super" => self.parent(module).into_iter().map(Target::Module).collect(),
            name => self.named(module, name, depth),
        };
        begin.into_iter().flat_map(|target| self.below(target, rest, depth)).collect()
    }

    fn below(&self, target: Target, rest: &[String], depth: usize) -> BTreeSet<Target> {
        let Target::Module(module) = target else { return BTreeSet::from([target]) };
        match rest {
            [] => BTreeSet::from([target]),
            [first, ..] if first == "super" => self.lead(module, rest, depth),
            [first, rest @ ..] => {
                let mut named = self.named(module, first, depth);
                if named.is_empty() {
                    // A macro of the module defines it.
                    named.insert(Target::Item(module));
                }
                named.into_iter().flat_map(|target| self.below(target, rest, depth)).collect()
            }
        }
    }

    fn named(&self, module: usize, name: &str, depth: usize) -> BTreeSet<Target> {
        // Imports that lead back to themselves lead to nothing.
        if depth > 8 {
            return BTreeSet::new();
        }
        let of_module = &self.modules[module];
        let Some(meanings) = of_module.names.get(name) else {
            let globs = of_module.globs.iter().flat_map(|path| {
                let from = self.lead(module, path, depth + 1);
                from.into_iter().filter_map(|target| match target {
                    Target::Module(of) if of != module => Some(of),
                    _ => None,
                })
            });
            return globs.flat_map(|from| self.named(from, name, depth + 1)).collect();
        };
        let targets = meanings.iter().flat_map(|meaning| match meaning {
            Meaning::Item => BTreeSet::from([Target::Item(module)]),
            Meaning::Module(of) => BTreeSet::from([Target::Module(*of)]),
            Meaning::Import(path) if path[0] == name && path.len() == 1 => BTreeSet::new(),
            Meaning::Import(path) => self.lead(module, path, depth + 1),
        });
        targets.collect()
    }

    pub(super) fn parent(&self, module: usize) -> Option<usize> {
        let (_, above) = self.modules[module].path.split_last()?;
        self.modules.iter().position(|of| of.path == above)
    }
}

/// The files of the product and of the benchmarks, by their names.
pub(super) fn sources() -> BTreeMap<String, String> {
    files(&["crates", "tools", "benches"], ".rs").into_iter().collect()
}

/// The root files of every crate of the product and of the benchmarks.
pub(super) fn roots(sources: &BTreeMap<String, String>) -> Vec<&str> {
    let is_root = |file: &&String| {
        let parts: Vec<&str> = file.split('/').collect();
        match parts.as_slice() {
            [.., "src", "lib.rs" | "main.rs"] => true,
            ["benches", name] => name.ends_with(".rs"),
            ["benches", _, name] => *name == "main.rs",
            _ => false,
        }
    };
    let roots: Vec<&str> = sources.keys().filter(is_root).map(String::as_str).collect();
    assert!(roots.len() > 15, "where are the crates?");
    roots
}
