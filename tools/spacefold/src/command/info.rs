//! `spacefold info`

use crate::{
    door::printed_info::{
        PrintedFork, PrintedInfo, PrintedPause, PrintedProjection, PrintedSubscription,
    },
    error::Failure,
    output::{CellTable, bytes, grouped, number, text},
    session::CliSession,
};

pub(crate) fn run(session: &mut CliSession) -> Result<(), Failure> {
    let store = session.read_log()?;
    let printed = store.info()?;
    if session.json {
        session.output.json(&printed)?;
    } else {
        print(&printed, session)?;
    }
    session.output.flush()?;
    store.close()
}

fn print(printed: &PrintedInfo, session: &mut CliSession) -> Result<(), Failure> {
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
    if let Some(ahead) = &printed.ahead_of_clock {
        say("clock", ahead.told());
    }
    if let Some(why) = &printed.read_only {
        say("read only", why.clone());
    }
    for projection in &printed.projections {
        let PrintedProjection { name, version, position, lag, paused } = projection;
        let (position, lag) = (grouped(*position), grouped(*lag));
        let mut place = format!("version {version}, position {position}, {lag} behind");
        if let Some(PrintedPause { position, kind, reason }) = paused {
            let position = grouped(*position);
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
