//! Everything that reads bytes it did not write: what the fuzzers run, and what `cargo test` runs
//! over their corpora and over mutations of them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold::{
    Position, SpaceEvent, Spacefold, Timestamp,
    event::JsonReader,
    log::{LogWriter, MemoryLog},
    state::{DerivedState, LiveStates, SpaceState},
};
use spacefold_disk::{Access, File, Folder, MemoryDisk};
use spacefold_event_core::{Assignments, Records, split_array};
use spacefold_store::fuzzing::{self, Decoder};

use crate::{
    layout::Layout,
    random::Random,
    stores::{Store, files},
};

/// A decoder with a corpus of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A decoder of the store.
    Store(Decoder),
    /// A run of records: their number and the length of the assignments (u16 each, little
    /// endian), the assignments, the body.
    Records,
    /// A line of JSON.
    JsonLine,
    /// The encoded state of a space.
    State,
    /// The manifest of the persisted states.
    Manifest,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Store(Decoder::Frame),
        Self::Store(Decoder::FileHeader),
        Self::Store(Decoder::Head),
        Self::Store(Decoder::Extension),
        Self::Store(Decoder::Sessions),
        Self::Store(Decoder::Lineage),
        Self::Store(Decoder::Block),
        Self::Store(Decoder::Segment),
        Self::Store(Decoder::BlockIndex),
        Self::Records,
        Self::JsonLine,
        Self::State,
        Self::Manifest,
    ];

    /// The name of the fuzz target and of the folder of its corpus.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store(Decoder::Frame) => "frame",
            Self::Store(Decoder::FileHeader) => "file_header",
            Self::Store(Decoder::Head) => "head",
            Self::Store(Decoder::Extension) => "extension",
            Self::Store(Decoder::Sessions) => "sessions",
            Self::Store(Decoder::Lineage) => "lineage",
            Self::Store(Decoder::Block) => "block",
            Self::Store(Decoder::Segment) => "segment",
            Self::Store(Decoder::BlockIndex) => "block_index",
            Self::Records => "records",
            Self::JsonLine => "json_line",
            Self::State => "state",
            Self::Manifest => "manifest",
        }
    }

    /// Decodes, and looks at everything that was decoded; whether it was valid.
    ///
    /// # Panics
    /// When a decoder does, or what it reads is not what it wrote: that is what is looked for.
    pub fn run(self, bytes: &[u8]) -> bool {
        match self {
            Self::Store(decoder) => decoder.run(bytes),
            Self::Records => read_records(bytes),
            Self::JsonLine => read_json(bytes),
            Self::State => read_state(bytes),
            Self::Manifest => read_manifest(bytes),
        }
    }

    /// As [`Target::run`], with checksums that fit.
    pub fn run_repaired(self, bytes: &[u8]) -> bool {
        match self {
            Self::Store(decoder) => {
                let mut bytes = bytes.to_vec();
                decoder.repair(&mut bytes);
                decoder.run(&bytes)
            }
            _ => self.run(bytes),
        }
    }

    /// Where the corpus is.
    #[must_use]
    pub fn corpus(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(self.name())
    }

    /// The inputs of the corpus, by name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn inputs(self) -> Vec<Vec<u8>> {
        let folder = self.corpus();
        let inputs: Vec<Vec<u8>> =
            files(&folder).iter().map(|file| fs::read(folder.join(file)).unwrap()).collect();
        assert!(!inputs.is_empty(), "{} has no corpus", self.name());
        inputs
    }
}

