#![doc = include_str!("../README.md")]

mod active;
mod backup;
mod chunk_list;
mod chunks;
mod collect;
mod entry;
mod error;
mod folder;
mod follower;
#[cfg(test)]
mod golden;
mod index;
mod manifest;
mod options;
mod pack;
mod pack_files;
mod pack_id;
mod pack_store;
mod reader;
mod recovery;
mod scan;
mod store_id;
mod survey;
mod verify;
mod writer;

pub use self::{
    backup::{BackupPack, BackupPacks, ContentBackup, ContentRestore},
    chunks::{MAX_CHUNK_BYTES, WHOLE_CONTENT_BYTES},
    collect::CollectReport,
    error::OpenContentError,
    follower::ContentFollower,
    options::{ContentOptions, MAX_PACK_BYTES, MIN_PACK_BYTES},
    pack_store::{ContentInfo, PackStore},
    recovery::PreparedContent,
    store_id::{InvalidStoreId, StoreId},
    verify::{ContentProblem, ContentReport, verify, verify_beside},
};
