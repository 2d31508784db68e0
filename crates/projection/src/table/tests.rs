//! Tables against a map, over checkpoints, merges and loss.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use spacefold_event_core::{MemoryStateStore, StateStore, bytes::ByteReader};
use spacefold_state::StateHash;

use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn place(store: &Arc<MemoryStateStore>) -> Place {
    Place::new(store.clone(), "test", 1)
}

fn checkpoint(rows: &mut Rows) -> Vec<u8> {
    let flushed = rows.flush().unwrap();
    let mut bytes = Vec::new();
    flushed.encode(&mut bytes);
    rows.take_over(flushed);
    bytes
}

fn all(rows: &Rows) -> Model {
    let scan = Scan::new(rows, b"", Limits::Prefix(Vec::new())).unwrap();
    scan.map(Result::unwrap).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u16),
    Remove(u16),
    RejectedPut(u16),
    Checkpoint,
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..300_u16;
    let step = prop_oneof![
        40 => (key.clone(), any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
        15 => key.clone().prop_map(Step::Remove),
        5 => key.prop_map(Step::RejectedPut),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Reload),
    ];
    prop::collection::vec(step, 1..400)
}

/// Values large enough that a few of them do not fit with the checkpoint.
fn value(number: u16) -> Vec<u8> {
    let mut value = vec![b'x'; 700 + usize::from(number % 50)];
    value.extend_from_slice(&number.to_be_bytes());
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_table_is_a_map(steps in steps()) {
        let store = Arc::new(MemoryStateStore::new());
        let mut rows = Rows::empty(place(&store));
        let (mut model, mut kept) = (Model::new(), Model::new());
        let mut bytes = checkpoint(&mut rows);
        for step in steps {
            match step {
                Step::Put(key, number) => {
                    rows.set(&key.to_be_bytes(), Some(&value(number)));
                    model.insert(key.to_be_bytes().to_vec(), value(number));
                }
                Step::Remove(key) => {
                    rows.set(&key.to_be_bytes(), None);
                    model.remove(&key.to_be_bytes()[..]);
                }
                Step::RejectedPut(key) => {
                    rows.set(&key.to_be_bytes(), Some(b"never"));
                    rows.set(b"never", Some(b"never"));
                    rows.reject();
                }
                Step::Checkpoint => {
                    bytes = checkpoint(&mut rows);
                    kept.clone_from(&model);
                }
                Step::Reload => {
                    rows = Rows::decode(place(&store), &mut ByteReader::new(&bytes)).unwrap();
                    model.clone_from(&kept);
                }
            }
            rows.accept();
        }
        for key in 0..300_u16 {
            let key = key.to_be_bytes();
            prop_assert_eq!(rows.get(&key).unwrap(), model.get(&key[..]).cloned());
        }
        prop_assert_eq!(all(&rows), model.clone());
        let from: Model = model.range(100_u16.to_be_bytes().to_vec()..200_u16.to_be_bytes().to_vec())
            .map(|(key, value)| (key.clone(), value.clone())).collect();
        let table = Table::new(&mut rows);
        let range = table.range(100_u16.to_be_bytes(), 200_u16.to_be_bytes()).unwrap();
        prop_assert_eq!(range.map(Result::unwrap).collect::<Model>(), from);
        let of_prefix = table.scan([0]).unwrap().map(Result::unwrap).collect::<Model>();
        prop_assert_eq!(of_prefix, model.iter().filter(|(key, _)| key[0] == 0)
            .map(|(key, value)| (key.clone(), value.clone())).collect::<Model>());
        // However the rows came to stand, they hash alike.
        let mut afresh = Rows::empty(Place::new(store, "afresh", 1));
        model.iter().for_each(|(key, value)| afresh.set(key, Some(value)));
        prop_assert_eq!(rows.hash().unwrap(), afresh.hash().unwrap());
    }
}

#[test]
fn runs_become_one_and_nothing_of_the_old_ones_stays() {
    let store = Arc::new(MemoryStateStore::new());
    let mut rows = Rows::empty(place(&store));
    for round in 0..130_u16 {
        for n in 0..20_u16 {
            rows.set(&(n * 7 + round).to_be_bytes(), Some(&value(round)));
        }
        checkpoint(&mut rows);
    }
    assert!(place(&store).runs().unwrap().len() < 16);
    // Removed rows leave nothing once they are merged with the oldest run.
    for n in 0..400_u16 {
        rows.set(&n.to_be_bytes(), None);
        if n % 5 == 0 {
            rows.set(b"pad", Some(&vec![0; 20_000]));
        }
        checkpoint(&mut rows);
    }
    assert_eq!(all(&rows).len(), 1);
}

