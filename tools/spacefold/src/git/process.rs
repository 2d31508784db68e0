//! The git program at work.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::GitError;

/// What is read of the messages of a git command.
const MAX_SAID_BYTES: u64 = 64 << 10;

/// What a git command that ends at once prints, without the line break.
pub(super) fn answer(command: &mut Command, doing: &str) -> Result<String, GitError> {
    answer_of(command, doing, None).map(Option::unwrap_or_default)
}

/// What a git command that ends at once prints, without the line break; nothing where it ends with
/// the exit code that says so.
pub(super) fn answer_of(
    command: &mut Command,
    doing: &str,
    nothing: Option<i32>,
) -> Result<Option<String>, GitError> {
    let output = command.output().map_err(GitError::NoGit)?;
    if nothing.is_some() && output.status.code() == nothing {
        return Ok(None);
    }
    if !output.status.success() {
        return Err(failed(doing, &output.stderr));
    }
    String::from_utf8(output.stdout)
        .map(|text| Some(text.trim_end().to_owned()))
        .map_err(|_| GitError::Unexpected(format!("{doing}: no UTF-8")))
}

fn failed(doing: &str, stderr: &[u8]) -> GitError {
    let said = String::from_utf8_lossy(stderr);
    let said = said.trim().lines().last().unwrap_or("it does not say why").to_owned();
    GitError::Failed { doing: doing.to_owned(), said }
}

/// A git command that goes on beside us. It is ended when it is dropped.
pub(super) struct GitProcess {
    child: Child,
    doing: &'static str,
    /// What it says goes to a file: a pipe that nobody reads would hold it up once it is full.
    said: File,
}

impl GitProcess {
    pub(super) fn start(command: &mut Command, doing: &'static str) -> Result<Self, GitError> {
        let temporary = |error| GitError::Io { path: std::env::temp_dir(), error };
        let said = tempfile::tempfile().map_err(temporary)?;
        let stderr = said.try_clone().map_err(temporary)?;
        let child = command.stdout(Stdio::piped()).stderr(stderr).spawn();
        Ok(Self { child: child.map_err(GitError::NoGit)?, doing, said })
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
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(failed(self.doing, &self.said().unwrap_or_default())),
            Err(error) => Err(GitError::NoGit(error)),
        }
    }

    /// The end of what it said.
    fn said(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.said.metadata()?.len();
        self.said.seek(io::SeekFrom::Start(bytes.saturating_sub(MAX_SAID_BYTES)))?;
        let mut said = Vec::new();
        (&mut self.said).take(MAX_SAID_BYTES).read_to_end(&mut said)?;
        Ok(said)
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        // Where it has ended by itself, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
