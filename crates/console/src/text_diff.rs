//! What changed in a text, line by line.

use std::time::Duration;

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

/// How long is looked for a short difference: what is found then is right, but may be longer.
const PATIENCE: Duration = Duration::from_millis(20);

/// Lines that are shown of a difference.
const SHOWN_LINES: usize = 400;

/// Lines around a change.
const CONTEXT: usize = 3;

/// The difference of two texts.
pub(crate) fn text_diff(before: &str, after: &str) -> Markup {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let groups = diff.grouped_ops(CONTEXT);
    let mut left = SHOWN_LINES;
    html! {
        @if groups.is_empty() {
            p.quiet { "The two texts are the same." }
        } @else {
            table.diff {
                caption.sr { "The text at A and at B, line by line" }
                @for (index, group) in groups.iter().enumerate() {
                    @if index > 0 {
                        tr.gap { td colspan="3" { "⋯" } }
                    }
                    @for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                        @if take(&mut left) {
                            tr class=(class(change.tag())) {
                                td.number { (number(change.old_index())) }
                                td.number { (number(change.new_index())) }
                                td.line { span.sr { (said(change.tag())) } (change.value().trim_end_matches('\n')) }
                            }
                        }
                    }
                }
            }
            @if left == 0 {
                p.quiet { "The first " (SHOWN_LINES) " lines of the difference." }
            }
        }
    }
}

/// Whether there is still one, which is then gone.
fn take(left: &mut usize) -> bool {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            true
        }
        None => false,
    }
}

fn number(index: Option<usize>) -> String {
    index.map(|index| (index + 1).to_string()).unwrap_or_default()
}

const fn class(tag: ChangeTag) -> &'static str {
    match tag {
        ChangeTag::Equal => "same",
        ChangeTag::Delete => "gone",
        ChangeTag::Insert => "came",
    }
}

const fn said(tag: ChangeTag) -> &'static str {
    match tag {
        ChangeTag::Equal => "",
        ChangeTag::Delete => "removed: ",
        ChangeTag::Insert => "added: ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_came_and_went_are_told_apart_and_escaped() {
        let shown = text_diff("a\n<b>\nc\n", "a\n<i>\nc\n").into_string();
        assert!(shown.contains("removed: </span>&lt;b&gt;"), "{shown}");
        assert!(shown.contains("added: </span>&lt;i&gt;"), "{shown}");
        assert!(!shown.contains("<b>"));
        assert!(text_diff("a", "a").into_string().contains("the same"));
    }

    #[test]
    fn a_long_difference_is_cut() {
        let after: String = (0..5_000).map(|line| format!("{line}\n")).collect();
        let shown = text_diff("", &after).into_string();
        assert_eq!(shown.matches("<tr").count(), SHOWN_LINES);
        assert!(shown.contains("The first 400 lines"));
    }
}
