//! Which pieces are of the course that the log has taken: a folder may hold those of a copy of the store
//! that went on apart, and those of a time that was taken back.

use std::collections::{BTreeMap, BTreeSet};

use spacefold_event_core::Position;

use super::pieces::{Piece, PieceKind, Trust};
use crate::head::{
    Head,
    sessions::{Kinship, Sessions},
};

/// What is known of the course of a log.
#[derive(Debug)]
pub(super) struct LogCourse {
    sessions: Sessions,
    fence: Option<(Position, u64)>,
    /// Of each session, descending, with the lowest first position of what it has written.
    begins: Vec<(u64, Position)>,
    /// Sessions that went on apart, beside those that the list of sessions excludes.
    apart: BTreeSet<u64>,
}

/// What is there of a session.
#[derive(Clone, Copy, Debug)]
struct SessionExtent {
    incarnation: u64,
    first: Position,
    last: Position,
}

impl LogCourse {
    /// Goes by HEAD, where it is known, and by what the journal says of its sessions: where HEAD is lost,
    /// by the file that goes farthest.
    pub(super) fn of(head: Option<&Head>, pieces: &[Piece], store_id: [u8; 16]) -> Self {
        let own = |piece: &&Piece| piece.store_id == store_id;
        let stretches = || {
            pieces.iter().filter(own).filter_map(|piece| match &piece.kind {
                PieceKind::Frames(stretch) => Some((piece, stretch)),
                _ => None,
            })
        };
        let known = head.map(|head| head.sessions.clone()).filter(|sessions| !sessions.is_empty());
        let mut sessions = known.unwrap_or_else(|| {
            let told = stretches().filter(|(_, stretch)| !stretch.sessions.is_empty());
            let farthest = told.max_by_key(|(piece, stretch)| {
                (std::cmp::Reverse(piece.trust), piece.last, stretch.incarnation)
            });
            farthest.map(|(_, stretch)| stretch.sessions.clone()).unwrap_or_default()
        });
        loop {
            let longer = stretches().find(|(_, stretch)| {
                matches!(sessions.kinship(&stretch.sessions), Kinship::SecondGoesOn(_))
            });
            match longer {
                Some((_, stretch)) => sessions = stretch.sessions.clone(),
                None => break,
            }
        }
        let fence = head.map(|head| (head.fence.position, head.fence.incarnation));
        let mut course = Self { sessions, fence, begins: Vec::new(), apart: BTreeSet::new() };
        let extents = extents(pieces, |piece| piece.store_id == store_id && course.has(piece));
        course.apart = course.find_apart(head, &extents);
        // From the newest on: the lowest of its own and of all that are newer.
        let mut lowest = Position::new(u64::MAX);
        for extent in extents.iter().rev() {
            if !course.apart.contains(&extent.incarnation) {
                lowest = lowest.min(extent.first);
                course.begins.push((extent.incarnation, lowest));
            }
        }
        course
    }

    /// The sessions that nothing lists, and that began where another one did. What HEAD does not know of
    /// goes on behind what it knows.
    fn find_apart(&self, head: Option<&Head>, extents: &[SessionExtent]) -> BTreeSet<u64> {
        let unlisted = extents.iter().filter(|it| !self.sessions.has(it.incarnation));
        let is_apart = |it: &&SessionExtent| match head.filter(|head| !head.sessions.is_empty()) {
            Some(head) => it.incarnation > head.incarnation && it.first <= head.durable_head,
            None => extents.iter().any(|other| {
                let is_before = self.sessions.has(other.incarnation) || other.last > it.last;
                other.incarnation != it.incarnation && other.first == it.first && is_before
            }),
        };
        unlisted.filter(is_apart).map(|it| it.incarnation).collect()
    }

    /// Whether a piece is not known to be of another course.
    pub(super) fn has(&self, piece: &Piece) -> bool {
        let PieceKind::Frames(stretch) = &piece.kind else { return true };
        let is_parted = self.sessions.kinship(&stretch.sessions) == Kinship::Parted;
        let newest = self.sessions.newest().map_or(u64::MAX, |newest| newest.incarnation);
        let is_beyond = stretch.incarnation > newest;
        let is_apart = self.sessions.excludes(stretch.incarnation)
            || self.apart.contains(&stretch.incarnation);
        !(is_apart || is_parted && is_beyond)
    }

    /// Whether a later session has begun at or before a piece: it went on from what was before it, so
    /// that it counts only where it follows that without a gap.
    pub(super) fn is_superseded(&self, piece: &Piece) -> bool {
        let PieceKind::Frames(stretch) = &piece.kind else { return false };
        let is_before_fence = |(position, incarnation): (Position, u64)| {
            piece.first >= position && stretch.incarnation < incarnation
        };
        let newer = self.begins.partition_point(|(other, _)| *other > stretch.incarnation);
        let newer = newer.checked_sub(1).and_then(|newer| self.begins.get(newer));
        self.fence.is_some_and(is_before_fence)
            || newer.is_some_and(|(_, first)| *first <= piece.first)
    }

    /// How another list of sessions is related to this one.
    pub(super) fn kinship(&self, sessions: &Sessions) -> Kinship {
        self.sessions.kinship(sessions)
    }
}

/// What there is of each session, ascending.
fn extents(pieces: &[Piece], counts: impl Fn(&Piece) -> bool) -> Vec<SessionExtent> {
    let mut found = BTreeMap::<u64, SessionExtent>::new();
    for piece in pieces.iter().filter(|piece| piece.incarnation() > 0 && counts(piece)) {
        let (incarnation, first, last) = (piece.incarnation(), piece.first, piece.last);
        let extent = found.entry(incarnation).or_insert(SessionExtent { incarnation, first, last });
        (extent.first, extent.last) = (extent.first.min(first), extent.last.max(last));
    }
    found.into_values().collect()
}

/// Lets segments count after the journal where HEAD knows another block at the end of those that it
/// knows: then they are another copy's.
pub(super) fn mistrust_segments(head: Option<&Head>, pieces: &mut [Piece]) {
    let Some(head) = head.filter(|head| head.sealed_through > Position::START) else { return };
    let at_end = pieces.iter().find_map(|piece| match piece.kind {
        PieceKind::Block { hash, .. }
            if piece.trust == Trust::InPlace
                && piece.store_id == head.store_id
                && piece.last == head.sealed_through =>
        {
            Some(hash)
        }
        _ => None,
    });
    if at_end.is_none_or(|hash| hash == head.sealed_hash) {
        return;
    }
    for piece in pieces {
        if matches!(piece.kind, PieceKind::Block { .. }) && piece.trust == Trust::InPlace {
            piece.trust = Trust::Misfit;
        }
    }
}
