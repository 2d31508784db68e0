//! Subscriptions, seen from outside.

mod model;
