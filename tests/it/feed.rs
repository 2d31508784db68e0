//! Subscriptions, seen from outside.

mod kill;
mod model;
mod stress;