fn read_records(bytes: &[u8]) -> bool {
    let Some((counts, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let [a, b, c, d] = *counts;
    let count = usize::from(u16::from_le_bytes([a, b]));
    let assignments = usize::from(u16::from_le_bytes([c, d]));
    let Some((assignments, body)) = rest.split_at_checked(assignments) else { return false };
    let unassigned = Records::decode_unassigned(body, count);
    let _ = unassigned.map(|records| fuzzing::reads(&records));
    let first = Position::new(1);
    Assignments::decode(assignments, first, Timestamp::MIN)
        .and_then(|assignments| Records::decode(body, count, assignments))
        .is_ok_and(|records| fuzzing::reads(&records))
}

/// What is read from JSON is written as JSON that reads as the same.
fn read_json(bytes: &[u8]) -> bool {
    let _ = split_array(bytes);
    let Ok(read) = JsonReader::default().read(bytes) else { return false };
    let written = read.event.to_json();
    let again = JsonReader::default().read(written.as_bytes()).unwrap();
    assert_eq!(again.event, read.event, "{written}");
    true
}

/// A state that decodes encodes as it was.
fn read_state(bytes: &[u8]) -> bool {
    let Ok(state) = SpaceState::decode(bytes.to_vec()) else { return false };
    let _ = state.state_hash();
    assert!(SpaceState::decode(state.encode()).unwrap() == state);
    true
}

/// A log of one event, the folder that its states are persisted in, and the manifest there.
fn persisted_states() -> (Arc<MemoryLog>, DerivedState, Arc<dyn File>) {
    let log = Arc::new(MemoryLog::new());
    let event = SpaceEvent::space_created("a", "A");
    log.append(&spacefold::log::AppendRequest::new(&[event])).unwrap();
    let root = MemoryDisk::new().root();
    let derived = DerivedState::in_folder(root.clone());
    let live = LiveStates::new(log.clone(), derived.clone());
    live.catch_up().unwrap();
    live.save().unwrap();
    let below =
        |folder: Arc<dyn Folder>, name: &str| folder.folder(name.as_ref()).unwrap().unwrap();
    let generation = below(below(root, "space-state"), "1");
    let manifest = generation.open("MANIFEST", Access::ReadWrite).unwrap();
    (log, derived, manifest)
}

/// Whatever the manifest of the states says, the states are those of the log.
fn read_manifest(body: &[u8]) -> bool {
    let (log, derived, manifest) = persisted_states();
    manifest.set_len(0).unwrap();
    let hash = blake3::hash(body);
    manifest.write_all_at(&[body, hash.as_bytes()].concat(), 0).unwrap();
    let live = LiveStates::new(log, derived);
    let snapshots = live.snapshot_all().unwrap();
    assert_eq!(snapshots.len(), 1);
    live.save().unwrap();
    true
}

/// Valid inputs for a target, out of a store that has blocks.
///
/// # Panics
/// When the store does not have them.
#[must_use]
pub fn samples(target: Target, store: &Store) -> Vec<Vec<u8>> {
    let image = store.image();
    let layout = Layout::of(&image);
    let read = |file: &str| fs::read(image.join(file)).unwrap();
    let sealed = files(&image).into_iter().find(|file| file.starts_with("sealed/")).unwrap();
    let sealed = read(&sealed);
    // Those of fillers unpack to far more than a corpus should hold.
    let frames: Vec<Vec<u8>> = layout
        .frames
        .iter()
        .map(|frame| read(&frame.file)[frame.start as usize..frame.end as usize].to_vec())
        .filter(|frame| frame.len() < 4_096)
        .collect();
    match target {
        Target::Store(Decoder::Frame) => frames,
        Target::Store(Decoder::FileHeader) => vec![read(&layout.frames[0].file)[..512].to_vec()],
        Target::Store(Decoder::Head) => vec![read("HEAD")],
        Target::Store(Decoder::Extension) => vec![extension_of(&read("HEAD"))],
        Target::Store(Decoder::Sessions) => vec![sessions_of(&read("sled/lineage"))],
        Target::Store(Decoder::Lineage) => vec![read("sled/lineage")],
        Target::Store(Decoder::Block) => {
            fuzzing::blocks(&sealed).into_iter().map(<[u8]>::to_vec).collect()
        }
        Target::Store(Decoder::Segment) => vec![sealed],
        Target::Store(Decoder::BlockIndex) => {
            fuzzing::blocks(&sealed).into_iter().filter_map(fuzzing::block_index).collect()
        }
        Target::Records => frames.iter().map(|frame| records_of(frame)).collect(),
        Target::JsonLine => {
            let lines = store.contents.events.iter().filter(|line| line.len() < 2_000);
            lines.map(|line| line.clone().into_bytes()).collect()
        }
        Target::State => states(&image),
        Target::Manifest => {
            let manifest = persisted_states().2.read_all().unwrap();
            vec![manifest[..manifest.len() - 32].to_vec()]
        }
    }
}

/// So many bytes behind the number that says how many they are.
fn counted(bytes: &[u8], number_at: usize, at: usize) -> Vec<u8> {
    let len = u32::from_le_bytes(bytes[number_at..number_at + 4].try_into().unwrap());
    bytes[at..at + len as usize].to_vec()
}

/// The extension fields of the first slot of HEAD.
fn extension_of(head: &[u8]) -> Vec<u8> {
    counted(head, 128, 132)
}

/// The sessions that sled's copy knows.
fn sessions_of(lineage: &[u8]) -> Vec<u8> {
    counted(lineage, 12, 48)
}

/// The records of a frame of one run, as the target for records takes them.
fn records_of(frame: &[u8]) -> Vec<u8> {
    let list_len = u32::from_le_bytes(frame[44..48].try_into().unwrap()) as usize;
    let (mut list, bodies) = frame[80..].split_at(list_len);
    let mut number = || {
        let (first, rest) = list.split_first().unwrap();
        let (number, rest) = match first {
            251 => (u16::from_le_bytes(rest[..2].try_into().unwrap()), &rest[2..]),
            small => (u16::from(*small), rest),
        };
        list = rest;
        number
    };
    let [runs, count, body_len, recorded_after, assignments_len] = [(); 5].map(|()| number());
    assert_eq!((runs, recorded_after), (1, 0), "a small append is one run");
    assert_eq!((usize::from(body_len), usize::from(assignments_len)), (bodies.len(), list.len()));
    [&count.to_le_bytes()[..], &assignments_len.to_le_bytes(), list, bodies].concat()
}

fn states(image: &Path) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    crate::stores::copy_folder(image, folder.path());
    let spaces = Spacefold::open_existing(folder.path()).unwrap();
    let position = Position::new(21);
    let snapshots = spaces.at(position).snapshot_all().unwrap();
    let states = snapshots.iter().map(|snapshot| snapshot.state().encode());
    states.filter(|state| state.len() < 8_192).collect()
}

/// Bytes that are a length, a count or a tag to some decoder, at the end of what there can be.
const EDGES: [&[u8]; 8] = [
    &[0],
    &[0x7f],
    &[250],
    &[251, 0xff, 0xff],
    &[252, 0xff, 0xff, 0xff, 0x7f],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
];

/// Changes bytes here and there, and now and then their number.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(8) {
            0..=2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes[at] = random.number().to_le_bytes()[0],
            4 => {
                let edge = EDGES[random.below(EDGES.len() as u64) as usize];
                let len = edge.len().min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&edge[..len]);
            }
            5 => bytes.truncate(at + 1),
            6 => bytes.insert(at, random.number().to_le_bytes()[0]),
            _ => {
                let from = random.below(bytes.len() as u64) as usize;
                let len = random.below(16).min((bytes.len() - at.max(from)) as u64) as usize;
                bytes.copy_within(from..from + len, at);
            }
        }
    }
}
