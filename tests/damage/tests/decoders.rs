//! No input makes a decoder panic: the corpora of the fuzzers, and mutations of them whose
//! checksums fit.

use std::fs;

use damage::{
    decoders::{Target, mutate, samples},
    random::{Random, seed},
    stores::{Kind, Stores},
};

use crate::all;

#[test]
fn every_input_of_the_corpora_is_read() {
    for target in Target::ALL {
        let inputs = target.inputs();
        let valid = inputs.iter().filter(|input| target.run(input)).count();
        println!("{}: {} inputs, {valid} of them valid", target.name(), inputs.len());
        assert!(valid > 0, "nothing in the corpus of {} is valid", target.name());
    }
}

#[test]
fn mutations_behind_checksums_that_fit_are_read() {
    let rounds = if all() { 10_000_000 } else { 20_000 };
    for target in Target::ALL {
        let inputs = target.inputs();
        let mut random = Random::new(seed());
        let mut valid = 0_u64;
        for round in 0..rounds {
            let mut input = inputs[round % inputs.len()].clone();
            mutate(&mut input, &mut random);
            valid += u64::from(target.run_repaired(&input));
        }
        println!("{}: {rounds} mutations, {valid} valid, seed {}", target.name(), seed());
        assert!(valid > 0, "no mutation of {} gets past its checksums", target.name());
    }
}

/// Run by hand when the format changes: `cargo test -p spacefold-damage-tests corpora -- --ignored`.
#[test]
#[ignore = "writes into the source tree"]
fn corpora_are_written() {
    let stores = Stores::make(&[Kind::SealedClosed]);
    let store = stores.iter().next().unwrap();
    for target in Target::ALL {
        let folder = target.corpus();
        fs::create_dir_all(&folder).unwrap();
        for (number, sample) in samples(target, store).into_iter().take(8).enumerate() {
            assert!(target.run(&sample), "sample {number} of {} is not valid", target.name());
            fs::write(folder.join(format!("valid-{number}")), sample).unwrap();
        }
    }
}
