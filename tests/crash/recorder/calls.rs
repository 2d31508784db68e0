//! The functions that stand in for those of the C library.
//!
//! Each does what the one of the C library does, by calling it, and looks at its arguments before. So
//! whoever may call that one may call this one, and every pointer is used as the C library would
//! use it:
//!
//! - a path is a string that ends with a zero, or the call is undefined already;
//! - a buffer that is written from has at least as many bytes as the call says, for as long as it
//!   lasts, and nobody changes it meanwhile; the same holds of each part of a list of buffers;
//! - nothing is kept of either after the call, and no buffer that is read into is looked at;
//! - a place for a time is one that the C library may write to, and has written to when it says so.
//!
//! `open` and `openat` are variadic in C; ours take the mode as a plain argument. On the 64-bit ABIs of
//! Linux for x86-64, AArch64 and RISC-V integers of both kinds arrive in the same registers; where no mode
//! was given, the register holds any number, which only goes on to where it is not looked at
//! either.
#![expect(unsafe_code, reason = "functions under names of the C library, with its pointers")]
#![expect(non_camel_case_types, reason = "the names of the C library")]

use std::{
    env,
    ffi::{CStr, OsStr},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    slice,
    sync::OnceLock,
};

use libc::{
    c_char, c_int, c_uint, c_void, clockid_t, iovec, mode_t, off_t, size_t, ssize_t, time_t,
    timespec,
};

use crate::{
    entry::{self, Entry},
    fault::{Call, How},
    real::{errno, real, set_errno},
    recorder::{Session, Target, enter, inode, stop},
};

type open_fn = unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
type openat_fn = unsafe extern "C" fn(c_int, *const c_char, c_int, ...) -> c_int;
type write_fn = unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t;
type pwrite_fn = unsafe extern "C" fn(c_int, *const c_void, size_t, off_t) -> ssize_t;
type writev_fn = unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t;
type pwritev_fn = unsafe extern "C" fn(c_int, *const iovec, c_int, off_t) -> ssize_t;
type read_fn = unsafe extern "C" fn(c_int, *mut c_void, size_t) -> ssize_t;
type pread_fn = unsafe extern "C" fn(c_int, *mut c_void, size_t, off_t) -> ssize_t;
type fd_fn = unsafe extern "C" fn(c_int) -> c_int;
type ftruncate_fn = unsafe extern "C" fn(c_int, off_t) -> c_int;
type fallocate_fn = unsafe extern "C" fn(c_int, c_int, off_t, off_t) -> c_int;
type sync_range_fn = unsafe extern "C" fn(c_int, off_t, off_t, c_uint) -> c_int;
type path_fn = unsafe extern "C" fn(*const c_char) -> c_int;
type mkdir_fn = unsafe extern "C" fn(*const c_char, mode_t) -> c_int;
type mkdirat_fn = unsafe extern "C" fn(c_int, *const c_char, mode_t) -> c_int;
type unlinkat_fn = unsafe extern "C" fn(c_int, *const c_char, c_int) -> c_int;
type rename_fn = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;
type renameat_fn = unsafe extern "C" fn(c_int, *const c_char, c_int, *const c_char) -> c_int;
type clock_gettime_fn = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
type opendir_fn = unsafe extern "C" fn(*const c_char) -> *mut libc::DIR;

/// A function under its C name: hands its arguments to `$body`, with `$real` for the real one.
macro_rules! stands_in {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty, $fn:ty, |$real:ident| $body:expr;)*) => {
        $(
            /// Stands in for the function of this name in the C library.
            ///
            /// # Safety
            /// As that function.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name($($arg: $type),*) -> $result {
                const NAME: &CStr = c_name(concat!(stringify!($name), "\0"));
                let $real = real!(NAME, $fn);
                $body
            }
        )*
    };
}

