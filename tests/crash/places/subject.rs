//! The process that appends, receives and acknowledges, telling what is known after each.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, set_parent_process_death_signal};
use spacefold::{
    SpaceEvent, Spacefold, Subscription,
    subscribe::{AckError, DurableSubscriber},
};

use super::open;
use crate::child::ChildOptions;

/// The names of the subscriptions.
pub(super) const NAMES: [&str; 2] = ["mailer", "search/index"];

/// Places that moved are synced within this time.
pub(super) const SYNCED_WITHIN: Duration = Duration::from_millis(20);

/// Sessions of as many appends go on for a while, so that syncs come due by the time that passes.
pub(super) const MANY_APPENDS: u32 = 400;
/// How long such a session rests after an append.
const PACE: Duration = Duration::from_millis(4);

/// What the process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A session begins, and its clock.
    Began,
    /// A position is about to be acknowledged by a subscription.
    Acknowledging(String, u64),
    /// It was, at this time.
    Acknowledged(String, u64, Duration),
    /// Whatever was acknowledged is on disk.
    Synced,
    /// Something failed.
    Broken(String),
}

impl Told {
    fn line(&self) -> String {
        match self {
            Self::Began => "began\n".to_owned(),
            Self::Acknowledging(name, position) => format!("acknowledging {name} {position}\n"),
            Self::Acknowledged(name, position, at) => {
                format!("acknowledged {name} {position} {}\n", at.as_micros())
            }
            Self::Synced => "synced\n".to_owned(),
            Self::Broken(what) => format!("broken {}\n", what.replace('\n', " ")),
        }
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (what, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let mut words = rest.split(' ');
        let mut word = || words.next();
        Some(match what {
            "began" => Self::Began,
            "acknowledging" => Self::Acknowledging(word()?.to_owned(), word()?.parse().ok()?),
            "acknowledged" => {
                let (name, position) = (word()?.to_owned(), word()?.parse().ok()?);
                Self::Acknowledged(name, position, Duration::from_micros(word()?.parse().ok()?))
            }
            "synced" => Self::Synced,
            "broken" => Self::Broken(rest.to_owned()),
            _ => return None,
        })
    }
}

/// The result that is kept with a place.
pub(super) fn result_at(name: &str, position: u64) -> Vec<u8> {
    format!("{name} up to {position}").into_bytes()
}

/// Works as the options say: `appends` appends in each of the `openings`.
///
/// # Errors
/// When there is nowhere to tell it.
pub fn run(options: &ChildOptions) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let path = options.receipts.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
    let marks = OpenOptions::new().create(true).append(true).open(path)?;
    let random = fastrand::Rng::with_seed(options.seed);
    let mut subject = Subject { options, marks, random, began: Instant::now() };
    for _ in 0..options.openings {
        if let Err(error) = subject.session() {
            subject.tell(&Told::Broken(error.to_string()))?;
        }
    }
    Ok(0)
}

struct Subject<'o> {
    options: &'o ChildOptions,
    marks: File,
    random: fastrand::Rng,
    began: Instant,
}

type Done<T> = Result<T, Box<dyn std::error::Error>>;

impl Subject<'_> {
    fn tell(&mut self, told: &Told) -> io::Result<()> {
        self.marks.write_all(told.line().as_bytes())
    }

    fn session(&mut self) -> Done<()> {
        let spaces = open(&self.options.store)?;
        self.began = Instant::now();
        self.tell(&Told::Began)?;
        let mut subscribers = Vec::new();
        for name in NAMES {
            subscribers.push(spaces.subscribe_durable(name, &Subscription::from_start())?);
        }
        for number in 0..self.options.appends {
            self.append(&spaces, number)?;
            let which = self.random.usize(..NAMES.len());
            if let (Some(name), Some(subscriber)) = (NAMES.get(which), subscribers.get_mut(which)) {
                self.acknowledge(name, subscriber)?;
            }
            if self.options.appends >= MANY_APPENDS {
                thread::sleep(PACE);
            } else if self.random.u8(..16) == 0 {
                spaces.feed().sync()?;
                self.tell(&Told::Synced)?;
            }
        }
        drop(subscribers);
        spaces.close()?;
        Ok(self.tell(&Told::Synced)?)
    }

    fn append(&mut self, spaces: &Spacefold, number: u32) -> Done<()> {
        let event = |n: u8| {
            let space = format!("space-{}", n % 3);
            SpaceEvent::variable_set(space, "v", format!("{number}-{n}"))
        };
        let events: Vec<SpaceEvent> = (0..self.random.u8(1..5)).map(event).collect();
        spaces.append(events)?;
        Ok(())
    }

    /// Acknowledges all that is there, or a part of it.
    fn acknowledge(&mut self, name: &str, subscriber: &mut DurableSubscriber) -> Done<()> {
        while subscriber.try_recv()?.is_some() {}
        let (from, to) = (subscriber.acknowledged(), subscriber.position());
        let position = from.plus(self.random.u64(0..=to.since(from)));
        if position == from {
            return Ok(());
        }
        self.tell(&Told::Acknowledging(name.to_owned(), position.get()))?;
        let kept: Result<(), AckError> =
            subscriber.ack_with(position, result_at(name, position.get()));
        kept?;
        let at = self.began.elapsed();
        Ok(self.tell(&Told::Acknowledged(name.to_owned(), position.get(), at))?)
    }
}
