//! No two types of the product have one name.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    crates::{roots, sources},
    modules::{Token, modules, tokens, without_tests},
};

/// A type that a file of the product defines.
pub(super) struct Type {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) is_public: bool,
}

/// The types that the product defines, those of its tests apart.
pub(super) fn types() -> Vec<Type> {
    let sources = sources();
    let roots = roots(&sources).into_iter();
    let product = roots.filter(|root| root.starts_with("crates/") || root.starts_with("tools/"));
    let files: BTreeSet<String> = product
        .flat_map(|root| modules(root, &sources).into_iter().map(|module| module.file))
        .collect();
    let types: Vec<Type> = files.iter().flat_map(|file| of_file(file, &sources[file])).collect();
    assert!(types.len() > 500, "where are the types?");
    types
}

fn of_file(file: &str, source: &str) -> Vec<Type> {
    let tokens = without_tests(&tokens(source));
    let mut types = Vec::new();
    // Of each group around: whether it is the body of an `impl` or a trait.
    let mut bodies: Vec<bool> = Vec::new();
    let mut header = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => {
                let first = tokens[header..at].iter().find(|token| {
                    ["impl", "trait", "fn", "mod", "struct", "enum"].contains(&token.text.as_str())
                });
                bodies.push(first.is_some_and(|of| of.text == "impl" || of.text == "trait"));
                header = at + 1;
            }
            "}" => {
                bodies.pop();
                header = at + 1;
            }
            ";" => header = at + 1,
            "struct" | "enum" | "trait" | "type" => {
                let is_associated = token.text == "type" && bodies.last() == Some(&true);
                let name = tokens.get(at + 1).filter(|name| name.is_name() && !is_associated);
                types.extend(name.map(|name| Type {
                    name: name.text.clone(),
                    file: file.to_owned(),
                    line: name.line,
                    is_public: is_public(&tokens[..at]),
                }));
            }
            _ => {}
        }
    }
    types
}

/// Whether what comes after these tokens is for all.
fn is_public(before: &[Token]) -> bool {
    let mut before = before.iter().rev().skip_while(|token| token.text == "unsafe");
    before.next().is_some_and(|token| token.text == "pub")
}

/// The names of several types, each with its places.
fn doubles(types: &[Type]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for of in types {
        places.entry(&of.name).or_default().push(format!("{}:{}", of.file, of.line));
    }
    places.retain(|_, places| places.len() > 1);
    places.into_iter().map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

#[test]
fn no_type_name_stands_for_two_types() {
    let doubles = doubles(&types());
    assert!(doubles.is_empty(), "{} names of several types: {doubles:#?}", doubles.len());
}

#[test]
fn a_name_of_two_types_is_found_wherever_it_is_defined() {
    let a = "pub struct One;\npub(crate) type Two = One;\ntrait Three { type Four; }\n\
             impl Three for One { type Four = u8; fn f() { enum Five {} } }\n\
             #[cfg(test)]\nmod tests { struct Six; }";
    let b = "fn g() -> impl Sized { struct One; }\n// struct Two;\nenum Four {}\nenum Five {}\n\
             struct Six;";
    let types = [of_file("a", a), of_file("b", b)].into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(doubles(&types), ["Five: a:4, b:4", "One: a:1, b:1"]);
    let public: Vec<&str> =
        types.iter().filter(|of| of.is_public).map(|of| of.name.as_str()).collect();
    assert_eq!(public, ["One"]);
}
