//! Memory that a thread reads blocks into again and again: what is made anew for each is filled with
//! zeros, faulted in page by page, and in no cache of the processor.

use std::cell::RefCell;

/// A buffer that is longer than this is not kept: few blocks are.
const KEPT_BYTES: usize = 256 << 10;
/// How many buffers a thread keeps: a block as it is stored, and as it is unpacked.
const KEPT_BUFFERS: usize = 2;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Hands `len` bytes to `work`. What is in them is left from before.
pub(crate) fn with_bytes<T>(len: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    let free = FREE.try_with(|free| free.borrow_mut().pop());
    let mut buffer = free.ok().flatten().unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    let done = work(buffer.get_mut(..len).unwrap_or_default());
    if buffer.len() <= KEPT_BYTES {
        // A thread that is ending keeps none.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT_BUFFERS {
                free.push(buffer);
            }
        });
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_never_twice_at_a_time() {
        let first = with_bytes(10, |outer| {
            outer.fill(1);
            with_bytes(20, |inner| {
                inner.fill(2);
                assert_eq!((outer.len(), inner.len()), (10, 20));
            });
            assert!(outer.iter().all(|byte| *byte == 1));
            outer.as_ptr().addr()
        });
        let again = with_bytes(5, |bytes| {
            assert_eq!(bytes.len(), 5);
            bytes.as_ptr().addr()
        });
        assert_eq!(first, again);
        with_bytes(KEPT_BYTES + 1, |bytes| assert_eq!(bytes.len(), KEPT_BYTES + 1));
        let kept = FREE.with_borrow(|free| free.iter().map(Vec::len).max());
        assert!(kept <= Some(KEPT_BYTES), "{kept:?}");
    }
}