#[test]
fn what_a_kill_leaves_of_runs_is_swept() {
    let store = Arc::new(MemoryStateStore::new());
    let mut rows = Rows::empty(place(&store));
    (0..60_u16).for_each(|n| rows.set(&n.to_be_bytes(), Some(&value(n))));
    let bytes = checkpoint(&mut rows);
    let kept = store.keys(b"").unwrap();
    // A run that no checkpoint names, and one that has no footer yet.
    for round in 0..2 {
        (0..60_u16).for_each(|n| rows.set(&n.to_be_bytes(), Some(&value(n + round))));
        drop(rows.flush().unwrap());
        rows = Rows::decode(place(&store), &mut ByteReader::new(&bytes)).unwrap();
        if round == 1 {
            place(&store).remove(Blob::RunFooter(2)).unwrap();
        }
        assert!(store.keys(b"").unwrap().len() > kept.len());
        rows.sweep().unwrap();
        assert_eq!(store.keys(b"").unwrap(), kept);
    }
}

#[test]
fn who_reads_superseded_runs_keeps_their_blobs() {
    let store = Arc::new(MemoryStateStore::new());
    let mut rows = Rows::empty(place(&store));
    let fill = |rows: &mut Rows, n: u16| {
        (0..30).for_each(|k: u16| rows.set(&k.to_be_bytes(), Some(&value(n))));
        drop(checkpoint(rows));
    };
    fill(&mut rows, 1);
    let cursor_of_old = {
        let reader = rows.snapshot();
        (2..40).for_each(|n| fill(&mut rows, n));
        reader
    };
    assert_eq!(all(&cursor_of_old)[&0_u16.to_be_bytes().to_vec()], value(1));
    assert_eq!(all(&rows)[&0_u16.to_be_bytes().to_vec()], value(39));
    drop(cursor_of_old);
    assert!(place(&store).runs().unwrap().len() < 16);
}

#[test]
fn a_page_that_is_lost_or_damaged_is_an_error_and_no_row_that_is_missing() {
    let store = Arc::new(MemoryStateStore::new());
    let mut rows = Rows::empty(place(&store));
    (0..100_u16).for_each(|n| rows.set(&n.to_be_bytes(), Some(&value(n))));
    let bytes = checkpoint(&mut rows);
    let reload = || Rows::decode(place(&store), &mut ByteReader::new(&bytes));
    for key in store.keys(b"projection/test/").unwrap() {
        let blob = store.get(&key).unwrap().unwrap();
        store.remove(&key).unwrap();
        let damaged =
            |found: Result<StateHash, TableError>| matches!(found, Err(TableError::Damaged { .. }));
        assert!(damaged(reload().and_then(|rows| rows.hash())), "{key:?}");
        let mut noise = blob.clone();
        noise[blob.len() / 2] ^= 4;
        store.put(&key, &noise).unwrap();
        assert!(damaged(reload().and_then(|rows| rows.hash())), "{key:?}");
        store.put(&key, &blob).unwrap();
    }
    assert_eq!(reload().unwrap().hash().unwrap(), rows.hash().unwrap());
}

#[test]
fn limits_hold_on_both_sides() {
    let store = Arc::new(MemoryStateStore::new());
    let mut rows = Rows::empty(place(&store));
    let mut table = Table::new(&mut rows);
    table.put(vec![1; MAX_ROW_KEY_BYTES], vec![2; MAX_ROW_VALUE_BYTES]).unwrap();
    let bytes = MAX_ROW_KEY_BYTES + 1;
    let refused = table.put(vec![1; bytes], b"");
    assert!(matches!(refused, Err(TableError::KeyTooLong { bytes: b }) if b == bytes));
    assert!(table.remove(vec![1; bytes]).is_err());
    let bytes = MAX_ROW_VALUE_BYTES + 1;
    let refused = table.put(b"k", vec![2; bytes]);
    assert!(matches!(refused, Err(TableError::ValueTooLong { bytes: b }) if b == bytes));
    assert_eq!(table.get(b"k").unwrap(), None);
    rows.accept();
    let bytes = checkpoint(&mut rows);
    let rows = Rows::decode(place(&store), &mut ByteReader::new(&bytes)).unwrap();
    assert_eq!(all(&rows).len(), 1);
}
