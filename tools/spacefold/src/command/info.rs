//! `spacefold info`

use std::collections::BTreeMap;

use serde::Serialize;
use spacefold::{
    EventType, Position, SpacesReader, StorageError,
    admin::{AheadOfClock, StoreBytes, StoreInfo},
    log::{ReadRequest, StoreOwner},
    projection::{Paused, ProjectionInfo},
    subscribe::DurableSubscription,
};

use crate::{
    door::ReadStore,
    error::Failure,
    interrupt,
    output::{CellTable, bytes, grouped, number, text},
    progress,
    session::CliSession,
};

#[derive(Serialize)]
struct PrintedInfo {
    store_id: String,
    /// How the store was reached: "open", or "follow" where another process has it or nothing can be
    /// written.
    door: &'static str,
    /// Of a store that is followed: the process that has it; `null` where it is not known, or there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Option<u32>>,
    /// Of a store that is followed: whether another process has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owned: Option<bool>,
    format_version: u32,
    head: u64,
    durable_head: u64,
    spaces: usize,
    events_by_type: BTreeMap<String, u64>,
    bytes: Bytes,
    /// Whether appends would be taken; `null` of a store that is followed.
    accepts_appends: Option<bool>,
    /// Durable events that are in no segment yet.
    seal_lag: u64,
    projections: Vec<PrintedProjection>,
    subscriptions: Vec<PrintedSubscription>,
    healed: u64,
    /// `null` where no event was recorded ahead of the clock.
    ahead_of_clock: Option<PrintedAhead>,
    /// Only where nothing can be written: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<String>,
    log_id: String,
    timeline: String,
    /// `null` where the store was created.
    fork: Option<PrintedFork>,
}

/// Where the timeline parted from another.
#[derive(Serialize)]
struct PrintedFork {
    parent: String,
    position: u64,
}

/// The newest events were recorded ahead of the system's clock.
#[derive(Serialize)]
struct PrintedAhead {
    /// The position of the first of them.
    since: u64,
    /// When the newest was recorded.
    newest: String,
    seconds: u64,
}

#[derive(Serialize)]
struct Bytes {
    journal: u64,
    sealed: u64,
    sled: u64,
    content: u64,
    derived: u64,
    reserve: u64,
    set_aside: u64,
}

#[derive(Serialize)]
struct PrintedProjection {
    name: &'static str,
    version: u32,
    position: u64,
    lag: u64,
    /// Only where it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
}

/// A durable subscription, or a durable bus.
#[derive(Serialize)]
struct PrintedSubscription {
    name: String,
    /// `null` when what is kept does not decode.
    position: Option<u64>,
    lag: u64,
    parked: usize,
}

/// What is asked of a store that is open otherwise than of one that is followed.
struct Looked {
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

impl Looked {
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

pub(crate) fn run(session: &mut CliSession) -> Result<(), Failure> {
    let store = session.read_log()?;
    let events_by_type = count_types(&store)?;
    let Looked { info, ahead, projections, subscriptions, owner, refusal, files, accepts_appends } =
        Looked::at(&store)?;
    let projections = projections.into_iter().map(|projection| PrintedProjection {
        name: projection.name,
        version: projection.version,
        position: projection.position.get(),
        lag: projection.lag,
        paused: projection.paused,
    });
    let subscriptions = subscriptions.into_iter().map(|subscription| PrintedSubscription {
        name: subscription.name,
        position: subscription.position.map(Position::get),
        lag: subscription.lag,
        parked: subscription.parked,
    });
    let printed = PrintedInfo {
        door: store.door(),
        owned: owner.map(|owner| owner.is_some()),
        owner: owner.map(|owner| owner.and_then(|owner| owner.pid)),
        format_version: info.format_version,
        head: info.head.get(),
        durable_head: info.durable_head.get(),
        spaces: store.spaces()?.len(),
        events_by_type,
        bytes: Bytes {
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
        ahead_of_clock: ahead.as_ref().map(|ahead| PrintedAhead {
            since: ahead.since.get(),
            newest: ahead.newest.to_string(),
            seconds: ahead.by().as_secs(),
        }),
        read_only: refusal.map(|why| why.to_string()),
        log_id: info.identity.log_id.to_string(),
        timeline: info.identity.timeline.to_string(),
        fork: info.identity.fork.map(|fork| PrintedFork {
            parent: fork.parent.to_string(),
            position: fork.position.get(),
        }),
        store_id: info.store_id,
    };
    if session.json {
        session.output.json(&printed)?;
    } else {
        print(&printed, ahead.as_ref(), session)?;
    }
    session.output.flush()?;
    Ok(store.close()?)
}

impl PrintedInfo {
    fn door(&self) -> String {
        let door = self.door;
        match (self.owned, self.owner.flatten()) {
            (Some(_), Some(pid)) => format!("{door}: process {pid} has the store"),
            (Some(true), None) => format!("{door}: another process has the store"),
            (Some(false), None) => format!("{door}: nobody has the store, it is only read"),
            (None, _) => door.to_owned(),
        }
    }
}

fn print(
    printed: &PrintedInfo,
    ahead: Option<&AheadOfClock>,
    session: &mut CliSession,
) -> Result<(), Failure> {
    let mut table = CellTable::new();
    let mut say = |what: &str, value: String| table.row([text(what), text(value)]);
    say("store", printed.store_id.clone());
    if printed.log_id != printed.store_id {
        say("log", printed.log_id.clone());
    }
    say("timeline", printed.timeline.clone());
    if let Some(PrintedFork { parent, position }) = &printed.fork {
        say("parted", format!("from {parent}, after position {}", grouped(*position)));
    }
    say("door", printed.door());
    say("format", printed.format_version.to_string());
    say("head", grouped(printed.head));
    say("durable head", grouped(printed.durable_head));
    say("spaces", printed.spaces.to_string());
    say("journal", bytes(printed.bytes.journal));
    say("sealed", bytes(printed.bytes.sealed));
    say("sled", bytes(printed.bytes.sled));
    say("content", bytes(printed.bytes.content));
    say("derived", bytes(printed.bytes.derived));
    say("reserve", bytes(printed.bytes.reserve));
    if printed.bytes.set_aside > 0 {
        say("set aside", bytes(printed.bytes.set_aside));
    }
    say("in no segment", format!("{} events", grouped(printed.seal_lag)));
    say("healed", printed.healed.to_string());
    if let Some(ahead) = ahead {
        say("clock", ahead.to_string());
    }
    if let Some(why) = &printed.read_only {
        say("read only", why.clone());
    }
    for projection in &printed.projections {
        let PrintedProjection { name, version, position, lag, paused } = projection;
        let (position, lag) = (grouped(*position), grouped(*lag));
        let mut place = format!("version {version}, position {position}, {lag} behind");
        if let Some(Paused { position, kind, reason }) = paused {
            let position = grouped(position.get());
            place.push_str(&format!(", paused in front of {position} ({kind}): {reason}"));
        }
        say(&format!("projection {name}"), place);
    }
    for PrintedSubscription { name, position, lag, parked } in &printed.subscriptions {
        let position = position.map_or_else(|| "unreadable".to_owned(), grouped);
        let lag = grouped(*lag);
        let place = format!("position {position}, {lag} behind, {parked} parked");
        say(&format!("subscription {name}"), place);
    }
    session.output.table(&table)?;
    if !printed.events_by_type.is_empty() {
        session.output.line("")?;
        let mut table = CellTable::new().head(["events by type", ""]);
        for (name, count) in &printed.events_by_type {
            table.row([text(name), number(*count)]);
        }
        session.output.table(&table)?;
    }
    Ok(())
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
