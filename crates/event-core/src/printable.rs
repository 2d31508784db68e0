//! Text that others wrote, on its way to a person.

use std::{borrow::Cow, fmt::Write};

/// The text with everything escaped that would move a cursor, speak to a terminal, break the line
/// or change the order in which the rest is shown: control characters (C0, U+007F, C1), line and
/// paragraph separators, and the marks, embeddings, overrides and isolates of bidirectional text.
///
/// Ids, names, paths and values are whatever a caller has stored; so is what an error says of them.
/// What shows them to a person passes them through here. JSON has escapes of its own.
///
/// ```
/// use spacefold::event::printable;
/// assert_eq!(printable("intro.md"), "intro.md");
/// assert_eq!(printable("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
/// assert_eq!(printable("\u{202e}dm.exe"), "\\u{202e}dm.exe");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_escaped(character) {
            write!(shown, "{}", character.escape_default())
                .expect("writing to a string does not fail");
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_something_is_escaped() {
        let escaped: Vec<u32> = (0..=u32::from(char::MAX))
            .filter_map(char::from_u32)
            .filter(|character| printable(&character.to_string()) != character.to_string())
            .map(u32::from)
            .collect();
        let ranges = [
            0..=0x1f,
            0x7f..=0x9f,
            0x61c..=0x61c,
            0x200e..=0x200f,
            0x2028..=0x202e,
            0x2066..=0x2069,
        ];
        assert_eq!(escaped, ranges.into_iter().flatten().collect::<Vec<u32>>());
    }

    #[test]
    fn what_was_escaped_stays_as_it_is() {
        let once = printable("a\u{9b}b\u{7f}\u{2028}é\\").into_owned();
        assert_eq!(once, "a\\u{9b}b\\u{7f}\\u{2028}é\\");
        assert_eq!(printable(&once), once);
    }
}
