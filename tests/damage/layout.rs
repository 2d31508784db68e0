//! Which bytes of a store's files hold what, read from the files as `docs/format.md` has them.

use std::{collections::HashMap, fs, ops::Range, path::Path};

use crate::{
    harm::Harm,
    stores::{Store, files},
};

const ALIGNMENT: usize = 512;
const FRAME_HEADER: usize = 80;
const SLOT: u64 = 512;
const PAGE: u64 = 4_096;

/// A frame of the journal that is part of the log.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The file.
    pub file: String,
    /// Where it starts.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// The position of its first event.
    pub first: u64,
    /// The position of its last event.
    pub last: u64,
    /// What it says was synced before it.
    pub synced_through: u64,
}

/// What stretches of bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A slot of HEAD.
    Head,
    /// The header of a journal file that holds frames of the log.
    JournalHeader,
    /// A frame of the log.
    Frame,
    /// A segment.
    Sealed,
    /// A file of sled's.
    Sled,
    /// Zeros, room ahead, what nobody reads.
    Filler,
}

/// The parts of a store's files.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The frames of the log, by position.
    pub frames: Vec<Frame>,
    /// Every byte of every file but the lock, as a part.
    pub parts: Vec<(String, Range<u64>, Part)>,
    /// The length of each file.
    pub lengths: HashMap<String, u64>,
    /// The durable head that HEAD's newest slot has.
    pub durable_head: u64,
    /// How often the store has healed itself, as HEAD's newest slot has it.
    pub healed: u64,
    /// Where HEAD's newest slot is.
    pub newest_slot: Range<u64>,
    /// The position up to which segments go.
    pub sealed_through: u64,
}

