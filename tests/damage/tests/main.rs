//! Stores that are harmed on purpose. See the library of this package for how.

mod files;
