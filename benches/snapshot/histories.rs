//! Two histories in which every event fits: many spaces of skewed sizes, and one large space.

use fastrand::Rng;
use spacefold_event_core::{
    AppendRequest, EventLog, MAX_APPEND_EVENTS, Object, Presence, SpaceEvent, Value,
};

/// What a history is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// So many spaces, some of which are met far more often.
    Skewed { spaces: usize },
    /// One space that first gets so many documents.
    Large { documents: usize },
}

/// Makes the events of a history, from a seed: the same ones each time.
pub(crate) struct Events {
    history: History,
    random: Rng,
    /// How many documents each space has had so far.
    documents: Vec<usize>,
}

impl Events {
    pub(crate) fn new(history: History, seed: u64) -> Self {
        let spaces = match history {
            History::Skewed { spaces } => spaces,
            History::Large { .. } => 1,
        };
        Self { history, random: Rng::with_seed(seed), documents: vec![0; spaces] }
    }

    pub(crate) fn next(&mut self) -> SpaceEvent {
        let space = match self.history {
            History::Skewed { spaces } => skewed(&mut self.random, spaces),
            History::Large { .. } => 0,
        };
        let id = space_id(space);
        let known = self.documents[space];
        let wanted = match self.history {
            History::Skewed { .. } => usize::from(known == 0 || self.random.u8(0..100) < 12),
            History::Large { documents } => usize::from(known < documents),
        };
        if wanted > 0 {
            self.documents[space] += 1;
            let path = format!("/{}/page-{known}.md", WORDS[known % WORDS.len()]);
            return SpaceEvent::document_added(id, document_id(known), path);
        }
        let random = &mut self.random;
        let document = document_id(random.usize(0..known));
        match random.u8(0..100) {
            0..45 => {
                let old = hash(random);
                SpaceEvent::document_content_changed(id, document, old, hash(random))
            }
            45..60 => {
                let name = format!("variable-{}", random.u8(0..40));
                SpaceEvent::variable_set(id, name, sentence(random))
            }
            60..72 => SpaceEvent::render_completed(id, document, hash(random)),
            72..82 => {
                let title = ("title", Value::from(sentence(random)));
                let changes: Object =
                    [title, ("draft", Value::from(random.bool()))].into_iter().collect();
                SpaceEvent::document_updated(id, document, changes)
            }
            82..88 => {
                let target = document_id(random.usize(0..known));
                SpaceEvent::reference_added(id, document, target, "cites")
            }
            88..92 => {
                let path = format!("/moved/{}/{document}.md", random.u16(..));
                SpaceEvent::document_moved(id, document, Presence::Absent, path)
            }
            92..96 => SpaceEvent::cache_invalidated(id, vec![document], Presence::Absent),
            _ => SpaceEvent::sync_conflict(id, document, hash(random), hash(random)),
        }
    }
}

/// Appends so many events of a history in the largest appends.
pub(crate) fn fill(log: &dyn EventLog, events: &mut Events, count: usize) {
    let mut appended = 0;
    while appended < count {
        let batch = MAX_APPEND_EVENTS.min(count - appended);
        let batch: Vec<SpaceEvent> = (0..batch).map(|_| events.next()).collect();
        log.append(&AppendRequest::new(&batch)).unwrap();
        appended += batch.len();
    }
}

pub(crate) fn space_id(space: usize) -> String {
    format!("space-{space:06}")
}

fn document_id(document: usize) -> String {
    format!("document-{document:06}")
}

/// The first spaces are met most: a tenth of all events are of the first thousandth.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a whole number, rounded down"
)]
fn skewed(random: &mut Rng, spaces: usize) -> usize {
    (random.f64().powi(3) * spaces as f64) as usize
}

fn hash(random: &mut Rng) -> String {
    format!("{:032x}{:032x}", random.u128(..), random.u128(..))
}

fn sentence(random: &mut Rng) -> String {
    let words = (0..6).map(|_| WORDS[random.usize(0..WORDS.len())]);
    words.collect::<Vec<_>>().join(" ")
}

const WORDS: [&str; 16] = [
    "chapter", "draft", "figure", "glossary", "harbour", "index", "letter", "margin", "note",
    "outline", "page", "quote", "river", "section", "table", "volume",
];
