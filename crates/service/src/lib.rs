//! The command side of spacefold: operations on spaces, checked against their state and recorded
//! as events.
//!
//! - [`SpaceService`] has a method for each operation. It reads the state of the space, refuses what
//!   does not fit it with a [`Refusal`] that says what was found, and appends the event with the
//!   revision that it read. What would change nothing emits nothing, but under a key that it
//!   was given.
//! - [`SpaceService::only_if`] and [`SpaceService::if_unchanged_since`] give commands on a condition.
//! - [`Batch`] collects commands on one space and commits them as one atomic append.
//! - [`Command`] is an operation as data, [`Outcome`] what came of it. [`Command::OPERATIONS`] describes
//!   each, so that a server or a command line has all of them without naming any.
//! - [`RenderGuard`] fails the render that it stands for when it is dropped; one whose process is gone
//!   is [taken over](SpaceService::take_over).
//! - [`testing`] has given, when, then.
//!
//! The crate works over every [`EventLog`](spacefold_event_core::EventLog), in memory too. It knows
//! no store.

mod attribution;
mod bus;
mod command;
mod command_error;
mod commands;
mod condition;
mod content;
mod decide;
mod executor;
mod idempotency_key;
mod known_states;
mod named_content;
mod operations;
mod outcome;
mod refusal;
mod repeat;
mod space_service;
mod submission_budget;
mod submissions;
mod unchanged;

pub mod testing;

pub use self::{
    command::{Command, CommandFields, Field, FieldKind, Operation},
    command_error::CommandError,
    condition::{FailedPrecondition, Scope},
    idempotency_key::IdempotencyKey,
    outcome::Outcome,
    refusal::Refusal,
    space_service::{Batch, RenderGuard, SpaceService},
    submission_budget::{MAX_SUBMITTED_BYTES, MAX_SUBMITTED_COMMANDS},
    submissions::PendingOutcome,
};
