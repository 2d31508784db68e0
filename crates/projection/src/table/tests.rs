//! Tables against a map, over checkpoints and loss.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_disk::MemoryDisk;
use spacefold_runs::{Opened, RunSet, RunSetOptions};

use super::*;
use crate::derived_state::DerivedState;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const RUNS: RunSetOptions = RunSetOptions {
    kind: *b"of tests",
    filter_key: |key| key,
    inline_bytes: 8 << 10,
    join: None,
    is_ascending: false,
};

/// A table and its runs.
struct Kept {
    runs: RunSet,
    rows: TableRows,
}

impl Kept {
    fn open(disk: &MemoryDisk) -> Self {
        let derived = DerivedState::in_folder(disk.root());
        match derived.open_runs(RUNS).unwrap() {
            Some(Opened { set, changes, .. }) => {
                Self { rows: TableRows::new(set.view().clone(), changes), runs: set }
            }
            None => {
                let runs = derived.empty_runs(RUNS).unwrap();
                Self { rows: TableRows::new(runs.view().clone(), []), runs }
            }
        }
    }

    fn checkpoint(&mut self) {
        let written = self.runs.write(self.rows.changes(), b"").unwrap();
        let is_inline = written.is_inline();
        self.runs.adopt(written);
        if !is_inline {
            self.rows.flushed(self.runs.view().clone());
        }
    }
}

fn all(rows: &TableRows) -> Model {
    let scan = Scan::new(rows, b"", ScanLimit::Prefix(Vec::new())).unwrap();
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
        let disk = MemoryDisk::new();
        let mut table = Kept::open(&disk);
        let (mut model, mut kept) = (Model::new(), Model::new());
        for step in steps {
            let rows = &mut table.rows;
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
                    table.checkpoint();
                    kept.clone_from(&model);
                }
                Step::Reload => {
                    table = Kept::open(&disk);
                    model.clone_from(&kept);
                }
            }
            table.rows.accept();
        }
        let mut rows = table.rows;
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
        let mut afresh = Kept::open(&MemoryDisk::new()).rows;
        model.iter().for_each(|(key, value)| afresh.set(key, Some(value)));
        prop_assert_eq!(rows.hash().unwrap(), afresh.hash().unwrap());
    }
}

#[test]
fn limits_hold_on_both_sides() {
    let disk = MemoryDisk::new();
    let mut kept = Kept::open(&disk);
    let mut table = Table::new(&mut kept.rows);
    table.put(vec![1; MAX_ROW_KEY_BYTES], vec![2; MAX_ROW_VALUE_BYTES]).unwrap();
    let bytes = MAX_ROW_KEY_BYTES + 1;
    let refused = table.put(vec![1; bytes], b"");
    assert!(matches!(refused, Err(TableError::KeyTooLong { bytes: b }) if b == bytes));
    assert!(table.remove(vec![1; bytes]).is_err());
    let bytes = MAX_ROW_VALUE_BYTES + 1;
    let refused = table.put(b"k", vec![2; bytes]);
    assert!(matches!(refused, Err(TableError::ValueTooLong { bytes: b }) if b == bytes));
    assert_eq!(table.get(b"k").unwrap(), None);
    kept.rows.accept();
    kept.checkpoint();
    assert_eq!(all(&Kept::open(&disk).rows).len(), 1);
}

#[test]
fn scans_of_keys_of_texts_give_those_of_the_text_in_order_of_their_bytes() {
    let ids = ["", "\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "aa", "b", "\u{e9}"];
    let key = |space: &str, id: &str| RowKey::new(b'k').text(space).text(id);
    let disk = MemoryDisk::new();
    let mut kept = Kept::open(&disk);
    for space in ids.iter().rev() {
        for id in ids.iter().rev() {
            Table::new(&mut kept.rows).put(key(space, id), b"").unwrap();
        }
    }
    kept.rows.accept();
    kept.checkpoint();
    let rows = Kept::open(&disk).rows;
    let read = |limits, from: &RowKey| -> Vec<(String, String)> {
        let of_key = |key: Vec<u8>| {
            let mut parts = RowKeyReader::new(&key);
            (parts.text().unwrap(), parts.text().unwrap())
        };
        Scan::new(&rows, from.as_bytes(), limits)
            .unwrap()
            .map(|row| of_key(row.unwrap().0))
            .collect()
    };
    for space in ids {
        let prefix = RowKey::new(b'k').text(space);
        let of_space = read(ScanLimit::Prefix(prefix.as_bytes().to_vec()), &prefix);
        assert_eq!(of_space, ids.map(|id| (space.to_owned(), id.to_owned())));
    }
    let (from, to) = (RowKey::new(b'k').text("a\0"), RowKey::new(b'k').text("aa"));
    let between = read(ScanLimit::Before(to.as_bytes().to_vec()), &from);
    let spaces = ["a\0", "a\0b", "a\u{1}"];
    let expected =
        spaces.iter().flat_map(|space| ids.map(|id| ((*space).to_owned(), id.to_owned())));
    assert_eq!(between, expected.collect::<Vec<_>>());
}

#[test]
fn a_key_of_three_ids_at_their_limit_fits_however_they_are_escaped() {
    let id = "\0".repeat(spacefold_event_core::MAX_ID_BYTES);
    let key = RowKey::new(b'k').text(&id).text(&id).text(&id).position(Position::new(1));
    assert!(key.as_bytes().len() <= MAX_ROW_KEY_BYTES);
}
