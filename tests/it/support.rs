//! What the tests share: the sample history, stores made of it, and the binaries.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use flate2::read::GzDecoder;
use spacefold::{
    Options, Spacefold,
    admin::{ImportOptions, ImportReport},
};

/// The events of the sample history.
pub(crate) const SAMPLE_EVENTS: u64 = 25_557;

/// A file among the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The text in a gzip file among the fixtures.
pub(crate) fn unzipped(name: &str) -> String {
    let file = File::open(fixture(name)).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// The sample history: one event a line.
pub(crate) static SAMPLE: LazyLock<String> = LazyLock::new(|| unzipped("book.jsonl.gz"));

/// The events and states of a store that took the sample in whole and undisturbed.
pub(crate) static REFERENCE: LazyLock<Contents> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("store")).unwrap();
    import_sample(&spaces);
    Contents::of(&spaces)
});

/// Runs a test on an empty store of each kind: on disk, and in memory.
pub(crate) fn each_kind(test: fn(&Options)) {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = Options::new(folder.path().join("data"));
    for (kind, options) in [("on disk", on_disk), ("in memory", Options::in_memory())] {
        println!("{kind}");
        test(&options);
    }
}

/// Makes tests of functions that take the options of an empty store: each on every kind of store.
macro_rules! on_each_kind {
    [$($test:ident),+ $(,)?] => {
        mod on_each_kind {
            $(
                #[test]
                fn $test() {
                    crate::support::each_kind(super::$test);
                }
            )+
        }
    };
}
pub(crate) use on_each_kind;

/// Imports the sample history.
#[track_caller]
pub(crate) fn import_sample(spaces: &Spacefold) -> ImportReport {
    let file = BufReader::new(GzDecoder::new(File::open(fixture("book.jsonl.gz")).unwrap()));
    let input = BufReader::new(file);
    spaces.import(input, &ImportOptions::default(), &mut ()).unwrap()
}

/// All that two stores of the same events have in common.
#[derive(PartialEq, Eq)]
pub(crate) struct Contents {
    /// Every event as `export` prints it.
    pub(crate) export: String,
    /// Every space with the hash of its state at the head.
    pub(crate) state_hashes: Vec<(String, String)>,
}

impl Contents {
    #[track_caller]
    pub(crate) fn of(spaces: &Spacefold) -> Self {
        let export = conformance::whole_log(spaces.log())
            .iter()
            .map(|event| event.to_json() + "\n")
            .collect();
        let hash = |snapshot: &spacefold::Snapshot| {
            let hash = snapshot.state().state_hash().to_string();
            (snapshot.space_id().to_owned(), hash)
        };
        let state_hashes = spaces.snapshot_all().unwrap().iter().map(hash).collect();
        Self { export, state_hashes }
    }

    /// Fails at the first thing that differs; the whole would be megabytes.
    #[track_caller]
    pub(crate) fn assert_is(&self, expected: &Self) {
        let lines = self.export.lines().zip(expected.export.lines());
        for (index, (line, expected)) in lines.enumerate() {
            assert_eq!(line, expected, "event {}", index + 1);
        }
        assert_eq!(self.export.len(), expected.export.len());
        assert_eq!(self.state_hashes, expected.state_hashes);
    }
}

/// The folder of the binaries, built as the tests are.
fn binaries() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        // This test is `<target>/<profile>/deps/it-<hash>`.
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        // With a test among them they have the features of everything that is tested, and are linked
        // to what `cargo test` has built; without one, a second build of most of it.
        let what = ["--workspace", "--bins", "--test", "versions"];
        build
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet"])
            .args(what)
            .arg("--target-dir")
            .arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // What cargo says of this test: build scripts that look at it would run again, and what rests
        // on them be built again, here and by whoever runs cargo next.
        let of_test =
            |name: &str| name.starts_with("CARGO_MANIFEST") || name.starts_with("CARGO_PKG");
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names.filter(|name| of_test(name)) {
            build.env_remove(name);
        }
        assert!(build.status().unwrap().success(), "the binaries do not build");
        folder
    });
    &FOLDER
}

/// The binary of this name.
fn binary(name: &str) -> PathBuf {
    binaries().join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A library to preload that sets the clock of a process: one of the binaries depends on it.
pub(crate) fn recorder() -> PathBuf {
    let library = binaries().join("deps/libspacefold_crash_recorder.so");
    assert!(library.is_file(), "{} is not built", library.display());
    library
}

/// A command on a store, without input and without the caller's settings; what it keeps of a store that
/// it follows is beside that.
fn command(name: &str, data: &Path) -> Command {
    let mut command = Command::new(binary(name));
    command
        .env_remove("SPACEFOLD_DATA")
        .env_remove("SPACEFOLD_URL")
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null());
    command.env("XDG_CACHE_HOME", data.with_extension("caches"));
    command
}

/// The command line on a store.
pub(crate) fn cli(data: &Path) -> Command {
    command("spacefold", data)
}

/// The command line, told the URL of a server.
pub(crate) fn cli_at(url: &str) -> Command {
    let mut command = Command::new(binary("spacefold"));
    for of_caller in ["SPACEFOLD_DATA", "SPACEFOLD_URL", "SPACEFOLD_TOKEN"] {
        command.env_remove(of_caller);
    }
    command.args(["--url", url]).stdin(Stdio::null());
    command
}

/// The rebuild tool on a store.
pub(crate) fn rebuild_projections(data: &Path) -> Command {
    command("rebuild-projections", data)
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Answer {
    answer(command.output().unwrap())
}

pub(crate) fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Answer {
    /// What a command that succeeded printed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Checks how a command failed: its exit code, and that it said why and what to do.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, error: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{}", self.stderr);
        assert_eq!(lines[0], format!("error: {error}"));
        assert!(lines[1].starts_with("hint: "), "{}", self.stderr);
    }
}
