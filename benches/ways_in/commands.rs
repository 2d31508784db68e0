//! Commands that answer one question, beside the start of a process.

use crate::{
    Bench, events,
    measure::{least, median, run, taken},
};

const ROUNDS: usize = 31;

pub(crate) fn row(bench: &Bench) {
    let store = bench.folder.join("book");
    events::import_book(bench, &store);
    println!("\n## Commands on a store of the book (25,557 events), {ROUNDS} rounds\n");
    println!(
        "| command | median ms | least ms | beyond the start: median | least | processor ms |"
    );
    println!("|---|---|---|---|---|---|");
    let commands: [&[&str]; 7] = [
        &["--version"],
        &["snapshot", "book-src", "--json"],
        &["diff", "book-src", "10000", "25557", "--json"],
        &["tail", "--json"],
        &["info", "--json"],
        &["find", "00cc4488-aa63-5459-bab8-6565b79405ae", "--json"],
        &["spaces", "--json"],
    ];
    let mut taken_by: Vec<Vec<_>> = commands.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (command, all) in commands.iter().zip(&mut taken_by) {
            all.push(taken(&mut || run(bench.spacefold(&store).args(*command))));
        }
    }
    let mut start = (0.0, 0.0);
    for (index, (command, all)) in commands.iter().zip(&taken_by).enumerate() {
        let wall: Vec<f64> = all.iter().map(|taken| taken.wall_seconds * 1e3).collect();
        let processor = median(all.iter().map(|taken| taken.processor_seconds * 1e3).collect());
        let (least, median) = (least(&wall), median(wall));
        if index == 0 {
            start = (median, least);
        }
        let name = command.first().unwrap();
        let beyond = (median - start.0, least - start.1);
        println!(
            "| `{name}` | {median:.1} | {least:.1} | {:.1} | {:.1} | {processor:.1} |",
            beyond.0, beyond.1
        );
    }
}
