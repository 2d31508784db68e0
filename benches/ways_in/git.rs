//! `import-git` beside git itself, doing what the import has it do: `log --raw`, `cat-file --batch`.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Bench, measure::run};

const SEED: u64 = 7;
const COMMITS: usize = 2_000;

pub(crate) fn row(bench: &Bench) {
    let repository = bench.folder.join("synthetic");
    let changes = make(&repository, COMMITS);
    println!("\n## import-git, {COMMITS} commits, {changes} changes of files, seed {SEED}\n");
    let (store, scratch) = (bench.folder.join("git-store"), bench.folder.join("scratch"));
    fs::create_dir(&scratch).unwrap();
    let mut git = || git_alone(&repository, &scratch);
    let mut import = || {
        bench.forget(&store);
        let mut import = bench.spacefold(&store);
        run(import.args(["import-git", "--json", "--space-per", "folder"]).arg(&repository));
    };
    let mut again = || {
        let mut import = bench.spacefold(&store);
        run(import.args(["import-git", "--json", "--space-per", "folder"]).arg(&repository));
    };
    let units = changes as f64;
    bench.compare(
        ("change", units),
        &mut [("git alone", &mut git), ("import-git", &mut import), ("again", &mut again)],
    );
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
