//! The extension module of the Python package `spacefold`: the engine, as Python sees it.
//!
//! The classes are thin: what they are called with becomes values of the engine, the interpreter is
//! let go while the engine is called ([`calls`]), errors become exceptions ([`errors`]). What is
//! written in Python, beside this crate, is built on them.

mod calls;
mod commands;
mod errors;
mod event;
mod events;
mod filter;
mod json;
mod opened;
mod payload;
mod projecting;
mod queue;
mod snapshot;
mod store;
mod subscription;
mod table;
mod times;

/// The engine.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        calls::{after_fork, close_all},
        commands::{Outcome, RenderGuard},
        event::RecordedEvent,
        events::{EventIterator, Events},
        filter::{AppendCondition, Filter, Receipt},
        projecting::{Job, Projecting},
        snapshot::{Change, Diff, Document, Snapshot},
        store::{Problem, Store, VerifyReport, follow, in_memory, open, operations, verify},
        subscription::Subscription,
        table::Table,
    };
}
