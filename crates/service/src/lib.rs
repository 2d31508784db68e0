#![doc = include_str!("../README.md")]

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
