//! Repositories whose configuration has git run programs, or print something else: each way is seen
//! to work on plain git, and has no effect on an import.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Repository, export, import};
use crate::support::{cli, run};

/// A program that leaves a mark, then fails.
struct Program {
    path: PathBuf,
    mark: PathBuf,
}

impl Program {
    fn in_folder(folder: &Path) -> Self {
        let (path, mark) = (folder.join("program"), folder.join("mark"));
        fs::write(&path, format!("#!/bin/sh\necho ran >> '{}'\nexit 1\n", mark.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path, mark }
    }

    /// Whether it ran since it was asked last.
    fn has_run(&self) -> bool {
        fs::remove_file(&self.mark).is_ok()
    }
}

/// Settings, with `PROGRAM` in the place of the program; `key value` or `key = value`, one a line.
type Settings<'a> = &'a str;

fn configure(repository: &Repository, settings: Settings<'_>, program: &Program) {
    for line in settings.lines() {
        let (key, value) = line.split_once(" = ").or_else(|| line.split_once(' ')).unwrap();
        let path = program.path.to_str().unwrap();
        let [key, value] = [key, value].map(|text| text.replace("PROGRAM", path));
        repository.git(["config", "--add", &key, &value]);
    }
}

/// Runs git as a user would, with the settings of the repository.
fn plain_git(repository: &Path, arguments: &[&str]) {
    let _ = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(arguments)
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// Objects that a partial clone lacks are promised by a remote, and git fetches them as soon as it
/// looks at them: by whatever the configuration says.
#[test]
fn nothing_is_fetched_for_a_partial_clone() {
    let ways: [(&str, Settings<'_>); 12] = [
        ("uploadpack", "remote.origin.uploadpack PROGRAM"),
        ("ssh", "remote.origin.url ssh://host/path\ncore.sshCommand PROGRAM"),
        ("scp-like", "remote.origin.url host:path\ncore.sshCommand PROGRAM"),
        ("ext", "remote.origin.url ext::PROGRAM %S\nprotocol.ext.allow always"),
        ("any protocol", "remote.origin.url ext::PROGRAM %S\nprotocol.allow always"),
        ("insteadOf", "url.ext::PROGRAM .insteadOf = file://\nprotocol.ext.allow always"),
        ("vcs", "remote.origin.vcs ext\nremote.origin.url PROGRAM\nprotocol.ext.allow always"),
        ("proxy", "remote.origin.url git://host/path\ncore.gitProxy PROGRAM"),
        (
            "another promisor",
            "remote.origin.url /no/such/place\nremote.other.promisor true\n\
             remote.other.url ssh://host/path\ncore.sshCommand PROGRAM",
        ),
        (
            "extension",
            "remote.origin.url /no/such/place\nextensions.partialClone evil\n\
             remote.evil.url host:path\ncore.sshCommand PROGRAM",
        ),
        ("include", "include.path INCLUDED"),
        ("conditional include", "includeIf.gitdir:/**.path INCLUDED"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let program = Program::in_folder(folder.path());
    let whole = Repository::with_long_history(folder.path(), 12);
    let included = folder.path().join("included");
    let settings = format!("[remote \"origin\"]\n\tuploadpack = {}\n", program.path.display());
    fs::write(&included, settings).unwrap();
    for filter in ["blob:none", "tree:0"] {
        let clone = whole.partial_clone(&folder.path().join(filter), filter);
        for (way, settings) in ways {
            let repository = clone.copied(&folder.path().join(format!("{way}-{filter}")));
            if settings.contains("remote.origin.url") {
                repository.git(["config", "--unset-all", "remote.origin.url"]);
            }
            let settings = settings.replace("INCLUDED", included.to_str().unwrap());
            configure(&repository, &settings, &program);
            let store = folder.path().join(format!("store-{way}-{filter}"));
            let answer = import(&store, repository.path(), &["--space-per", "repo"]);
            assert!(!program.has_run(), "{way}, {filter}");
            assert_eq!(answer.code, Some(1), "{way}, {filter}");
            assert!(answer.stderr.contains("it is a partial clone"), "{way}: {}", answer.stderr);
            plain_git(repository.path(), &["log", "--patch"]);
            assert!(program.has_run(), "git does not know the way {way}, {filter}");
        }
    }
}

/// A worktree has a configuration of its own.
#[test]
fn the_configuration_of_a_worktree_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::in_folder(folder.path());
    let whole = Repository::with_long_history(folder.path(), 5);
    let clone = whole.partial_clone(&folder.path().join("clone"), "blob:none");
    let worktree = folder.path().join("worktree");
    clone.git(["config", "extensions.worktreeConfig", "true"]);
    clone.git(["worktree", "add", "--quiet", "--no-checkout", worktree.to_str().unwrap(), "main"]);
    let path = program.path.to_str().unwrap();
    Repository::existing(&worktree).git(["config", "--worktree", "remote.origin.uploadpack", path]);
    let answer = import(&folder.path().join("store"), &worktree, &["--space-per", "repo"]);
    assert!(!program.has_run() && answer.code == Some(1), "{}", answer.stderr);
    plain_git(&worktree, &["log", "--patch"]);
    assert!(program.has_run());
}

/// What runs on other occasions, in a repository that has everything: the import neither runs it nor
/// comes to another result.
#[test]
fn no_hook_filter_or_helper_is_run() {
    let ways: [(&str, Settings<'_>, &[&str]); 11] = [
        ("fsmonitor", "core.fsmonitor PROGRAM", &["status"]),
        ("external diff", "diff.external PROGRAM", &["log", "--patch", "--ext-diff"]),
        ("driver", "diff.driver.command PROGRAM", &["log", "--patch", "--ext-diff"]),
        ("textconv", "diff.driver.textconv PROGRAM", &["log", "--patch"]),
        ("filter", "filter.driver.smudge PROGRAM", &["archive", "HEAD"]),
        ("process filter", "filter.driver.process PROGRAM", &["archive", "HEAD"]),
        ("required filter", "filter.driver.clean PROGRAM", &["add", "--renormalize", "."]),
        ("signature", "log.showSignature true\ngpg.program PROGRAM", &["log"]),
        ("ssh signature", "log.showSignature true\ngpg.openpgp.program PROGRAM", &["log"]),
        ("alias", "alias.logs !PROGRAM", &["logs"]),
        ("hooks", "core.hooksPath HOOKS", &["commit", "--allow-empty", "--message=x"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let program = Program::in_folder(folder.path());
    let hooks = folder.path().join("hooks");
    fs::create_dir(&hooks).unwrap();
    for hook in ["pre-commit", "reference-transaction", "post-checkout", "post-index-change"] {
        fs::copy(&program.path, hooks.join(hook)).unwrap();
    }
    let repository = Repository::with_everything(folder.path());
    repository.sign_the_tip();
    fs::create_dir_all(repository.path().join(".git/info")).unwrap();
    fs::write(repository.path().join(".git/info/attributes"), "* diff=driver filter=driver\n")
        .unwrap();
    let plain = folder.path().join("plain");
    import(&plain, repository.path(), &["--space-per", "repo"]).succeeded();
    let expected = export(&plain);
    let config = repository.path().join(".git/config");
    let before = fs::read(&config).unwrap();
    for (way, settings, fires) in ways {
        let settings = settings.replace("HOOKS", hooks.to_str().unwrap());
        configure(&repository, &settings, &program);
        let store = folder.path().join(format!("store-{way}"));
        import(&store, repository.path(), &["--space-per", "repo"]).succeeded();
        assert!(!program.has_run(), "{way}");
        assert!(export(&store) == expected, "{way}");
        plain_git(repository.path(), fires);
        assert!(program.has_run(), "git does not know the way {way}");
        fs::write(&config, &before).unwrap();
    }
}

/// Each setting that changes what git prints, or which objects it looks at.
#[test]
fn no_setting_changes_what_is_imported() {
    let settings = [
        "diff.orderFile /no/such/file",
        "diff.orderFile ORDER",
        "diff.renames false",
        "diff.renames copies",
        "diff.renameLimit 1",
        "diff.noprefix true",
        "diff.mnemonicPrefix true",
        "diff.algorithm patience",
        "diff.ignoreSubmodules all",
        "diff.relative true",
        "diff.context 0",
        "diff.interHunkContext 9",
        "diff.wsErrorHighlight all",
        "diff.submodule log",
        "diff.colorMoved zebra",
        "diff.statGraphWidth 3",
        "submodule.modules/other.ignore all",
        "core.quotePath false",
        "core.abbrev 4",
        "core.precomposeUnicode true",
        "core.ignoreCase true",
        "core.worktree /no/such/folder",
        "core.bare true",
        "core.attributesFile ATTRIBUTES",
        "core.bigFileThreshold 1",
        "core.notesRef refs/heads/main",
        "core.useReplaceRefs true",
        "core.logAllRefUpdates always",
        "core.compression 9",
        "core.commentChar x",
        "core.alternateRefsCommand false",
        "log.showRoot false",
        "log.follow true",
        "log.diffMerges combined",
        "log.diffMerges off",
        "log.decorate full",
        "log.date iso",
        "log.abbrevCommit true",
        "log.mailmap true",
        "log.excludeDecoration x",
        "log.initialDecorationSet all",
        "log.graphColors red",
        "log.showSignature true",
        "format.pretty full",
        "format.notes true",
        "notes.displayRef refs/heads/*",
        "i18n.logOutputEncoding ISO-8859-1",
        "i18n.commitEncoding ISO-8859-1",
        "color.ui always",
        "color.diff always",
        "column.ui always",
        "pretty.raw format:%x00",
        "mailmap.file MAILMAP",
        "mailmap.blob HEAD:README.md",
        "grep.patternType perl",
        "pack.threads 1",
        "core.packedGitLimit 1",
        "core.deltaBaseCacheLimit 1",
        "include.path /no/such/file",
        "core.multiPackIndex false",
        "trace2.eventTarget TRACE",
        "attr.tree HEAD",
    ];
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_everything(folder.path());
    let git_folder = repository.path().join(".git");
    let plain = folder.path().join("plain");
    import(&plain, repository.path(), &["--space-per", "folder"]).succeeded();
    let expected = export(&plain);
    let files = [
        ("ORDER", "*.rs\nREADME.md\n"),
        ("ATTRIBUTES", "* -diff binary\n*.rs text eol=crlf\n"),
        ("MAILMAP", "Somebody Else <else@example.org> <a@example.org>\n"),
        ("TRACE", ""),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let before = fs::read(git_folder.join("config")).unwrap();
    let check = |what: &str, index: usize| {
        let store = folder.path().join(format!("store-{index}"));
        import(&store, repository.path(), &["--space-per", "folder"]).succeeded();
        assert!(export(&store) == expected, "{what}");
    };
    // All at once, then each alone.
    for (index, some) in [&settings[..]].into_iter().chain(settings.chunks(1)).enumerate() {
        let mut text = String::from_utf8(before.clone()).unwrap();
        for setting in some {
            let (key, value) = setting.split_once(' ').unwrap();
            let (section, name) = key.rsplit_once('.').unwrap();
            let section = section.split_once('.').map_or_else(
                || section.to_owned(),
                |(section, subsection)| format!("{section} \"{subsection}\""),
            );
            let named = files.iter().any(|(name, _)| *name == value);
            let value = if named { folder.path().join(value) } else { PathBuf::from(value) };
            text.push_str(&format!("[{section}]\n\t{name} = {}\n", value.display()));
        }
        fs::write(git_folder.join("config"), text).unwrap();
        check(&some.join(", "), index);
    }
    fs::write(git_folder.join("config"), &before).unwrap();
    // What stands in the place of commits and of their parents, and what else git looks at.
    let commits = repository.commits();
    repository.git(["replace", &commits[2], &commits[1]]);
    check("replace", 1_000);
    let grafted = format!("{} {}\n", commits[4], commits[1]);
    fs::write(git_folder.join("info/grafts"), grafted).unwrap();
    fs::write(git_folder.join("info/attributes"), "* binary\n").unwrap();
    check("grafts", 1_001);
    repository.write(".mailmap", b"Somebody Else <else@example.org> <a@example.org>\n");
    repository.git(["notes", "add", "--message=note", &commits[0]]);
    repository.git(["commit-graph", "write", "--reachable"]);
    check("notes, a mailmap and a graph", 1_002);
}

/// Nothing that whoever runs the command has set for git counts.
#[test]
fn the_environment_of_the_caller_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::in_folder(folder.path());
    let other = Repository::with_long_history(&folder.path().join("other"), 2);
    let whole = Repository::with_long_history(folder.path(), 6);
    let clone = whole.partial_clone(&folder.path().join("clone"), "blob:none");
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let settings = format!(
        "[remote \"origin\"]\n\tuploadpack = {}\n[diff]\n\torderFile = /no/such/file\n",
        program.path.display()
    );
    fs::write(home.join(".gitconfig"), settings).unwrap();
    let trace = folder.path().join("trace");
    let path = |path: &Path| path.as_os_str().to_owned();
    let variables: [(&str, OsString); 19] = [
        ("HOME", path(&home)),
        ("XDG_CONFIG_HOME", path(&home)),
        ("GIT_CONFIG_GLOBAL", path(&home.join(".gitconfig"))),
        ("GIT_CONFIG_SYSTEM", path(&home.join(".gitconfig"))),
        ("GIT_CONFIG", path(&home.join(".gitconfig"))),
        ("GIT_CONFIG_COUNT", "1".into()),
        ("GIT_CONFIG_KEY_0", "remote.origin.uploadpack".into()),
        ("GIT_CONFIG_VALUE_0", path(&program.path)),
        ("GIT_DIR", path(&other.path().join(".git"))),
        ("GIT_COMMON_DIR", path(&other.path().join(".git"))),
        ("GIT_OBJECT_DIRECTORY", path(&other.path().join(".git/objects"))),
        ("GIT_INDEX_FILE", path(&folder.path().join("index"))),
        ("GIT_NAMESPACE", "elsewhere".into()),
        ("GIT_SSH_COMMAND", path(&program.path)),
        ("GIT_EXTERNAL_DIFF", path(&program.path)),
        ("GIT_ALLOW_PROTOCOL", "file:ext:ssh".into()),
        ("GIT_NO_LAZY_FETCH", "0".into()),
        ("GIT_TRACE", path(&trace)),
        ("GIT_DIFF_OPTS", "--unified=0".into()),
    ];
    let with = |store: &Path, repository: &Repository| {
        let mut command = cli(store);
        command.args(["import-git", "--space-per", "repo", "--name", "made"]);
        run(command.arg(repository.path()).envs(variables.clone()))
    };
    let [plain, disturbed] = ["plain", "disturbed"].map(|name| folder.path().join(name));
    import(&plain, whole.path(), &["--space-per", "repo", "--name", "made"]).succeeded();
    with(&disturbed, &whole).succeeded();
    assert!(export(&disturbed) == export(&plain));
    let answer = with(&folder.path().join("clone-store"), &clone);
    assert!(answer.stderr.contains("it is a partial clone"), "{}", answer.stderr);
    assert!(!program.has_run() && !trace.exists());
}

/// Nothing is left behind, in the repository or among temporary files.
#[test]
fn an_import_changes_nothing_in_the_repository_and_leaves_nothing_behind() {
    fn everything(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                everything(&path, found);
            } else if metadata.is_file() {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
        found.sort();
    }
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let repository = Repository::with_everything(folder.path());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    everything(repository.path(), &mut before);
    for branch in ["main", "no-such-branch"] {
        let store = folder.path().join("store");
        let mut command = cli(&store);
        command.args(["import-git", "--space-per", "repo", "--branch", branch]);
        run(command.arg(repository.path()).env("TMPDIR", &temporary));
    }
    everything(repository.path(), &mut after);
    assert!(before == after);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}
