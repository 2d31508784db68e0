//! What subscriptions cost: fan-out beside bare channels, the writer beside idle subscribers, the
//! time from durable to delivered, catching up, handlers.
//!
//! ```text
//! cargo bench -p spacefold-benches --bench bus
//! cargo bench -p spacefold-benches --bench bus -- fan-out latency
//! ```
//!
//! A plain `cargo test` runs everything once at a size that says nothing. Rounds take turns, so
//! that what is compared ran in the same run; only ratios count on a shared machine.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]
#![allow(clippy::indexing_slicing, reason = "a bench that fails may panic")]

mod catch_up;
mod fan_out;
mod latency;
mod paced_log;
mod sample;
mod writer;

use sample::Size;

/// What is measured, and the name to pick it by.
type Part = (&'static str, fn(Size));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_full = arguments.iter().any(|argument| argument == "--bench");
    let size = if is_full { Size::Full } else { Size::Smoke };
    let parts: [Part; 4] = [
        ("fan-out", fan_out::run),
        ("writer", writer::run),
        ("latency", latency::run),
        ("catch-up", catch_up::run),
    ];
    let named: Vec<&String> = arguments.iter().filter(|name| !name.starts_with('-')).collect();
    for (name, run) in parts {
        if named.is_empty() || named.iter().any(|wanted| *wanted == name) {
            run(size);
        }
    }
}
