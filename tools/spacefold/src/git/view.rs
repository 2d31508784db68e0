//! A repository as git is shown it: its branches and its objects, and nothing that it says about
//! how git is to behave.
//!
//! The configuration of a repository can have git run programs in many ways, and each version of
//! git knows new ones: transports of a remote that objects are promised by, hooks, monitors,
//! helpers, signatures, filters. It also changes what git prints. So git never reads it: it is
//! given a folder of ours with a configuration of ours, where branches are those of the repository
//! and objects are read from where they are. Without remotes there is nothing to fetch from, and
//! without replacements and grafts commits are what they say.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{
    GitError,
    locate::{GitFolder, read_pointer},
    process::answer_of,
};

/// What the caller's environment says that git needs to run at all.
const INHERITED: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"];

/// Should a version of git find a way around the configuration: no transport, no prompt, no object
/// fetched, no attributes of the system.
const ENVIRONMENT: [(&str, &str); 12] = [
    ("LC_ALL", "C"),
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "false"),
];

/// What git is told of every repository. Of a bare one some versions take attributes out of the
/// newest commit; our folder, as a place of work, has none. Files of commit graphs could claim other parents than the
/// commits have. Packs are looked at in pieces, so that a large one is not in memory whole.
const SETTINGS: &str = "\
[core]
\tbare = false
\tcommitGraph = false
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\tpackedGitWindowSize = 8m
\tpackedGitLimit = 64m
[protocol]
\tallow = never
[gc]
\tauto = 0
[maintenance]
\tauto = false
";

/// Extensions that change nothing about how objects and branches are read.
const EXTENSIONS_OF_NO_CONCERN: [&str; 6] = [
    "noop",
    "partialclone",
    "preciousobjects",
    "worktreeconfig",
    "compatobjectformat",
    "relativeworktrees",
];

/// The newest format of repositories that is known.
const FORMAT_VERSION: &str = "1";

/// A repository as git is shown it.
#[derive(Debug)]
pub(super) struct RepositoryView {
    folder: TempDir,
    git_dir: PathBuf,
    objects: PathBuf,
}

impl RepositoryView {
    pub(super) fn of(repository: &GitFolder) -> Result<Self, GitError> {
        let failed = |error| GitError::Io { path: repository.common.clone(), error };
        let folder = tempfile::Builder::new().prefix("spacefold-git-").tempdir();
        let folder = folder.map_err(|error| GitError::Io { path: std::env::temp_dir(), error })?;
        let view =
            Self { git_dir: folder.path().to_owned(), objects: repository.objects(), folder };
        view.link(&repository.common, view.folder.path()).map_err(failed)?;
        fs::write(view.folder.path().join("config"), SETTINGS).map_err(failed)?;
        let formats = view.formats(&repository.common.join("config"))?;
        fs::write(view.folder.path().join("config"), format!("{SETTINGS}{formats}"))
            .map_err(failed)?;
        if repository.own == repository.common {
            return Ok(view);
        }
        let own = view.folder.path().join("own");
        fs::create_dir(&own)
            .and_then(|()| fs::write(own.join("commondir"), ".."))
            .map_err(failed)?;
        view.link(&repository.own, &own).map_err(failed)?;
        Ok(Self { git_dir: own, ..view })
    }

    /// Shows the branches of a folder of the repository in a folder of ours.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::write(to.join("HEAD"), read_pointer(&from.join("HEAD"))?)?;
        for name in ["refs", "packed-refs", "logs", "reftable"] {
            if from.join(name).exists() {
                symlink(from.join(name), to.join(name))?;
            }
        }
        debug_assert!(to.starts_with(self.folder.path()));
        Ok(())
    }

    /// A git command on the repository.
    pub(super) fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        for name in INHERITED {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .envs(ENVIRONMENT)
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_OBJECT_DIRECTORY", &self.objects)
            .current_dir(self.folder.path())
            .arg("--no-pager")
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// How the repository keeps objects and branches, as settings of ours. Of its configuration this
    /// is all that is looked at, as text, and no other file for it.
    fn formats(&self, config: &Path) -> Result<String, GitError> {
        let mut formats = String::new();
        if !config.exists() {
            return Ok(formats);
        }
        if !config.is_file() {
            return Err(GitError::Unexpected(format!("{} is no file", config.display())));
        }
        let wanted = r"^(core\.repositoryformatversion$|extensions\.)";
        let list = ["config", "--file"].map(OsStr::new).into_iter().chain([config.as_os_str()]);
        let list = list.chain(["--no-includes", "--null", "--get-regexp", wanted].map(OsStr::new));
        // Without any such setting it fails with 1.
        let Some(listed) = answer_of(&mut self.git(list), "reading its formats", Some(1))? else {
            return Ok(formats);
        };
        for setting in listed.split_terminator('\0') {
            let (name, value) = setting.split_once('\n').unwrap_or((setting, "true"));
            let unknown = || GitError::UnknownFormat { setting: format!("{name} = {value}") };
            let extension = name.strip_prefix("extensions.").unwrap_or_default();
            match (name, value) {
                ("core.repositoryformatversion", "0" | FORMAT_VERSION) => {}
                (_, "sha1" | "sha256") if extension == "objectformat" => {
                    let _ = writeln!(formats, "[extensions]\n\tobjectFormat = {value}");
                }
                (_, "files" | "reftable") if extension == "refstorage" => {
                    let _ = writeln!(formats, "[extensions]\n\trefStorage = {value}");
                }
                _ if EXTENSIONS_OF_NO_CONCERN.contains(&extension) => {}
                _ => return Err(unknown()),
            }
        }
        if !formats.is_empty() {
            let _ = writeln!(formats, "[core]\n\trepositoryFormatVersion = {FORMAT_VERSION}");
        }
        Ok(formats)
    }
}
