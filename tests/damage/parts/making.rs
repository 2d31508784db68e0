//! The stores whose parts are exchanged: one, the same earlier, a sibling, and another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use spacefold::{
    EventId, SpaceEvent, Spacefold, Timestamp,
    admin::{OnDamage, VerifyOptions, verify},
    content::ContentStore as _,
};

use super::{
    Kind, Older, Size, Source,
    answers::{Answers, move_place, open},
};
use crate::{layout::Layout, random::Random, stores::copy_folder};

/// Bytes of a text that alone fills a block: everything before it is sealed.
const FILLER_BYTES: usize = 50_000;
/// Events of each session of a store.
const SESSION_EVENTS: u64 = 12;

/// A store with its relatives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Store {
    /// What it is like.
    pub kind: Kind,
    /// Where the images are.
    folder: PathBuf,
    /// What it answers.
    pub answers: Answers,
    /// What its relatives answer.
    pub relatives: Vec<(Source, Answers)>,
}

impl Store {
    /// The image that is copied.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    /// Where parts of a source come from; `None` for those that are missing.
    #[must_use]
    pub fn of(&self, source: Source) -> Option<PathBuf> {
        let name = match source {
            Source::Older => "older",
            Source::Sibling => "sibling",
            Source::Other => "other",
            Source::Missing => return None,
        };
        Some(self.folder.join(name))
    }

    /// Makes a store and its relatives in a folder.
    ///
    /// # Panics
    /// When the store does not do what it must.
    #[must_use]
    pub fn make(kind: Kind, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let store = Self {
            kind,
            folder: folder.to_owned(),
            answers: Answers::default(),
            relatives: Vec::new(),
        };
        let [own, sibling, other] = [b'a', b'b', b'c'].map(|writer| Writer { kind, writer });
        own.begin(&folder.join("begun"));
        own.go_on(&folder.join("begun"), &store.image(), Some(&folder.join("older")));
        sibling.go_on(&folder.join("begun"), &folder.join("sibling"), None);
        other.begin(&folder.join("begun-other"));
        other.go_on(&folder.join("begun-other"), &folder.join("other"), None);
        let answers = answers_of(&store.image());
        let relatives = Source::STORES
            .map(|source| (source, store.of(source).map(|store| answers_of(&store)).unwrap()));
        let store = Self { answers, relatives: relatives.to_vec(), ..store };
        store.check();
        store.keep();
        store
    }

    /// Writes down what the store is like, for [`Store::read`].
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn keep(&self) {
        let text = serde_json::to_string(self).unwrap();
        fs::write(self.folder.join("store.json"), text).unwrap();
    }