impl Layout {
    /// Reads the files of a store.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn of(store: &Path) -> Self {
        let mut layout = Self::default();
        let mut used = Vec::new();
        for file in files(store).into_iter().filter(|file| file != "LOCK") {
            let bytes = fs::read(store.join(&file)).unwrap();
            layout.lengths.insert(file.clone(), bytes.len() as u64);
            if file == "HEAD" {
                layout.read_head(&bytes);
            } else if file.starts_with("journal/") && bytes.starts_with(b"SFJF") {
                used.push((u64_at(&bytes, 32), file.clone(), bytes));
            } else if file.starts_with("sealed/") && bytes.starts_with(b"SFSF") {
                layout.sealed_through = layout.sealed_through.max(u64_at(&bytes, 32));
            }
        }
        used.sort();
        let headers = layout.read_journal(&used);
        layout.divide(&headers);
        layout
    }

    fn read_head(&mut self, bytes: &[u8]) {
        let newest = [0, PAGE].into_iter().max_by_key(|at| u64_at(bytes, *at as usize + 16));
        let start = newest.unwrap_or(0);
        self.newest_slot = start..start + SLOT;
        self.durable_head = u64_at(bytes, start as usize + 48);
        self.healed = u64_at(bytes, start as usize + 104);
    }

    /// Reads the files of the journal in the order of their numbers, from the last one that begins
    /// at or before what follows the segments, each up to where a later one begins. Answers
    /// those that are read.
    fn read_journal(&mut self, used: &[(u64, String, Vec<u8>)]) -> Vec<String> {
        let first = |place: usize| u64_at(&used[place].2, 40);
        let next = self.sealed_through + 1;
        let start = (0..used.len()).rev().find(|place| first(*place) <= next).unwrap_or(0);
        let mut headers = Vec::new();
        for place in start..used.len() {
            let limit = (place + 1..used.len()).map(first).min().unwrap_or(u64::MAX);
            if first(place) < limit {
                let (_, file, bytes) = &used[place];
                headers.push(file.clone());
                self.frames.extend(frames(file, bytes, first(place), limit));
            }
        }
        headers
    }

    fn divide(&mut self, headers: &[String]) {
        let mut lengths: Vec<(String, u64)> =
            self.lengths.iter().map(|(file, len)| (file.clone(), *len)).collect();
        lengths.sort();
        for (file, len) in lengths {
            let mut data: Vec<(Range<u64>, Part)> = if file == "HEAD" {
                vec![(0..SLOT, Part::Head), (PAGE..PAGE + SLOT, Part::Head)]
            } else if file.starts_with("sealed/") {
                vec![(0..len, Part::Sealed)]
            } else if file.starts_with("sled/") {
                vec![(0..len, Part::Sled)]
            } else {
                let frames = self.frames.iter().filter(|frame| frame.file == file);
                frames.map(|frame| (frame.start..frame.end, Part::Frame)).collect()
            };
            if headers.contains(&file) && !data.is_empty() {
                data.push((0..ALIGNMENT as u64, Part::JournalHeader));
            }
            data.sort_by_key(|(range, _)| range.start);
            let mut at = 0;
            for (range, part) in data {
                if range.start > at {
                    self.parts.push((file.clone(), at..range.start, Part::Filler));
                }
                at = range.end;
                self.parts.push((file.clone(), range, part));
            }
            if at < len {
                self.parts.push((file, at..len, Part::Filler));
            }
        }
    }

    /// The bytes that a harm changes.
    #[must_use]
    pub fn harmed(&self, harm: &Harm, store: &Store) -> Vec<(String, Range<u64>)> {
        let file = harm.file().to_owned();
        let len = self.lengths.get(&file).copied().unwrap_or(0);
        match harm {
            Harm::None | Harm::AllFromOther | Harm::AllOlder => Vec::new(),
            Harm::Flip { offset, .. } => vec![(file, *offset..*offset + 1)],
            Harm::Cut { len: left, .. } => vec![(file, *left..len)],
            Harm::Zero { offset, len, .. } => {
                let bytes = fs::read(store.image().join(&file)).unwrap();
                let zeroed = *offset..*offset + *len;
                let changed = zeroed.filter(|at| bytes[*at as usize] != 0);
                changed.map(|at| (file.clone(), at..at + 1)).collect()
            }
            Harm::Older { .. } | Harm::FromOther { .. } => {
                let from =
                    if matches!(harm, Harm::Older { .. }) { store.older() } else { store.other() };
                differences(
                    &fs::read(from.join(&file)).unwrap(),
                    &fs::read(store.image().join(&file)).unwrap(),
                )
                .map(|at| (file.clone(), at..at + 1))
                .collect()
            }
            Harm::Both(first, second) => {
                [self.harmed(first, store), self.harmed(second, store)].concat()
            }
            Harm::Missing { .. } | Harm::Noise { .. } => vec![(file, 0..len)],
            Harm::Sled(_) => {
                let sleds = self.parts.iter().filter(|(_, _, part)| *part == Part::Sled);
                sleds.map(|(file, range, _)| (file.clone(), range.clone())).collect()
            }
        }
    }

    /// The parts that any of these bytes belong to.
    #[must_use]
    pub fn parts_of(&self, harmed: &[(String, Range<u64>)]) -> Vec<Part> {
        let mut found: Vec<Part> = self
            .parts
            .iter()
            .filter(|(file, range, _)| overlaps(harmed, file, range))
            .map(|(_, _, part)| *part)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a frame is touched, or the header of its file.
    #[must_use]
    pub fn is_touched(&self, frame: &Frame, harmed: &[(String, Range<u64>)]) -> bool {
        overlaps(harmed, &frame.file, &(frame.start..frame.end))
            || overlaps(harmed, &frame.file, &(0..ALIGNMENT as u64))
    }
}

fn overlaps(harmed: &[(String, Range<u64>)], file: &str, range: &Range<u64>) -> bool {
    harmed
        .iter()
        .any(|(other, bytes)| other == file && bytes.start < range.end && range.start < bytes.end)
}

fn differences<'b>(one: &'b [u8], other: &'b [u8]) -> impl Iterator<Item = u64> + 'b {
    let len = one.len().max(other.len());
    (0..len).filter(move |at| one.get(*at) != other.get(*at)).map(|at| at as u64)
}

/// The frames of a file that follow one another from a position on, up to another.
fn frames(file: &str, bytes: &[u8], mut next: u64, limit: u64) -> Vec<Frame> {
    let mut found = Vec::new();
    let mut at = ALIGNMENT;
    while next < limit {
        let starts_at = |at: usize| {
            let frame = bytes.get(at..at + FRAME_HEADER)?;
            (frame.starts_with(b"SFJ1") && u64_at(frame, 32) == next).then_some(at)
        };
        let Some(start) = starts_at(at).or_else(|| starts_at(at.next_multiple_of(ALIGNMENT)))
        else {
            break;
        };
        let lengths: u64 = [44, 48, 52].iter().map(|field| u32_at(bytes, start + field)).sum();
        at = start + FRAME_HEADER + lengths as usize;
        let last = next + u32_at(bytes, start + 40) - 1;
        found.push(Frame {
            file: file.to_owned(),
            start: start as u64,
            end: at as u64,
            first: next,
            last,
            synced_through: u64_at(bytes, start + 64),
        });
        next = last + 1;
    }
    found
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
