//! Content in and out, beside `cp` and `sync -f`.

use std::{
    fs::{self, File},
    io::{BufRead as _, Write as _},
    path::Path,
    process::Command,
};

use spacefold::{Folding, Options, content::ContentStore as _};

use crate::{Bench, measure::run};

const FILES: usize = 10_000;
const FILE_BYTES: usize = 7_000;
const LARGE_BYTES: usize = 300_000_000;

pub(crate) fn row(bench: &Bench) {
    let cases = [("many", FILES, FILE_BYTES), ("large", 1, LARGE_BYTES)];
    for (name, files, bytes) in cases {
        let folder = bench.folder.join(name);
        make(&folder, files, bytes);
        println!("\n## Content, {files} files of {bytes} bytes\n");
        let [copy, store, out] =
            ["copy", "content-store", "out"].map(|end| bench.folder.join(format!("{name}-{end}")));
        let mut cp = || {
            bench.forget(&copy);
            run(Command::new("cp").arg("-r").arg(&folder).arg(&copy));
            run(Command::new("sync").arg("-f").arg(&copy));
        };
        let mut put = || {
            bench.forget(&store);
            run(bench.child("put").arg(&folder).arg(&store));
        };
        let mut get = || {
            bench.forget(&out);
            run(bench.child("get").arg(&folder).arg(&store).arg(&out));
            run(Command::new("sync").arg("-f").arg(&out));
        };
        bench.compare(
            ("MB", (files * bytes) as f64 / 1e6),
            &mut [("`cp -r`, `sync -f`", &mut cp), ("in", &mut put), ("out", &mut get)],
        );
    }
}

/// What a process of its own does.
pub(crate) fn child(arguments: &[&str]) {
    match arguments {
        ["put", files, store] => {
            let spaces = Options::new(store).folding(Folding::OnDemand).open().unwrap();
            for entry in fs::read_dir(files).unwrap() {
                let mut file = File::open(entry.unwrap().path()).unwrap();
                spaces.content().put(&mut file).unwrap();
            }
            spaces.content().sync().unwrap();
            spaces.close().unwrap();
        }
        ["get", files, store, out] => {
            let spaces = Options::new(store).folding(Folding::OnDemand).open().unwrap();
            fs::create_dir(out).unwrap();
            for entry in fs::read_dir(files).unwrap() {
                // Each file has the name of its content.
                let name = entry.unwrap().file_name().into_string().unwrap();
                let mut content = spaces.content().open(&name.parse().unwrap()).unwrap();
                let mut file = File::create(Path::new(out).join(name)).unwrap();
                loop {
                    let bytes = content.fill_buf().unwrap();
                    if bytes.is_empty() {
                        break;
                    }
                    file.write_all(bytes).unwrap();
                    let taken = bytes.len();
                    content.consume(taken);
                }
            }
            spaces.close().unwrap();
        }
        _ => panic!("no such child: {arguments:?}"),
    }
}

/// Files that cannot be packed, under the names of their contents.
fn make(folder: &Path, files: usize, bytes: usize) {
    fs::create_dir(folder).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..files {
        let mut content = vec![0; bytes];
        random.fill(&mut content);
        let hash = spacefold::content::ContentHash::of(&content);
        fs::write(folder.join(hash.to_string()), content).unwrap();
    }
}
