//! The git program.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::GitError;

/// What a caller's environment would change about what git looks at.
const REDIRECTIONS: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
];

/// A git command on a repository.
pub(super) fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).stdin(Stdio::null()).stderr(Stdio::piped());
    for variable in REDIRECTIONS {
        command.env_remove(variable);
    }
    command
}

/// What a git command that ends at once prints, without the line break.
pub(super) fn answer(command: &mut Command, doing: &str) -> Result<String, GitError> {
    let output = command.output().map_err(GitError::NoGit)?;
    if !output.status.success() {
        return Err(failed(doing, &output.stderr));
    }
    String::from_utf8(output.stdout)
        .map(|text| text.trim_end().to_owned())
        .map_err(|_| GitError::Unexpected(format!("{doing}: no UTF-8")))
}

fn failed(doing: &str, stderr: &[u8]) -> GitError {
    let said = String::from_utf8_lossy(stderr);
    let said = said.trim().lines().last().unwrap_or("it does not say why").to_owned();
    GitError::Failed { doing: doing.to_owned(), said }
}

/// A git command that goes on beside us. It is ended when it is dropped.
pub(super) struct Running {
    child: Child,
    doing: &'static str,
}

impl Running {
    pub(super) fn start(command: &mut Command, doing: &'static str) -> Result<Self, GitError> {
        let child = command.stdout(Stdio::piped()).spawn().map_err(GitError::NoGit)?;
        Ok(Self { child, doing })
    }

    pub(super) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(super) fn stdout(&mut self) -> Result<ChildStdout, GitError> {
        let stdout = self.child.stdout.take();
        stdout.ok_or_else(|| GitError::Unexpected(format!("{}: no output", self.doing)))
    }

    /// Waits for its end; an error is told with what it said.
    pub(super) fn finish(mut self) -> Result<(), GitError> {
        let mut stderr = Vec::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_end(&mut stderr);
        }
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(failed(self.doing, &stderr)),
            Err(error) => Err(GitError::NoGit(error)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it has ended by itself, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
