//! The modules of a crate as its files declare them: what each defines, and what it names.

use std::collections::BTreeMap;

/// A file, or a module written inside of one.
pub(super) struct Module {
    pub(super) file: String,
    /// Names from the root of the crate.
    pub(super) path: Vec<String>,
    /// What a name stands for; a function and a module may share one.
    pub(super) names: BTreeMap<String, Vec<Meaning>>,
    /// `use` of everything that another module has.
    pub(super) globs: Vec<Vec<String>>,
    /// Every path that is written here, and its line.
    pub(super) mentions: Vec<(Vec<String>, usize)>,
    /// Every name that stands alone, and its line: what may have come through a glob.
    pub(super) words: BTreeMap<String, usize>,
}

#[derive(Clone)]
pub(super) enum Meaning {
    /// Defined in the module.
    Item,
    Module(usize),
    /// What a path leads to, brought in by `use`.
    Import(Vec<String>),
}

/// The modules of the crate with this root file, tests apart; the first one is the root's.
pub(super) fn modules(root: &str, sources: &BTreeMap<String, String>) -> Vec<Module> {
    let mut found = Found { sources, modules: Vec::new() };
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    found.file(root, folder, Vec::new());
    found.modules
}

struct Found<'a> {
    sources: &'a BTreeMap<String, String>,
    modules: Vec<Module>,
}

impl Found<'_> {
    fn file(&mut self, file: &str, folder: &str, path: Vec<String>) -> usize {
        let text = self.sources.get(file).unwrap_or_else(|| panic!("{file} is not there"));
        let tokens = without_tests(&tokens(text));
        self.module(&tokens, file, folder, path)
    }

    fn module(&mut self, tokens: &[Token], file: &str, folder: &str, path: Vec<String>) -> usize {
        let index = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            path: path.clone(),
            names: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
            words: BTreeMap::new(),
        });
        let (mut at, mut depth) = (0, 0_usize);
        while at < tokens.len() {
            let name = tokens.get(at + 1).filter(|next| next.is_name());
            match (tokens[at].text.as_str(), name) {
                // In a type it says what the type captures.
                ("use", _) if tokens[at + 1].text != "<" => {
                    let end = end_of_use(tokens, at);
                    self.import(index, &mut at, &[], tokens);
                    at = end;
                }
                ("mod", Some(name)) if depth == 0 => {
                    let mut child = path.clone();
                    child.push(name.text.clone());
                    let below = format!("{folder}/{}", name.text);
                    let meaning = if tokens[at + 2].text == ";" {
                        at += 3;
                        let beside = format!("{below}.rs");
                        let is_beside = self.sources.contains_key(&beside);
                        let of_child = if is_beside { beside } else { format!("{below}/mod.rs") };
                        self.file(&of_child, &below, child)
                    } else {
                        let end = end_of_group(tokens, at + 2);
                        let inside = &tokens[at + 3..end - 1];
                        at = end;
                        self.module(inside, file, &below, child)
                    };
                    self.define(index, &name.text, Meaning::Module(meaning));
                }
                ("fn" | "struct" | "enum" | "trait" | "type" | "const" | "static", Some(name))
                    if depth == 0 && name.text != "fn" =>
                {
                    self.define(index, &name.text, Meaning::Item);
                    at += 2;
                }
                ("macro_rules", _) if depth == 0 => {
                    self.define(index, &tokens[at + 2].text, Meaning::Item);
                    at += 3;
                }
                (text, _) => {
                    match text {
                        "{" | "(" | "[" => depth += 1,
                        "}" | ")" | "]" => depth -= 1,
                        _ => {}
                    }
                    at = self.mention(index, tokens, at);
                }
            }
        }
        index
    }

    fn define(&mut self, module: usize, name: &str, meaning: Meaning) {
        self.modules[module].names.entry(name.to_owned()).or_default().push(meaning);
    }

    /// Notes the path or name that begins here; answers what comes after.
    fn mention(&mut self, module: usize, tokens: &[Token], at: usize) -> usize {
        let (first, line) = (&tokens[at], tokens[at].line);
        let is_inside_a_path = at > 0 && [".", "::"].contains(&tokens[at - 1].text.as_str());
        if !first.is_name() || is_inside_a_path {
            return at + 1;
        }
        let mut path = vec![first.text.clone()];
        let mut next = at + 1;
        while next + 1 < tokens.len() && tokens[next].text == "::" && tokens[next + 1].is_name() {
            path.push(tokens[next + 1].text.clone());
            next += 2;
        }
        let module = &mut self.modules[module];
        if path.len() > 1 {
            module.mentions.push((path, line));
        } else {
            module.words.entry(first.text.clone()).or_insert(line);
        }
        next
    }

    /// Notes a tree of imports, `at` being before its first name.
    fn import(&mut self, module: usize, at: &mut usize, before: &[String], tokens: &[Token]) {
        *at += 1;
        let mut path = before.to_vec();
        let line = tokens[*at].line;
        loop {
            match tokens[*at].text.as_str() {
                "{" => {
                    while tokens[*at].text != "}" && tokens[*at + 1].text != "}" {
                        self.import(module, at, &path, tokens);
                    }
                    // Past a comma at the end, to whatever ends the group.
                    *at += usize::from(tokens[*at].text != "}") + 1;
                    return;
                }
                "*" => {
                    self.modules[module].mentions.push((path.clone(), line));
                    self.modules[module].globs.push(path);
                    *at += 1;
                    return;
                }
                "::" => *at += 1,
                "as" => {
                    let name = tokens[*at + 1].text.clone();
                    *at += 2;
                    return self.imported(module, name, path, line);
                }
                "," | "}" | ";" => {
                    if path.last().is_some_and(|name| name == "self") && path.len() > 1 {
                        path.pop();
                    }
                    let name = path.last().cloned().unwrap_or_default();
                    return self.imported(module, name, path, line);
                }
                name => {
                    path.push(name.to_owned());
                    *at += 1;
                }
            }
        }
    }

    fn imported(&mut self, module: usize, name: String, path: Vec<String>, line: usize) {
        self.modules[module].mentions.push((path.clone(), line));
        self.define(module, &name, Meaning::Import(path));
    }
}

