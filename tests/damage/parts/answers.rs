//! Everything that an open store answers with, and whether the answers fit one another.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use spacefold::{
    Delivery, Folding, OpenError, Options, Position, Snapshot, Spacefold, SubscribeError,
    Subscription,
    admin::{RebuildMode, RebuildOptions, Verdict},
    content::{ContentError, ContentHash, ContentOptions, ContentStore as _, visit_named_content},
    log::{LogReader as _, ReadRequest, StoreOptions},
    state::SpaceStates,
};

/// The name of the durable subscription.
const PLACE: &str = "place";

/// Opens a store with files as small as they can be.
///
/// # Errors
/// [`OpenError`].
pub fn open(path: &Path) -> Result<Spacefold, OpenError> {
    Options::new(path)
        .existing_only()
        .folding(Folding::OnDemand)
        .store(StoreOptions::default().journal_file_bytes(0).reserve_bytes(4_096).begin_with_copy())
        .content(ContentOptions::default().pack_bytes(0))
        .open()
}

/// What a store answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Every event in order: the interchange form with position, revision and recording time.
    pub events: Vec<String>,
    /// The contents that the events name, and whether each is here.
    pub contents: BTreeMap<String, bool>,
    /// Where the durable subscription is; `None` when it is refused.
    pub place: Option<u64>,
    /// Answers that do not fit the events.
    pub faults: Vec<String>,
}

/// The states of the spaces by their hashes.
type States = BTreeMap<String, String>;

impl Answers {
    /// Asks for everything.
    ///
    /// # Errors
    /// What the store answered instead.
    pub fn of(spaces: &Spacefold) -> Result<Self, String> {
        let mut answers = Self::default();
        let folds = answers.read_events(spaces)?;
        let head = answers.events.len() as u64;
        for (position, folded) in folds {
            let found: Result<Vec<Snapshot>, _> = if position == head {
                spaces.snapshot_all()
            } else {
                let at = Position::new(position);
                folded.keys().map(|space| spaces.at(at).snapshot(space)).collect()
            };
            let found = states(&found.map_err(|error| error.to_string())?);
            if found != folded {
                answers.faults.push(format!("states at {position} that no events lead to"));
            }
        }
        answers.check_projections(spaces)?;
        answers.read_place(spaces)?;
        answers.read_contents(spaces)?;
        Ok(answers)
    }

    /// Reads the events, and answers what they fold to at some positions.
    fn read_events(&mut self, spaces: &Spacefold) -> Result<BTreeMap<u64, States>, String> {
        let head = spaces.durable_head();
        let wanted = [head.get() / 3, head.get() * 2 / 3, head.get()];
        let mut folds = BTreeMap::new();
        let mut fold = SpaceStates::new();
        for page in spaces.log().pages(ReadRequest::from(Position::new(1)).to(head)) {
            let page = page.map_err(|error| error.to_string())?;
            for event in page.events() {
                let event = event.map_err(|error| error.to_string())?;
                fold.apply(&event);
                self.events.push(event.to_owned_event().to_json());
                let position = self.events.len() as u64;
                if wanted.contains(&position) {
                    let states = fold.sorted().into_iter();
                    let hashes = states
                        .map(|state| (state.space_id().to_owned(), state.state_hash().to_string()));
                    folds.insert(position, hashes.collect());
                }
            }
        }
        Ok(folds)
    }

    fn check_projections(&mut self, spaces: &Spacefold) -> Result<(), String> {
        spaces.projections().activity().map_err(|error| error.to_string())?;
        spaces.projections().content_index().map_err(|error| error.to_string())?;
        let outcomes = spaces
            .admin()
            .rebuild(&[], &RebuildOptions::new(RebuildMode::Check))
            .map_err(|error| error.to_string())?;
        let diverged = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Diverged);
        self.faults.extend(diverged.map(|outcome| format!("{} has diverged", outcome.name)));
        Ok(())
    }

    /// The place that was kept, with a digest of the events up to it.
    fn read_place(&mut self, spaces: &Spacefold) -> Result<(), String> {
        match spaces.subscribe_durable(PLACE, &Subscription::from_start()) {
            Ok(subscriber) => {
                let place = subscriber.acknowledged().get();
                let fits = place <= self.events.len() as u64
                    && (place == 0 || subscriber.result() == digest(&self.events, place));
                if !fits {
                    self.faults.push(format!("a place at {place} that is of other events"));
                }
                self.place = Some(place);
                Ok(())
            }
            Err(SubscribeError::Unfit { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read_contents(&mut self, spaces: &Spacefold) -> Result<(), String> {
        for hash in named(spaces)? {
            let is_here = match spaces.content().get(&hash, u64::MAX) {
                Ok(bytes) if ContentHash::of(&bytes) == hash => true,
                Ok(_) => {
                    self.faults.push(format!("other bytes for the content {hash}"));
                    true
                }
                Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => false,
                Err(error) => return Err(error.to_string()),
            };
            self.contents.insert(hash.to_string(), is_here);
        }
        Ok(())
    }
}

/// The contents that the events name.
fn named(spaces: &Spacefold) -> Result<Vec<ContentHash>, String> {
    let mut named = Vec::new();
    visit_named_content(spaces.log(), &mut |_, hash| named.push(hash))
        .map_err(|error| error.to_string())?;
    Ok(named)
}

fn states(snapshots: &[Snapshot]) -> States {
    let hash = |snapshot: &Snapshot| snapshot.state().state_hash().to_string();
    snapshots.iter().map(|snapshot| (snapshot.space_id().to_owned(), hash(snapshot))).collect()
}

/// Moves the durable subscription to the head, and keeps a digest of the events with its place.
pub(super) fn move_place(spaces: &Spacefold) {
    let mut subscriber =
        spaces.subscribe_durable(PLACE, &Subscription::from_start()).expect("the place is free");
    while !matches!(subscriber.recv().unwrap(), Delivery::CaughtUp { .. }) {}
    let mut answers = Answers::default();
    answers.read_events(spaces).unwrap();
    let position = subscriber.position();
    subscriber.ack_with(position, digest(&answers.events, position.get())).unwrap();
    subscriber.sync().unwrap();
}

fn digest(events: &[String], count: u64) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    events.iter().take(count as usize).for_each(|event| {
        hasher.update(event.as_bytes());
    });
    hasher.finalize().as_bytes().to_vec()
}
