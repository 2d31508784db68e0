//! Lines without an id that say the same, told apart by which of them they are.

use std::collections::HashMap;

use spacefold_event_core::{EventId, JsonEvent};

/// How often each thing was said.
#[derive(Debug, Default)]
pub(super) struct Occurrences {
    /// By half of the id of the first event that says it. Two that share it would get other ids,
    /// and the same ones in the next import of the input.
    counts: HashMap<u64, u32>,
}

impl Occurrences {
    /// The id of the next event that says this.
    pub(super) fn id_of(&mut self, read: &JsonEvent) -> EventId {
        let said = read.said();
        let first = EventId::derived(said.as_bytes(), 0);
        let [a, b, c, d, e, f, _, _, _, g, h, ..] = *first.as_bytes();
        let count = self.counts.entry(u64::from_le_bytes([a, b, c, d, e, f, g, h])).or_insert(0);
        let occurrence = *count;
        *count = count.saturating_add(1);
        if occurrence == 0 { first } else { EventId::derived(said.as_bytes(), occurrence.into()) }
    }
}
