#![doc = include_str!("../README.md")]

mod aside;
mod block;
mod clock;
mod commitment;
mod copy_in_use;
mod creation;
mod embedded_log;
mod environment;
mod error;
mod event_keys;
mod folder;
mod follower;
mod fork;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod head_file;
mod id_lookup;
mod ids;
mod journal;
mod kin;
mod lineage;
mod live;
mod log_copy;
mod log_restore;
mod lookup;
mod opener;
mod options;
mod progress;
mod reader;
mod reading;
mod recovery;
mod remake;
mod repair;
mod reserve;
mod run;
mod run_postings;
mod salvage;
mod scratch;
mod sealer;
mod shared;
#[cfg(test)]
mod simulated;
mod sled_copy;
#[cfg(test)]
mod stored;
mod sync;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod unfiled;
mod verify;
mod view;
mod watch;
mod wire;
mod writer;

pub use self::{
    clock::AheadOfClock,
    commitment::{StateCommitment, StateFold},
    embedded_log::{EmbeddedLog, LogHealth, StoreBytes, StoreInfo},
    error::{OpenError, StorePart},
    folder::is_store,
    follower::{
        BackupFrames, BackupHead, BackupSegment, BackupView, Follower, FollowerOptions,
        SegmentBytes, StoreOwner,
    },
    fork::{ForkOptions, ForkReport, fork},
    log_restore::{
        LogRestore, LogRestoreError, RestoredPoint, frames_events, frames_position_by,
        segment_events, segment_position_by,
    },
    options::{Durability, StoreOptions},
    remake::{LostRevisions, MovedStretch, RefusedEvent, RemakeError},
    repair::{RepairReport, repair_log},
    salvage::{
        LeftOut, OtherStore, SalvageDamage, SalvageGap, SalvageOptions, SalvageReport, salvage,
    },
    verify::{
        OnDamage, Problem, VerifyDepth, VerifyOptions, VerifyReport, verify, verify_beside,
        verify_states,
    },
};
