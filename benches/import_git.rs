//! What `spacefold import-git` costs beside git itself, on a synthetic history:
//!
//! ```text
//! cargo build --release -p spacefold-cli
//! cargo run --release -p spacefold-benches --example import_git -- target/release/spacefold 2000
//! ```
//!
//! Printed are wall and processor seconds of git alone, doing what the import has it do (`log --raw`,
//! `cat-file --batch`), of the whole import, and of a second one that finds nothing new. Three rounds,
//! interleaved, in a folder in memory and on the disk of the temporary folder.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const ROUNDS: usize = 3;
const SEED: u64 = 7;
/// Clock ticks a second in `/proc`, on every Linux there is.
const TICKS: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [spacefold, commits] = arguments.as_slice() else {
        println!("SPACEFOLD COMMITS");
        return;
    };
    let spacefold = fs::canonicalize(spacefold).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("synthetic");
    let events = make(&repository, commits.parse().unwrap());
    println!("{commits} commits, {events} changes of files, seed {SEED}");
    for round in 1..=ROUNDS {
        measure(&format!("{round} git alone"), || git_alone(&repository, folder.path()));
        for parent in [Path::new("/dev/shm"), folder.path()] {
            let stores = tempfile::tempdir_in(parent).unwrap();
            let mut import = Command::new(&spacefold);
            import.arg("--data").arg(stores.path().join("store")).args(["import-git", "--json"]);
            import.args(["--space-per", "folder"]).arg(&repository);
            for what in ["import", "again"] {
                measure(&format!("{round} {what} in {}", parent.display()), || run(&mut import));
            }
        }
    }
}

/// A history of small edits to some hundred documents in ten folders.
fn make(repository: &Path, commits: usize) -> usize {
    fs::create_dir(repository).unwrap();
    run(Command::new("git").arg("-C").arg(repository).args([
        "init",
        "--quiet",
        "--initial-branch=main",
    ]));
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut texts = vec![String::new(); 400];
    let mut stream = String::new();
    let mut changes = 0;
    for commit in 1..=commits {
        let time = 1_400_000_000 + commit * 600;
        let _ = writeln!(stream, "commit refs/heads/main\nmark :{commit}");
        let _ = writeln!(stream, "committer C <c@example.org> {time} +0000\ndata 6\nchange");
        if commit > 1 {
            let _ = writeln!(stream, "from :{}", commit - 1);
        }
        for _ in 0..random.usize(1..=6) {
            let document = random.usize(..texts.len());
            let text = texts.get_mut(document).unwrap();
            for _ in 0..random.usize(1..20) {
                let _ = writeln!(text, "{:x} a line of the document, edited", random.u64(..));
            }
            let path = format!("folder-{}/document-{document}.md", document % 10);
            let _ = writeln!(stream, "M 100644 inline {path}\ndata {}\n{text}", text.len());
            changes += 1;
        }
    }
    let mut import = Command::new("git");
    import.arg("-C").arg(repository).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = import.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    changes
}

fn git_alone(repository: &Path, folder: &Path) {
    let history = folder.join("history");
    let mut log = Command::new("git");
    log.arg("-C").arg(repository).args([
        "log",
        "--first-parent",
        "--reverse",
        "--raw",
        "--no-abbrev",
    ]);
    log.args(["-M50%", "-l2000", "--format=%H"]).stdout(File::create(&history).unwrap());
    assert!(log.status().unwrap().success());
    let history = fs::read_to_string(&history).unwrap();
    let mut objects: Vec<&str> =
        history.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').nth(3)).collect();
    let mut asked = std::collections::HashSet::new();
    objects.retain(|object| asked.insert(*object));
    let list: PathBuf = folder.join("objects");
    fs::write(&list, objects.join("\n")).unwrap();
    let mut contents = Command::new("git");
    contents.arg("-C").arg(repository).args(["cat-file", "--batch"]);
    contents.stdin(File::open(list).unwrap()).stdout(Stdio::null());
    assert!(contents.status().unwrap().success());
}

fn run(command: &mut Command) {
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
}

fn measure(what: &str, act: impl FnOnce()) {
    let (user, system) = of_children();
    let began = Instant::now();
    act();
    let wall = began.elapsed().as_secs_f64();
    let (user_after, system_after) = of_children();
    println!(
        "{what:40} {wall:7.2} s, {:6.2} s user, {:6.2} s system",
        user_after - user,
        system_after - system
    );
}

/// Processor seconds of all children, and of theirs, that have ended.
fn of_children() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field).unwrap().parse::<f64>().unwrap() / TICKS;
    (ticks(13), ticks(14))
}
