use std::collections::BTreeSet;

use super::*;

/// A disk after a few calls to the operating system, in a root that was empty.
fn disk(entries: &[Entry]) -> Disk {
    let root = tempfile::tempdir().unwrap();
    let mut disk = Disk::of_folder(root.path()).unwrap();
    entries.iter().for_each(|entry| disk.take(entry).unwrap());
    disk
}

fn create(file: u64, path: &str) -> Entry {
    Entry::Create { file, path: path.to_owned() }
}

fn write(file: u64, offset: u64, byte: u8, len: usize) -> Entry {
    Entry::Write { file, offset, bytes: vec![byte; len] }
}

fn sync(file: u64) -> [Entry; 2] {
    [
        Entry::SyncBegins { file, sync: file, path: String::new() },
        Entry::SyncEnds { file, sync: file },
    ]
}

/// What a file holds in images of a disk, over all seeds; `None` where it is not there.
fn images(disk: &Disk, kept: Kept, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    let image = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        write_image(disk, kept, &mut rng, folder.path()).unwrap();
        fs::read(folder.path().join(path)).ok()
    };
    (0..60).map(image).collect()
}

/// A folder that is synced, with a file of two pages that is synced.
fn synced_file() -> Vec<Entry> {
    let folder = Entry::CreateFolder { file: 1, path: "f".to_owned() };
    let file = [create(2, "f/a"), write(2, 0, b'a', 8_192)];
    // The root has an inode of its own, which nothing here syncs: the folder of the file does.
    [vec![folder], file.to_vec(), sync(2).to_vec(), sync(1).to_vec()].concat()
}

#[test]
fn what_was_synced_is_in_every_image() {
    let disk = disk(&synced_file());
    for kept in Kept::ALL {
        let found = images(&disk, kept, "f/a");
        // Where the order of changes is kept between folders, the folder is there; else it may be
        // missing, since its own parent was not synced.
        assert!(found.contains(&Some(vec![b'a'; 8_192])), "{kept:?}");
        assert!(found.iter().flatten().all(|bytes| *bytes == [b'a'; 8_192]), "{kept:?}");
    }
    assert_eq!(images(&disk, Kept::Nothing, "f/a").len(), 1);
}

#[test]
fn what_was_not_synced_is_there_in_pages_in_sectors_or_not_at_all() {
    let unsynced = [synced_file(), vec![write(2, 0, b'b', 8_192)]].concat();
    let disk = disk(&unsynced);
    let page = |byte| vec![byte; 4_096];
    let (old, new) = (vec![b'a'; 8_192], vec![b'b'; 8_192]);
    assert_eq!(images(&disk, Kept::Nothing, "f/a"), [Some(old.clone())].into());
    assert_eq!(images(&disk, Kept::Everything, "f/a"), [Some(new.clone())].into());
    assert_eq!(images(&disk, Kept::AllButOne, "f/a"), [Some(old.clone())].into());
    assert_eq!(images(&disk, Kept::OnlyOne, "f/a"), [Some(new.clone())].into());
    assert_eq!(images(&disk, Kept::Prefix, "f/a"), [Some(old.clone()), Some(new.clone())].into());
    let subset = images(&disk, Kept::Subset, "f/a");
    let mixed = [[page(b'a'), page(b'b')].concat(), [page(b'b'), page(b'a')].concat()];
    assert!(mixed.into_iter().all(|mixed| subset.contains(&Some(mixed))));
    let torn = images(&disk, Kept::Torn, "f/a");
    let sectors = |bytes: &Vec<u8>| {
        bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0]))
    };
    assert!(torn.len() > 10 && torn.iter().flatten().all(sectors));
}

