//! Sled's copy is expendable: whatever happens to its folder, the store has the same events and
//! states, and says that it made the copy anew.

use std::path::Path;

use damage::{
    bench,
    case::{Action, Case},
    harm::{Harm, SledHarm},
    random::{Random, seed},
    stores::{Kind, Store, Stores, files},
};

use crate::{WORKER, all};

fn run(name: &str, harms: impl Fn(&Store) -> Vec<Harm>) -> damage::report::Report {
    let stores = Stores::make(&Kind::ALL);
    let mut cases: Vec<(&Store, Case)> = Vec::new();
    for store in stores.iter() {
        for harm in harms(store) {
            for action in [Action::Open, Action::Verify] {
                cases.push((store, Case { kind: store.kind, harm: harm.clone(), action }));
            }
        }
    }
    let report = bench::run(Path::new(WORKER), &cases);
    report.conclude(name, seed());
    report
}

#[test]
fn its_folder_may_be_anything() {
    let report = run("sled's folder", |_| SledHarm::ALL.map(Harm::Sled).to_vec());
    assert!(report.count_of("identical, healed") >= 20, "it is hardly ever made anew");
}

#[test]
fn its_files_may_be_noisy() {
    let rounds = if all() { 1_000 } else { 25 };
    run("noise in sled's files", |store| {
        let mut random = Random::new(seed());
        let names = files(&store.image().join("sled"));
        let noise = |_| {
            let name = &names[random.below(names.len() as u64) as usize];
            let file = format!("sled/{name}");
            Harm::Noise { file, patches: 1 + random.below(8), seed: random.number() }
        };
        (0..rounds).map(noise).collect()
    });
}
