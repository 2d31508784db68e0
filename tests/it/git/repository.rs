//! Repositories made for a test.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(super) struct Repository {
    path: PathBuf,
}

impl Repository {
    pub(super) fn existing(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn empty(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let repository = Self::existing(path);
        repository.git(["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Renames, removals, binary files, programs, links, a submodule, a merge, empty files and
    /// commits, and names of every kind.
    pub(super) fn with_everything(folder: &Path) -> Self {
        let made = Self::empty(&folder.join("made"));
        let long: String = (0..200).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "line {line} of a file that is long enough to be recognised");
            text
        });
        made.write("README.md", b"# Made\n");
        made.write("src/lib.rs", long.as_bytes());
        made.write("src/bin/main.rs", b"fn main() {}\n");
        made.write("empty", b"");
        made.write("sp ace/tab\there/new\nline", b"odd\n");
        made.write("ünïcödé/日本語.md", "日本\n".as_bytes());
        made.write(OsStr::from_bytes(b"latin/caf\xe9.txt"), b"latin-1 name");
        made.write("binary.bin", &(0..=255).cycle().take(100_000).collect::<Vec<u8>>());
        made.write("run.sh", b"#!/bin/sh\n");
        made.set_mode("run.sh", 0o755);
        made.link("link", "README.md");
        made.link("src/up", "../README.md");
        made.link("dangling", "/no/such/place");
        made.commit("everything");
        // Renamed with a change, over folders too, and a chain of them.
        made.rename("src/lib.rs", "src/library.rs");
        made.write("src/library.rs", format!("{long}one more\n").as_bytes());
        made.rename("src/bin/main.rs", "tool.rs");
        made.rename(OsStr::from_bytes(b"latin/caf\xe9.txt"), OsStr::from_bytes(b"latin/\xff.txt"));
        made.commit("renames");
        made.git(["commit", "--quiet", "--allow-empty", "--message=nothing"]);
        // Modes, kinds, and what is removed to come back.
        made.set_mode("run.sh", 0o644);
        made.set_mode("README.md", 0o755);
        made.remove("link");
        made.write("link", b"no link any more\n");
        made.remove("empty");
        made.remove("binary.bin");
        made.link("binary.bin", "empty");
        made.commit("modes");
        // A file in the place of a folder, and a folder in the place of a file.
        fs::remove_dir_all(made.path.join("sp ace")).unwrap();
        made.write("sp ace", b"a file\n");
        made.remove("tool.rs");
        made.write("tool.rs/inside", b"a folder\n");
        made.write("empty", b"");
        made.commit("swaps");
        // A merge: what it brought counts as one commit.
        made.git(["checkout", "--quiet", "-b", "side"]);
        made.write("side/one", b"1\n");
        made.commit("side one");
        made.write("side/two", b"2\n");
        made.commit("side two");
        made.git(["checkout", "--quiet", "main"]);
        made.write("README.md", b"# Made, and changed\n");
        made.commit("main goes on");
        made.git(["merge", "--quiet", "--no-ff", "--message=merge", "side"]);
        // A submodule, as git keeps it: the commit of another repository.
        let commit = "0123456789012345678901234567890123456789";
        made.git([
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{commit},modules/other"),
        ]);
        made.git(["commit", "--quiet", "--message=submodule"]);
        fs::create_dir_all(made.path.join("modules/other")).unwrap();
        made.write("last", b"last\n");
        made.commit("last");
        made
    }

    /// Two commits of so many files.
    pub(super) fn with_many_files(folder: &Path, files: usize) -> Self {
        let mut stream = String::new();
        for commit in 1..=2 {
            begin_commit(&mut stream, commit);
            for file in 0..files {
                inline(&mut stream, &format!("folder/{file}"), &format!("{file} of {commit}\n"));
            }
        }
        Self::imported(folder, &stream)
    }

    /// So many small commits.
    pub(super) fn with_long_history(folder: &Path, commits: usize) -> Self {
        let mut stream = String::new();
        for commit in 1..=commits {
            begin_commit(&mut stream, commit);
            let text = format!("commit {commit}\n").repeat(commit % 50 + 1);
            inline(&mut stream, &format!("src/{}.md", commit % 40), &text);
            inline(&mut stream, &format!("notes/{}.md", commit % 7), &text);
            inline(&mut stream, "CHANGELOG", &format!("{commit}\n"));
            if commit % 10 == 0 {
                let _ = writeln!(stream, "D src/{}.md", commit % 40);
            }
        }
        Self::imported(folder, &stream)
    }

    fn imported(folder: &Path, stream: &str) -> Self {
        let made = Self::empty(&folder.join("made"));
        let mut child =
            made.command(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        made
    }

    pub(super) fn shallow_clone(&self, to: &Path) -> PathBuf {
        let url = format!("file://{}", self.path.display());
        self.git([
            OsStr::new("clone"),
            "--quiet".as_ref(),
            "--depth=1".as_ref(),
            url.as_ref(),
            to.as_os_str(),
        ]);
        to.to_owned()
    }

    /// A bare clone that lacks what the filter leaves out.
    pub(super) fn partial_clone(&self, to: &Path, filter: &str) -> Self {
        self.git(["config", "uploadpack.allowFilter", "true"]);
        let url = format!("file://{}", self.path.display());
        let filter = format!("--filter={filter}");
        let options = ["clone", "--quiet", "--bare", &filter, &url].map(OsStr::new);
        self.git(options.into_iter().chain([to.as_os_str()]));
        Self::existing(to)
    }

    /// A copy of a bare repository, file by file.
    pub(super) fn copied(&self, to: &Path) -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
                if from.is_dir() {
                    copy(&from, &to.join(name));
                } else {
                    fs::copy(&from, to.join(name)).unwrap();
                }
            }
        }
        copy(&self.path, to);
        Self::existing(to)
    }

    /// Puts a commit with a signature, of nobody, on top of the branch.
    pub(super) fn sign_the_tip(&self) {
        let commit = self.git(["cat-file", "commit", "HEAD"]);
        let (head, message) = commit.split_once("\n\n").unwrap();
        let signature = "-----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----";
        let signed = format!("{head}\ngpgsig {signature}\n\n{message}");
        let mut child = self
            .command(["hash-object", "-t", "commit", "-w", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
        let hash = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        self.git(["update-ref", "refs/heads/main", hash.trim()]);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_there(&self) -> bool {
        self.command(["rev-parse", "--verify", "--quiet", "HEAD"])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    pub(super) fn is_shallow(&self) -> bool {
        self.git(["rev-parse", "--is-shallow-repository"]) == "true\n"
    }

    /// The first-parent history, the oldest commit first.
    pub(super) fn commits(&self) -> Vec<String> {
        let listed = self.git(["rev-list", "--first-parent", "--reverse", "HEAD"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// What `git archive` makes of a commit.
    pub(super) fn archive(&self, commit: &str, to: &Path) {
        fs::create_dir(to).unwrap();
        let mut archive = self
            .command(["archive", "--format=tar", commit])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let unpacked = Command::new("tar")
            .args(["--extract", "--file=-", "--directory"])
            .arg(to)
            .stdin(archive.stdout.take().unwrap())
            .status()
            .unwrap();
        assert!(archive.wait().unwrap().success() && unpacked.success());
    }

    pub(super) fn write(&self, path: impl AsRef<OsStr>, bytes: &[u8]) {
        let path = self.path.join(path.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn link(&self, path: &str, target: &str) {
        symlink(target, self.path.join(path)).unwrap();
    }

    pub(super) fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        fs::remove_file(self.path.join(path)).unwrap();
    }

    pub(super) fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
        fs::rename(self.path.join(from.as_ref()), self.path.join(to.as_ref())).unwrap();
    }

    pub(super) fn commit(&self, message: &str) {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--message", message]);
    }

    pub(super) fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A git command that depends on nobody's settings.
    pub(super) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.path)
            .args(["-c", "core.autocrlf=false", "-c", "safe.directory=*"])
            .args(arguments);
        for (name, value) in [
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "A Ü Thor"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_NAME", "C Ommitter"),
            ("GIT_COMMITTER_EMAIL", "c@example.org"),
        ] {
            command.env(name, value);
        }
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            command.env_remove(variable);
        }
        command
    }
}

fn begin_commit(stream: &mut String, number: usize) {
    let time = 1_500_000_000 + number * 60;
    let _ = writeln!(stream, "commit refs/heads/main\nmark :{number}");
    let _ = writeln!(stream, "committer C <c@example.org> {time} +0000\ndata 8\nmessage\n");
    if number > 1 {
        let _ = writeln!(stream, "from :{}", number - 1);
    }
}

fn inline(stream: &mut String, path: &str, text: &str) {
    let _ = writeln!(stream, "M 100644 inline {path}\ndata {}\n{text}", text.len());
}
