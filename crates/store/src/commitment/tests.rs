use super::*;
use crate::wire::is_extension;

fn of(projection: &str, position: u64) -> StateCommitment {
    StateCommitment {
        projection: projection.to_owned(),
        version: 7,
        position: Position::new(position),
        hash: [position.to_le_bytes()[0]; 32],
    }
}

#[test]
fn commitments_survive_among_fields_of_other_types() {
    let commitments = [of("space-state", 300), of("activity", 299)];
    let mut bytes = vec![9, 0, 2, 0, 0, 0, 1, 2];
    bytes.extend(StateCommitment::encode(&commitments));
    bytes.extend([1, 0, 1, 0, 0, 0, 5]);
    assert!(is_extension(&bytes));
    assert_eq!(StateCommitment::decode(&bytes), commitments);
    for len in 0..bytes.len() {
        assert!(StateCommitment::decode(&bytes[..len]).len() <= 2);
    }
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let bytes = StateCommitment::encode(&[of("s", 0x0203)]);
    let expected = [&[1, 0, 45, 0, 0, 0, 7, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0][..], &[3; 32], b"s"];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn a_block_takes_the_newest_of_each_projection_that_it_reaches() {
    let offers = Offers::default();
    for commitment in [of("a", 10), of("b", 15), of("a", 20), of("a", 30)] {
        offers.offer(commitment);
    }
    assert_eq!(offers.take_through(Position::new(9)), []);
    assert_eq!(offers.taken(), Position::START);
    assert_eq!(offers.take_through(Position::new(29)), [of("b", 15), of("a", 20)]);
    assert_eq!(offers.taken(), Position::new(20));
    assert_eq!(offers.take_through(Position::new(29)), []);
    assert_eq!(offers.take_through(Position::new(30)), [of("a", 30)]);
}

#[test]
fn what_is_old_or_past_a_limit_is_not_taken() {
    let offers = Offers::default();
    offers.offer(of("a", 20));
    offers.offer(of("a", 20));
    offers.offer(of("a", 19));
    offers.offer(of("", 21));
    offers.offer(of(&"n".repeat(MAX_NAME_BYTES + 1), 21));
    offers.offer(of("a", 0));
    let longest = of(&"n".repeat(MAX_NAME_BYTES), 21);
    offers.offer(longest.clone());
    assert_eq!(offers.take_through(Position::new(99)), [of("a", 20), longest]);
    offers.offer(of("a", 21));
    assert_eq!(offers.take_through(Position::new(99)), []);
    for position in 100..100 + 2 * MAX_OFFERS as u64 {
        offers.offer(of("a", position));
    }
    assert_eq!(offers.lock().offers.len(), MAX_OFFERS);
}