// SAFETY, for all of them: the real function gets the arguments it would have got, or a count that
// is smaller; paths and buffers are what the C library requires of its callers.
stands_in! {
    open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, open_fn, |real|
        opened(libc::AT_FDCWD, path, flags, || unsafe { real(path, flags, mode) });
    open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, open_fn, |real|
        opened(libc::AT_FDCWD, path, flags, || unsafe { real(path, flags, mode) });
    openat(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int, openat_fn, |real|
        opened(at, path, flags, || unsafe { real(at, path, flags, mode) });
    openat64(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int, openat_fn, |real|
        opened(at, path, flags, || unsafe { real(at, path, flags, mode) });
    opendir(path: *const c_char) -> *mut libc::DIR, opendir_fn, |real|
        opened_folder(path, || unsafe { real(path) });

    write(fd: c_int, from: *const c_void, len: size_t) -> ssize_t, write_fn, |real|
        written(fd, None, || unsafe { bytes(from, len) }, len, |len| unsafe { real(fd, from, len) });
    pwrite(fd: c_int, from: *const c_void, len: size_t, at: off_t) -> ssize_t, pwrite_fn, |real|
        written(fd, Some(at), || unsafe { bytes(from, len) }, len, |len| unsafe {
            real(fd, from, len, at)
        });
    pwrite64(fd: c_int, from: *const c_void, len: size_t, at: off_t) -> ssize_t, pwrite_fn, |real|
        written(fd, Some(at), || unsafe { bytes(from, len) }, len, |len| unsafe {
            real(fd, from, len, at)
        });
    writev(fd: c_int, from: *const iovec, parts: c_int) -> ssize_t, writev_fn, |real|
        written_parts(fd, None, from, parts, || unsafe { real(fd, from, parts) });
    pwritev(fd: c_int, from: *const iovec, parts: c_int, at: off_t) -> ssize_t, pwritev_fn, |real|
        written_parts(fd, Some(at), from, parts, || unsafe { real(fd, from, parts, at) });
    pwritev64(fd: c_int, from: *const iovec, parts: c_int, at: off_t) -> ssize_t, pwritev_fn, |real|
        written_parts(fd, Some(at), from, parts, || unsafe { real(fd, from, parts, at) });

    read(fd: c_int, to: *mut c_void, len: size_t) -> ssize_t, read_fn, |real|
        was_read(fd, len, |len| unsafe { real(fd, to, len) });
    pread(fd: c_int, to: *mut c_void, len: size_t, at: off_t) -> ssize_t, pread_fn, |real|
        was_read(fd, len, |len| unsafe { real(fd, to, len, at) });
    pread64(fd: c_int, to: *mut c_void, len: size_t, at: off_t) -> ssize_t, pread_fn, |real|
        was_read(fd, len, |len| unsafe { real(fd, to, len, at) });

    fsync(fd: c_int) -> c_int, fd_fn, |real|
        synced(fd, || unsafe { real(fd) });
    fdatasync(fd: c_int) -> c_int, fd_fn, |real|
        synced(fd, || unsafe { real(fd) });
    sync_file_range(fd: c_int, at: off_t, len: off_t, flags: c_uint) -> c_int, sync_range_fn, |real|
        range_synced(fd, || unsafe { real(fd, at, len, flags) });

    ftruncate(fd: c_int, len: off_t) -> c_int, ftruncate_fn, |real|
        truncated(fd, len, || unsafe { real(fd, len) });
    ftruncate64(fd: c_int, len: off_t) -> c_int, ftruncate_fn, |real|
        truncated(fd, len, || unsafe { real(fd, len) });
    fallocate(fd: c_int, mode: c_int, at: off_t, len: off_t) -> c_int, fallocate_fn, |real|
        allocated(fd, mode, at, len, || unsafe { real(fd, mode, at, len) });
    fallocate64(fd: c_int, mode: c_int, at: off_t, len: off_t) -> c_int, fallocate_fn, |real|
        allocated(fd, mode, at, len, || unsafe { real(fd, mode, at, len) });

    mkdir(path: *const c_char, mode: mode_t) -> c_int, mkdir_fn, |real|
        created_folder(libc::AT_FDCWD, path, || unsafe { real(path, mode) });
    mkdirat(at: c_int, path: *const c_char, mode: mode_t) -> c_int, mkdirat_fn, |real|
        created_folder(at, path, || unsafe { real(at, path, mode) });
    unlink(path: *const c_char) -> c_int, path_fn, |real|
        removed(libc::AT_FDCWD, path, || unsafe { real(path) });
    rmdir(path: *const c_char) -> c_int, path_fn, |real|
        removed(libc::AT_FDCWD, path, || unsafe { real(path) });
    unlinkat(at: c_int, path: *const c_char, flags: c_int) -> c_int, unlinkat_fn, |real|
        removed(at, path, || unsafe { real(at, path, flags) });
    rename(from: *const c_char, to: *const c_char) -> c_int, rename_fn, |real|
        renamed((libc::AT_FDCWD, from), (libc::AT_FDCWD, to), || unsafe { real(from, to) });
    clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int, clock_gettime_fn, |real| {
        let answer = unsafe { real(clock, to) };
        if answer == 0 && clock == libc::CLOCK_REALTIME {
            unsafe { shift(to) };
        }
        answer
    };
    renameat(from_at: c_int, from: *const c_char, to_at: c_int, to: *const c_char) -> c_int,
        renameat_fn, |real|
        renamed((from_at, from), (to_at, to), || unsafe { real(from_at, from, to_at, to) });
}

/// Moves a time of day by as much as the clock of this process is ahead.
///
/// # Safety
/// As of the place for the time of `clock_gettime`, which has answered.
unsafe fn shift(time: *mut timespec) {
    static AHEAD: OnceLock<time_t> = OnceLock::new();
    let ahead = AHEAD.get_or_init(|| {
        let ahead = env::var(entry::CLOCK).ok();
        ahead.map_or(0, |text| text.parse().unwrap_or_else(|_| stop("the clock cannot be set so")))
    });
    if *ahead != 0 && !time.is_null() {
        // SAFETY: as this function requires.
        unsafe { (*time).tv_sec += *ahead };
    }
}

/// A name that ends with a zero, as the C library wants it.
const fn c_name(name: &str) -> &CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("one zero, at the end"),
    }
}

