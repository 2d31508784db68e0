use spacefold_event_core::SpaceEvent;

use super::*;
use crate::journal::frame::tests::{assign, encode_body};

/// The byte that stands for `variable.set`.
const SET: u8 = 11;
const A_LATER_VERSION: u8 = 2 << 5;

/// Which program has recorded a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    This,
    ANewer,
}

/// A run of so many events behind a position.
fn run(after: &mut u64, count: usize, by: By) -> RecordRun {
    let events: Vec<SpaceEvent> =
        (0..count).map(|number| SpaceEvent::variable_set("handbook", "n", number as u64)).collect();
    let mut body = encode_body(&events);
    if by == By::ANewer {
        // The column of types, between the lengths of it and of the next, which has zeros alone.
        let len = u8::try_from(count).unwrap();
        let column = [vec![len], vec![SET; count], vec![len], vec![0; count]].concat();
        let mut bytes = body.bytes().to_vec();
        let types = bytes.windows(column.len()).position(|bytes| bytes == column);
        bytes[types.unwrap() + 1..][..count].fill(SET | A_LATER_VERSION);
        body = EncodedBody::from_bytes(bytes, count).unwrap();
    }
    let assignments = assign(*after + 1, vec![Timestamp::MIN], 1);
    *after += count as u64;
    let records = Records::decode(body.bytes(), count, assignments).unwrap();
    assert_eq!(records.are_current(), by == By::This);
    RecordRun { records, body: Arc::new(body) }
}

fn runs(counts: &[(usize, By)]) -> Vec<RecordRun> {
    let mut after = 0;
    counts.iter().map(|(count, by)| run(&mut after, *count, *by)).collect()
}

/// First and last position of every block that is made, and whether it is as it was recorded.
fn blocks(runs: &[RecordRun]) -> Vec<(u64, u64, By)> {
    let mut blocks = Vec::new();
    let mut from = Position::new(1);
    while let Some(plan) = BlockPlan::next(runs, from) {
        let (body, records) = plan.encode(Schemas::today()).unwrap();
        let again =
            Records::decode(body.bytes(), body.count(), records.assignments().clone()).unwrap();
        assert_eq!(records.first_position(), from);
        assert_eq!(again.event_ids(), records.event_ids());
        let by = if records.are_current() { By::This } else { By::ANewer };
        from = records.last_position().next();
        blocks.push((records.first_position().get(), records.last_position().get(), by));
    }
    blocks
}

impl std::fmt::Debug for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::This { "this" } else { "newer" })
    }
}

#[test]
fn runs_of_other_versions_are_blocks_as_they_were_recorded() {
    let runs = runs(&[
        (100, By::This),
        (50, By::This),
        (60, By::ANewer),
        (1, By::ANewer),
        (200, By::This),
        (200, By::This),
        (200, By::This),
    ]);
    let expected =
        [(1, 150, By::This), (151, 210, By::ANewer), (211, 211, By::ANewer), (212, 611, By::This)];
    assert_eq!(blocks(&runs), expected);
}

#[test]
fn a_run_of_another_version_goes_on_where_the_block_before_ended() {
    let runs = runs(&[(200, By::ANewer), (200, By::This), (300, By::This)]);
    let plan = BlockPlan::next(&runs, Position::new(150)).unwrap();
    let (body, records) = plan.encode(Schemas::today()).unwrap();
    assert_eq!(records.first_position(), Position::new(150));
    assert_eq!(records.last_position(), Position::new(200));
    assert!(!records.are_current());
    let whole = &runs[0].records;
    assert_eq!(records.event_ids(), &whole.event_ids()[149..]);
    assert_eq!(records.envelope(0).unwrap().revision, whole.envelope(149).unwrap().revision);
    assert_eq!(body.count(), 51);
}

#[test]
fn versions_do_not_make_a_block_full_sooner() {
    for by in [By::This, By::ANewer] {
        let mut counts = vec![(200, by), (200, by)];
        assert!(blocks(&runs(&counts)).is_empty(), "{by:?}");
        counts.push((200, by));
        assert!(!blocks(&runs(&counts)).is_empty(), "{by:?}");
    }
}

#[test]
fn a_run_is_cut_anywhere_and_one_of_another_version_stays_as_it_was_recorded() {
    for by in [By::This, By::ANewer] {
        let whole = run(&mut 6, 40, by);
        for count in [1, 2, 17, 39, 40] {
            let (body, records) = begin_of(&whole, count, Schemas::today()).unwrap();
            assert_eq!((body.count(), records.len()), (count, count));
            assert_eq!(records.are_current(), by == By::This);
            assert_eq!(records.first_position(), Position::new(7));
            assert_eq!(records.event_ids(), &whole.records.event_ids()[..count]);
            let again = Records::decode(body.bytes(), count, records.assignments().clone());
            let (last, expected) = (again.unwrap(), whole.records.envelope(count - 1).unwrap());
            let last = last.envelope(count - 1).unwrap();
            assert_eq!(last.position, expected.position);
            assert_eq!(last.revision, expected.revision);
            assert_eq!(last.recorded_at, expected.recorded_at);
        }
        for count in [0, 41] {
            assert!(begin_of(&whole, count, Schemas::today()).is_err(), "{by:?} {count}");
        }
    }
}
