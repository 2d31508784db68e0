//! Events that a handler could not process, set aside.

/// What the key of every parked event of a subscription begins with. The length keeps names apart
/// of which one begins with the other.
pub(crate) fn prefix(name: &str) -> Vec<u8> {
    [b"parked/", &name.len().to_be_bytes()[..], name.as_bytes()].concat()
}
