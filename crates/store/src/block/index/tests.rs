use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_disk::{Access, Folder as DiskFolder, MemoryDisk};
use spacefold_event_core::{Assignments, EventType, RecordsBuilder, SpaceEvent, least_after};

use spacefold_runs::RunsError;

use super::{
    kept::{FoundIndex, KeptIndex},
    *,
};

const GENESIS: BlockHash = [7; 32];

/// The log that is indexed, in the plainest way.
#[derive(Default)]
struct Model {
    /// Space, type, revision and time of each event.
    events: Vec<(String, EventType, u64, i64)>,
    /// The tags of each.
    tags: Vec<Vec<String>>,
    /// The first and last position of each block, and its hash.
    blocks: Vec<(u64, u64, BlockHash)>,
    revisions: BTreeMap<String, u64>,
}

impl Model {
    /// Appends a block with an event for each space, and adds it to the index. Some have tags: common
    /// ones, rarer ones, and one that no other has.
    fn add(&mut self, index: &mut BlockIndex, spaces: &[u8]) {
        let first = self.events.len();
        let event = |(place, space): (usize, &u8)| {
            let space_id = format!("space-{space}");
            let event = match space.is_multiple_of(3) {
                true => SpaceEvent::space_activated(space_id),
                false => SpaceEvent::space_archived(space_id),
            };
            match space % 4 {
                0 => event,
                1 => event.with_tags([format!("tag-{}", space % 5), "common".to_owned()]),
                2 => event.with_tags(["common".to_owned(), format!("rare-{}", space / 3)]),
                _ => event.with_tags([format!("only-{}", first + place), "space-1".to_owned()]),
            }
        };
        let events: Vec<SpaceEvent> = spaces.iter().enumerate().map(event).collect();
        let mut builder = RecordsBuilder::new();
        let mut base_revisions: Vec<(String, Revision)> = Vec::new();
        let first = self.events.len() + 1;
        let time = i64::try_from(first / 3).unwrap();
        for event in &events {
            builder.push(event);
            let space_id = event.space_id.clone();
            let revision = self.revisions.entry(space_id.clone()).or_default();
            if base_revisions.iter().all(|(known, _)| *known != space_id) {
                base_revisions.push((space_id.clone(), Revision::new(*revision)));
            }
            *revision += 1;
            self.events.push((space_id, event.event_type(), *revision, time));
            self.tags.push(event.tags.clone());
        }
        let assignments = Assignments {
            first_position: Position::new(u64::try_from(first).unwrap()),
            recorded_at: vec![Timestamp::from_micros(time).unwrap()],
            base_revisions: base_revisions.into_iter().map(|(_, revision)| revision).collect(),
        };
        let body = builder.finish();
        let records = Records::decode(body.bytes(), body.count(), assignments).unwrap();
        let hash = *blake3::hash(&self.blocks.len().to_le_bytes()).as_bytes();
        index.add(&records, hash);
        let (first, last) = (records.first_position().get(), records.last_position().get());
        self.blocks.push((first, last, hash));
    }

    fn block_of(&self, position: u64) -> Option<u64> {
        let block =
            self.blocks.iter().find(|(first, last, _)| (*first..=*last).contains(&position));
        block.map(|(first, ..)| *first)
    }

    /// The first positions of the blocks with an event that may pass.
    fn candidates(&self, from: u64, filter: &EventFilter) -> Vec<u64> {
        let passes = |first: u64, last: u64| {
            let place = |position: u64| usize::try_from(position - 1).unwrap();
            let events = &self.events[place(first)..=place(last)];
            let tags = self.tags[place(first)..=place(last)].concat();
            let spaces = filter.space_ids();
            events.iter().any(|event| filter.event_types().contains(event.1))
                && filter.wanted_tags().iter().all(|tag| tags.contains(tag))
                && spaces.is_none_or(|ids| events.iter().any(|event| ids.contains(&event.0)))
        };
        let behind = self.blocks.iter().filter(|(_, last, _)| *last >= from);
        behind.filter(|(first, last, _)| passes(*first, *last)).map(|(first, ..)| *first).collect()
    }

