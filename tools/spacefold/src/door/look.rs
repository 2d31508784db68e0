//! A store in a folder at a glance.

use std::collections::BTreeMap;

use spacefold::{
    EventType, Position, SpacesReader, StorageError,
    admin::{AheadOfClock, StoreBytes, StoreInfo},
    log::{ReadRequest, StoreOwner},
    projection::ProjectionInfo,
    subscribe::DurableSubscription,
};

use super::{
    printed_info::{
        PrintedAhead, PrintedFork, PrintedInfo, PrintedParts, PrintedPause, PrintedProjection,
        PrintedSubscription,
    },
    read_store::ReadStore,
};
use crate::{error::Failure, interrupt, progress};

/// What is asked of a store that is open otherwise than of one that is followed.
struct StoreGlance {
    info: StoreInfo,
    ahead: Option<AheadOfClock>,
    projections: Vec<ProjectionInfo>,
    subscriptions: Vec<DurableSubscription>,
    /// Of a store that is followed: who has it.
    owner: Option<Option<StoreOwner>>,
    refusal: Option<StorageError>,
    files: StoreBytes,
    accepts_appends: Option<bool>,
}

impl StoreGlance {
    fn at(store: &ReadStore) -> Result<Self, Failure> {
        match store {
            ReadStore::Open(store) => {
                // Sled's copy stays shut: it has nothing that is told here.
                let refusal = store.log().known_refusal();
                let is_readable = refusal.is_none();
                Ok(Self {
                    info: store.admin().known_info(),
                    ahead: store.log().ahead_of_clock()?,
                    projections: if is_readable {
                        store.projections().infos()?
                    } else {
                        Vec::new()
                    },
                    subscriptions: store.feed().durable_subscriptions()?,
                    owner: None,
                    refusal,
                    files: store.log().file_bytes(),
                    accepts_appends: Some(store.health().log.accepts_appends),
                })
            }
            ReadStore::Followed(store, why) => Ok(Self {
                info: store.info(),
                ahead: AheadOfClock::of(store.log())?,
                // What the process that has the store has folded is its own.
                projections: Vec::new(),
                subscriptions: store.durable_subscriptions()?,
                owner: Some(store.log().owner()?),
                refusal: why.clone(),
                files: store.log().file_bytes(),
                accepts_appends: None,
            }),
        }
    }
}

/// What is printed of a store.
pub(crate) fn info_of(store: &ReadStore) -> Result<PrintedInfo, Failure> {
    let events_by_type = count_types(store)?;
    let StoreGlance {
        info,
        ahead,
        projections,
        subscriptions,
        owner,
        refusal,
        files,
        accepts_appends,
    } = StoreGlance::at(store)?;
    let projections = projections.into_iter().map(|projection| PrintedProjection {
        name: projection.name.to_owned(),
        version: projection.version,
        position: projection.position.get(),
        lag: projection.lag,
        paused: projection.paused.map(PrintedPause::of),
    });
    let subscriptions = subscriptions.into_iter().map(|subscription| PrintedSubscription {
        name: subscription.name,
        position: subscription.position.map(Position::get),
        lag: subscription.lag,
        parked: subscription.parked,
    });
    Ok(PrintedInfo {
        door: store.door().to_owned(),
        owned: owner.map(|owner| owner.is_some()),
        owner: owner.map(|owner| owner.and_then(|owner| owner.pid)),
        format_version: info.format_version,
        head: info.head.get(),
        durable_head: info.durable_head.get(),
        spaces: store.spaces()?.len(),
        events_by_type,
        bytes: PrintedParts {
            journal: info.journal_bytes,
            sealed: info.sealed_bytes,
            sled: info.sled_bytes,
            content: files.content,
            derived: files.derived,
            reserve: files.reserve,
            set_aside: files.set_aside,
        },
        accepts_appends,
        seal_lag: info.durable_head.since(info.sealed_through),
        projections: projections.collect(),
        subscriptions: subscriptions.collect(),
        healed: info.healed,
        ahead_of_clock: ahead.as_ref().map(PrintedAhead::of),
        read_only: refusal.map(|why| why.to_string()),
        log_id: info.identity.log_id.to_string(),
        timeline: info.identity.timeline.to_string(),
        fork: info.identity.fork.map(|fork| PrintedFork {
            parent: fork.parent.to_string(),
            position: fork.position.get(),
        }),
        store_id: info.store_id,
    })
}

/// How many events there are of each type that occurs.
fn count_types(store: &SpacesReader) -> Result<BTreeMap<String, u64>, Failure> {
    let head = store.durable_head();
    let progress = progress::events("counting", head.get());
    let mut counts = [0_u64; EventType::CORE.len()];
    let mut own = BTreeMap::<String, u64>::new();
    for page in store.log().pages(ReadRequest::from(Position::START.next()).to(head)) {
        interrupt::check()?;
        let page = page?;
        for envelope in page.envelopes() {
            // Codes are consecutive from 1.
            let place = usize::from(envelope.event_type.code()).wrapping_sub(1);
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            } else if let Some(count) = own.get_mut(envelope.type_name()) {
                *count += 1;
            } else {
                own.insert(envelope.type_name().to_owned(), 1);
            }
        }
        progress.set_position(page.next().previous().get());
    }
    progress.finish_and_clear();
    let counted = EventType::CORE.into_iter().filter_map(|event_type| {
        let place = usize::from(event_type.code()).wrapping_sub(1);
        let count = counts.get(place).copied().filter(|count| *count > 0)?;
        Some((event_type.name().to_owned(), count))
    });
    Ok(counted.chain(own).collect())
}
