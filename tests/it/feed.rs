//! Subscriptions, seen from outside.

mod kill;
mod kill_bus;
mod late;
mod model;
mod stress;
