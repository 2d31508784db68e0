//! One process has a store open: every other is refused at once, whichever way it comes, until the
//! holder closes it or dies.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use damage::{contents::OpenStore, stores::scratch};
use spacefold::{OpenError, SpaceEvent};

use crate::WORKER;

/// A process that holds a store open.
struct Holder {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Holder {
    fn start(how: &str, store: &Path) -> Self {
        let mut child = Command::new(WORKER)
            .arg(how)
            .arg(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing of the process runs any more.
    fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opening the store here and in another process is refused in favour of this one.
#[track_caller]
fn assert_held_by(pid: u32, store: &Path) {
    match OpenStore::open(store) {
        Err(OpenError::AlreadyOpen { pid: Some(found), .. }) => assert_eq!(found, pid),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it is open twice"),
    }
    let mut another = Holder::start("hold", store);
    assert_eq!(another.says(), format!("in use by {pid}"));
}

#[track_caller]
fn assert_free(store: &Path) {
    let opened = OpenStore::open(store).unwrap();
    opened.append(&[SpaceEvent::space_created("a", "A")]).unwrap();
    opened.close().unwrap();
}

#[test]
fn a_second_process_is_refused_until_the_first_closes_it() {
    let folder = scratch();
    let store = folder.path().join("store");
    let mut holder = Holder::start("hold", &store);
    assert_eq!(holder.says(), "open");
    assert_held_by(holder.pid(), &store);
    holder.stdin = None;
    assert_eq!(holder.says(), "closed");
    // The process is still there; the store is free.
    assert_free(&store);
}

#[test]
fn a_second_process_is_refused_until_the_first_is_killed() {
    let folder = scratch();
    let store = folder.path().join("store");
    for _ in 0..5 {
        let mut holder = Holder::start("hold", &store);
        assert_eq!(holder.says(), "open");
        assert_held_by(holder.pid(), &store);
        holder.kill();
        assert_free(&store);
    }
}

#[test]
fn another_name_is_no_way_in() {
    let folder = scratch();
    let store = folder.path().join("store");
    let link = folder.path().join("link");
    let link_to_link = folder.path().join("link-to-link");
    symlink(&store, &link).unwrap();
    symlink("link", &link_to_link).unwrap();
    let around = folder.path().join("store").join("..").join("store");
    let mut holder = Holder::start("hold", &store);
    assert_eq!(holder.says(), "open");
    for name in [&link, &link_to_link, &around] {
        assert_held_by(holder.pid(), name);
    }
    holder.kill();
    let mut holder = Holder::start("hold", &link_to_link);
    assert_eq!(holder.says(), "open");
    assert_held_by(holder.pid(), &store);
    holder.kill();
    assert_free(&link);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_handle_of_the_same_process_is_refused() {
    let folder = scratch();
    let store = folder.path().join("store");
    let held = OpenStore::open(&store).unwrap();
    assert_held_by(std::process::id(), &store);
    held.close().unwrap();
    assert_free(&store);
}

#[test]
fn a_forked_child_holds_no_lock_of_a_store_that_was_closed() {
    let folder = scratch();
    let store = folder.path().join("store");
    let mut holder = Holder::start("hold-forked", &store);
    let child = Forked::new(&holder.says());
    assert_eq!(holder.says(), "open");
    assert_held_by(holder.pid(), &store);
    holder.stdin = None;
    assert_eq!(holder.says(), "closed");
    // The lock of the store is free; that of sled's own file may still be shared with the child.
    match OpenStore::open(&store) {
        Ok(store) => store.close().unwrap(),
        Err(OpenError::Storage(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
    drop(child);
    assert_free(&store);
}

#[test]
fn a_forked_child_of_a_killed_holder_keeps_the_store_closed_to_others() {
    let folder = scratch();
    let store = folder.path().join("store");
    let mut holder = Holder::start("hold-forked", &store);
    let child = Forked::new(&holder.says());
    assert_eq!(holder.says(), "open");
    let pid = holder.pid();
    holder.kill();
    // It has the files of the holder open: nobody can tell that it writes to none of them.
    assert_held_by(pid, &store);
    drop(child);
    assert_free(&store);
}

/// A process that a holder forked off.
struct Forked(String);

impl Forked {
    fn new(said: &str) -> Self {
        Self(said.strip_prefix("child ").unwrap().to_owned())
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.0]).status();
        assert!(killed.unwrap().success());
        // Its parent is gone or will not ask: its files are closed once it is no longer there, or
        // only waits to be asked for.
        let stat = format!("/proc/{}/stat", self.0);
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::yield_now();
        }
    }
}