    fn assert_same(&self, index: &BlockIndex) {
        let end = u64::try_from(self.events.len()).unwrap();
        assert_eq!(index.end().get(), end);
        assert_eq!(index.last_hash(), self.blocks.last().map_or(GENESIS, |block| block.2));
        assert_eq!(index.block_count(), u64::try_from(self.blocks.len()).unwrap());
        for position in 1..=end + 1 {
            let found = block_of(index, Position::new(position)).map(Position::get);
            assert_eq!(found, self.block_of(position));
        }
        let all = spaces_after(index, None, usize::MAX);
        let known: BTreeMap<String, u64> =
            all.iter().map(|id| (id.clone(), revision(index, id).get())).collect();
        assert_eq!(known, self.revisions);
        for after in [None, Some("space-1"), Some("space-30"), Some("t")] {
            for limit in [0, 1, 5] {
                let ids = self.revisions.keys().map(String::as_str);
                assert_eq!(spaces_after(index, after, limit), least_after(ids, after, limit));
            }
        }
        for (position, (space_id, _, revision, _)) in (1..).zip(&self.events) {
            let revision = Revision::new(*revision);
            let found = block_of_revision(index, space_id, revision).map(Position::get);
            assert_eq!(found, self.block_of(position), "{space_id} {revision}");
        }
        for (space_id, revision) in &self.revisions {
            let next = Revision::new(revision + 1);
            assert_eq!(block_of_revision(index, space_id, next), None);
        }
        for time in -1..i64::try_from(end).unwrap() / 3 + 2 {
            let of_block = |block: &&(u64, u64, BlockHash)| {
                self.events[usize::try_from(block.0 - 1).unwrap()].3 <= time
            };
            let expected = self.blocks.iter().take_while(of_block).last().map(|block| block.0);
            let time = Timestamp::from_micros(time).unwrap();
            assert_eq!(block_as_of(index, time).map(Position::get), expected);
        }
        let archived = EventFilter::all().types([EventType::SpaceArchived]);
        for filter in [
            EventFilter::all(),
            archived.clone(),
            EventFilter::all().spaces(["nobody"]),
            EventFilter::all().spaces(["space-0"]),
            EventFilter::all().spaces(["space-9", "nobody", "space-3"]),
            archived.clone().spaces(["space-1", "space-2", "space-12"]),
            EventFilter::all().tags(["common"]),
            EventFilter::all().tags(["common", "tag-1"]),
            EventFilter::all().tags(["tag-0", "rare-0", "common"]).spaces(["space-2", "space-0"]),
            EventFilter::all().tags(["space-1"]).spaces(["space-1"]),
            EventFilter::all().tags(["nothing"]),
            EventFilter::all().tags(["only-9"]),
            archived.tags(["rare-2"]),
        ] {
            for from in [1, end / 3 + 1, end] {
                let found = all_candidates(self, index, from, &filter);
                assert_eq!(found, self.candidates(from, &filter), "{filter:?} from {from}");
            }
        }
    }
}

/// The revision of a space, with a look at what is kept.
fn revision(index: &BlockIndex, space_id: &str) -> Revision {
    let kept = || index.kept().revision(space_id).unwrap().unwrap_or(Revision::NONE);
    index.revision(space_id).unwrap_or_else(kept)
}

/// The first position of the block that holds a position, with a look at what is kept.
fn block_of(index: &BlockIndex, position: Position) -> Option<Position> {
    match index.is_kept(position) {
        true => index.kept().block_of(position).unwrap(),
        false => index.block_of(position),
    }
}

fn block_as_of(index: &BlockIndex, time: Timestamp) -> Option<Position> {
    let kept = || index.kept().block_as_of(time, index.end_of_kept()).unwrap();
    index.block_as_of(time).or_else(kept)
}

