use proptest::prelude::*;

use super::*;

/// The window as it is described: the newest ids in a list.
fn find_plainly(pushed: &[EventId], capacity: usize, id: EventId, start: u64) -> Option<u64> {
    let oldest = pushed.len().saturating_sub(capacity);
    let place = pushed.iter().rposition(|pushed| *pushed == id)?;
    (place >= oldest).then(|| start + u64::try_from(place).unwrap() + 1)
}

fn id(number: u64) -> EventId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

fn memory_bytes(window: &RetryWindow) -> usize {
    let stretches = window.risen.capacity() * size_of::<IdStretch>();
    let tables = window.present.memory_bytes() + window.before.memory_bytes();
    window.ids.capacity() * size_of::<EventId>() + tables + stretches
}

/// An id whose like neither rise nor fall.
fn scattered(number: u64) -> EventId {
    id(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn takes_at_most_30_bytes_an_id_when_it_is_full() {
    let mut window = RetryWindow::new(1_000_000, Position::START);
    (0..1_500_000).for_each(|number| window.push(scattered(number)));
    assert!(memory_bytes(&window) <= 30 * 1_000_000, "{}", memory_bytes(&window));
    assert_eq!(window.find(scattered(499_999)), None);
    assert_eq!(window.find(scattered(500_000)), Some(Position::new(500_001)));
    assert_eq!(window.find(scattered(1_499_999)), Some(Position::new(1_500_000)));
}

#[test]
fn takes_16_bytes_an_id_when_they_rise() {
    let mut window = RetryWindow::new(1_000_000, Position::START);
    (1..=1_500_000).for_each(|number| window.push(id(number)));
    assert!(memory_bytes(&window) <= 16_001_000, "{}", memory_bytes(&window));
    assert_eq!(window.find(id(500_000)), None);
    assert_eq!(window.find(id(500_001)), Some(Position::new(500_001)));
    assert_eq!(window.find(id(1_000_000)), Some(Position::new(1_000_000)));
    assert_eq!(window.find(id(1_000_001)), Some(Position::new(1_000_001)));
    assert_eq!(window.find(id(1_500_000)), Some(Position::new(1_500_000)));
    assert_eq!(window.find(id(1_500_001)), None);
}

#[test]
fn takes_little_while_it_holds_few() {
    let mut window = RetryWindow::new(1_000_000, Position::START);
    window.push(id(1));
    assert!(memory_bytes(&window) <= 32 << 10, "{}", memory_bytes(&window));
}

#[test]
fn an_id_that_comes_again_and_again_takes_one_slot_a_lap() {
    let mut window = RetryWindow::new(1_000, Position::START);
    window.extend(&[id(7); 2_500]);
    assert_eq!((window.present.slots_in_use(), window.before.slots_in_use()), (1, 1));
    assert_eq!(window.find(id(7)), Some(Position::new(2_500)));
}

/// An id that halves put together without a secret make one and the same number of.
fn colliding(n: u64) -> EventId {
    let upper = u64::MAX - n;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&upper.to_le_bytes());
    bytes[8..].copy_from_slice(&upper.rotate_left(32).to_le_bytes());
    EventId::from_bytes(bytes)
}

#[test]
fn ids_that_are_chosen_to_collide_are_found_as_others_are() {
    for count in [5_000, 10_000, 20_000] {
        let mut window = RetryWindow::new(1_000_000, Position::START);
        window.push(EventId::from_bytes([255; 16]));
        (1..count).for_each(|n| window.push(colliding(n)));
        let looked_at = |n| window.present.buckets_looked_at(colliding(n), &window.ids);
        let all: usize = (1..count).map(looked_at).sum();
        let most = usize::try_from(count).unwrap() * 5 / 4;
        assert!(all <= most, "{all} buckets for {count} ids");
    }
}

#[test]
fn finds_the_first_of_several_ids() {
    let mut window = RetryWindow::new(3, Position::new(10));
    window.extend(&[id(1), id(2), id(3), id(4)]);
    assert_eq!(window.find_any(&[id(1), id(9)]), None);
    assert_eq!(window.find_any(&[id(1), id(4), id(2)]), Some((1, Position::new(14))));
    assert_eq!(window.find_any(&[]), None);
}

#[test]
fn a_window_over_nothing_finds_nothing() {
    let mut window = RetryWindow::new(0, Position::new(7));
    assert_eq!(window.find(id(1)), None);
    window.push(id(1));
    assert_eq!(window.find(id(1)), None);
    assert_eq!(window.head(), Position::new(8));
}

/// Numbers that rise for stretches of some lengths, from where they were or from further back.
fn stretches() -> impl Strategy<Value = Vec<u64>> {
    let lengths = prop_oneof![1_u64..5, Just(255), Just(256), Just(257), 200_u64..700];
    let stretch = (lengths, 0_u64..3, prop_oneof![Just(0_u64), 0_u64..900]);
    proptest::collection::vec(stretch, 0..14).prop_map(|stretches| {
        let mut greatest = 0_u64;
        let mut numbers = Vec::new();
        for (length, gap, back) in stretches {
            let first = (greatest + gap).saturating_sub(back);
            numbers.extend(first..first + length);
            greatest = greatest.max(first + length);
        }
        numbers
    })
}

proptest! {
    #[test]
    fn finds_among_stretches_that_rise_what_the_plain_model_finds(
        capacity in prop_oneof![1_usize..20, 250_usize..260, 500_usize..1_100, Just(5_000)],
        start in 0_u64..5,
        numbers in stretches(),
        looked_for in proptest::collection::vec(0_u64..8_000, 200),
    ) {
        let mut window = RetryWindow::new(capacity, Position::new(start));
        let mut pushed = Vec::new();
        for number in numbers {
            window.push(id(number));
            pushed.push(id(number));
            if pushed.len() % 97 == 0 {
                for newest in pushed.iter().rev().take(3) {
                    let found = window.find(*newest).map(Position::get);
                    prop_assert_eq!(found, find_plainly(&pushed, capacity, *newest, start));
                }
            }
        }
        for number in looked_for {
            let found = window.find(id(number)).map(Position::get);
            prop_assert_eq!(found, find_plainly(&pushed, capacity, id(number), start));
        }
    }

    #[test]
    fn finds_what_the_plain_model_finds(
        capacity in prop_oneof![0_usize..20, 900_usize..1_100],
        start in 0_u64..5,
        numbers in proptest::collection::vec(0_u64..3_000, 0..4_000),
        duplicates in 1_u64..3_000,
    ) {
        let mut window = RetryWindow::new(capacity, Position::new(start));
        let mut pushed = Vec::new();
        for (count, number) in numbers.iter().enumerate() {
            let id = id(number % duplicates);
            window.push(id);
            pushed.push(id);
            if count % 64 == 0 || count < 50 {
                for looked_for in [id, self::id(number / 2), self::id(3_000)] {
                    let found = window.find(looked_for).map(Position::get);
                    prop_assert_eq!(found, find_plainly(&pushed, capacity, looked_for, start));
                }
            }
        }
        for number in 0..duplicates {
            let found = window.find(id(number)).map(Position::get);
            prop_assert_eq!(found, find_plainly(&pushed, capacity, id(number), start));
        }
    }
}
