//! Parts of other times, of a sibling and of another store are noticed or mended, never believed; a
//! refused opening changes nothing; with the right parts put back everything is there.

use std::path::{Path, PathBuf};

use damage::{
    bench::{self, Work},
    parts::{Case, Exchange, Kind, Older, Part, Size, Source, making::Store, subsets},
    random::{Random, seed},
    report::Report,
    stores::scratch,
};

use crate::{WORKER, all};

/// How many pairs, and how many triples, of each store are drawn, unless all are run.
fn sampled() -> Option<u64> {
    let set = std::env::var("SPACEFOLD_DAMAGE_PARTS").ok();
    let set = set.map(|count| count.parse().expect("SPACEFOLD_DAMAGE_PARTS is a number"));
    (!all()).then(|| set.unwrap_or(6))
}

/// Every single part of every store, and as many of the larger subsets as `sampled` says.
fn run(kinds: &[Kind], most: usize, sampled: Option<u64>) -> Report {
    let folder = scratch();
    let mut random = Random::new(seed());
    let mut cases: Vec<(PathBuf, Work)> = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        let store = Store::make(*kind, &folder.path().join(number.to_string()));
        for (shorter, subsets) in subsets(&store, most).into_iter().enumerate() {
            let sampled = sampled.filter(|_| shorter > 0);
            let mut case = |exchanges: &Vec<_>| {
                let case = Case { kind: *kind, exchanges: exchanges.clone() };
                cases.push((store.folder().to_owned(), Work::Parts(case)));
            };
            match sampled {
                None => subsets.iter().for_each(&mut case),
                Some(count) => (0..count).for_each(|_| {
                    case(&subsets[random.below(subsets.len() as u64) as usize]);
                }),
            }
        }
    }
    bench::run_all(Path::new(WORKER), &cases)
}

#[test]
fn parts_of_other_times_and_stores_are_noticed_or_mended_and_never_believed() {
    let report = match std::env::var("SPACEFOLD_DAMAGE_CASE") {
        Ok(case) => {
            let case: Case = serde_json::from_str(&case).expect("SPACEFOLD_DAMAGE_CASE is a case");
            run_one(&case, |_| {})
        }
        Err(_) => run(&Kind::all(), 3, sampled()),
    };
    report.conclude("exchanged parts", seed());
}

/// A case in a store whose answers are as `change` makes them.
fn run_one(case: &Case, change: impl FnOnce(&mut Store)) -> Report {
    let folder = scratch();
    let mut store = Store::make(case.kind, folder.path());
    change(&mut store);
    store.keep();
    bench::run_all(Path::new(WORKER), &[(store.folder().to_owned(), Work::Parts(case.clone()))])
}

fn case(exchanges: &[Exchange]) -> Case {
    let kind = Kind { size: Size::Segments, older: Older::Closed, is_closed: true };
    Case { kind, exchanges: exchanges.to_vec() }
}

#[test]
fn all_of_an_older_store_passes_and_the_newer_one_put_back_is_there_again() {
    let parts = [Part::Head, Part::Journal, Part::Segments, Part::Sled];
    let report = run_one(&case(&parts.map(|part| (part, Source::Older))), |_| {});
    report.print("all of an older store", seed());
    assert_eq!((report.violated(), report.count_of("all of an older log")), (0, 1));
}

#[test]
fn answers_of_other_events_and_contents_are_seen() {
    let of_other_events = run_one(&case(&[]), |store| store.answers.events.swap(3, 4));
    // Opened, and put back.
    assert_eq!(of_other_events.violated(), 2);
    assert_eq!(of_other_events.count_of("other events"), 1);
    let of_more = run_one(&case(&[]), |store| {
        store.answers.contents.insert("00".repeat(32), true);
    });
    assert_eq!(of_more.violated(), 1);
    let of_another_place = run_one(&case(&[]), |store| store.answers.place = Some(3));
    assert_eq!(of_another_place.violated(), 1);
    let missing = run_one(&case(&[(Part::Packs, Source::Missing)]), |_| {});
    assert_eq!((missing.violated(), missing.count_of("contents missing")), (0, 1));
}