/// The bytes of a buffer.
///
/// # Safety
/// As of the buffer of `write`: `len` bytes that nobody changes while the result is in use.
unsafe fn bytes<'a>(from: *const c_void, len: size_t) -> &'a [u8] {
    if from.is_null() {
        return &[];
    }
    // SAFETY: as this function requires.
    unsafe { slice::from_raw_parts(from.cast(), len) }
}

/// A path that was handed to the C library.
fn path_of<'a>(path: *const c_char) -> &'a Path {
    if path.is_null() {
        return Path::new("");
    }
    // SAFETY: a path that is handed to the C library ends with a zero, and stays for the call.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

/// Makes a call, unless it is to fail, and writes down what it came to, all under the lock.
fn change(
    session: &Session,
    call: Call,
    path: &str,
    real: impl FnOnce() -> c_int,
    entry: impl FnOnce() -> Option<Entry>,
) -> c_int {
    let mut log = session.log();
    let file = inode(&session.full_path(path)).unwrap_or(0);
    if let Some(How::Errno(_)) = session.fault(&mut log, call, file, path) {
        return -1;
    }
    let result = real();
    let number = errno();
    if result >= 0
        && let Some(entry) = entry()
    {
        session.note(&mut log, &entry);
    }
    set_errno(number);
    result
}

fn opened(at: c_int, path: *const c_char, flags: c_int, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(path) = session.path_at(at, path_of(path)) else { return real() };
    let full = session.full_path(&path);
    // Looked at before the call, though not under the lock: no two threads create one file.
    let before = inode(&full);
    let entry = || {
        let file = inode(&full)?;
        let truncates = flags & libc::O_TRUNC != 0;
        match before {
            None => Some(Entry::Create { file, path: path.clone() }),
            Some(_) => truncates.then_some(Entry::Truncate { file, len: 0 }),
        }
    };
    change(&session, Call::Open, &path, real, entry)
}

fn opened_folder(path: *const c_char, real: impl FnOnce() -> *mut libc::DIR) -> *mut libc::DIR {
    let Some(session) = enter() else { return real() };
    let Some(path) = session.path_at(libc::AT_FDCWD, path_of(path)) else { return real() };
    match session.fault(&mut session.log(), Call::Open, 0, &path) {
        Some(How::Errno(_)) => std::ptr::null_mut(),
        _ => real(),
    }
}

fn written<'a>(
    fd: c_int,
    at: Option<off_t>,
    bytes: impl FnOnce() -> &'a [u8],
    len: size_t,
    real: impl FnOnce(size_t) -> ssize_t,
) -> ssize_t {
    let Some(session) = enter() else { return real(len) };
    if session.is_marks(fd) {
        let mut log = session.log();
        let done = real(len);
        let bytes = count(done).and_then(|done| bytes().get(..done)).unwrap_or(&[]);
        session.note(&mut log, &Entry::Mark { bytes: bytes.to_vec() });
        if session.is_last_mark() {
            // SAFETY: takes no pointer. The lock is held: nobody is between a change and its entry.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        return done;
    }
    let Some(target) = session.target(fd) else { return real(len) };
    let mut log = session.log();
    let len = match session.fault(&mut log, Call::Write, target.file, &target.path) {
        Some(How::Errno(_)) => return -1,
        Some(How::Short) => len.div_ceil(2),
        None => len,
    };
    let offset = at.unwrap_or_else(|| position(fd));
    let done = real(len);
    let number = errno();
    if let (Some(done), Ok(offset)) = (count(done), u64::try_from(offset)) {
        let written = bytes().get(..done).unwrap_or(&[]);
        let bytes = if session.keeps_bytes() { written.to_vec() } else { Vec::new() };
        session.note(&mut log, &Entry::Write { file: target.file, offset, bytes });
    }
    set_errno(number);
    done
}

/// The number of bytes that a call has done; `None` when it failed.
fn count(done: ssize_t) -> Option<usize> {
    usize::try_from(done).ok()
}

/// Where a plain write goes.
fn position(fd: c_int) -> off_t {
    // SAFETY: neither call takes a pointer; a file that is not open gives an error.
    let (flags, at) =
        unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::lseek(fd, 0, libc::SEEK_CUR)) };
    if flags & libc::O_APPEND == 0 {
        return at;
    }
    let found = std::fs::metadata(format!("/proc/self/fd/{fd}"));
    found.ok().and_then(|found| off_t::try_from(found.len()).ok()).unwrap_or(at)
}

