//! What the log says of the states that it leads to: recorded while it is folded, kept, and checked.

use std::{fs, num::NonZeroU64, path::Path};

use spacefold::{
    Folding, Options, Position, Spacefold,
    admin::{
        OnDamage, Problem, StateCommitment, StateCommitments, VerifyDepth, VerifyOptions,
        VerifyReport, verify,
    },
    log::{LogReader, ReadRequest, StoreOptions},
    state::SpaceStates,
};

/// Appends of this many events fill a block each.
const BLOCK: u64 = 512;

fn options(store: &Path) -> Options {
    // Small files, so that sealed ones are written early.
    let store_options = StoreOptions::default().journal_file_bytes(128 << 10);
    Options::new(store).folding(Folding::OnDemand).store(store_options)
}

fn fill(spaces: &Spacefold, blocks: u64) {
    for block in 0..blocks {
        let event = |n: u64| {
            let text = format!("{:0128}", block * BLOCK + n);
            spacefold::SpaceEvent::variable_set(format!("space-{}", n % 7), "n", text)
        };
        let events: Vec<_> = (0..BLOCK).map(event).collect();
        spaces.append(events).unwrap();
    }
}

/// Goes on until a block says something of the state at a position: the sealer works when it comes
/// to it.
#[track_caller]
fn fill_until_recorded(spaces: &Spacefold, position: Position) {
    let mut rounds = 0;
    while spaces.log().last_commitment() < position {
        fill(spaces, 20);
        rounds += 1;
        assert!(rounds < 500, "no block says anything of the state at {position}");
    }
}

/// The commitment that is right at a position.
fn commitment(spaces: &Spacefold, position: Position) -> StateCommitment {
    let mut states = SpaceStates::new();
    for page in spaces.log().pages(ReadRequest::from(Position::new(1)).to(position)) {
        page.unwrap().events().for_each(|event| drop(states.apply(&event.unwrap())));
    }
    StateCommitment {
        projection: SpaceStates::NAME.to_owned(),
        version: SpaceStates::VERSION,
        position,
        hash: *states.hash().as_bytes(),
    }
}

fn full(store: &Path) -> VerifyReport {
    verify(store, VerifyOptions::default()).unwrap()
}

#[track_caller]
fn assert_checked(store: &Path, commitments: u64) {
    let report = full(store);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.commitments, commitments);
}

#[test]
fn a_store_that_is_folded_live_says_what_states_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let often = StateCommitments::Every(NonZeroU64::MIN);
    let spaces = options(&store).folding(Folding::Live).commitments(often).open().unwrap();
    fill_until_recorded(&spaces, Position::new(1));
    spaces.close().unwrap();
    let report = full(&store);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.commitments > 0);
    let quick = VerifyOptions { depth: VerifyDepth::Quick, ..VerifyOptions::default() };
    assert_eq!(verify(&store, quick).unwrap().commitments, 0);
    // Never, when it is told so.
    let silent = folder.path().join("silent");
    let spaces = options(&silent).folding(Folding::Live).commitments(StateCommitments::Off);
    let spaces = spaces.open().unwrap();
    fill(&spaces, 40);
    spaces.catch_up().unwrap();
    spaces.close().unwrap();
    assert_checked(&silent, 0);
}

#[test]
fn commitments_of_blocks_in_segments_outlive_sleds_copy() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = options(&store).open().unwrap();
    fill(&spaces, 3);
    // In the middle of a block, and at the end of one.
    for position in [700, 3 * BLOCK] {
        let commitment = commitment(&spaces, Position::new(position));
        spaces.log().offer_commitment(commitment);
        fill_until_recorded(&spaces, Position::new(position));
    }
    fill(&spaces, 100);
    spaces.close().unwrap();
    assert_checked(&store, 2);
    let spaces = options(&store).open().unwrap();
    fill(&spaces, 40);
    spaces.close().unwrap();
    assert_checked(&store, 2);
    fs::remove_dir_all(store.join("sled")).unwrap();
    let spaces = options(&store).open().unwrap();
    assert_eq!(spaces.admin().info().healed, 1);
    spaces.close().unwrap();
    assert_checked(&store, 2);
    // A damaged segment comes back from sled's copy, with what it said.
    let sealed = fs::read_dir(store.join("sealed")).unwrap().map(|entry| entry.unwrap().path());
    let first = sealed.min().unwrap();
    let whole = fs::read(&first).unwrap();
    let mut damaged = whole.clone();
    let name = SpaceStates::NAME.as_bytes();
    let place = damaged.windows(name.len()).position(|bytes| bytes == name).unwrap();
    damaged[place - 1] ^= 1;
    fs::write(&first, damaged).unwrap();
    let report = full(&store);
    assert!(report.problems.iter().any(|problem| problem.kind == "journal"), "{report:?}");
    let heal = VerifyOptions { damage: OnDamage::Heal, ..VerifyOptions::default() };
    assert!(verify(&store, heal).unwrap().is_ok());
    assert_eq!(fs::read(&first).unwrap(), whole);
    assert_checked(&store, 2);
}

#[test]
fn blocks_that_are_lost_with_what_they_said_are_made_anew_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    // Journal files of the size that is the default: no block is in a segment yet.
    let open = || Options::new(&store).folding(Folding::OnDemand).open().unwrap();
    let spaces = open();
    fill(&spaces, 4);
    spaces.log().offer_commitment(commitment(&spaces, Position::new(BLOCK)));
    // Closing makes every block that is full.
    spaces.close().unwrap();
    assert_eq!(fs::read_dir(store.join("sealed")).unwrap().count(), 0);
    assert_checked(&store, 1);
    fs::remove_dir_all(store.join("sled")).unwrap();
    let spaces = open();
    let head = spaces.durable_head();
    fill(&spaces, 20);
    spaces.log().offer_commitment(commitment(&spaces, head));
    fill_until_recorded(&spaces, head);
    spaces.close().unwrap();
    assert_checked(&store, 1);
}

#[test]
fn a_commitment_that_the_events_do_not_lead_to_is_found_with_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = options(&store).open().unwrap();
    fill(&spaces, 4);
    let right = commitment(&spaces, Position::new(BLOCK));
    let mut wrong = commitment(&spaces, Position::new(2 * BLOCK + 5));
    wrong.hash[7] ^= 1;
    // Another fold's, of which nothing is known here.
    let other = StateCommitment { version: SpaceStates::VERSION + 1, ..right.clone() };
    let other = StateCommitment { projection: "other".to_owned(), ..other };
    for commitment in [right, other, wrong.clone()] {
        let position = commitment.position;
        spaces.log().offer_commitment(commitment);
        fill_until_recorded(&spaces, position);
    }
    spaces.close().unwrap();
    for damage in [OnDamage::Report, OnDamage::Heal] {
        let report = verify(&store, VerifyOptions { damage, ..VerifyOptions::default() }).unwrap();
        let [Problem { position, kind, detail, healed, .. }] = &report.problems[..] else {
            panic!("{:?}", report.problems)
        };
        assert_eq!((*position, *kind), (Some(wrong.position), "commitment"));
        assert!(detail.contains("space-state version 1"), "{detail}");
        assert!(!healed && !report.is_ok());
        assert_eq!(report.commitments, 2);
    }
}