#[test]
fn a_file_may_have_grown_or_not() {
    let grown = [synced_file(), vec![write(2, 8_192, b'b', 100)]].concat();
    let lens: BTreeSet<usize> =
        images(&disk(&grown), Kept::Subset, "f/a").iter().flatten().map(Vec::len).collect();
    assert_eq!(lens, [8_192, 8_292].into());
    let cut = Entry::Truncate { file: 2, len: 5_000 };
    let cut = [synced_file(), vec![cut, write(2, 5_000, b'b', 3_192)]].concat();
    for image in images(&disk(&cut), Kept::Subset, "f/a").into_iter().flatten() {
        // Nothing from before the cut comes back behind it.
        let behind = image.get(5_000..).unwrap_or(&[]);
        let is_one = |byte: u8| behind.iter().all(|found| *found == byte);
        assert!(is_one(b'a') && image.len() == 8_192 || is_one(0) || is_one(b'b'), "{image:?}");
    }
}

#[test]
fn a_sync_covers_what_stood_before_it_began() {
    let [begins, ends] = sync(2);
    let late = [synced_file(), vec![begins, write(2, 0, b'b', 10), ends]].concat();
    assert_eq!(images(&disk(&late), Kept::Nothing, "f/a"), [Some(vec![b'a'; 8_192])].into());
}

#[test]
fn after_a_failed_sync_the_next_one_brings_nothing_of_before() {
    let fault = Entry::Fault { file: 2, path: "f/a".to_owned(), call: "sync".to_owned() };
    let lost = [synced_file(), vec![write(2, 0, b'b', 10), fault], sync(2).to_vec()].concat();
    assert_eq!(images(&disk(&lost), Kept::Nothing, "f/a"), [Some(vec![b'a'; 8_192])].into());
    // Writing to the page again makes it dirty as a whole.
    let again = [lost, vec![write(2, 4_000, b'c', 1)], sync(2).to_vec()].concat();
    let mut whole = vec![b'a'; 8_192];
    whole[..10].fill(b'b');
    whole[4_000] = b'c';
    assert_eq!(images(&disk(&again), Kept::Nothing, "f/a"), [Some(whole)].into());
}

#[test]
fn names_change_in_their_order_and_stay_once_their_folder_is_synced() {
    let rename = Entry::Rename { from: "f/a".to_owned(), to: "f/b".to_owned() };
    let removed = Entry::Remove { path: "f/b".to_owned() };
    let renamed = [synced_file(), vec![rename, create(3, "f/c")]].concat();
    let seen = disk(&renamed);
    assert_eq!(images(&seen, Kept::Nothing, "f/b"), [None].into());
    for kept in Kept::ALL {
        let seeds = 0..60;
        for seed in seeds {
            let folder = tempfile::tempdir().unwrap();
            let mut rng = fastrand::Rng::with_seed(seed);
            write_image(&seen, kept, &mut rng, folder.path()).unwrap();
            let has = |name| folder.path().join("f").join(name).exists();
            assert!(!(has("a") && has("b")), "both names at once");
            assert!(!has("c") || has("b"), "a later change without an earlier one");
        }
    }
    let synced = [renamed, sync(1).to_vec(), vec![removed]].concat();
    assert_eq!(images(&disk(&synced), Kept::Nothing, "f/b"), [Some(vec![b'a'; 8_192])].into());
    assert_eq!(images(&disk(&synced), Kept::Everything, "f/b"), [None].into());
}

#[test]
fn entries_read_back() {
    let text = str::to_owned;
    let entries = [
        create(1, "a"),
        Entry::CreateFolder { file: 2, path: text("b") },
        write(3, 4, 5, 6),
        Entry::Truncate { file: 7, len: 8 },
        Entry::Grow { file: 9, len: 10 },
        Entry::Rename { from: text("c"), to: text("d") },
        Entry::Remove { path: text("e") },
        Entry::SyncBegins { file: 11, sync: 12, path: text("f") },
        Entry::SyncEnds { file: 13, sync: 14 },
        Entry::SyncRange { file: 15, path: text("g") },
        Entry::Mark { bytes: b"told\n".to_vec() },
        Entry::Fault { file: 16, path: text("h"), call: text("write") },
    ];
    for entry in entries {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let len = bytes.len();
        assert_eq!(Entry::decode(&bytes), Some((entry, len)));
        assert_eq!(Entry::decode(&bytes[..len - 1]), None);
    }
}
