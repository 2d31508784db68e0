//! The moment at which a writer dies.

use std::{thread, time::Duration};

use crate::{
    message::Message,
    workload::Profile,
    writer::{Silence, Writer},
};

/// When a writer dies.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// So long after it said that it opens the store.
    Opening(Duration),
    /// So long after so many acknowledgements.
    Appending(u64, Duration),
    /// By its own hand, right after it told of so many acknowledgements.
    Itself(u64),
    /// So long after it said that it closes the store.
    Closing(Duration),
}

impl Moment {
    /// A moment for a writer of these events.
    #[must_use]
    pub fn draw(profile: Profile, rng: &mut fastrand::Rng) -> Self {
        let most = match profile {
            Profile::Small => 200,
            Profile::Mixed => 40,
            Profile::Bulk => 6,
            Profile::Large => 4,
        };
        match rng.u8(0..20) {
            0..4 => Self::Opening(micros(rng, 30_000)),
            4..10 => Self::Appending(rng.u64(0..most), micros(rng, 4_000)),
            10..16 => Self::Itself(rng.u64(1..=most)),
            _ => Self::Closing(micros(rng, 15_000)),
        }
    }

    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening(_) => "while opening",
            Self::Appending(..) => "while appending",
            Self::Itself(_) => "by themselves",
            Self::Closing(_) => "while closing",
        }
    }

    /// Follows a writer until this moment, or until it ends before.
    ///
    /// # Errors
    /// [`Silence`]; having ended is as good as any other moment.
    pub fn wait_for(self, writer: &Writer, heard: &mut Vec<Message>) -> Result<(), Silence> {
        let mut acknowledged = 0;
        loop {
            let message = writer.listen()?;
            let delay = match (&message, self) {
                (Message::Opening, Self::Opening(delay))
                | (Message::Open(_), Self::Appending(0, delay))
                | (Message::Closing, Self::Closing(delay)) => Some(delay),
                (Message::Acknowledged(_), Self::Appending(count, delay)) => {
                    acknowledged += 1;
                    (acknowledged == count).then_some(delay)
                }
                _ => None,
            };
            heard.push(message);
            if let Some(delay) = delay {
                // A moment like any other: nothing waits for what happens meanwhile.
                thread::sleep(delay);
                return Ok(());
            }
        }
    }
}

fn micros(rng: &mut fastrand::Rng, most: u64) -> Duration {
    Duration::from_micros(rng.u64(0..most))
}