fn block_of_revision(index: &BlockIndex, space_id: &str, revision: Revision) -> Option<Position> {
    let kept = || index.kept().first_of_revision(space_id, revision).unwrap();
    index.fresh_block_of_revision(space_id, revision).or_else(kept)
}

fn spaces_after(index: &BlockIndex, after: Option<&str>, limit: usize) -> Vec<String> {
    let kept = index.kept().spaces(after, limit).unwrap();
    let kept = kept.iter().map(|(id, _)| id.as_str());
    let spaces = least_after(kept.chain(index.fresh_spaces().map(|(id, _)| id)), after, limit);
    if let Some(all) = index.spaces() {
        assert_eq!(least_after(all.map(|(id, _)| id), after, limit), spaces);
    }
    spaces
}

/// The first position of every candidate from `from` on, as a reader goes on from one to the next.
fn all_candidates(model: &Model, index: &BlockIndex, from: u64, filter: &EventFilter) -> Vec<u64> {
    let last_of = |first: Position| {
        let block = model.blocks.iter().find(|(known, ..)| *known == first.get());
        Position::new(block.unwrap().1)
    };
    let mut found = Vec::new();
    let mut candidates = Candidates::none();
    let mut next = Position::new(from);
    while next <= index.end() {
        if let Some(position) = candidates.next(next) {
            assert!(position >= next);
            let first = block_of(index, position).unwrap();
            found.push(first.get());
            next = last_of(first).next();
        } else {
            next = next.max(candidates.through().next());
            if next <= index.end() {
                let kept = match index.is_kept(next) && !filter.is_all() {
                    true => FoundBlocks::find(&index.kept(), filter, next).unwrap(),
                    false => FoundBlocks::default(),
                };
                candidates = index.candidates(next, filter, kept);
                assert!(candidates.through() >= next);
            }
        }
    }
    found
}

fn keep(kept: &KeptIndex, index: &mut BlockIndex, through: Position) {
    kept.keep(through, &mut |change| change(index)).unwrap();
}

fn keep_all(kept: &KeptIndex, index: &mut BlockIndex) {
    keep(kept, index, index.end());
}

fn load(disk: &MemoryDisk, model: &Model) -> (KeptIndex, BlockIndex) {
    let is_end = |end: Position, hash: &BlockHash| {
        model.blocks.iter().any(|(_, last, known)| *last == end.get() && known == hash)
    };
    FoundIndex::look(&disk.root()).open(GENESIS, is_end).unwrap()
}

/// A block of each list of spaces, kept now and then.
#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u8>),
    /// All but so many blocks.
    Keep(usize),
    Reload,
    /// Back to what is kept, as when sled's copy is made anew.
    GoBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let space = prop_oneof![3 => 0_u8..3, 2 => 0_u8..14, 1 => 0_u8..120];
    let step = prop_oneof![
        8 => proptest::collection::vec(space, 1..9).prop_map(Step::Add),
        5 => (0_usize..3).prop_map(Step::Keep),
        1 => Just(Step::Reload),
        1 => Just(Step::GoBack),
    ];
    proptest::collection::vec(step, 0..120)
}

