//! What an append costs, alone and beside followers of the store, and how far they are behind:
//!
//! ```text
//! cargo build --release -p spacefold-benches --example beside
//! target/release/examples/beside append FOLDER PRODUCERS APPENDS EVENTS FOLLOWERS
//! target/release/examples/beside lag FOLDER APPENDS EVENTS
//! strace -c -f target/release/examples/beside append FOLDER 16 20000 1 0
//! ```
//!
//! `append` has PRODUCERS threads make APPENDS in all, of EVENTS of some 200 bytes each, and tells the
//! processor time of this process; each of FOLLOWERS is a process of its own that reads what is new as
//! soon as there is something. `lag` has one producer that never pauses, and tells how long after an
//! append was answered a follower has shown it.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

use std::{
    env,
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use spacefold_event_core::{
    AppendRequest, LogReader as _, LogWriter as _, Position, ReadRequest, SpaceEvent,
};
use spacefold_store::{EmbeddedLog, Follower, FollowerOptions};

/// How long one wait of a follower lasts, at the most.
const WAIT: Duration = Duration::from_millis(200);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().unwrap();
    match arguments.as_slice() {
        ["append", path, producers, appends, events, followers] => {
            append(path, number(producers), number(appends), number(events), number(followers));
        }
        ["lag", path, appends, events] => lag(path, number(appends), number(events)),
        ["follow", path] => follow(path),
        _ => println!("append PATH PRODUCERS APPENDS EVENTS FOLLOWERS; lag PATH APPENDS EVENTS"),
    }
}

/// Events of some 200 bytes each.
fn events(count: usize, number: usize) -> Vec<SpaceEvent> {
    let event = |place: usize| {
        let text = format!("{:0120x}", (number * 7_919 + place) * 0x9e37_79b9);
        SpaceEvent::variable_set(format!("space-{}", (number + place) % 97), "variable", text)
    };
    (0..count).map(event).collect()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn append(path: &str, producers: usize, appends: usize, count: usize, followers: usize) {
    let log = EmbeddedLog::open(path).unwrap();
    // The first append begins a session.
    log.append(&AppendRequest::new(&events(1, 0))).unwrap();
    let followers: Vec<Followed> = (0..followers).map(|_| Followed::begin(path)).collect();
    let (begun, used) = (Instant::now(), processor_time());
    thread::scope(|scope| {
        for producer in 0..producers {
            let log = &log;
            scope.spawn(move || {
                for number in (producer..appends).step_by(producers) {
                    log.append(&AppendRequest::new(&events(count, number))).unwrap();
                }
            });
        }
    });
    let (took, used) = (begun.elapsed().as_secs_f64(), processor_time() - used);
    drop(followers);
    #[expect(clippy::cast_precision_loss, reason = "printed with few digits")]
    let made = appends as f64;
    let (rate, cpu) = (made / took, used.as_secs_f64() * 1e6 / made);
    println!("{rate:.0} appends/s, {cpu:.2} us of processor time an append");
    log.close().unwrap();
}

/// A process that follows the store; it is ended when this is dropped.
struct Followed(Child);

impl Followed {
    fn begin(path: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        Self(command.args(["follow", path]).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn open(path: &Path) -> Follower {
    Follower::open(path, &FollowerOptions::default()).unwrap()
}

/// Reads on to a position, decoded.
fn read_to(follower: &Follower, from: Position) -> Position {
    let mut next = from;
    for page in follower.pages(ReadRequest::from(from)) {
        let page = page.unwrap();
        page.events().for_each(|event| drop(event.unwrap()));
        next = page.next();
    }
    next
}

fn follow(path: &str) {
    let parent = rustix::process::getppid();
    let follower = open(Path::new(path));
    let mut next = follower.head().next();
    while rustix::process::getppid() == parent {
        if follower.wait_durable(next, WAIT).unwrap() >= next {
            next = read_to(&follower, next);
        }
    }
    process::exit(0);
}

fn lag(path: &str, appends: usize, count: usize) {
    let log = EmbeddedLog::open(path).unwrap();
    log.append(&AppendRequest::new(&events(1, 0))).unwrap();
    let follower = open(Path::new(path));
    let shown: Mutex<Vec<(Position, Instant)>> = Mutex::default();
    let mut answered = Vec::with_capacity(appends);
    thread::scope(|scope| {
        let last = Position::new(u64::try_from(1 + appends * count).unwrap());
        let (follower, shown) = (&follower, &shown);
        scope.spawn(move || {
            let mut next = follower.head().next();
            while next <= last {
                let head = follower.wait_durable(next, WAIT).unwrap();
                if head >= next {
                    shown.lock().unwrap().push((head, Instant::now()));
                    next = head.next();
                }
            }
        });
        for number in 0..appends {
            let receipt = log.append(&AppendRequest::new(&events(count, number))).unwrap();
            answered.push((receipt.last_position(), Instant::now()));
        }
    });
    let shown = shown.into_inner().unwrap();
    let mut lags: Vec<Duration> = Vec::with_capacity(appends);
    for (position, at) in answered {
        let place = shown.partition_point(|(head, _)| *head < position);
        let (_, seen) = shown.get(place).unwrap();
        lags.push(seen.saturating_duration_since(at));
    }
    lags.sort_unstable();
    let of = |share: usize| *lags.get((lags.len() - 1) * share / 1_000).unwrap();
    let [p50, p99, p999, most] = [500, 990, 999, 1_000].map(of);
    println!(
        "{appends} appends: behind by {p50:?} (p50), {p99:?} (p99), {p999:?}, {most:?} at most"
    );
    println!("{:?}", log.info());
    log.close().unwrap();
}
