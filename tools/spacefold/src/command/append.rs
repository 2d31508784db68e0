//! `spacefold append`

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use spacefold::{
    AppendCondition, Position, Receipt, Revision, SpaceEvent,
    admin::{LineReader, LineText},
    event::{EventFilter, EventQuery, JsonError, JsonReader, TypePattern},
};
use spacefold_event_core::split_array;

use crate::{
    door::write_door::{AwaitedReceipt, LineAppender, LineRefusal},
    error::{Failure, Status},
    input::Input,
    interrupt,
    output::grouped,
    session::{CliSession, NewStore},
};

/// Appends in flight before reading waits for answers.
const MAX_IN_FLIGHT: usize = 4_096;

/// How often a wait for input looks at Ctrl-C.
const WAIT: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct AppendEvents {
    /// JSON lines, plain or compressed; an array on a line is one atomic append.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// The first append happens only if the space is at this revision.
    #[arg(long, value_name = "SPACE=REVISION", value_parser = parse_expectation)]
    expect: Vec<(String, Revision)>,

    /// The first append happens only if no event passes this filter: parts such as tag=course:c1,
    /// type=com.example.* or space=handbook with commas between them, all of which an event has to
    /// pass. May be given several times, for events that pass any of them.
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = parse_filter)]
    unless: Vec<EventFilter>,

    /// Events up to this position do not count for --unless.
    #[arg(long, value_name = "POSITION", default_value_t = 0, requires = "unless")]
    after: u64,

    #[command(flatten)]
    new_store: NewStore,
}

/// Reads a filter from parts between commas. A part without a key goes on with the value before it,
/// which has commas then.
fn parse_filter(text: &str) -> Result<EventFilter, String> {
    const KEYS: [&str; 3] = ["tag", "type", "space"];
    let expected = || "expected parts such as tag=course:c1,type=com.example.*".to_owned();
    let mut parts: Vec<(&str, String)> = Vec::new();
    for part in text.split(',') {
        match part.split_once('=').filter(|(key, _)| KEYS.contains(key)) {
            Some((key, value)) => parts.push((key, value.to_owned())),
            None => {
                let (_, value) = parts.last_mut().ok_or_else(expected)?;
                value.push(',');
                value.push_str(part);
            }
        }
    }
    let of = |wanted: &str| {
        let own = parts.iter().filter(|(key, _)| *key == wanted);
        own.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let mut filter = EventFilter::all().tags(of("tag"));
    let (types, spaces) = (of("type"), of("space"));
    if !types.is_empty() {
        let types = types.iter().map(|name| name.parse::<TypePattern>());
        let types = types.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        filter = filter.types(types);
    }
    if !spaces.is_empty() {
        filter = filter.spaces(spaces);
    }
    EventQuery::from(&filter).check_limits().map_err(|error| error.to_string())?;
    Ok(filter)
}

fn parse_expectation(text: &str) -> Result<(String, Revision), String> {
    let expected = || "expected SPACE=REVISION, such as handbook=3".to_owned();
    let (space_id, revision) = text.rsplit_once('=').ok_or_else(expected)?;
    let revision = revision.parse().map_err(|_| expected())?;
    if space_id.is_empty() {
        return Err(expected());
    }
    Ok((space_id.to_owned(), Revision::new(revision)))
}

/// What became of a line, in the order of the lines.
struct LineAnswer {
    line: u64,
    outcome: Result<AwaitedReceipt, LineRefusal>,
}

/// What became of all lines.
#[derive(Default)]
struct Tally {
    lines: u64,
    refused: u64,
    /// What to do, where something kept lines from being taken that is no fault of theirs.
    advice: Option<&'static str>,
}

/// Where reading ended before the end of the input.
struct BrokenOff {
    line: u64,
    reason: String,
}

#[derive(Serialize)]
struct PrintedAppend<'a> {
    line: u64,
    #[serde(flatten)]
    receipt: &'a Receipt,
}

#[derive(Serialize)]
struct PrintedRefusal<'a> {
    line: u64,
    error: &'a str,
}

