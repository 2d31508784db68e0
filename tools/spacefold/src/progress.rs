//! Progress on standard error, where that is a terminal.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(200);

/// Progress in events, of this many.
pub(crate) fn events(what: &'static str, total: u64) -> ProgressBar {
    bar(
        Some(total),
        what,
        "{msg} {wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left",
    )
}

/// Progress through the bytes of an input.
pub(crate) fn input(total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{wide_bar} {bytes} of {total_bytes}, {msg}, {eta} left",
        None => "{spinner} {bytes}, {msg}, {elapsed}",
    };
    bar(total, "", template)
}

/// Progress towards an end that is not known.
pub(crate) fn spinner() -> ProgressBar {
    bar(None, "", "{spinner} {msg}, {elapsed}")
}

fn bar(total: Option<u64>, message: &'static str, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = ProgressStyle::with_template(template).expect("our own template is valid");
    bar.set_style(style);
    bar.set_message(message);
    bar.enable_steady_tick(TICK);
    bar
}
