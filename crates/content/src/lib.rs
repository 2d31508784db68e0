//! The content store of spacefold: the bytes of documents by their BLAKE3 hash, each content once.
//!
//! [`PackStore`] is a [`ContentStore`](spacefold_event_core::ContentStore) in a folder. Contents
//! and the chunks of large ones are entries of *packs*, files that are only ever appended to;
//! where each entry is stands in an index in memory, which is made from the packs when the store
//! is opened. A *manifest* names the packs, so that one that is lost is missed, and so that
//! collecting garbage replaces many packs in one step. It is bound to the store that the content
//! belongs to, and is believed of a pack only where that is here by its id: opening removes none.
//!
//! ```text
//! put ─▶ Chunks: cut by content ─▶ hash ─▶ there already? ─▶ LZ4 ─▶ Writer ─▶ the active pack
//! sync ─▶ fdatasync of the active pack, shared by all who wait
//! open ─▶ index ─▶ list of chunks ─▶ each read, unpacked, hashed, then given
//! ```
//!
//! `docs/format.md` has every byte on disk.

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
