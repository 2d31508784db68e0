//! A HEAD that is older than the journal: what it should say is found in the journal, where that
//! proves that it goes on from what HEAD says.

use spacefold_event_core::Position;

use super::parts::differ;
use crate::{
    error::{OpenError, StorePart},
    folder::Folder,
    head::{
        Fence, Head,
        sessions::{Session, Sessions},
    },
    journal::scan::{self, FoundFiles, Scan},
    lineage::Lineage,
};

/// The newest files of the journal that may be left of a rewriting that was cut off, at the most.
const MAX_CANDIDATES: usize = 8;

/// What HEAD should say; `found` is what tells that it is older, and is answered when nothing proves
/// that the journal is of this store.
pub(super) fn mend(folder: &Folder, head: &Head, found: OpenError) -> Result<Head, OpenError> {
    let files = FoundFiles::list(folder, &lifted(head, u64::MAX))?;
    let headers = files.used.iter().chain(&files.unfinished).map(|file| file.header);
    let begun: Vec<Session> = headers
        .map(|header| Session {
            incarnation: header.incarnation,
            after: header.first_position.previous(),
        })
        .collect();
    let (ceiling, scan) = longest(folder, head, &begun)?;
    let is_newer = scan.sessions.iter().any(|session| session.incarnation > head.incarnation);
    if !is_newer || !goes_on(head, &scan) {
        return Err(found);
    }
    let copy = Lineage::read(&folder.sled()).filter(|copy| copy.store_id == head.store_id);
    let mut sessions = head.sessions.clone();
    for session in newer_sessions(folder, head, &scan, begun, copy)? {
        sessions.push(session);
    }
    let incarnation = sessions.newest().map_or(head.incarnation, |newest| newest.incarnation);
    tracing::warn!(%found, "HEAD is older than the journal: going on from the journal");
    Ok(Head {
        incarnation,
        sessions,
        clean: false,
        fence: Fence { position: Position::new(u64::MAX), incarnation: incarnation.min(ceiling) },
        healed: head.healed + 1,
        ..head.clone()
    })
}

/// HEAD, without what it says of incarnations: all up to one count.
fn lifted(head: &Head, ceiling: u64) -> Head {
    Head {
        incarnation: u64::MAX,
        sessions: Sessions::default(),
        clean: false,
        fence: Fence { position: Position::new(u64::MAX), incarnation: ceiling },
        ..head.clone()
    }
}

/// The journal as it reads without what may be left of a rewriting that was cut off: the newest
/// frames are written again to a new file, and HEAD has said whether all of them were.
fn longest(folder: &Folder, head: &Head, begun: &[Session]) -> Result<(u64, Scan), OpenError> {
    let mut ceilings: Vec<u64> = begun
        .iter()
        .filter(|session| session.incarnation > head.incarnation)
        .map(|session| session.incarnation - 1)
        .collect();
    ceilings.push(u64::MAX);
    ceilings.sort_unstable();
    ceilings.dedup();
    let read = |ceiling: u64| {
        let scan =
            scan::scan(folder, &lifted(head, ceiling), head.durable_head, &mut |_| Ok(()))?;
        Ok((ceiling, scan))
    };
    let mut best: Result<(u64, Scan), OpenError> = read(u64::MAX);
    for ceiling in ceilings.into_iter().rev().skip(1).take(MAX_CANDIDATES) {
        // What was read from files that were there before is on the disk for certain.
        match (read(ceiling), &best) {
            (Ok(scanned), Ok((_, longest))) if scanned.1.end.head < longest.end.head => {}
            (Ok(scanned), _) => best = Ok(scanned),
            (Err(_), _) => {}
        }
    }
    best
}

/// Whether the journal goes on from what HEAD says: it has the frame that HEAD has noted, and
/// nothing of HEAD's last session is missing, since that was closed, or the journal has frames of it.
fn goes_on(head: &Head, scan: &Scan) -> bool {
    let has_witness = head
        .witness
        .is_none_or(|witness| scan.saw_witness || witness.position <= head.sealed_through);
    let has_session =
        scan.sessions.iter().any(|session| session.incarnation == head.incarnation);
    has_witness && (head.clean || has_session)
}

/// The sessions behind those that HEAD knows: as sled's copy knows them, else as the journal does.
fn newer_sessions(
    folder: &Folder,
    head: &Head,
    scan: &Scan,
    begun: Vec<Session>,
    copy: Option<Lineage>,
) -> Result<Vec<Session>, OpenError> {
    let mut sessions: Vec<Session> = copy.map_or_else(Vec::new, |copy| copy.sessions.iter().collect());
    sessions.retain(|session| session.incarnation > head.incarnation);
    let known = sessions.clone();
    let mut found: Vec<Session> = scan.sessions.iter().copied().chain(begun).collect();
    found.retain(|session| session.incarnation > head.incarnation);
    found.sort_by_key(|session| (session.incarnation, session.after));
    found.dedup_by_key(|session| session.incarnation);
    for session in found {
        let is_known = known.iter().any(|known| known.incarnation == session.incarnation);
        if known.last().is_some_and(|last| last.incarnation >= session.incarnation) && !is_known {
            let what = format!(
                "it knows no session {} that the journal has, and HEAD is older than both",
                session.incarnation
            );
            return Err(differ(folder, StorePart::Sled, what));
        }
        if !is_known {
            let before = sessions.last().map_or(Position::START, |last| last.after);
            sessions.push(Session { after: session.after.max(before), ..session });
        }
    }
    Ok(sessions)
}