impl AppendEvents {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let input = Input::open(&self.file)?;
        let store = session.write(self.new_store)?;
        let mut condition = AppendCondition::none();
        for (space_id, revision) in &self.expect {
            condition = condition
                .and_expected(space_id, spacefold::log::ExpectedRevision::Exact(*revision));
        }
        if !self.unless.is_empty() {
            let query = EventQuery::any_of(self.unless.iter().cloned());
            condition = condition.and_no_event_matching(query, Position::new(self.after));
        }
        let (answers, arriving) = sync_channel(MAX_IN_FLIGHT);
        let appender = store.appender();
        let submit = move || submit_lines(input.reader, &appender, condition, &answers);
        let reader = thread::Builder::new().spawn(submit).map_err(|error| {
            Failure::caused(&error, "starting a thread that reads", "run the command again")
        })?;
        let printed = print_answers(&arriving, &input.name, session);
        // A reader that waits for a full channel ends with it; one that waits for input ends with
        // the process.
        drop(arriving);
        let Tally { lines, refused, advice } = printed?;
        let broken_off = reader.join().unwrap_or_else(|_| {
            Err(BrokenOff {
                line: lines,
                reason: "the thread that reads it has panicked".to_owned(),
            })
        });
        store.close()?;
        if let Err(BrokenOff { line, reason }) = broken_off {
            return Err(Failure::new(
                Status::Failed,
                format_args!("the input cannot be read on: {reason}"),
                Input::place(&input.name, line),
                "what was answered before is stored; append the rest",
            ));
        }
        if refused > 0 {
            return Err(Failure::new(
                Status::Failed,
                format_args!("{} of {} lines were refused", grouped(refused), grouped(lines)),
                &input.name,
                advice.unwrap_or(
                    "nothing of a refused line is stored: correct those and append them again",
                ),
            ));
        }
        Ok(())
    }
}

/// Hands every line to the log as it arrives; the condition holds for the first that gets there.
fn submit_lines(
    input: Box<dyn std::io::BufRead + Send>,
    appender: &LineAppender,
    condition: AppendCondition,
    answers: &SyncSender<LineAnswer>,
) -> Result<(), BrokenOff> {
    let reader = JsonReader::default();
    let mut lines = LineReader::new(input);
    let mut condition = Some(condition);
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                return Err(BrokenOff { line: lines.number(), reason: error.to_string() });
            }
        };
        let outcome = match read_events(&reader, line.text) {
            Ok(events) => appender.submit(&events, condition.take().unwrap_or_default()),
            Err(error) => Err(error.into()),
        };
        let answer = LineAnswer { line: line.number, outcome };
        if interrupt::requested() || answers.send(answer).is_err() {
            return Ok(());
        }
    }
}

fn read_events(reader: &JsonReader, text: LineText<'_>) -> Result<Vec<SpaceEvent>, JsonError> {
    let text = match text {
        LineText::Whole(text) => text,
        LineText::TooLong { bytes, .. } => return Err(JsonError::TooLong { bytes }),
    };
    let elements = split_array(text)?.unwrap_or_else(|| vec![text]);
    let events = elements.into_iter().map(|element| reader.read(element));
    events.map(|read| Ok(read?.event)).collect()
}

/// Prints answers as soon as they are final; answers what became of all lines.
fn print_answers(
    arriving: &Receiver<LineAnswer>,
    name: &str,
    session: &mut CliSession,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    loop {
        let LineAnswer { line, outcome } = match arriving.recv_timeout(WAIT) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                interrupt::check()?;
                continue;
            }
        };
        tally.lines += 1;
        let outcome = outcome.and_then(|awaited| awaited());
        match outcome {
            Ok(receipt) => print_receipt(line, &receipt, session)?,
            Err(refusal) => {
                tally.refused += 1;
                tally.advice = tally.advice.or(refusal.advice);
                print_refusal(line, &refusal, name, session)?;
            }
        }
        // Whoever waits for the answer to one line before sending the next gets it.
        session.output.flush()?;
    }
    interrupt::check()?;
    Ok(tally)
}

fn print_receipt(line: u64, receipt: &Receipt, session: &mut CliSession) -> Result<(), Failure> {
    if session.json {
        return session.output.json(&PrintedAppend { line, receipt });
    }
    let durable = if receipt.is_durable() { "durable" } else { "not yet durable" };
    session.output.line(&format!(
        "line {line}: position {}, revision {}, events {}, {durable}",
        receipt.last_position(),
        receipt.revision(),
        receipt.count(),
    ))
}

fn print_refusal(
    line: u64,
    refusal: &LineRefusal,
    name: &str,
    session: &mut CliSession,
) -> Result<(), Failure> {
    if session.json {
        return session.output.json(&PrintedRefusal { line, error: &refusal.reason });
    }
    let hint = refusal.advice.unwrap_or("nothing of this line is stored; the lines after it are");
    Failure::new(Status::Failed, &refusal.reason, Input::place(name, line), hint).report();
    Ok(())
}
