use std::{collections::HashMap, fs, path::PathBuf};

use fastrand::Rng;
use spacefold_disk::{RealDisk, SimDisk};
use spacefold_event_core::StoreMode;

use super::*;
use crate::{ContentOptions, MIN_PACK_BYTES, PackStore, collect::DamagedPacks, verify_beside};

const SMALL: ContentOptions =
    ContentOptions { pack_bytes: MIN_PACK_BYTES, mode: StoreMode::PRIVATE };

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("content")
    }

    fn owner(&self) -> PackStore {
        PackStore::open_with(&self.path(), SMALL).unwrap()
    }

    fn follower(&self) -> ContentFollower {
        ContentFollower::at(Arc::new(RealDisk), &self.path()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect()
}

fn read(follower: &ContentFollower, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
    follower.get(hash, u64::MAX)
}

#[test]
fn what_the_owner_puts_is_read_as_it_comes_and_nothing_is_changed_by_that() {
    let fixture = Fixture::new();
    let follower = fixture.follower();
    let missing = ContentHash::of(b"nowhere");
    assert!(matches!(read(&follower, &missing), Err(ContentError::Missing { .. })));
    assert!(!fixture.path().exists());
    let owner = fixture.owner();
    for n in 0..40 {
        // Small ones, and some of several chunks.
        let bytes = noise(if n % 8 == 7 { 300_000 } else { 900 }, n);
        let hash = ContentHash::of(&bytes);
        assert!(!follower.contains(&hash).unwrap());
        owner.put(&mut &*bytes).unwrap();
        assert_eq!(read(&follower, &hash).unwrap(), bytes, "{n}");
        assert!(follower.contains(&hash).unwrap());
        if n % 10 == 9 {
            owner.sync().unwrap();
        }
    }
    assert!(matches!(read(&follower, &missing), Err(ContentError::Missing { .. })));
    let (names, refused) = (fixture.names(), follower.put(&mut &b"ours"[..]));
    assert!(matches!(refused, Err(ContentError::Refused { .. })));
    assert_eq!(fixture.names(), names);
    let report = verify_beside(Arc::new(RealDisk), &fixture.path()).unwrap();
    assert_eq!(report.problems, []);
    assert!(report.entries >= 40);
}

#[test]
fn a_reader_that_is_under_way_reads_on_though_what_it_reads_is_collected() {
    let fixture = Fixture::new();
    let in_large_packs = || {
        let options = ContentOptions::default().pack_bytes(1 << 20);
        PackStore::open_with(&fixture.path(), options).unwrap()
    };
    let owner = in_large_packs();
    let bytes = noise(2_600_000, 1);
    let hash = owner.put(&mut &*bytes).unwrap().hash;
    owner.put(&mut &noise(100_000, 2)[..]).unwrap();
    owner.sync().unwrap();
    owner.close().unwrap();
    drop(owner);
    let follower = fixture.follower();
    let mut reader = follower.open(&hash).unwrap();
    let mut given = vec![0; 1_000];
    reader.read_exact(&mut given).unwrap();
    let before = fixture.names();
    // As where many packs have been read since.
    follower.context.files.forget_all();
    // Opened anew, so that nothing counts as under way.
    let owner = in_large_packs();
    owner.collect(&mut |named| *named == hash, DamagedPacks::Stay).unwrap();
    let gone = before.iter().filter(|name| name.ends_with(".pack"));
    assert!(gone.clone().any(|name| !fixture.path().join(name).exists()), "nothing went");
    reader.read_to_end(&mut given).unwrap();
    assert_eq!(given, bytes);
    assert!(matches!(
        read(&follower, &ContentHash::of(&noise(100_000, 2))),
        Err(ContentError::Missing { .. })
    ));
}

#[test]
fn whatever_the_owner_does_named_content_is_read_and_no_damage_is_told() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let fixture = Fixture::new();
    let mut owner = fixture.owner();
    let follower = fixture.follower();
    let mut named: HashMap<ContentHash, u64> = HashMap::new();
    for n in 0..300 {
        match rng.u8(0..10) {
            0 => {
                let dropped: Vec<_> = named.keys().copied().filter(|_| rng.u8(0..4) == 0).collect();
                named.retain(|hash, _| !dropped.contains(hash));
                let needed = |hash: &ContentHash| named.contains_key(hash);
                owner.collect(&mut { needed }, DamagedPacks::Stay).unwrap();
            }
            1 => {
                drop(owner);
                owner = fixture.owner();
            }
            _ => {
                let bytes = noise(if rng.bool() { 2_000 } else { 200_000 }, n);
                named.insert(owner.put(&mut &*bytes).unwrap().hash, n);
            }
        }
        let Some((hash, of)) = named.iter().nth(rng.usize(0..named.len().max(1))) else { continue };
        let bytes = read(&follower, hash).unwrap();
        assert_eq!(bytes, noise(bytes.len(), *of));
        if n % 50 == 0 {
            let report = verify_beside(Arc::new(RealDisk), &fixture.path()).unwrap();
            assert_eq!(report.problems, []);
        }
    }
}

