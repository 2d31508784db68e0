//! Ids of requests whose clients give none.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

/// Makes ids: each once, in whichever process.
pub(crate) struct RequestIds {
    process: [u8; 8],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut process = [0; 8];
        // Without random numbers they are still told apart in one process.
        let _ = getrandom::fill(&mut process);
        Self { process, next: AtomicU64::new(1) }
    }

    pub(crate) fn next(&self) -> String {
        let mut id = String::with_capacity(32);
        for byte in self.process {
            let _ = write!(id, "{byte:02x}");
        }
        let _ = write!(id, "-{}", self.next.fetch_add(1, Ordering::Relaxed));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once() {
        let ids = RequestIds::new();
        assert_ne!(ids.next(), ids.next());
        assert_ne!(RequestIds::new().next(), RequestIds::new().next());
    }
}