#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The names and signs of a source text: no comments, no literals, no lifetimes.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let has = |at: usize, sign: char| chars.get(at) == Some(&sign);
    let is_of_name = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    while at < chars.len() {
        let begin = at;
        match chars[at] {
            '/' if has(at + 1, '/') => {
                while at < chars.len() && !has(at, '\n') {
                    at += 1;
                }
            }
            '/' if has(at + 1, '*') => {
                while at < chars.len() && !(has(at, '*') && has(at + 1, '/')) {
                    at += 1;
                }
                at += 2;
            }
            '"' => at = end_of_text(&chars, at),
            '\'' if is_of_name(at + 1) && !has(at + 2, '\'') => {
                at += 1;
                while is_of_name(at) {
                    at += 1;
                }
            }
            '\'' => {
                at += if has(at + 1, '\\') { 3 } else { 2 };
                while !has(at, '\'') {
                    at += 1;
                }
                at += 1;
            }
            _ if is_of_name(at) => {
                while is_of_name(at) {
                    at += 1;
                }
                let word: String = chars[begin..at].iter().collect();
                let hashes = (at..).take_while(|at| has(*at, '#')).count();
                if ["r", "br"].contains(&word.as_str()) && has(at + hashes, '"') {
                    at = end_of_raw_text(&chars, at + hashes + 1, hashes);
                } else if !(["b", "c"].contains(&word.as_str()) && (has(at, '"') || has(at, '\'')))
                {
                    found.push(Token { text: word, line });
                }
            }
            ':' if has(at + 1, ':') => {
                at += 2;
                found.push(Token { text: "::".to_owned(), line });
            }
            sign => {
                at += 1;
                if !sign.is_whitespace() {
                    found.push(Token { text: sign.to_string(), line });
                }
            }
        }
        let end = at.min(chars.len());
        line += chars[begin..end].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn end_of_text(chars: &[char], begin: usize) -> usize {
    let mut at = begin + 1;
    while chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_raw_text(chars: &[char], begin: usize, hashes: usize) -> usize {
    let mut at = begin;
    while chars[at] != '"' || !chars[at + 1..].iter().take(hashes).all(|c| *c == '#') {
        at += 1;
    }
    at + 1 + hashes
}

/// What is after the group that the first token from here on opens.
fn end_of_group(tokens: &[Token], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn end_of_use(tokens: &[Token], begin: usize) -> usize {
    let length = tokens[begin..].iter().position(|token| token.text == ";");
    begin + length.expect("a use ends") + 1
}

/// Leaves out every item that is there for tests alone.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_for_tests = tokens[at..].len() > attribute.len()
            && attribute.iter().zip(&tokens[at..]).all(|(sign, token)| *sign == token.text);
        if is_for_tests {
            at = end_of_item(tokens, at + attribute.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// What is after the item, field or arm that begins here.
fn end_of_item(tokens: &[Token], begin: usize) -> usize {
    let mut at = begin;
    while tokens[at].text == "#" {
        at = end_of_group(tokens, at + 1);
    }
    if tokens[at].text == "pub" {
        at += 1;
        if tokens[at].text == "(" {
            at = end_of_group(tokens, at);
        }
    }
    let ends: &[&str] = match tokens[at].text.as_str() {
        "use" | "static" | "type" | "let" => &[";"],
        "const" if tokens[at + 1].text != "fn" => &[";"],
        "mod" | "fn" | "struct" | "enum" | "trait" | "impl" | "const" | "async" | "unsafe"
        | "macro_rules" => &[";", "}"],
        _ => &[",", ";"],
    };
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            // The end of what the item is a part of.
            "}" | ")" | "]" => return at,
            "{" | "(" | "[" => {
                let is_body = tokens[at].text == "{" && ends.contains(&"}");
                at = end_of_group(tokens, at);
                if is_body {
                    return at;
                }
            }
            sign => {
                at += 1;
                if ends.contains(&sign) {
                    return at;
                }
            }
        }
    }
    at
}
