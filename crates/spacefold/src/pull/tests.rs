//! Pulling, against what the spaces are where they come from.

use spacefold_event_core::{
    ContentError, ContentHash, ContentReader, ContentStore as _, EventOrigin, Position, Revision,
    SpaceEvent, Timestamp,
};

use super::*;

fn seeded() -> fastrand::Rng {
    let seed = std::env::var("SPACEFOLD_PULL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("SPACEFOLD_PULL_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

const SPACES: [&str; 4] = ["a", "b", "c", "d"];

fn named(space_ids: &[&str]) -> Vec<String> {
    space_ids.iter().map(|&id| id.to_owned()).collect()
}

fn pull(to: &Spacefold, from: &dyn PullSource, spaces: &[&str]) -> Result<PullReport, PullError> {
    to.pull(from, &named(spaces), &mut |_| true)
}

/// Appends something to one of the spaces, with content now and then; all of it fits, since a state notes
/// what does not by its position.
fn change(store: &Spacefold, rng: &mut fastrand::Rng) {
    let space = SPACES[rng.usize(..SPACES.len())];
    let mut events = Vec::new();
    if store.log().revision(space).unwrap() == Revision::NONE {
        events.push(SpaceEvent::space_created(space, "Space"));
    }
    for _ in 0..rng.usize(1..4) {
        if rng.bool() {
            events.push(SpaceEvent::variable_set(space, "n", rng.u64(..)));
            continue;
        }
        let bytes = rng.u64(..50).to_le_bytes();
        store.content().put(&mut &bytes[..]).unwrap();
        let (hash, id) = (ContentHash::of(&bytes).to_string(), rng.u64(..).to_string());
        events.push(SpaceEvent::document_added(space, &*id, format!("/{id}")));
        events.push(SpaceEvent::document_content_changed(space, id, None::<String>, hash));
    }
    for event in &mut events {
        let time = Timestamp::from_micros(i64::from(rng.u32(..))).unwrap();
        *event = event.clone().with_timestamp(time).with_tags(["t"]);
    }
    store.content().sync().unwrap();
    store.append(events).unwrap();
}

fn events_of(store: &Spacefold, space: &str) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    let one = named(&[space]);
    let to = store.durable_head();
    PullSource::events(&**store, &one, to, &mut |event| {
        events.push(event);
        Ok(())
    })
    .unwrap();
    events
}

/// Checks that a space is what it is there, event for event, and that its content is here.
#[track_caller]
fn assert_pulled(here: &Spacefold, there: &Spacefold, space: &str) {
    let (ours, theirs) = (events_of(here, space), events_of(there, space));
    assert_eq!(ours.len(), theirs.len(), "{space}");
    let source = PullSource::store(&**there).unwrap();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let PulledStore { store_id, timeline, .. } = source;
        let from = EventOrigin { store_id, timeline, position: theirs.position };
        assert_eq!(ours.event.origin, Some(theirs.event.origin.unwrap_or(from)));
        let mut ours_alone = ours.event.clone();
        ours_alone.origin = theirs.event.origin;
        assert_eq!(ours_alone, theirs.event);
        assert_eq!(ours.revision, theirs.revision);
        for hash in ours.event.payload.content_hashes() {
            let hash: ContentHash = hash.parse().unwrap();
            assert!(here.content().contains(&hash).unwrap());
        }
    }
    if !theirs.is_empty() {
        // But for positions, and for times of recording that are clamped here.
        let (ours, theirs) = (here.snapshot(space).unwrap(), there.snapshot(space).unwrap());
        let differences = spacefold_state::diff(Some(ours.state()), Some(theirs.state()));
        assert!(differences.is_empty(), "{differences:?}");
    }
}

