//! Damage to the files of a store is healed or reported, never hidden; and `verify` tells the
//! truth about it.
//!
//! `SPACEFOLD_DAMAGE=all` runs every byte with every bit, which takes hours;
//! `SPACEFOLD_DAMAGE_STORES=small` leaves it at the stores without a segment, the closed one and
//! the killed one, which takes half an hour. `SPACEFOLD_DAMAGE_SEED` chooses others.

use std::{ops::Range, path::Path};

use damage::{
    bench,
    case::{Action, Case},
    harm::{Harm, SledHarm},
    layout::{Layout, Part},
    random::{Random, seed},
    stores::{Kind, Store, Stores},
};

use crate::{WORKER, all};

const PAGE: u64 = 4_096;
const SECTOR: u64 = 512;

/// Makes cases for one store.
struct Cases {
    store: Store,
    layout: Layout,
    random: Random,
    harms: Vec<Harm>,
}

impl Cases {
    fn new(store: Store) -> Self {
        let layout = Layout::of(&store.image());
        Self { store, layout, random: Random::new(seed()), harms: Vec::new() }
    }

    fn flip(&mut self, file: &str, offset: u64, bit: u8) {
        self.harms.push(Harm::Flip { file: file.to_owned(), offset, bit });
    }

    /// One bit of every byte that holds data, over all stores: the same frames are in several, and
    /// what the others add are their HEAD, their last frames and their segments. Of sled's files
    /// and of long runs of one byte, of some bytes only.
    fn flips(&mut self) {
        for (file, range, part) in self.layout.parts.clone() {
            let bytes = std::fs::read(self.store.image().join(&file)).unwrap();
            let stride = match part {
                Part::Filler => continue,
                Part::Sled if all() => 64,
                _ if all() => 1,
                Part::Sled => (range.end - range.start).div_ceil(60).max(1),
                Part::Frame if !self.is_of_interest(&file, range.start) => 16,
                Part::Frame if !self.store.kind.is_closed() => 3,
                Part::Sealed if self.store.kind == Kind::SealedKilled => 16,
                _ => 1,
            };
            let mut at = range.start;
            while at < range.end {
                if all() && part != Part::Sled {
                    (0..8).for_each(|bit| self.flip(&file, at, bit));
                } else {
                    let bit = self.random.below(8) as u8;
                    self.flip(&file, at, bit);
                }
                at +=
                    if all() { stride } else { stride.max(run_of_one_byte(&bytes, at, range.end)) };
            }
        }
    }

    /// Whether a frame is one that its kind of store is about.
    fn is_of_interest(&self, file: &str, start: u64) -> bool {
        let last = self.layout.frames.iter().rev().take(4);
        self.store.kind == Kind::SmallClosed
            || last.into_iter().any(|frame| frame.file == file && frame.start == start)
    }

    fn flips_in_filler(&mut self, count: u64) {
        let filler: Vec<(String, Range<u64>)> = self
            .layout
            .parts
            .iter()
            .filter(|(_, _, part)| *part == Part::Filler)
            .map(|(file, range, _)| (file.clone(), range.clone()))
            .collect();
        let total: u64 = filler.iter().map(|(_, range)| range.end - range.start).sum();
        for _ in 0..count.min(total) {
            let mut at = self.random.below(total);
            for (file, range) in &filler {
                let len = range.end - range.start;
                if at < len {
                    let bit = self.random.below(8) as u8;
                    self.flip(file, range.start + at, bit);
                    break;
                }
                at -= len;
            }
        }
    }

    /// The file ends at every 512 bytes, and 4 KiB pages are zeros.
    fn cuts_and_zeroed_pages(&mut self) {
        let mut lengths: Vec<(String, u64)> = self.layout.lengths.clone().into_iter().collect();
        lengths.sort();
        for (file, len) in lengths {
            let bytes = std::fs::read(self.store.image().join(&file)).unwrap();
            // Room ahead is zeros: what matters ends where the last other byte is.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
            let most = if all() { u64::MAX } else { 40 };
            let cuts = used.div_ceil(SECTOR).max(1);
            let stride = cuts.div_ceil(most).max(1);
            for number in (0..cuts).step_by(stride as usize) {
                self.harms.push(Harm::Cut { file: file.clone(), len: number * SECTOR });
            }
            if len > 0 {
                self.harms.push(Harm::Cut { file: file.clone(), len: len - 1 });
            }
            let pages = used.div_ceil(PAGE);
            let stride = pages.div_ceil(most).max(1);
            for number in (0..pages).step_by(stride as usize) {
                let offset = number * PAGE;
                let page = PAGE.min(len - offset);
                self.harms.push(Harm::Zero { file: file.clone(), offset, len: page });
            }
        }
    }

