//! The references of one document.

use std::collections::BTreeSet;

use super::parts::Reference;
use crate::shared_map::SharedMap;

/// More references are shared by all states that have them.
const MAX_FEW: usize = 16;

/// Some references, each once. What is changed in a clone is copied, and no more than that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum References {
    /// At most [`MAX_FEW`].
    Few(BTreeSet<Reference>),
    /// More than that, each under its text.
    Many(SharedMap<Reference>),
}

impl References {
    pub(super) const fn new() -> Self {
        Self::Few(BTreeSet::new())
    }

    pub(super) fn contains(&self, target: &str, kind: Option<&str>) -> bool {
        match self {
            Self::Few(few) => {
                few.iter().any(|other| other.target == target && other.kind.as_deref() == kind)
            }
            Self::Many(many) => many.contains_key(&*text_of(target, kind)),
        }
    }

    pub(super) fn insert(&mut self, reference: Reference) {
        match self {
            Self::Few(few) => {
                few.insert(reference);
                if few.len() > MAX_FEW {
                    let mut many = SharedMap::new();
                    for reference in std::mem::take(few) {
                        let text = text_of(&reference.target, reference.kind.as_deref());
                        many.insert(&*text, reference);
                    }
                    *self = Self::Many(many);
                }
            }
            Self::Many(many) => {
                let text = text_of(&reference.target, reference.kind.as_deref());
                if !many.contains_key(&*text) {
                    many.insert_new(&*text, reference);
                }
            }
        }
    }

    /// Hands each of them to `visit`, in no order that means anything.
    pub(super) fn each<'a>(&'a self, mut visit: impl FnMut(&'a Reference)) {
        match self {
            Self::Few(few) => few.iter().for_each(visit),
            Self::Many(many) => many.each(|_, reference| visit(reference)),
        }
    }

    /// All of them, sorted. Cost: a sort.
    pub(crate) fn sorted(&self) -> Vec<&Reference> {
        match self {
            Self::Few(few) => few.iter().collect(),
            Self::Many(many) => {
                let mut all: Vec<_> = many.entries().into_iter().map(|(_, r)| r).collect();
                all.sort_unstable();
                all
            }
        }
    }

    /// Those that are in `before` alone and those that are in `after` alone, sorted. Cost: in
    /// proportion to what the two do not share.
    pub(crate) fn parting<'a>(
        before: Option<&'a Self>,
        after: Option<&'a Self>,
    ) -> (Vec<&'a Reference>, Vec<&'a Reference>) {
        if let (Some(Self::Many(before)), Some(Self::Many(after))) = (before, after) {
            let differences = before.differences(after);
            let mut gone: Vec<_> = differences.iter().filter_map(|d| d.before).collect();
            let mut new: Vec<_> = differences.iter().filter_map(|d| d.after).collect();
            gone.sort_unstable();
            new.sort_unstable();
            return (gone, new);
        }
        let all = |references: Option<&'a Self>| -> BTreeSet<&'a Reference> {
            references.map(Self::sorted).unwrap_or_default().into_iter().collect()
        };
        let (before, after) = (all(before), all(after));
        let without = |a: &BTreeSet<&'a Reference>, b: &BTreeSet<&'a Reference>| {
            a.difference(b).copied().collect()
        };
        (without(&before, &after), without(&after, &before))
    }
}

/// A text that no other reference has.
fn text_of(target: &str, kind: Option<&str>) -> String {
    match kind {
        Some(kind) => format!("{}:{target}{kind}", target.len()),
        None => format!(":{target}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shared_map::tests::places;

    fn reference(n: u32) -> Reference {
        let kind = [None, Some(String::new()), Some("cites".to_owned())];
        Reference { target: format!("/{}", n / 3), kind: kind[n as usize % 3].clone() }
    }

    #[test]
    fn one_more_costs_the_same_however_many_there_are() {
        for count in [5_000, 10_000, 20_000] {
            let mut references = References::new();
            (0..count).for_each(|n| references.insert(reference(n)));
            let places_of = |references: &References| match references {
                References::Many(many) => places(many),
                References::Few(few) => panic!("{} are copied", few.len()),
            };
            let before = references.clone();
            references.insert(reference(count));
            let shared = places_of(&before);
            let copied = places_of(&references).difference(&shared).count();
            assert!(copied <= 24, "{copied} nodes for one more than {count}");
            let (gone, new) = References::parting(Some(&before), Some(&references));
            assert_eq!((gone, new), (vec![], vec![&reference(count)]));
        }
    }

    proptest! {
        #[test]
        fn they_are_what_a_plain_set_is(
            first in proptest::collection::vec(0_u32..60, 0..50),
            then in proptest::collection::vec(0_u32..60, 0..50),
        ) {
            let mut references = References::new();
            let mut model = BTreeSet::new();
            for n in first {
                references.insert(reference(n));
                model.insert(reference(n));
            }
            let before = (references.clone(), model.clone());
            for n in then {
                references.insert(reference(n));
                model.insert(reference(n));
            }
            for n in 0..60 {
                let Reference { target, kind } = reference(n);
                let is_there = references.contains(&target, kind.as_deref());
                prop_assert_eq!(is_there, model.contains(&reference(n)));
            }
            prop_assert_eq!(references.sorted(), model.iter().collect::<Vec<_>>());
            prop_assert_eq!(before.0 == references, before.1 == model);
            let (gone, new) = References::parting(Some(&before.0), Some(&references));
            prop_assert!(gone.is_empty());
            prop_assert_eq!(new, model.difference(&before.1).collect::<Vec<_>>());
            let (gone, new) = References::parting(Some(&references), None);
            prop_assert_eq!((gone, new), (references.sorted(), vec![]));
        }
    }
}
