//! What a store is on: the file system, how long a sync takes, the room that is left, and what the
//! process may.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process,
    time::{Duration, Instant},
};

use rustix::{
    fs::{StatVfsMountFlags, statfs, statvfs},
    process::{Resource, getrlimit},
};

use super::Findings;
use crate::{error::Failure, output::bytes};

/// Syncs that are measured.
const SYNCS: usize = 20;
/// A sync that takes longer is worth knowing: every append waits for one.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// One that takes longer is none of a disk that works.
const STUCK_SYNC: Duration = Duration::from_millis(500);
/// One that takes less was none of a disk.
const FAST_SYNC: Duration = Duration::from_micros(20);
/// What a store may need before anybody notices: journal files, a segment, sled's copy of it.
const LITTLE_ROOM: u64 = 512 << 20;
/// Less keeps it from being opened, once the reserve is used up.
const NO_ROOM: u64 = 64 << 20;
const FEW_FILES: u64 = 1_024;
const FEW_INODES: u64 = 1_000;

/// File systems that are remarked on, by their magic numbers: a name, and what is wrong with it.
const KINDS: [(u64, &str, Option<&str>); 14] = [
    (0xef53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683e, "btrfs", None),
    (0x2fc1_2fc1, "zfs", None),
    (0xf2f5_2010, "f2fs", None),
    (0x0102_1994, "tmpfs", Some(IN_MEMORY)),
    (0x8584_58f6, "ramfs", Some(IN_MEMORY)),
    (0x794c_7630, "overlayfs", Some(LAYERED)),
    (0x6969, "nfs", Some(ELSEWHERE)),
    (0xff53_4d42, "cifs", Some(ELSEWHERE)),
    (0xfe53_4d42, "smb", Some(ELSEWHERE)),
    (0x0102_1997, "9p", Some(ELSEWHERE)),
    (0x6573_5546, "fuse", Some(ELSEWHERE)),
    (0x00c3_6400, "ceph", Some(ELSEWHERE)),
];
const IN_MEMORY: &str = "what is in memory is gone with the machine: move the store to a disk";
const LAYERED: &str = "the layer of a container goes with it: put the store on a volume";
const ELSEWHERE: &str = "make sure that its locks and syncs do what they say, or move the store to a \
                         local disk";

/// Looks at the disk of a folder, and at what this process may.
pub(super) fn look(path: &Path, found: &mut Findings) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::caused(&error, path.display(), "check the permissions of the folder")
    };
    let kind = statfs(path).map_err(|errno| failed(errno.into()))?.f_type;
    look_at_kind(kind_number(kind), found);
    let vfs = statvfs(path).map_err(|errno| failed(errno.into()))?;
    if vfs.f_flag.contains(StatVfsMountFlags::RDONLY) {
        found.wrong(
            "writable",
            "the file system takes no changes",
            "mount it to be written: the store can only be read",
        );
    } else {
        look_at_syncs(path, found);
    }
    look_at_room(vfs.f_bavail.saturating_mul(vfs.f_frsize), found);
    if vfs.f_files > 0 && vfs.f_favail < FEW_INODES {
        let what = format!("{} more files may be made on it", vfs.f_favail);
        found.wrong("inodes", what, "delete files: the disk is as good as full");
    }
    look_at_limits(found);
    Ok(())
}

/// The magic number of a file system: some systems have it signed.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "its type is the system's affair"
)]
const fn kind_number(kind: rustix::fs::FsWord) -> u64 {
    kind as u64 & 0xffff_ffff
}

fn look_at_kind(kind: u64, found: &mut Findings) {
    match KINDS.iter().find(|(number, ..)| *number == kind) {
        Some((_, name, None)) => found.good("file system", name),
        Some((_, name, Some(advice))) if matches!(*name, "tmpfs" | "ramfs") => {
            found.wrong("file system", name, advice);
        }
        Some((_, name, Some(advice))) => found.note("file system", name, advice),
        None => found.note(
            "file system",
            format_args!("of a kind that is not known here, {kind:#x}"),
            "make sure that it syncs, and has locks",
        ),
    }
}

/// Writes and syncs a file some times.
fn look_at_syncs(path: &Path, found: &mut Findings) {
    let probe = path.join(format!(".doctor-{}", process::id()));
    let measured = measure(&probe);
    let _ = fs::remove_file(&probe);
    let mut times = match measured {
        Ok(times) => times,
        Err(error) => {
            let what = format!("no file can be written and synced: {error}");
            found.wrong("syncs", what, "check the disk and the permissions of the folder");
            return;
        }
    };
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    let what = format!(
        "{:.2} ms in the middle, {:.2} ms at the longest",
        median.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3
    );
    if median > STUCK_SYNC {
        found.wrong("syncs", what, "look at the disk, and at what else writes to it");
    } else if median > SLOW_SYNC {
        found.note(
            "syncs",
            what,
            "every append waits for one: group appends, choose another durability, or a disk that \
             syncs faster",
        );
    } else if median < FAST_SYNC {
        found.note("syncs", what, "so fast is no disk: make sure that it survives a power cut");
    } else {
        found.good("syncs", what);
    }
}

fn measure(probe: &Path) -> io::Result<Vec<Duration>> {
    let mut file = File::options().write(true).create_new(true).open(probe)?;
    file.write_all(&[0; 4_096 * SYNCS])?;
    file.sync_all()?;
    (0..SYNCS)
        .map(|round| {
            use std::os::unix::fs::FileExt as _;
            let offset = 4_096 * u64::try_from(round).unwrap_or(0);
            let begun = Instant::now();
            file.write_all_at(&[1; 4_096], offset)?;
            file.sync_data()?;
            Ok(begun.elapsed())
        })
        .collect()
}

fn look_at_room(free: u64, found: &mut Findings) {
    let what = format!("{} are free", bytes(free));
    let advice = "make room, or move the store: on a full disk it refuses appends and is read on";
    if free < NO_ROOM {
        found.wrong("room", what, advice);
    } else if free < LITTLE_ROOM {
        found.note("room", what, advice);
    } else {
        found.good("room", what);
    }
}

fn look_at_limits(found: &mut Findings) {
    let files = getrlimit(Resource::Nofile).current;
    let advice = "raise `ulimit -n`, or LimitNOFILE= of the unit: a store has some 30 files open";
    match files {
        Some(files) if files < FEW_FILES => {
            found.note("open files", format_args!("this process may have {files}"), advice);
        }
        files => {
            let files = files.map_or_else(|| "any number".to_owned(), |files| files.to_string());
            found.good("open files", format_args!("this process may have {files}"));
        }
    }
    if let Some(largest) = getrlimit(Resource::Fsize).current {
        found.wrong(
            "file size",
            format_args!("this process may write files of up to {}", bytes(largest)),
            "raise `ulimit -f`: journal and packs grow to some 256 MiB",
        );
    }
}
