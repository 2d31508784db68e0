//! The harness sees what it is there to see: stores that answer with something else.

use std::path::Path;

use damage::{
    bench,
    case::{Action, Case},
    harm::Harm,
    report::Report,
    stores::{Kind, Store, Stores},
};

use crate::WORKER;

fn run(harm: &Harm, kinds: &[Kind]) -> Report {
    let stores = Stores::make(kinds);
    let case = |store: &Store| Case { kind: store.kind, harm: harm.clone(), action: Action::Open };
    let cases: Vec<(&Store, Case)> = stores.iter().map(|store| (store, case(store))).collect();
    bench::run(Path::new(WORKER), &cases)
}

#[test]
fn another_store_in_the_place_of_one_is_seen() {
    let report = run(&Harm::AllFromOther, &Kind::ALL);
    assert_eq!((report.cases(), report.violated()), (4, 4));
    assert_eq!(report.count_of("different"), 4);
}

#[test]
fn a_store_that_ends_early_is_seen() {
    let report = run(&Harm::AllOlder, &[Kind::SmallClosed, Kind::SealedKilled]);
    assert_eq!((report.cases(), report.violated()), (2, 2));
    assert_eq!(report.count_of("ends early"), 2);
}