#[test]
fn what_is_damaged_is_told_and_what_is_mended_is_read_again() {
    let fixture = Fixture::new();
    let owner = fixture.owner();
    let bytes = noise(4_000, 3);
    let hash = owner.put(&mut &*bytes).unwrap().hash;
    owner.close().unwrap();
    drop(owner);
    let follower = fixture.follower();
    assert_eq!(read(&follower, &hash).unwrap(), bytes);
    let pack = fixture.path().join("0000000000.pack");
    let whole = fs::read(&pack).unwrap();
    let mut damaged = whole.clone();
    damaged[2_000] ^= 1;
    fs::write(&pack, damaged).unwrap();
    let told = read(&follower, &hash);
    assert!(
        matches!(told, Err(ContentError::Damaged { .. } | ContentError::Missing { .. })),
        "{told:?}"
    );
    let report = verify_beside(Arc::new(RealDisk), &fixture.path()).unwrap();
    assert_eq!(report.problems.len(), 1);
    fs::write(&pack, whole).unwrap();
    assert_eq!(read(&follower, &hash).unwrap(), bytes);
}

/// The calls that it takes to miss a content, and then another, beside a damaged pack with so many
/// contents.
fn calls_to_miss(contents: u64) -> [u64; 2] {
    let disk = SimDisk::default();
    let path = Path::new("/content");
    let options = ContentOptions::default().pack_bytes(64 << 20);
    let owner = PackStore::prepare_on(Arc::new(disk.clone()), path).unwrap();
    let owner = owner.open(options, None).unwrap();
    for n in 0..contents {
        owner.put(&mut &*noise(60_000, n)).unwrap();
    }
    owner.close().unwrap();
    drop(owner);
    let folder = disk.root().folder("content".as_ref()).unwrap().unwrap();
    let pack = folder.open("0000000000.pack", Access::ReadWrite).unwrap();
    pack.write_all_at(&[0; 500], 1_000).unwrap();
    // Nothing but the entries says what it holds.
    let footer = pack.bytes().unwrap() - 100;
    pack.write_all_at(&[0; 100], footer).unwrap();
    let follower = ContentFollower::at(Arc::new(disk.clone()), path).unwrap();
    [1_u8, 2].map(|other| {
        let before = disk.calls();
        let missed = read(&follower, &ContentHash::of(&[other]));
        assert!(matches!(missed, Err(ContentError::Missing { .. })), "{missed:?}");
        disk.calls() - before
    })
}

#[test]
fn a_damaged_pack_is_not_read_again_for_each_content_that_is_missing() {
    let [first, second] = calls_to_miss(20);
    let [first_of_many, second_of_many] = calls_to_miss(200);
    assert!(first_of_many > first, "the pack is read whole once");
    assert_eq!(second_of_many, second);
}