impl Model {
    /// Takes back all blocks behind a position.
    fn truncate(&mut self, end: Position) {
        let end = end.get();
        self.blocks.retain(|(_, last, _)| *last <= end);
        self.events.truncate(usize::try_from(end).unwrap());
        self.tags.truncate(self.events.len());
        self.revisions.clear();
        for (space_id, _, revision, _) in &self.events {
            self.revisions.insert(space_id.clone(), *revision);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn knows_what_the_plain_model_knows(steps in steps(), has_room: bool) {
        let disk = MemoryDisk::new();
        let mut model = Model::default();
        let (mut kept, mut index) = load(&disk, &model);
        for step in steps {
            if !has_room {
                index.revisions = revisions::CachedRevisions::bounded(400);
                index.revisions.forget();
            }
            match step {
                Step::Add(spaces) => model.add(&mut index, &spaces),
                Step::Keep(but) => {
                    let through = model.blocks.iter().rev().nth(but).map_or(0, |block| block.1);
                    keep(&kept, &mut index, Position::new(through));
                }
                Step::Reload => {
                    (kept, index) = load(&disk, &model);
                    model.truncate(index.end());
                }
                Step::GoBack => {
                    index.go_back_to(index.kept_end.position);
                    model.truncate(index.end());
                }
            }
        }
        model.assert_same(&index);
        keep_all(&kept, &mut index);
        model.assert_same(&index);
        let (_, index) = load(&disk, &model);
        model.assert_same(&index);
    }
}

/// Twelve blocks, each kept by itself, so that some runs were merged.
fn twelve_kept() -> (MemoryDisk, Model) {
    let disk = MemoryDisk::new();
    let mut model = Model::default();
    let (kept, mut index) = load(&disk, &model);
    for n in 0..12 {
        model.add(&mut index, &[n, 0, n + 1]);
        keep_all(&kept, &mut index);
    }
    (disk, model)
}

fn folder(disk: &MemoryDisk) -> std::sync::Arc<dyn DiskFolder> {
    disk.root().folder("block-index".as_ref()).unwrap().unwrap()
}

/// Memory for tags that are in no run yet is what they take, and is given back once they are kept; of a
/// store without tags nothing is in the runs.
#[test]
fn tags_are_in_memory_until_they_are_kept() {
    let disk = MemoryDisk::new();
    let mut model = Model::default();
    let (kept, mut index) = load(&disk, &model);
    model.add(&mut index, &[0, 4, 8]);
    keep_all(&kept, &mut index);
    let tag_rows = |index: &BlockIndex| {
        let NewRows { postings, .. } = index.new_rows(index.end()).unwrap();
        postings.iter().filter(|(key, _)| key[0] == b't').count()
    };
    model.add(&mut index, &[0, 4, 8]);
    assert_eq!((tag_rows(&index), index.fresh_tags.bytes()), (0, 0));
    model.add(&mut index, &[3, 7, 11]);
    assert_eq!(tag_rows(&index), 4);
    assert!(index.fresh_tags.bytes() > 100);
    keep_all(&kept, &mut index);
    assert_eq!((index.fresh_tags.bytes(), index.fresh_tags.iter().count()), (0, 0));
}

/// Every byte of the files of the index.
fn files(disk: &MemoryDisk) -> BTreeMap<String, Vec<u8>> {
    let folder = folder(disk);
    let read = |name: String| {
        let bytes = folder.open(&name, Access::Read).unwrap().read_all().unwrap();
        (name, bytes)
    };
    folder.names().unwrap().into_iter().map(read).collect()
}

fn write(disk: &MemoryDisk, name: &str, bytes: &[u8]) {
    let folder = folder(disk);
    if folder.find(name, Access::Read).unwrap().is_some() {
        folder.remove(name).unwrap();
    }
    folder.create(name).unwrap().write_whole(&[bytes]).unwrap();
}

#[test]
fn an_index_of_other_blocks_is_none() {
    let (disk, mut model) = twelve_kept();
    let (_, index) = load(&disk, &model);
    model.assert_same(&index);
    if let Some(last) = model.blocks.last_mut() {
        last.2 = [1; 32];
    }
    let (_, index) = load(&disk, &model);
    assert_eq!(index.block_count(), 0);
}

#[test]
fn an_older_index_goes_on_from_where_it_ends() {
    let disk = MemoryDisk::new();
    let mut model = Model::default();
    let (kept, mut index) = load(&disk, &model);
    let mut older = Vec::new();
    for n in 0..6 {
        model.add(&mut index, &[n, 0, n + 1]);
        keep_all(&kept, &mut index);
        older.push(files(&disk));
    }
    for (count, files) in older.into_iter().enumerate() {
        write(&disk, "MANIFEST", &files["MANIFEST"]);
        let (_, index) = load(&disk, &model);
        let mut known = Model { blocks: model.blocks.clone(), ..Model::default() };
        known.events.clone_from(&model.events);
        known.tags.clone_from(&model.tags);
        known.truncate(index.end());
        assert_eq!(index.block_count(), count as u64 + 1);
        known.assert_same(&index);
    }
}

/// Whatever is read of a damaged index is what it was, or is known to be damaged; what is made anew is
/// what it was.
#[test]
fn damage_is_noticed_and_answered_by_making_anew() {
    let (disk, model) = twelve_kept();
    let whole = files(&disk);
    let mut noticed = 0;
    for (name, bytes) in &whole {
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            write(&disk, name, &damaged);
            let (_, index) = load(&disk, &model);
            if index.block_count() == 0 {
                noticed += 1;
            } else {
                let spaces: Vec<String> = model.revisions.keys().cloned().collect();
                for space_id in &spaces {
                    match index.kept().revision(space_id) {
                        Ok(found) => {
                            assert_eq!(found.unwrap().get(), model.revisions[space_id]);
                        }
                        Err(RunsError::Damaged { .. }) => noticed += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                for tag in ["common", "tag-0", "rare-1", "space-1", "only-2"] {
                    let filter = EventFilter::all().tags([tag]);
                    match FoundBlocks::find(&index.kept(), &filter, Position::new(1)) {
                        Ok(found) => {
                            let firsts = found.blocks.iter().map(|(first, _)| first.get());
                            assert_eq!(firsts.collect::<Vec<_>>(), model.candidates(1, &filter));
                        }
                        Err(RunsError::Damaged { .. }) => noticed += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
        let lost = if name == "MANIFEST" { "the manifest" } else { "a run" };
        folder(&disk).remove(name).unwrap();
        let (_, index) = load(&disk, &model);
        assert_eq!(index.block_count(), 0, "{lost} is lost");
        write(&disk, name, bytes);
    }
    assert!(noticed > 100, "{noticed}");
    let (_, index) = load(&disk, &model);
    model.assert_same(&index);
}

#[test]
fn a_space_or_tag_in_many_blocks_is_found_in_all_of_them() {
    let disk = MemoryDisk::new();
    let mut model = Model::default();
    let (kept, mut index) = load(&disk, &model);
    for n in 0..2_000_u16 {
        let rare = u8::try_from(n % 250).unwrap();
        model.add(&mut index, &[0, rare, 1, 0, rare.wrapping_mul(7), 2]);
        if n % 9 == 0 {
            keep_all(&kept, &mut index);
        }
    }
    keep_all(&kept, &mut index);
    let (_, loaded) = load(&disk, &model);
    let (spaces, tags, mut found) = (EventFilter::all(), EventFilter::all(), 0);
    for filter in [
        spaces.clone().spaces(["space-0"]),
        spaces.spaces(["space-77"]),
        tags.clone().tags(["common"]),
        tags.clone().tags(["common", "rare-25"]),
        tags.clone().tags(["rare-25", "tag-1"]),
        tags.tags(["tag-3", "common"]).spaces(["space-0", "space-77"]),
    ] {
        for from in [1, 5_000] {
            let expected = model.candidates(from, &filter);
            found += expected.len();
            assert_eq!(all_candidates(&model, &index, from, &filter), expected);
            assert_eq!(all_candidates(&model, &loaded, from, &filter), expected);
        }
    }
    assert!(found > 2_000, "{found}");
    for (position, (space_id, _, revision, _)) in (1..).zip(&model.events).step_by(37) {
        let found = block_of_revision(&loaded, space_id, Revision::new(*revision));
        assert_eq!(found.map(Position::get), model.block_of(position));
    }
    assert_eq!(loaded.kept().spaces(None, 3).unwrap().len(), 3);
    let spaces = loaded.kept().spaces(None, usize::MAX).unwrap();
    let spaces: BTreeMap<String, u64> =
        spaces.into_iter().map(|(id, revision)| (id, revision.get())).collect();
    assert_eq!(spaces, model.revisions);
}
