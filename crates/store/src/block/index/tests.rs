use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use spacefold_event_core::{Assignments, EventType, RecordsBuilder, SpaceEvent};

use super::*;
use crate::{log_copy::LogCopy as _, log_copy::SledError, sled_copy::SledCopy};

const GENESIS: BlockHash = [7; 32];

/// The log that is indexed, in the plainest way.
#[derive(Default)]
struct Model {
    /// Space, type, revision and time of each event.
    events: Vec<(String, EventType, u64, i64)>,
    /// The first and last position of each block, and its hash.
    blocks: Vec<(u64, u64, BlockHash)>,
    revisions: BTreeMap<String, u64>,
}

impl Model {
    /// Appends a block with an event for each space, and adds it to the index.
    fn add(&mut self, index: &mut BlockIndex, spaces: &[u8]) {
        let event = |space: &u8| {
            let space_id = format!("space-{space}");
            if space.is_multiple_of(3) {
                SpaceEvent::space_activated(space_id)
            } else {
                SpaceEvent::space_archived(space_id)
            }
        };
        let events: Vec<SpaceEvent> = spaces.iter().map(event).collect();
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

    fn has_block(&self, end: Position, hash: &BlockHash) -> bool {
        self.blocks.iter().any(|(_, last, known)| *last == end.get() && known == hash)
    }

    /// The first positions of the blocks with an event that may pass.
    fn candidates(&self, from: u64, filter: &EventFilter) -> Vec<u64> {
        let passes = |first: u64, last: u64| {
            let place = |position: u64| usize::try_from(position - 1).unwrap();
            let events = &self.events[place(first)..=place(last)];
            let spaces = filter.space_ids();
            events.iter().any(|event| filter.event_types().contains(event.1))
                && spaces.is_none_or(|ids| events.iter().any(|event| ids.contains(&event.0)))
        };
        let behind = self.blocks.iter().filter(|(_, last, _)| *last >= from);
        behind.filter(|(first, last, _)| passes(*first, *last)).map(|(first, ..)| *first).collect()
    }

    fn assert_same(&self, index: &BlockIndex, sled: &SledCopy) {
        let end = u64::try_from(self.events.len()).unwrap();
        assert_eq!(index.end().get(), end);
        assert_eq!(index.last_hash(), self.blocks.last().map_or(GENESIS, |block| block.2));
        assert_eq!(index.block_count(), u64::try_from(self.blocks.len()).unwrap());
        for position in 1..=end + 1 {
            let found = index.block_of(Position::new(position)).map(Position::get);
            assert_eq!(found, self.block_of(position));
        }
        let spaces: BTreeMap<String, u64> =
            index.spaces().map(|(id, revision)| (id.to_owned(), revision.get())).collect();
        assert_eq!(spaces, self.revisions);
        for (position, (space_id, _, revision, _)) in (1..).zip(&self.events) {
            let revision = Revision::new(*revision);
            let found =
                look_up(sled, |pages| index.block_of_revision(space_id, revision, pages)).unwrap();
            assert_eq!(found.map(Position::get), self.block_of(position), "{space_id} {revision}");
        }
        for (space_id, revision) in &self.revisions {
            assert_eq!(index.revision(space_id).get(), *revision);
            let next = Revision::new(revision + 1);
            let none = look_up(sled, |pages| index.block_of_revision(space_id, next, pages));
            assert_eq!(none.unwrap(), None);
        }
        for time in -1..i64::try_from(end).unwrap() / 3 + 2 {
            let of_block = |block: &&(u64, u64, BlockHash)| {
                self.events[usize::try_from(block.0 - 1).unwrap()].3 <= time
            };
            let expected = self.blocks.iter().take_while(of_block).last().map(|block| block.0);
            let time = Timestamp::from_micros(time).unwrap();
            assert_eq!(index.block_as_of(time).map(Position::get), expected);
        }
        let archived = EventFilter::all().types([EventType::SpaceArchived]);
        for filter in [
            EventFilter::all(),
            archived.clone(),
            EventFilter::all().spaces(["nobody"]),
            EventFilter::all().spaces(["space-0"]),
            EventFilter::all().spaces(["space-9", "nobody", "space-3"]),
            archived.spaces(["space-1", "space-2", "space-12"]),
        ] {
            for from in [1, end / 3 + 1, end] {
                let found = all_candidates(index, sled, from, &filter);
                assert_eq!(found, self.candidates(from, &filter), "{filter:?} from {from}");
            }
        }
    }
}

/// The first position of every candidate from `from` on, as a reader goes on from one to the next.
fn all_candidates(
    index: &BlockIndex,
    sled: &SledCopy,
    from: u64,
    filter: &EventFilter,
) -> Vec<u64> {
    let mut found = Vec::new();
    let mut candidates = Candidates::none();
    let mut next = Position::new(from);
    while next <= index.end() {
        if let Some(position) = candidates.next(next) {
            assert!(position >= next);
            let first = index.block_of(position).unwrap();
            found.push(first.get());
            next = index.blocks_from(first).nth(1).unwrap_or_else(|| index.end().next());
        } else {
            next = next.max(candidates.through().next());
            if next <= index.end() {
                candidates = look_up(sled, |pages| index.candidates(next, filter, pages)).unwrap();
                assert!(candidates.through() >= next);
            }
        }
    }
    found
}

/// A lookup with the pages that it takes; `None` when one of them is not in sled.
fn look_up<T>(sled: &SledCopy, look: impl Fn(&Pages) -> Result<T, MissingPages>) -> Option<T> {
    let mut pages = Pages::default();
    loop {
        match look(&pages) {
            Ok(found) => return Some(found),
            Err(MissingPages(missing)) => {
                for id in missing {
                    let fresh = pages.loaded.insert(id, sled.get_blob(&id.key()).unwrap()?.into());
                    assert!(fresh.is_none(), "a page that was there is missing");
                }
            }
        }
    }
}

fn keep(sled: &SledCopy, index: &mut BlockIndex) {
    kept::keep(sled, &mut |change| change(index)).unwrap();
}

fn load(sled: &SledCopy, model: &Model) -> BlockIndex {
    kept::load(sled, GENESIS, |end, hash| Ok::<_, SledError>(model.has_block(end, hash))).unwrap()
}

/// A block of each list of spaces, kept now and then.
#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u8>),
    Keep,
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let space = prop_oneof![3 => 0_u8..3, 2 => 0_u8..14, 1 => 0_u8..120];
    let step = prop_oneof![
        6 => proptest::collection::vec(space, 1..9).prop_map(Step::Add),
        5 => Just(Step::Keep),
        1 => Just(Step::Reload),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn knows_what_the_plain_model_knows(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let sled = SledCopy::open_at(&folder.path().join("sled")).unwrap();
        let mut model = Model::default();
        let mut index = BlockIndex::new(GENESIS);
        for step in steps {
            match step {
                Step::Add(spaces) => model.add(&mut index, &spaces),
                Step::Keep => keep(&sled, &mut index),
                Step::Reload => {
                    keep(&sled, &mut index);
                    index = load(&sled, &model);
                }
            }
        }
        model.assert_same(&index, &sled);
        keep(&sled, &mut index);
        let index = load(&sled, &model);
        model.assert_same(&index, &sled);
        let used: BTreeSet<Vec<u8>> = index
            .segments
            .iter()
            .flat_map(|segment| segment.pages().map(|(page, _)| page.key()))
            .collect();
        let kept: BTreeSet<Vec<u8>> =
            sled.blob_keys(segment::PAGE_PREFIX).unwrap().into_iter().collect();
        prop_assert_eq!(kept, used);
    }
}

/// Twelve segments of a block each, of which some were merged.
fn twelve_kept() -> (tempfile::TempDir, SledCopy, Model, BlockIndex) {
    let folder = tempfile::tempdir().unwrap();
    let sled = SledCopy::open_at(&folder.path().join("sled")).unwrap();
    let mut model = Model::default();
    let mut index = BlockIndex::new(GENESIS);
    for n in 0..12 {
        model.add(&mut index, &[n, 0, n + 1]);
        keep(&sled, &mut index);
    }
    let blocks: Vec<u32> = index.segments.iter().map(|segment| segment.id.blocks).collect();
    assert_eq!(blocks, [8, 1, 1, 1, 1]);
    (folder, sled, model, index)
}

#[test]
fn goes_on_behind_the_last_segment_that_is_good_for_the_blocks() {
    let (_folder, sled, mut model, _) = twelve_kept();
    // The last two blocks are others now.
    model.blocks.truncate(10);
    model.events.truncate(30);
    model.revisions.clear();
    for (space_id, _, revision, _) in &model.events {
        model.revisions.insert(space_id.clone(), *revision);
    }
    let index = load(&sled, &model);
    model.assert_same(&index, &sled);
    assert_eq!(sled.blob_keys(segment::HEAD_PREFIX).unwrap().len(), 3);
}

#[test]
fn what_follows_a_damaged_head_is_dropped() {
    for damage in ["removed", "garbled", "of another version", "without a page"] {
        let (_folder, sled, model, index) = twelve_kept();
        let key = index.segments[1].id.head_key();
        match damage {
            "removed" => sled.remove_blob(&key).unwrap(),
            "without a page" => {
                let page = index.segments[1].page_of(0).unwrap();
                sled.remove_blob(&page.key()).unwrap();
            }
            "garbled" => sled.put_blob(&key, b"garbled").unwrap(),
            _ => {
                let mut head = sled.get_blob(&key).unwrap().unwrap();
                head[0] += 1;
                sled.put_blob(&key, &head).unwrap();
            }
        }
        let mut index = load(&sled, &model);
        assert_eq!(index.block_count(), 8, "{damage}");
        assert_eq!(sled.blob_keys(segment::HEAD_PREFIX).unwrap().len(), 1);
        // The blocks behind it are read again.
        let mut again = Model::default();
        let mut first = BlockIndex::new(GENESIS);
        for n in 0..12 {
            let target = if n < 8 { &mut first } else { &mut index };
            again.add(target, &[n, 0, n + 1]);
        }
        again.assert_same(&index, &sled);
    }
}

#[test]
fn a_merge_that_was_cut_off_leaves_nothing_behind() {
    let (_folder, sled, model, index) = twelve_kept();
    let unused = segment::SegmentId::new(4, 2, &[1; 32]);
    sled.put_blob(&unused.head_key(), b"anything").unwrap();
    sled.put_blob(&PageId { segment: unused, page: 0 }.key(), b"anything").unwrap();
    sled.put_blob(b"store/index/page/short", b"anything").unwrap();
    let loaded = load(&sled, &model);
    assert_eq!(loaded.segments, index.segments);
    model.assert_same(&loaded, &sled);
    assert_eq!(sled.blob_keys(segment::HEAD_PREFIX).unwrap().len(), 5);
    assert_eq!(sled.blob_keys(segment::PAGE_PREFIX).unwrap().len(), 5);
}

#[test]
fn a_space_in_many_blocks_has_pages_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let sled = SledCopy::open_at(&folder.path().join("sled")).unwrap();
    let mut model = Model::default();
    let mut index = BlockIndex::new(GENESIS);
    for n in 0..2_000_u16 {
        let rare = u8::try_from(n % 250).unwrap();
        model.add(&mut index, &[0, rare, 1, 0, rare.wrapping_mul(7), 2]);
    }
    keep(&sled, &mut index);
    assert!(index.segments[0].fences.len() > 1);
    let loaded = load(&sled, &model);
    for filter in [EventFilter::all().spaces(["space-0"]), EventFilter::all().spaces(["space-77"])]
    {
        for from in [1, 5_000] {
            let expected = model.candidates(from, &filter);
            assert!(!expected.is_empty());
            assert_eq!(all_candidates(&index, &sled, from, &filter), expected);
            assert_eq!(all_candidates(&loaded, &sled, from, &filter), expected);
        }
    }
}
