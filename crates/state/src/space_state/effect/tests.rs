//! The bytes of effects, and effects of stretches of the log.

use proptest::prelude::*;

use spacefold_event_core::bytes::to_u64;

use super::*;

fn reasons() -> impl Strategy<Value = AnomalyReason> {
    (1_u8..=6).prop_map(|code| AnomalyReason::from_code(code).unwrap())
}

fn effects() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::Whole),
        reasons().prop_map(Effect::Remarked),
        reasons().prop_map(Effect::Ignored),
        prop::collection::btree_set(any::<u32>(), 1..5)
            .prop_map(|ignored| Effect::Partial { ignored: ignored.into_iter().collect() }),
    ]
}

fn encoded(effect: &Effect) -> Vec<u8> {
    let mut bytes = Vec::new();
    effect.encode(&mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Option<Effect> {
    let mut reader = ByteReader::new(bytes);
    let effect = Effect::decode(&mut reader)?;
    reader.end(effect)
}

#[test]
fn the_codes_are_frozen() {
    let partial = Effect::Partial { ignored: [1, 258].into() };
    let known: [(Effect, &[u8]); 4] = [
        (Effect::Whole, &[0]),
        (Effect::Remarked(AnomalyReason::PathTaken), &[0x16]),
        (Effect::Ignored(AnomalyReason::SpaceDeleted), &[0x23]),
        (partial, &[0x30, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0]),
    ];
    for (effect, bytes) in known {
        assert_eq!(encoded(&effect), bytes);
        assert_eq!(decoded(bytes), Some(effect));
    }
}

#[test]
fn bytes_that_no_effect_has_are_none() {
    let refused: [&[u8]; 10] = [
        &[],
        &[0x01],
        &[0x10],
        &[0x27],
        &[0x34, 1, 0, 0, 0, 1, 0, 0, 0],
        &[0x30, 0, 0, 0, 0],
        &[0x30, 255, 255, 255, 255],
        &[0x30, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0],
        &[0x30, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        &[0x40],
    ];
    for bytes in refused {
        assert_eq!(decoded(bytes), None, "{bytes:x?}");
    }
}

#[test]
fn an_effect_says_which_documents_of_a_list_it_was_on() {
    let takes = |effect: &Effect| [0, 1, 2].map(|place| effect.takes(place));
    assert_eq!(takes(&Effect::Whole), [true; 3]);
    assert_eq!(takes(&Effect::Remarked(AnomalyReason::SpaceNotCreated)), [true; 3]);
    assert_eq!(takes(&Effect::Partial { ignored: [1].into() }), [true, false, true]);
    assert_eq!(takes(&Effect::Ignored(AnomalyReason::UnknownDocument)), [false; 3]);
}

#[test]
fn a_stretch_knows_no_effects_but_its_own() {
    let ignored = Effect::Ignored(AnomalyReason::UnknownDocument);
    let mut effects = Effects::new(Position::new(2), Position::new(4));
    for position in [2, 5] {
        assert_eq!(effects.of(Position::new(position)), None, "{position}");
    }
    effects.push(Position::new(5), ignored.clone());
    assert_eq!(effects.of(Position::new(5)), None);
    effects.extend_to(Position::new(5));
    assert_eq!(effects.of(Position::new(5)), Some(&ignored));
    assert_eq!(effects.between(Position::new(3), Position::new(9)).to(), Position::new(5));
    assert_eq!(effects.between(Position::new(5), Position::new(9)).iter().count(), 0);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(effect in effects()) {
        let bytes = encoded(&effect);
        prop_assert_eq!(decoded(&bytes), Some(effect));
        for end in 0..bytes.len() {
            prop_assert_eq!(decoded(&bytes[..end]), None);
        }
    }

    #[test]
    fn hostile_bytes_decode_to_what_encodes_to_them_or_to_nothing(
        kind in 0_u8..8,
        bytes in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = (kind << 4) | (*first & 7);
        }
        if let Some(effect) = decoded(&bytes) {
            prop_assert_eq!(encoded(&effect), bytes);
        }
    }

    #[test]
    fn effects_of_any_partition_merge_to_the_same(
        all in prop::collection::vec((effects(), 0_usize..3), 0..40),
        cut in 0_usize..40,
    ) {
        let to = Position::new(40);
        let mut whole = Effects::new(Position::START, to);
        let mut parts = [(); 3].map(|()| Effects::new(Position::START, to));
        let mut position = Position::START;
        for (effect, part) in &all {
            position = position.next();
            whole.push(position, effect.clone());
            parts[*part].push(position, effect.clone());
        }
        let [mut first, second, third] = parts;
        first.merge(third);
        first.merge(second);
        prop_assert_eq!(&first, &whole);
        for (at, (effect, _)) in (1..).zip(&all) {
            prop_assert_eq!(whole.of(Position::new(at)), Some(effect));
        }
        let cut = Position::new(cut.try_into().unwrap());
        let mut joined = whole.between(Position::START, cut);
        joined.extend_to(to);
        joined.merge(whole.between(cut, to));
        prop_assert_eq!(joined, whole);
        // In any order: those that come late are put in their place.
        let mut late = Effects::new(Position::START, to);
        for (place, (effect, _)) in all.iter().enumerate().rev() {
            late.push(Position::new(to_u64(place) + 1), effect.clone());
        }
        prop_assert_eq!(late, first);
    }
}
