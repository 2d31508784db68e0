//! A HEAD that is older than the journal: what it should say is found in the journal, where that
//! proves that it goes on from what HEAD says.

use spacefold_event_core::Position;

use super::parts::differ;
use crate::{
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::{
        Fence, Head,
        format_version::FormatVersion,
        sessions::{Kinship, Sessions},
    },
    journal::{
        frame::FileHeader,
        scan::{self, FoundFiles, JournalScan},
    },
};

/// The newest files of the journal that may be left of a rewriting that was cut off, at the most.
const MAX_CANDIDATES: usize = 8;

/// What HEAD should say; `found` is what tells that it is older, and is answered when nothing proves
/// that the journal is of this store.
pub(super) fn mend(folder: &StoreFolder, head: &Head, found: OpenError) -> Result<Head, OpenError> {
    let files = FoundFiles::list(folder, &lifted(head, u64::MAX))?;
    let headers = files.used.iter().chain(&files.unfinished).map(|file| &file.header);
    let headers: Vec<FileHeader> = headers.cloned().collect();
    let Ok((ceiling, scan)) = longest(folder, head, &headers) else { return Err(found) };
    let sessions = sessions_of(&headers, &scan, ceiling);
    let is_newer = sessions.newest().is_some_and(|newest| newest.incarnation > head.incarnation);
    if head.sessions.kinship(&sessions) == Kinship::Parted {
        let what = "HEAD knows other sessions: HEAD or the journal is of another copy of the store";
        return Err(differ(folder, StorePart::Journal, what.to_owned()));
    }
    if !is_newer || !goes_on(head, &scan, &headers, &sessions) {
        return Err(found);
    }
    let incarnation = sessions.newest().map_or(head.incarnation, |newest| newest.incarnation);
    let newest_of_all = headers.iter().map(|header| header.incarnation).max();
    let mut head = Head {
        // What was written since may need it.
        format_version: FormatVersion::NEWEST,
        incarnation,
        sessions,
        clean: false,
        fence: Fence { position: Position::new(u64::MAX), incarnation },
        healed: head.healed + 1,
        ..head.clone()
    };
    // What was cut off stays so: its session is known, and nothing under it counts.
    if let Some(cut_off) = headers.iter().find(|header| {
        Some(header.incarnation) == newest_of_all && header.incarnation > incarnation
    }) {
        head.incarnation = cut_off.incarnation;
        head.sessions = cut_off.sessions.clone();
    }
    tracing::warn!(%found, "HEAD is older than the journal: going on from the journal");
    Ok(head)
}

/// The sessions of the journal: those that its newest file names, and those that went on in it.
fn sessions_of(headers: &[FileHeader], scan: &JournalScan, ceiling: u64) -> Sessions {
    let begun = headers.iter().filter(|header| header.incarnation <= ceiling);
    let newest = begun.max_by_key(|header| header.incarnation);
    let mut sessions = newest.map_or_else(Sessions::default, |header| header.sessions.clone());
    let mut known = sessions.newest().map_or(0, |newest| newest.incarnation);
    for session in &scan.sessions {
        if session.incarnation > known {
            sessions.push(*session);
            known = session.incarnation;
        }
    }
    sessions
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
fn longest(
    folder: &StoreFolder,
    head: &Head,
    headers: &[FileHeader],
) -> Result<(u64, JournalScan), OpenError> {
    let mut ceilings: Vec<u64> = headers
        .iter()
        .filter(|header| header.incarnation > head.incarnation)
        .map(|header| header.incarnation - 1)
        .collect();
    ceilings.push(u64::MAX);
    ceilings.sort_unstable();
    ceilings.dedup();
    let read = |ceiling: u64| {
        let scan = scan::scan(folder, &lifted(head, ceiling), head.durable_head, &mut |_| Ok(()))?;
        Ok((ceiling, scan))
    };
    let mut best: Result<(u64, JournalScan), OpenError> = read(u64::MAX);
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
/// nothing of HEAD's last session is missing, since that was closed, or the journal knows it.
fn goes_on(head: &Head, scan: &JournalScan, headers: &[FileHeader], sessions: &Sessions) -> bool {
    let has_witness = head
        .witness
        .is_none_or(|witness| scan.saw_witness || witness.position <= head.sealed_through);
    let knows_session = sessions.has(head.incarnation)
        || headers.iter().any(|header| header.incarnation == head.incarnation);
    has_witness && (head.clean || knows_session)
}