/// Several buffers are recorded as one write, which is what the C library promises.
fn written_parts(
    fd: c_int,
    at: Option<off_t>,
    from: *const iovec,
    parts: c_int,
    real: impl FnOnce() -> ssize_t,
) -> ssize_t {
    let parts = if from.is_null() { 0 } else { usize::try_from(parts).unwrap_or(0) };
    // SAFETY: the caller hands over this many buffers, as of `bytes` each.
    let joined: Vec<u8> = unsafe {
        let parts = slice::from_raw_parts(from, parts).iter();
        parts.flat_map(|part| bytes(part.iov_base, part.iov_len)).copied().collect()
    };
    let len = joined.len();
    written(fd, at, || &joined, len, |_| real())
}

fn was_read(fd: c_int, len: size_t, real: impl FnOnce(size_t) -> ssize_t) -> ssize_t {
    let Some(session) = enter() else { return real(len) };
    let Some(target) = session.target(fd) else { return real(len) };
    let fault = session.fault(&mut session.log(), Call::Read, target.file, &target.path);
    match fault {
        Some(How::Errno(_)) => -1,
        Some(How::Short) => real(len.div_ceil(2)),
        None => real(len),
    }
}

fn synced(fd: c_int, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(Target { path, file }) = session.target(fd) else { return real() };
    let sync = session.next_sync();
    let mut log = session.log();
    session.note(&mut log, &Entry::SyncBegins { file, sync, path: path.clone() });
    if let Some(How::Errno(_)) = session.fault(&mut log, Call::Sync, file, &path) {
        return -1;
    }
    drop(log);
    let result = real();
    let number = errno();
    if result == 0 {
        session.note(&mut session.log(), &Entry::SyncEnds { file, sync });
    }
    set_errno(number);
    result
}

fn range_synced(fd: c_int, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(Target { path, file }) = session.target(fd) else { return real() };
    let mut log = session.log();
    session.note(&mut log, &Entry::SyncRange { file, path: path.clone() });
    match session.fault(&mut log, Call::Sync, file, &path) {
        Some(How::Errno(_)) => -1,
        _ => real(),
    }
}

fn truncated(fd: c_int, len: off_t, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(target) = session.target(fd) else { return real() };
    let len = u64::try_from(len).ok();
    let entry = || len.map(|len| Entry::Truncate { file: target.file, len });
    change(&session, Call::Truncate, &target.path, real, entry)
}

fn allocated(fd: c_int, mode: c_int, at: off_t, len: off_t, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(target) = session.target(fd) else { return real() };
    if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
        stop("room for a file is asked for in a way that is not recorded");
    }
    let len = u64::try_from(at.saturating_add(len)).ok().filter(|_| mode == 0);
    let entry = || len.map(|len| Entry::Grow { file: target.file, len });
    change(&session, Call::Truncate, &target.path, real, entry)
}

fn created_folder(at: c_int, path: *const c_char, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(path) = session.path_at(at, path_of(path)) else { return real() };
    let full = session.full_path(&path);
    let entry = || inode(&full).map(|file| Entry::CreateFolder { file, path: path.clone() });
    change(&session, Call::CreateFolder, &path, real, entry)
}

fn removed(at: c_int, path: *const c_char, real: impl FnOnce() -> c_int) -> c_int {
    let Some(session) = enter() else { return real() };
    let Some(path) = session.path_at(at, path_of(path)) else { return real() };
    let entry = || Some(Entry::Remove { path: path.clone() });
    change(&session, Call::Remove, &path, real, entry)
}

fn renamed(
    from: (c_int, *const c_char),
    to: (c_int, *const c_char),
    real: impl FnOnce() -> c_int,
) -> c_int {
    let Some(session) = enter() else { return real() };
    let from = session.path_at(from.0, path_of(from.1));
    let to = session.path_at(to.0, path_of(to.1));
    let (from, to) = match (from, to) {
        (None, None) => return real(),
        (Some(from), Some(to)) => (from, to),
        _ => stop("a file is moved into the folder that is watched, or out of it"),
    };
    let path = to.clone();
    let entry = || Some(Entry::Rename { from, to });
    change(&session, Call::Rename, &path, real, entry)
}
