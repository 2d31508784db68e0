//! Subscriptions, seen from outside.

mod kill;
mod late;
mod model;
mod stress;
