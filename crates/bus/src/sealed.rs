//! Values as they are kept in the store of a feed: bincode's native encoding, then the BLAKE3 hash of
//! that.

use bincode::{Decode, Encode, config};
use spacefold_event_core::bytes;

/// What a value may claim when it is decoded: twice the largest result that is kept with a position.
const MAX_BYTES: usize = 2 << 20;

/// A value as bytes that say when they are damaged.
pub(crate) fn seal(value: &impl Encode) -> Vec<u8> {
    let bytes = bincode::encode_to_vec(value, config::standard())
        .expect("our own values encode into memory without an error");
    bytes::seal(bytes)
}

/// The value of sealed bytes; `None` when they are damaged.
pub(crate) fn unseal<T: Decode<()>>(bytes: &[u8]) -> Option<T> {
    let body = bytes::unseal(bytes)?;
    let limited = config::standard().with_limit::<MAX_BYTES>();
    let (value, used) = bincode::decode_from_slice(body, limited).ok()?;
    (used == body.len()).then_some(value)
}
