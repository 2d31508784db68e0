//! The stores that are harmed: 64 events in files as small as they can be made.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use spacefold::{
    EventId, SpaceEvent, Timestamp, Value,
    admin::{OnDamage, VerifyOptions, verify},
    log::{AppendRequest, PendingAppend},
};

use tempfile::TempDir;

use crate::contents::{Contents, OpenStore};

/// Events of each store.
pub const EVENTS: u64 = 64;
/// Bytes of a text that alone fills a block: everything before it is sealed.
const FILLER_BYTES: usize = 50_000;

/// The stores there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Everything in the journal, closed.
    SmallClosed,
    /// Everything in the journal, killed after the last append was acknowledged.
    SmallKilled,
    /// A segment, blocks that are in the journal too, and a tail; closed.
    SealedClosed,
    /// The same, killed.
    SealedKilled,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::SmallClosed, Self::SmallKilled, Self::SealedClosed, Self::SealedKilled];

    /// Whether the store was closed.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::SmallClosed | Self::SealedClosed)
    }

    const fn has_blocks(self) -> bool {
        matches!(self, Self::SealedClosed | Self::SealedKilled)
    }
}

/// A store to be harmed in copies, and what it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Store {
    /// What kind it is.
    pub kind: Kind,
    /// Where its images are.
    folder: PathBuf,
    /// What is in it.
    pub contents: Contents,
    /// Up to where sled's blocks are sure to go.
    pub sled_through: u64,
}

impl Store {
    /// The image that is copied and harmed.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    /// The same store earlier.
    #[must_use]
    pub fn older(&self) -> PathBuf {
        self.folder.join("older")
    }

    /// Another store of the same history.
    #[must_use]
    pub fn other(&self) -> PathBuf {
        self.folder.join("other")
    }

    /// Makes the images of a kind of store in a folder.
    ///
    /// # Panics
    /// When the store does not do what it must.
    #[must_use]
    pub fn make(kind: Kind, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let image = folder.join("image");
        make(kind, &image, &folder.join("older"));
        make(kind, &folder.join("other"), &folder.join("other-older"));
        let opened = folder.join("opened");
        copy_folder(&image, &opened);
        let spaces = OpenStore::open(&opened).unwrap();
        let contents = Contents::of(&spaces).unwrap();
        assert_eq!(contents.events.len() as u64, EVENTS);
        spaces.close().unwrap();
        fs::remove_dir_all(&opened).unwrap();
        // What a killed process had not synced of sled's copy need not be there.
        let sled_through = if kind == Kind::SealedClosed { LAST_FILLER } else { 0 };
        let store = Self { kind, folder: folder.to_owned(), contents, sled_through };
        let text = serde_json::to_string(&store).unwrap();
        fs::write(folder.join("store.json"), text).unwrap();
        store
    }

    /// Reads what [`Store::make`] left in a folder.
    ///
    /// # Panics
    /// When nothing is there.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("store.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Where its images are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Every kind of store, in a folder that goes with it.
#[derive(Debug)]
pub struct Stores {
    _folder: TempDir,
    stores: Vec<Store>,
}

impl Stores {
    /// Makes one store of each of these kinds.
    #[must_use]
    pub fn make(kinds: &[Kind]) -> Self {
        let folder = scratch();
        let make = |kind: &Kind| Store::make(*kind, &folder.path().join(format!("{kind:?}")));
        let stores = kinds.iter().map(make).collect();
        Self { _folder: folder, stores }
    }

    /// The stores.
    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.stores.iter()
    }
}