#[test]
fn whatever_is_pulled_whenever_is_what_it_is_there() {
    let mut rng = seeded();
    for _ in 0..30 {
        let (here, there) = (Spacefold::in_memory().unwrap(), Spacefold::in_memory().unwrap());
        here.append([SpaceEvent::space_created("own", "Own")]).unwrap();
        for _ in 0..20 {
            for _ in 0..rng.usize(..6) {
                change(&there, &mut rng);
            }
            let wanted: Vec<&str> = SPACES.into_iter().filter(|_| rng.bool()).collect();
            let known = wanted.iter().all(|space| !events_of(&there, space).is_empty());
            match pull(&here, &*there, &wanted) {
                Ok(report) => {
                    assert!(known && !wanted.is_empty());
                    assert_eq!((report.spaces.len(), report.lacking), (wanted.len(), 0));
                    for (space, pulled) in wanted.iter().zip(&report.spaces) {
                        assert_pulled(&here, &there, space);
                        let own = here.log().revision(space).unwrap();
                        assert_eq!((&*pulled.space_id, pulled.revision), (*space, own));
                    }
                    assert_eq!(pull(&here, &*there, &wanted).unwrap().events, 0);
                }
                Err(PullError::NoSpaces) => assert!(wanted.is_empty()),
                Err(PullError::UnknownSpace { .. }) => assert!(!known),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(events_of(&here, "own").len(), 1);
    }
}

#[test]
fn what_was_changed_here_is_refused_with_both_revisions_before_anything_is_stored() {
    let (here, there) = (Spacefold::in_memory().unwrap(), Spacefold::in_memory().unwrap());
    for space in ["a", "b"] {
        there.append([SpaceEvent::space_created(space, "A")]).unwrap();
    }
    pull(&here, &*there, &["b"]).unwrap();
    // Longer than there, then as long, then shorter: each is another space by now.
    here.append([SpaceEvent::space_activated("b")]).unwrap();
    for theirs in 1..4 {
        let head = here.durable_head();
        let refused = pull(&here, &*there, &["a", "b"]).unwrap_err();
        let PullError::Changed { space_id, ours, theirs: found, differs } = &refused else {
            panic!("{refused}")
        };
        assert_eq!((&**space_id, ours.get(), found.get()), ("b", 2, theirs));
        assert_eq!(differs.get(), 2);
        assert_eq!(here.durable_head(), head);
        there.append([SpaceEvent::space_archived("b")]).unwrap();
    }
    // A space of the same name that is another one from the start.
    here.append([SpaceEvent::space_created("a", "A")]).unwrap();
    let refused = pull(&here, &*there, &["a"]).unwrap_err();
    assert!(matches!(refused, PullError::Changed { differs, .. } if differs == Revision::new(1)));
    assert!(matches!(pull(&here, &*here, &["a"]), Err(PullError::SameStore)));
    assert!(matches!(pull(&here, &*there, &["none"]), Err(PullError::UnknownSpace { .. })));
}

#[test]
fn spaces_that_go_on_from_store_to_store_say_where_they_began() {
    let stores = [(); 3].map(|()| Spacefold::in_memory().unwrap());
    let mut rng = seeded();
    for _ in 0..20 {
        change(&stores[0], &mut rng);
        let space = SPACES.into_iter().find(|space| !events_of(&stores[0], space).is_empty());
        let space = [space.unwrap()];
        pull(&stores[1], &*stores[0], &space).unwrap();
        pull(&stores[2], &*stores[1], &space).unwrap();
        assert_pulled(&stores[2], &stores[1], space[0]);
        let source = PullSource::store(&*stores[0]).unwrap();
        for event in events_of(&stores[2], space[0]) {
            assert_eq!(event.event.origin.unwrap().store_id, source.store_id);
        }
        // What comes back is there.
        assert_eq!(pull(&stores[0], &*stores[2], &space).unwrap().events, 0);
    }
}

/// A store that cannot be read after some events, or some contents.
struct Failing<'a> {
    store: &'a Spacefold,
    events: usize,
    contents: std::cell::Cell<usize>,
}

impl PullSource for Failing<'_> {
    fn store(&self) -> Result<PulledStore, PullError> {
        PullSource::store(&**self.store)
    }

    fn events(
        &self,
        space_ids: &[String],
        to: Position,
        take: &mut dyn FnMut(RecordedEvent) -> Result<(), PullError>,
    ) -> Result<(), PullError> {
        let mut left = self.events;
        PullSource::events(&**self.store, space_ids, to, &mut |event| {
            left = left.checked_sub(1).ok_or_else(|| PullError::Source("broken off".into()))?;
            take(event)
        })
    }

    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        let left = self.contents.get().checked_sub(1);
        self.contents.set(left.ok_or(ContentError::Closed)?);
        PullSource::open_content(&**self.store, hash)
    }
}

#[test]
fn a_pull_that_broke_off_anywhere_goes_on() {
    let there = Spacefold::in_memory().unwrap();
    let mut rng = seeded();
    for _ in 0..60 {
        change(&there, &mut rng);
    }
    let spaces: Vec<&str> =
        SPACES.into_iter().filter(|space| !events_of(&there, space).is_empty()).collect();
    let here = Spacefold::in_memory().unwrap();
    let mut failed = 0;
    for tried in 0..200 {
        let contents = std::cell::Cell::new(tried / 3);
        let source = Failing { store: &there, events: tried * 2, contents };
        match pull(&here, &source, &spaces) {
            Ok(_) => break,
            Err(PullError::Source(_)) => failed += 1,
            Err(error) => panic!("{error}"),
        }
        let stop = here.pull(&source, &named(&spaces), &mut |_| false);
        assert!(matches!(stop, Err(PullError::Stopped | PullError::Source(_))));
    }
    assert!(failed > 3);
    for space in spaces {
        assert_pulled(&here, &there, space);
    }
}

#[test]
fn content_that_is_lacking_there_is_counted_and_follows_once_it_has_come() {
    let (here, there) = (Spacefold::in_memory().unwrap(), Spacefold::in_memory().unwrap());
    let hash = ContentHash::of(b"later");
    let changed = SpaceEvent::document_content_changed("a", "d", None::<String>, hash.to_string());
    there.append([changed]).unwrap();
    let report = pull(&here, &*there, &["a"]).unwrap();
    assert_eq!((report.events, report.contents, report.lacking), (1, 0, 1));
    there.content().put(&mut &b"later"[..]).unwrap();
    let report = pull(&here, &*there, &["a"]).unwrap();
    assert_eq!((report.events, report.contents, report.lacking), (0, 1, 0));
    assert_eq!(here.read_content(&hash, 100).unwrap(), b"later");
}
