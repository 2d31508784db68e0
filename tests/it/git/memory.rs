//! Large files go through an import, the content commands and a checkout piece by piece: each
//! process runs within a limit that is less than the file.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use spacefold::ContentHash;

use super::Repository;
use crate::support::{Answer, cli, run};

const SEED: u64 = 20_261_201;
const FILE_BYTES: usize = 160 << 20;
/// KiB of memory of its own that a process may have.
const PRIVATE_KIB: usize = 96 << 10;
/// KiB of addresses that git may use, which counts what it maps of files too.
const GIT_KIB: usize = 144 << 10;

/// The command, within the limits; git in it as well.
fn limited(command: &Command, folder: &Path) -> Answer {
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    let real = String::from_utf8(real).unwrap();
    let programs = folder.join("programs");
    fs::create_dir_all(&programs).unwrap();
    let wrapper = programs.join("git");
    let text = format!("#!/bin/sh\nulimit -v {GIT_KIB}\nexec {} \"$@\"\n", real.trim());
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -d {PRIVATE_KIB} && exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    run(shell.env("PATH", format!("{}:{path}", programs.display())))
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
        let out = folder.path().join("out");
        let mut get = cli(&store);
        get.args(["content", "get", &expected, "--out"]).arg(&out);
        limited(&get, folder.path()).succeeded();
        assert_eq!(hash_of(&out), expected);
        fs::remove_dir_all(&store).unwrap();
    }
}