    /// The relatives are what they are said to be.
    fn check(&self) {
        let ids = |answers: &Answers| -> Vec<String> {
            let id = |event: &String| {
                let event: serde_json::Value = serde_json::from_str(event).unwrap();
                event["event_id"].to_string()
            };
            answers.events.iter().map(id).collect()
        };
        let count = self.answers.events.len();
        assert_eq!(count as u64, 3 * SESSION_EVENTS);
        for (source, answers) in &self.relatives {
            assert_ne!(answers.events, self.answers.events, "{source:?}");
            let is_prefix = self.answers.events.starts_with(&answers.events);
            assert_eq!(is_prefix, *source == Source::Older);
            assert_eq!(ids(&self.answers)[..answers.events.len()], ids(answers)[..], "{source:?}");
            assert_eq!(answers.faults, [""; 0], "{source:?}");
            assert!(answers.contents.values().all(|is_here| *is_here), "{source:?}");
            assert_eq!(answers.place, Some(answers.events.len() as u64), "{source:?}");
        }
        let segments = fs::read_dir(self.image().join("sealed")).unwrap().count();
        assert_eq!(segments, if self.kind.size == Size::Segments { 2 } else { 0 });
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

fn answers_of(store: &Path) -> Answers {
    let opened = store.with_extension("opened");
    copy_folder(store, &opened);
    let spaces = open(&opened).unwrap();
    let answers = Answers::of(&spaces).unwrap();
    spaces.close().unwrap();
    fs::remove_dir_all(opened).unwrap();
    answers
}

/// Who writes a store, and so what its payloads are.
struct Writer {
    kind: Kind,
    writer: u8,
}

impl Writer {
    /// The first session, after which a sibling parts.
    fn begin(&self, store: &Path) {
        let spaces = Spacefold::open(store).unwrap();
        spaces.close().unwrap();
        drop(spaces);
        let spaces = open(store).unwrap();
        self.append(&spaces, 0);
        spaces.close().unwrap();
        drop(spaces);
        self.seal(store);
    }

    /// The second session, after which the older copy is taken, and the third.
    fn go_on(&self, begun: &Path, image: &Path, older: Option<&Path>) {
        let mut store = image.with_extension("store");
        copy_folder(begun, &store);
        let mut spaces = open(&store).unwrap();
        self.append(&spaces, 1);
        let copy = |store: &Path| older.iter().for_each(|older| copy_folder(store, older));
        match self.kind.older {
            Older::WhileOpen => copy(&store),
            Older::Killed => {
                copy(&store);
                let killed = image.with_extension("killed");
                copy_folder(&store, &killed);
                spaces.close().unwrap();
                fs::remove_dir_all(&store).unwrap();
                store = killed;
                spaces = self.between(spaces, &store);
            }
            Older::Closed => {
                spaces.close().unwrap();
                copy(&store);
                spaces = self.between(spaces, &store);
            }
        }
        // What the sessions before have put and nothing names goes, and packs with it.
        spaces.admin().collect_garbage().unwrap();
        let blocks = spaces.log().info().blocks;
        self.append(&spaces, 2);
        if self.kind.is_closed {
            spaces.close().unwrap();
        } else if self.kind.size == Size::Blocks {
            // The sealer works behind. Without a block of this session nothing but HEAD and the journal
            // knows of it: these put back together are an older store.
            while spaces.log().info().blocks == blocks {
                std::thread::yield_now();
            }
        }
        copy_folder(&store, image);
        drop(spaces);
        fs::remove_dir_all(&store).unwrap();
    }

    /// Opens the store again after whatever ended the session before.
    fn between(&self, before: Spacefold, store: &Path) -> Spacefold {
        drop(before);
        if self.kind.size == Size::Segments {
            open(store).unwrap().close().unwrap();
            self.seal(store);
        }
        open(store).unwrap()
    }

    /// One session's appends, with content, checkpoints and a place that are on disk.
    fn append(&self, spaces: &Spacefold, session: u64) {
        let begin = session * SESSION_EVENTS;
        let put = |bytes: &[u8]| spaces.content().put(&mut &*bytes).unwrap().hash;
        put(&self.content(1_000 + session, 20_000));
        let mut pending = Vec::new();
        for n in begin + 1..=begin + SESSION_EVENTS {
            let size = if n % 4 == 2 { 25_000 } else { 300 };
            let hash = put(&self.content(n, size)).to_string();
            pending.push(self.event(n, session, hash));
            // Appends of one event and of two.
            if n % 3 != 0 {
                spaces.content().sync().unwrap();
                spaces.append(std::mem::take(&mut pending)).unwrap();
            }
        }
        spaces.content().sync().unwrap();
        spaces.append(pending).unwrap();
        spaces.catch_up().unwrap();
        spaces.save().unwrap();
        spaces.projections().activity().unwrap();
        spaces.projections().content_index().unwrap();
        move_place(spaces);
    }

    fn content(&self, n: u64, size: u64) -> Vec<u8> {
        // Some of it is in every store.
        let writer = if n.is_multiple_of(5) { 0 } else { u64::from(self.writer) };
        Random::new(n * 256 + writer).bytes(size)
    }

    fn event(&self, n: u64, session: u64, hash: String) -> SpaceEvent {
        let space = format!("space-{}", n % 3);
        let document = format!("document-{}", n % 5);
        let is_filler = self.kind.size != Size::Small && matches!(n % SESSION_EVENTS, 4 | 8 | 10);
        let event = match n % 6 {
            _ if is_filler => {
                let text = char::from(self.writer).to_string().repeat(FILLER_BYTES);
                SpaceEvent::variable_set(space, "filler", text)
            }
            0 => SpaceEvent::space_created(space, format!("Space {}", char::from(self.writer))),
            1 => SpaceEvent::document_added(space, document, format!("/{n}.md")),
            4 => SpaceEvent::variable_set(space, "writer", u64::from(self.writer) * n),
            _ => SpaceEvent::document_content_changed(space, document, None::<String>, hash),
        };
        let mut id = *b"an event's id 16";
        id[8..].copy_from_slice(&n.to_be_bytes());
        let micros = 1_700_000_000_000_000 + i64::try_from(n * 10 + session).unwrap();
        event
            .with_event_id(EventId::from_bytes(id))
            .with_timestamp(Timestamp::from_micros(micros).unwrap())
    }

    /// Makes a segment of the blocks there are: a damaged frame is mended by one.
    fn seal(&self, store: &Path) {
        if self.kind.size != Size::Segments {
            return;
        }
        let layout = Layout::of(store);
        let sealed = layout.sealed_through;
        let frame = layout.frames.iter().find(|frame| frame.first > sealed).unwrap();
        let path = store.join(&frame.file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[frame.start as usize + 90] ^= 1;
        fs::write(&path, bytes).unwrap();
        let options = VerifyOptions { damage: OnDamage::Heal, ..VerifyOptions::default() };
        let report = verify(store, options).unwrap();
        assert!(report.is_ok() && !report.problems.is_empty(), "{report:?}");
    }
}
