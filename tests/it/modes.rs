//! Who may read the files of a store: what it was made with, whatever the umask of the process.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{cli, fixture, run};

/// The modes of everything below a folder and of itself: of folders, and of files.
fn modes(folder: &Path) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    let (mut folders, mut files) = (BTreeSet::from([mode(folder)]), BTreeSet::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let (more_folders, more_files) = modes(&path);
            folders.extend(more_folders);
            files.extend(more_files);
        } else {
            files.insert(mode(&path));
        }
    }
    (folders, files)
}

/// Runs a command under a umask.
#[track_caller]
fn under(umask: &str, command: &Command) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(command.get_program());
    run(shell.args(command.get_args()).stdin(Stdio::null())).succeeded()
}

/// Events that fill segments, and content.
fn fill(store: &Path, umask: &str, mode: Option<&str>) {
    let sample = fixture("book.jsonl.gz");
    let mut import = cli(store);
    import.arg("import").args(mode.map(|mode| format!("--mode={mode}"))).arg(&sample);
    under(umask, &import);
    under(umask, cli(store).args(["content", "put"]).arg(&sample));
    // Sled's copy is made anew, and another is set aside.
    fs::write(store.join("sled/conf"), "none of sled's").unwrap();
    under(umask, cli(store).args(["where", "nowhere"]));
    under(umask, cli(store).args(["tail", "--last", "1"]));
}

#[test]
fn a_new_store_is_its_owners_alone_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    for umask in ["000", "022", "077", "007"] {
        let store = folder.path().join(umask);
        fill(&store, umask, None);
        assert_eq!(modes(&store), ([0o700].into(), [0o600].into()), "umask {umask}");
    }
}

#[test]
fn a_store_for_a_group_is_that_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    for (umask, mode) in [("000", "0750"), ("077", "0750"), ("027", "770"), ("022", "0755")] {
        let store = folder.path().join(format!("{umask}-{mode}"));
        fill(&store, umask, Some(mode));
        let bits = u32::from_str_radix(mode, 8).unwrap();
        assert_eq!(modes(&store), ([bits].into(), [bits & 0o666].into()), "{umask} {mode}");
    }
}

#[test]
fn modes_of_a_store_that_is_there_stay_and_what_is_new_follows_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let line = r#"{"event_type":"space.created","space_id":"a","payload":{"name":"A"}}"#;
    let input = folder.path().join("one.jsonl");
    // So many that there is a copy in sled.
    fs::write(&input, format!("{line}\n").repeat(1_100)).unwrap();
    under("077", cli(&store).arg("import").arg(&input));
    let set = |path: PathBuf, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(store.clone(), 0o755);
    let mode = |name: &str| fs::metadata(store.join(name)).unwrap().permissions().mode() & 0o777;
    let before = ["HEAD", "LOCK", "journal", "sled", "sled/db"].map(|name| (name, mode(name)));
    let journal = || -> BTreeSet<String> {
        let files = fs::read_dir(store.join("journal")).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    let files_before = journal();
    let mut import = cli(&store);
    import.args(["import", "--mode=0770"]).arg(fixture("book.jsonl.gz"));
    under("077", &import);
    under("077", cli(&store).args(["content", "put"]).arg(&input));
    assert_eq!(before.map(|(name, _)| (name, mode(name))), before);
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o755);
    // How many there are depends on how far the sealer came.
    let new_files: Vec<String> = journal().difference(&files_before).cloned().collect();
    assert!(!new_files.is_empty());
    for file in new_files {
        assert_eq!(mode(&format!("journal/{file}")), 0o644, "{file}");
    }
    for (name, new) in [("content", 0o755), ("content/MANIFEST", 0o644)] {
        assert_eq!(mode(name), new, "{name}");
    }
}

#[test]
fn a_mode_that_shuts_the_owner_out_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for mode in ["0650", "rwx", "7", "01750"] {
        let answer = run(cli(&store).args(["append", "--mode", mode]));
        assert_eq!(answer.code, Some(2), "{mode}: {}", answer.stderr);
        assert!(!store.exists());
    }
}
