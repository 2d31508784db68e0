//! What shows the same elsewhere.

use maud::{Markup, html};

use super::{InspectorView, SpacePage};

pub(super) fn commands(page: &SpacePage) -> Markup {
    let at = page.at;
    let shell = shell_quoted(&page.space_id);
    let text = literal(&page.space_id);
    let mut shown = vec![(
        "The state here",
        [
            ("Command line", format!("spacefold snapshot {shell} --at {at}")),
            ("curl", curl(page, &format!("?at={at}"))),
            ("Rust", format!("let state = spaces.at(Position::new({at})).snapshot({text})?;")),
            ("Python", format!("state = store.snapshot({text}, at={at})")),
        ],
    )];
    if let Some(a) = page.pin_a {
        let b = page.pin_b.unwrap_or(at);
        shown.push((
            "What changed from A to B",
            [
                ("Command line", format!("spacefold diff {shell} {a} {b}")),
                ("curl", curl(page, &format!("/diff?from={a}&to={b}"))),
                (
                    "Rust",
                    format!("let changes = spaces.diff({text}, Position::new({a})..Position::new({b}))?;"),
                ),
                ("Python", format!("changes = store.diff({text}, {a}, {b})")),
            ],
        ));
    }
    html! {
        @for (title, commands) in &shown {
            h2 { (title) }
            @for (name, command) in commands {
                div.command {
                    h3 { (name) }
                    pre tabindex="0" { code { (command) } }
                    button type="button" data-copy hidden { "Copy" }
                }
            }
        }
    }
}

fn curl(page: &SpacePage, rest: &str) -> String {
    format!(
        "curl -H \"Authorization: Bearer $SPACEFOLD_TOKEN\" {}",
        shell_quoted(&format!("{}{}{rest}", page.origin, page.api_path))
    )
}

/// A text as one word of a shell, whatever it has in it.
fn shell_quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A text as a literal of Rust, which is one of Python too.
fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

impl InspectorView {
    /// The view of a name in an address, where it needs nothing.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "details" => Some(Self::Details),
            "commands" => Some(Self::Commands),
            "events" => Some(Self::Events(Vec::new())),
            "changes" => Some(Self::Changes(Vec::new())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_is_one_word() {
        assert_eq!(shell_quoted("book-src"), "book-src");
        assert_eq!(shell_quoted("a'; rm -rf /"), r"'a'\''; rm -rf /'");
        assert_eq!(shell_quoted("$(id)"), "'$(id)'");
        assert_eq!(shell_quoted("-x"), "'-x'");
        assert_eq!(shell_quoted(""), "''");
        assert_eq!(literal("a\"\\\n"), "\"a\\\"\\\\\\n\"");
    }
}
