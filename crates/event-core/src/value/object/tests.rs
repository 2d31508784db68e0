//! Objects of few entries and of many, and what they cost.

use std::{cell::Cell, collections::BTreeMap};

use proptest::prelude::*;

use super::{super::tree::tests::places, *};
use crate::JsonReader;

thread_local! {
    static MOVED: Cell<usize> = const { Cell::new(0) };
}

/// Counts entries that have made room for another.
pub(super) fn moved(entries: usize) {
    MOVED.set(MOVED.get() + entries);
}

/// A key whose like come in no order.
fn key(n: u32) -> String {
    format!("{:08x}", n.wrapping_mul(0x9e37_79b1))
}

#[test]
fn no_way_to_a_large_object_moves_more_than_a_few_entries_for_each() {
    for count in [5_000, 10_000, 20_000] {
        let members = (0..count).map(|n| (key(n), Value::from(n)));
        let mut json =
            String::from(r#"{"event_type": "space.updated", "space_id": "s", "payload": "#);
        json.push_str(r#"{"changes": {"#);
        for (n, (key, value)) in members.clone().enumerate() {
            json.push_str(if n > 0 { "," } else { "" });
            json.push_str(&format!("{key:?}:{value}"));
        }
        json.push_str("}}}");
        MOVED.set(0);
        let read = JsonReader::default().read(json.as_bytes()).unwrap().event.payload.to_object();
        let collected: Object = members.clone().collect();
        let mut inserted = Object::new();
        let mut merged = Object::new();
        for (key, value) in members {
            inserted.insert(key.clone(), value.clone());
            merged.merge(&[(key, value)].into_iter().collect::<Object>());
        }
        let most = usize::try_from(count).unwrap();
        assert!(MOVED.get() <= most, "{} moved for {count}", MOVED.get());
        assert_eq!(read.get("changes"), Some(&Value::Object(collected.clone())));
        assert_eq!((&inserted, &merged), (&collected, &collected));
    }
}

#[test]
fn what_is_merged_into_a_clone_leaves_the_rest_shared() {
    let tree_of = |object: &Object| match &object.entries {
        ObjectEntries::Shared(tree) => tree.clone(),
        ObjectEntries::Listed(entries) => panic!("{} entries are copied", entries.len()),
    };
    let change = |n: u32| [(key(n), Value::from(n))].into_iter().collect::<Object>();
    let mut many: Object = (0..10_000).map(|n| (key(n), Value::Null)).collect();
    many.merge(&change(0));
    let mut long: Object = [("small", Value::from(1))].into_iter().collect();
    long.merge(&[("text", Value::from("x".repeat(1 << 20)))].into_iter().collect::<Object>());
    for object in [many, long] {
        let mut other = object.clone();
        other.merge(&change(7));
        let (before, after) = (places(&tree_of(&object)), places(&tree_of(&other)));
        let copied = after.difference(&before).count();
        assert!(copied <= 8, "{copied} nodes and entries for one change");
    }
}

#[test]
fn of_several_entries_with_one_key_the_last_one_counts() {
    let entries = [("b", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5)];
    let object: Object = entries.into_iter().map(|(key, n)| (key, Value::from(n))).collect();
    assert_eq!(Value::from(object).to_string(), r#"{"a":4,"b":5}"#);
}

proptest! {
    #[test]
    fn it_is_what_a_plain_map_is(
        first in proptest::collection::vec(0_u8..90, 0..60),
        steps in proptest::collection::vec((0_u8..4, 0_u8..90), 0..200),
    ) {
        let key = |n: u8| format!("k{n}");
        let mut model: BTreeMap<String, Value> = BTreeMap::new();
        model.extend(first.iter().map(|n| (key(*n), Value::from(u32::from(*n)))));
        let mut object: Object =
            first.iter().map(|n| (key(*n), Value::from(u32::from(*n)))).collect();
        for (step, (kind, n)) in steps.into_iter().enumerate() {
            let value = Value::from(u32::try_from(step).unwrap());
            match kind {
                0 => prop_assert_eq!(object.remove(&key(n)), model.remove(&key(n))),
                1 => {
                    let long = Value::from(vec![value; 20]);
                    object.merge(&[(key(n), long.clone())].into_iter().collect::<Object>());
                    model.insert(key(n), long);
                }
                2 => {
                    object.merge(&[(key(n), Value::Null)].into_iter().collect::<Object>());
                    model.remove(&key(n));
                }
                _ => {
                    let old = object.insert(key(n), value.clone());
                    prop_assert_eq!(old, model.insert(key(n), value));
                }
            }
            prop_assert_eq!(object.get(&key(n)), model.get(&key(n)));
        }
        let listed: Vec<(&String, &Value)> = object.iter().collect();
        prop_assert_eq!(listed, model.iter().collect::<Vec<_>>());
        prop_assert_eq!(object.len(), model.len());
        let anew: Object = model.into_iter().collect();
        prop_assert_eq!(&object, &anew);
        prop_assert_eq!(anew, object);
    }
}
