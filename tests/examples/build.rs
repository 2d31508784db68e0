//! Gathers the examples from the documentation of the crates in `crates/`, from their READMEs, and from
//! the guide, as they are there. Crates that are used by their own names have their examples as their
//! own documentation tests.

#![allow(clippy::print_stdout, reason = "it is how a build script speaks to cargo")]

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

const CRATES: &str = "../../crates";
const GUIDE: &str = "../../docs/guide";
/// Crates whose examples are not gathered.
const USED_ALONE: [&str; 4] = ["client", "console", "objects", "server"];

fn main() -> io::Result<()> {
    let mut sources = Vec::new();
    for (folder, extension) in [(CRATES, "rs"), (CRATES, "md"), (GUIDE, "md")] {
        println!("cargo:rerun-if-changed={folder}");
        collect(Path::new(folder), extension, &mut sources)?;
    }
    sources.sort();
    let mut gathered = String::new();
    let mut count = 0;
    for source in &sources {
        let text = fs::read_to_string(source)?;
        let is_page = source.extension().is_some_and(|extension| extension == "md");
        for example in examples(&text, if is_page { whole } else { documentation }) {
            write_module(&mut gathered, source, &example);
            count += 1;
        }
    }
    let _ = writeln!(gathered, "/// How many there are.\npub const COUNT: usize = {count};");
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(out.join("examples.rs"), gathered)
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !USED_ALONE.iter().any(|name| path == Path::new(CRATES).join(name)) {
                collect(&path, extension, found)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// A block of code in documentation, its fences too.
struct Example {
    line: usize,
    text: String,
}

/// The blocks in the documentation of a file that are Rust; `documentation` says what a line of the file
/// is of it.
fn examples(source: &str, documentation: fn(&str) -> Option<&str>) -> Vec<Example> {
    let mut found = Vec::new();
    let mut open: Option<Example> = None;
    for (index, line) in source.lines().enumerate() {
        let Some(line) = documentation(line) else {
            open = None;
            continue;
        };
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(_)) => open = Some(Example { line: index + 1, text: format!("{line}\n") }),
            (Some(example), fence) => {
                let _ = writeln!(example.text, "{line}");
                if fence.is_some() {
                    found.extend(open.take().filter(|example| is_rust(&example.text)));
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// What a line of a page says.
#[allow(clippy::unnecessary_wraps, reason = "lines of sources may be no documentation")]
const fn whole(line: &str) -> Option<&str> {
    Some(line)
}

/// What a line of a documentation comment says.
fn documentation(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

/// Whether rustdoc takes a block for Rust.
fn is_rust(block: &str) -> bool {
    const RUST: [&str; 5] = ["", "rust", "should_panic", "no_run", "compile_fail"];
    let fence = block.lines().next().unwrap_or_default().trim_start_matches('`');
    fence.split(',').all(|word| RUST.contains(&word.trim()))
}

/// A module for the example, named after where it stands: so rustdoc names what fails.
fn write_module(gathered: &mut String, source: &Path, example: &Example) {
    let place = source.strip_prefix(CRATES).or_else(|_| source.strip_prefix("../../docs"));
    let place = place.unwrap_or(source).with_extension("");
    let name: String = place
        .display()
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let Example { line, text } = example;
    let _ = writeln!(gathered, "#[doc = {text:?}]\npub mod {name}_line_{line} {{}}\n");
}
