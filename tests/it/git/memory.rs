//! Large files go through an import, the content commands and a checkout piece by piece: each
//! process runs within a limit that is less than the file.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use spacefold::content::ContentHash;

use super::Repository;
use crate::support::{Answer, cli, run};

const SEED: u64 = 20_261_201;
const FILE_BYTES: usize = 160 << 20;
/// KiB of memory of its own that a process may have.
const PRIVATE_KIB: usize = 96 << 10;
/// KiB of addresses that git may use, which counts what it maps of files too.
const GIT_KIB: usize = 144 << 10;

/// A `PATH` in front of whose git stands a script, with `GIT` in the place of the real one.
fn path_with_git(script: &str, folder: &Path) -> String {
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    let real = String::from_utf8(real).unwrap();
    let programs = folder.join("programs");
    fs::create_dir_all(&programs).unwrap();
    let wrapper = programs.join("git");
    fs::write(&wrapper, format!("#!/bin/sh\n{}\n", script.replace("GIT", real.trim()))).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", programs.display(), std::env::var("PATH").unwrap())
}

/// The command, within the limits; git in it as well.
fn limited(command: &Command, folder: &Path) -> Answer {
    let path = path_with_git(&format!("ulimit -v {GIT_KIB}; exec GIT \"$@\""), folder);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -d {PRIVATE_KIB} && exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    run(shell.env("PATH", path))
}

fn hash_of(path: &Path) -> String {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    ContentHash::of(&bytes).to_string()
}

/// A repository with one large file that does not compress.
fn with_a_large_file(folder: &Path) -> (Repository, PathBuf) {
    println!("seed {SEED}");
    let repository = Repository::empty(&folder.join("made"));
    let mut bytes = vec![0; FILE_BYTES];
    fastrand::Rng::with_seed(SEED).fill(&mut bytes);
    // Git stores it as it is: what is tested is not how fast zlib gives up on noise.
    repository.git(["config", "core.compression", "0"]);
    repository.write("large", &bytes);
    repository.commit("a large file");
    let file = repository.path().join("large");
    (repository, file)
}

#[test]
fn a_file_larger_than_the_memory_is_imported_and_checked_out() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, file) = with_a_large_file(folder.path());
    let expected = hash_of(&file);
    for storage in ["loose", "packed"] {
        if storage == "packed" {
            repository.git(["repack", "-a", "-d", "--quiet"]);
        }
        let store = folder.path().join(format!("store-{storage}"));
        let mut import = cli(&store);
        import.args(["import-git", "--space-per", "repo"]).arg(repository.path());
        limited(&import, folder.path()).succeeded();
        let mut checkout = cli(&store);
        let out = folder.path().join(format!("out-{storage}"));
        checkout.args(["checkout", "made"]).arg(&out);
        limited(&checkout, folder.path()).succeeded();
        assert_eq!(hash_of(&out.join("large")), expected, "{storage}");
        fs::remove_dir_all(&out).unwrap();
        let again = limited(cli(&store).args(["content", "put"]).arg(&file), folder.path());
        assert_eq!(again.succeeded().trim(), expected);
        let out = folder.path().join(format!("content-{storage}"));
        let mut get = cli(&store);
        get.args(["content", "get", &expected, "--out"]).arg(&out);
        limited(&get, folder.path()).succeeded();
        assert_eq!(hash_of(&out), expected);
        fs::remove_dir_all(&store).unwrap();
    }
}

/// In the middle of a file that never ends: what was begun is given up, and nothing left behind.
#[test]
fn ctrl_c_ends_an_import_in_the_middle_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_long_history(folder.path(), 3);
    let (store, temporary) = (folder.path().join("store"), folder.path().join("temporary"));
    fs::create_dir(&temporary).unwrap();
    let endless = "case \"$*\" in\n\
         *'cat-file --batch') read object; echo \"$object blob 99999999999\"; exec cat /dev/urandom;;\n\
         *) exec GIT \"$@\";;\nesac";
    let path = path_with_git(endless, folder.path());
    let mut import = cli(&store);
    import.args(["import-git", "--space-per", "repo"]).arg(repository.path());
    import.env("PATH", path).env("TMPDIR", &temporary);
    let mut child = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let stored = || -> u64 {
        let files = fs::read_dir(store.join("content")).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    };
    while stored() < 4 << 20 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    import.env("PATH", std::env::var("PATH").unwrap());
    run(&mut import).succeeded();
    run(cli(&store).arg("verify")).succeeded();
}