    fn missing_swapped_and_older_files(&mut self) {
        let mut names: Vec<String> = self.layout.lengths.keys().cloned().collect();
        names.sort();
        for file in names {
            self.harms.push(Harm::Missing { file: file.clone() });
            if self.store.other().join(&file).is_file() {
                self.harms.push(Harm::FromOther { file: file.clone() });
            }
            if self.store.older().join(&file).is_file() {
                self.harms.push(Harm::Older { file });
            }
        }
    }

    /// Something happens to the journal, and something to sled's copy.
    fn both_copies(&mut self, count: u64) {
        let own = |part: Part| matches!(part, Part::JournalHeader | Part::Frame | Part::Sealed);
        let parts: Vec<(String, Range<u64>)> = self
            .layout
            .parts
            .iter()
            .filter(|(_, _, part)| own(*part))
            .map(|(file, range, _)| (file.clone(), range.clone()))
            .collect();
        for _ in 0..count {
            let (file, range) = parts[self.random.below(parts.len() as u64) as usize].clone();
            let offset = range.start + self.random.below(range.end - range.start);
            let first = match self.random.below(4) {
                0 => Harm::Cut { file, len: offset },
                1 => Harm::Missing { file },
                _ => Harm::Flip { file, offset, bit: self.random.below(8) as u8 },
            };
            let second = match self.random.below(3) {
                0 => {
                    let all = SledHarm::ALL;
                    Harm::Sled(all[self.random.below(all.len() as u64) as usize])
                }
                _ => Harm::Noise {
                    file: "sled/db".to_owned(),
                    patches: 1 + self.random.below(8),
                    seed: self.random.number(),
                },
            };
            self.harms.push(Harm::Both(Box::new(first), Box::new(second)));
        }
    }

    /// Every harm with every `stride`-th also verified.
    fn cases(self, stride: usize) -> Vec<Case> {
        let kind = self.store.kind;
        let both = self.harms.into_iter().enumerate().flat_map(|(number, harm)| {
            let verified = number % stride == 0;
            let open = Case { kind, harm: harm.clone(), action: Action::Open };
            let verify = verified.then_some(Case { kind, harm, action: Action::Verify });
            std::iter::once(open).chain(verify)
        });
        both.collect()
    }
}

/// In a run of one byte longer than a header has zeros, every 512th byte is enough.
fn run_of_one_byte(bytes: &[u8], at: u64, end: u64) -> u64 {
    let bytes = &bytes[at as usize..end as usize];
    let run = bytes.iter().take_while(|byte| **byte == bytes[0]).count() as u64;
    if run > 64 { run.min(512) } else { 1 }
}

fn run(name: &str, stride: usize, make: impl Fn(&mut Cases)) {
    let only_small = std::env::var("SPACEFOLD_DAMAGE_STORES").is_ok_and(|stores| stores == "small");
    let small = [Kind::SmallClosed, Kind::SmallKilled];
    let stores = Stores::make(if only_small { &small } else { &Kind::ALL });
    let mut cases: Vec<(&Store, Case)> = Vec::new();
    for store in stores.iter() {
        let mut made = Cases::new(store.clone());
        make(&mut made);
        cases.extend(made.cases(stride).into_iter().map(|case| (store, case)));
    }
    bench::run(Path::new(WORKER), &cases).conclude(name, seed());
}

#[test]
fn a_store_that_nothing_happened_to_is_identical_and_clean() {
    run("undamaged", 1, |cases| cases.harms.push(Harm::None));
}

#[test]
fn flipped_bits_are_healed_or_reported() {
    run("flipped bits", 16, Cases::flips);
}

#[test]
fn flipped_bits_in_filler_change_nothing() {
    let count = if all() { 10_000 } else { 100 };
    run("flipped bits in filler", 8, |cases| cases.flips_in_filler(count));
}

#[test]
fn cut_files_and_zeroed_pages_are_healed_or_reported() {
    run("cuts and zeroed pages", 4, Cases::cuts_and_zeroed_pages);
}

#[test]
fn missing_swapped_and_older_files_are_healed_or_reported() {
    run("missing, swapped and older files", 1, Cases::missing_swapped_and_older_files);
}

#[test]
fn damage_to_both_copies_is_reported_where_nothing_is_left() {
    let count = if all() { 20_000 } else { 150 };
    run("damage to both copies", 4, |cases| cases.both_copies(count));
}
