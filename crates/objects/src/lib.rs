#![doc = include_str!("../README.md")]
//!
//! Where immutable objects are kept under keys: a folder, or a bucket of S3 and its like.
//!
//! [`ObjectStorage`] is the seam: put, put unless one is there, get, list in order, remove. What is built
//! on it, backups and logs, sees whole objects or none, and is told after each error what is known.
//!
//! - [`FolderStorage`] keeps objects as files of a folder on any [`Disk`](spacefold_disk::Disk).
#![cfg_attr(feature = "s3", doc = "- [`S3Storage`] keeps them in a bucket.")]
#![cfg_attr(not(feature = "s3"), doc = "- With feature `s3`, `S3Storage` keeps them in a bucket.")]
//!
//! This crate knows nothing of what objects mean: no events, no backups.

mod error;
mod folder_storage;
mod key;
#[cfg(feature = "s3")]
mod s3;
mod storage;

#[cfg(feature = "s3")]
pub use self::s3::{InvalidBucketUrl, S3Options, S3Storage};
pub use self::{
    error::{ObjectError, ObjectErrorKind},
    folder_storage::FolderStorage,
    key::{InvalidObjectKey, ObjectKey},
    storage::ObjectStorage,
};
