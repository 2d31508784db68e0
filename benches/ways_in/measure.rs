//! What commands take: of the clock, and of processors.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

/// What something took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) wall_seconds: f64,
    /// Of all children that were waited for.
    pub(crate) processor_seconds: f64,
}

pub(crate) fn taken(act: &mut dyn FnMut()) -> Taken {
    let before = of_children();
    let began = Instant::now();
    act();
    let wall_seconds = began.elapsed().as_secs_f64();
    Taken { wall_seconds, processor_seconds: of_children() - before }
}

fn of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