/// A folder in memory where there is one: each case makes and removes a store.
///
/// # Panics
/// When no folder can be made.
#[must_use]
pub fn scratch() -> TempDir {
    let mut named = tempfile::Builder::new();
    let in_memory = named.prefix("spacefold-damage-").tempdir_in("/dev/shm");
    in_memory.unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// How many events each append has, session by session; they add up to 64.
const SESSIONS: [&[u64]; 3] = [&[1, 7, 2, 1, 10, 1, 2], &[2, 4, 1, 9], &[1, 11, 6, 2, 3, 1]];
/// The events that fill a block, each an append of its own, where the store is to have blocks: one
/// block of what came before, and one of the filler itself.
const FILLERS: [u64; 3] = [11, 22, 31];
const LAST_FILLER: u64 = FILLERS[2];

/// How many appends are handed over at once at the end.
const LAST_GROUP: usize = 4;

/// Makes a store, again until its last appends are in one group: which of them the writer finds
/// waiting is a matter of luck.
fn make(kind: Kind, image: &Path, older: &Path) {
    for _ in 0..200 {
        try_to_make(kind, image, older);
        let frames = crate::layout::Layout::of(image).frames;
        let [.., before, last] = &frames[..] else { panic!("a store without frames") };
        if before.synced_through == last.synced_through {
            return;
        }
        fs::remove_dir_all(image).unwrap();
        fs::remove_dir_all(older).unwrap();
    }
    panic!("no two appends ever share a group");
}

fn try_to_make(kind: Kind, image: &Path, older: &Path) {
    let store = image.with_file_name("store");
    let mut next = 1;
    for (session, appends) in SESSIONS.iter().enumerate() {
        let spaces = OpenStore::open(&store).unwrap();
        let mut pending = Vec::new();
        for (place, count) in appends.iter().enumerate() {
            let events: Vec<SpaceEvent> =
                (next..next + count).map(|n| event(n, kind.has_blocks())).collect();
            next += count;
            pending.push(spaces.log().submit(&AppendRequest::new(&events)).unwrap());
            // The last ones become durable together: nothing witnesses any of them.
            if session < 2 || place < appends.len() - LAST_GROUP {
                wait_for_all(&mut pending);
            }
        }
        wait_for_all(&mut pending);
        if session == 2 && !kind.is_closed() {
            copy_folder(&store, image);
        } else if session == 2 {
            spaces.close().unwrap();
            copy_folder(&store, image);
        } else {
            // Closing makes every block that is full.
            spaces.close().unwrap();
        }
        if session == 0 && kind.has_blocks() {
            drop(spaces);
            seal(&store);
        }
        if session == 1 {
            copy_folder(&store, older);
        }
    }
    assert_eq!(next, EVENTS + 1);
    fs::remove_dir_all(&store).unwrap();
}

fn wait_for_all(pending: &mut Vec<PendingAppend>) {
    for append in pending.drain(..) {
        assert!(append.wait().unwrap().is_durable());
    }
}

/// Makes a segment of the blocks there are: a damaged frame is mended by one.
fn seal(store: &Path) {
    let layout = crate::layout::Layout::of(store);
    let frame = layout.frames.iter().find(|frame| frame.first == 1).unwrap();
    let path = store.join(&frame.file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[frame.start as usize + 90] ^= 1;
    fs::write(&path, bytes).unwrap();
    let options = VerifyOptions { damage: OnDamage::Heal, ..VerifyOptions::default() };
    let report = verify(store, options).unwrap();
    assert!(report.is_ok() && !report.problems.is_empty(), "{report:?}");
    assert_eq!(fs::read_dir(store.join("sealed")).unwrap().count(), 1);
}

/// The n-th event, the same in every store.
fn event(n: u64, with_fillers: bool) -> SpaceEvent {
    let space = format!("space-{}", n % 3);
    let document = format!("document-{}", n % 5);
    let event = match n % 6 {
        _ if with_fillers && FILLERS.contains(&n) => {
            let text = char::from(b'm' + (n % 10) as u8).to_string().repeat(FILLER_BYTES);
            SpaceEvent::variable_set(space, "filler", text)
        }
        0 => SpaceEvent::space_created(space, "Space"),
        1 => SpaceEvent::document_added(space, document, format!("/{n}.md")),
        2 => SpaceEvent::document_content_changed(
            space,
            document,
            None::<String>,
            format!("{n:032x}"),
        ),
        3 => SpaceEvent::reference_added(space, document, "target", Some("link".to_owned())),
        4 => SpaceEvent::render_started(space, Some(document)),
        _ if n % 4 == 1 => SpaceEvent::variable_set(space, "list", vec![Value::from("text"); 3]),
        _ => SpaceEvent::variable_set(space, "number", n),
    };
    let mut id = *b"an event's id 16";
    id[8..].copy_from_slice(&n.to_be_bytes());
    let micros = 1_700_000_000_000_000 + i64::try_from(n).unwrap();
    event
        .with_event_id(EventId::from_bytes(id))
        .with_timestamp(Timestamp::from_micros(micros).unwrap())
}

/// The files of a folder in memory, without their zeros: what is copied thousands of times.
#[derive(Debug)]
pub struct Image {
    folders: Vec<PathBuf>,
    files: Vec<ImageFile>,
}

#[derive(Debug)]
struct ImageFile {
    path: PathBuf,
    len: u64,
    /// The pages that hold more than zeros.
    pages: Vec<(u64, Vec<u8>)>,
}

impl Image {
    const PAGE: usize = 4_096;

    /// Reads a folder.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut folders = Vec::new();
        collect_folders(folder, Path::new(""), &mut folders);
        let file = |name: String| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            let pages = bytes.chunks(Self::PAGE).zip((0_u64..).step_by(Self::PAGE));
            let pages = pages.filter(|(page, _)| page.iter().any(|byte| *byte != 0));
            let pages = pages.map(|(page, offset)| (offset, page.to_vec())).collect();
            ImageFile { path: PathBuf::from(name), len: bytes.len() as u64, pages }
        };
        Self { folders, files: files(folder).into_iter().map(file).collect() }
    }

    /// Makes the folder again somewhere else.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, folder: &Path) {
        for name in &self.folders {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for image in &self.files {
            let file = fs::File::create(folder.join(&image.path)).unwrap();
            file.set_len(image.len).unwrap();
            for (offset, page) in &image.pages {
                file.write_all_at(page, *offset).unwrap();
            }
        }
    }
}

fn collect_folders(folder: &Path, name: &Path, found: &mut Vec<PathBuf>) {
    found.push(name.to_owned());
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            collect_folders(&entry.path(), &name.join(entry.file_name()), found);
        }
    }
}

/// Copies a folder as it stands, which may be that of an open store. What is in the way of events goes
/// before what they move to: HEAD, then the journal, then the segments.
///
/// # Panics
/// When the disk refuses.
pub fn copy_folder(from: &Path, to: &Path) {
    let is_new = !to.exists();
    while let Err(error) = try_to_copy(from, to) {
        // It has been renamed or removed since.
        assert!(is_new && error.kind() == ErrorKind::NotFound, "{error}");
        fs::remove_dir_all(to).unwrap();
    }
}

fn try_to_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut entries: Vec<_> = fs::read_dir(from)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            try_to_copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The files below a folder, named from it, sorted.
///
/// # Panics
/// When the disk refuses.
#[must_use]
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(folder, "", &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}
