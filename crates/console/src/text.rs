//! How figures, times and ids are shown.

use maud::{Markup, html};
use spacefold::{Position, Timestamp};

use crate::link::PageLink;

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes, rounded.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[allow(clippy::cast_precision_loss, reason = "it is shown rounded")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if size >= 10.0 || unit == "B" {
        format!("{size:.0} {unit}")
    } else {
        format!("{size:.1} {unit}")
    }
}

/// A time as people read it, to the second.
pub(crate) fn short_time(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
    let clock: String = rest.chars().take(8).collect();
    format!("{date} {clock}")
}

/// A time, with all of it for who asks.
pub(crate) fn time(time: Timestamp) -> Markup {
    html! { time datetime=(time) title=(time) { (short_time(time)) } }
}

/// A time that may not be known.
pub(crate) fn maybe_time(known: Option<Timestamp>) -> Markup {
    match known {
        Some(known) => time(known),
        None => html! { span.quiet { "never" } },
    }
}

/// A position, which leads to where it is in its space.
pub(crate) fn position_in(space_id: &str, position: Position) -> Markup {
    let link = PageLink::to("space").with("id", space_id).with("at", position);
    html! { a.position href=(link) { (grouped(position.get())) } }
}

/// A space, which leads to its page.
pub(crate) fn space_link(space_id: &str) -> Markup {
    html! { a href=(PageLink::to("space").with("id", space_id)) { (space_id) } }
}

/// What a correlation id leads to.
pub(crate) fn trace_link(correlation_id: &str) -> Markup {
    let link = PageLink::to("trace").with("correlation", correlation_id);
    html! { a.mono href=(link) title=(correlation_id) { (cut(correlation_id, 12)) } }
}

/// The beginning of a text.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Several of a thing, counted.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(grouped(25_557), "25\u{202f}557");
        assert_eq!(grouped(7), "7");
        assert_eq!(
            (bytes(1023), bytes(1536), bytes(20 << 20)),
            ("1023 B".into(), "1.5 KiB".into(), "20 MiB".into())
        );
        assert_eq!(cut("aébc", 2), "aé…");
        assert_eq!(
            short_time("2015-12-11T22:50:02.5+00:00".parse().unwrap()),
            "2015-12-11 22:50:02"
        );
    }
}
