//! The contents of a repository, in the order they are asked for.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    process::{ChildStdin, ChildStdout, Stdio},
};

use super::{
    GitError, Repository,
    process::{Running, git},
};

/// Asks for contents; one thread may do so while another reads them.
pub(super) struct BlobRequests(BufWriter<ChildStdin>);

/// The contents asked for, in that order.
pub(super) struct Blobs {
    running: Running,
    output: BufReader<ChildStdout>,
}

/// Starts to read contents of a repository.
pub(super) fn read(repository: &Repository) -> Result<(BlobRequests, Blobs), GitError> {
    let mut command = git(&repository.path);
    command.args(["cat-file", "--batch"]).stdin(Stdio::piped());
    let mut running = Running::start(&mut command, "reading the contents")?;
    let input = running.stdin();
    let input = input.ok_or_else(|| GitError::Unexpected("no input".to_owned()))?;
    let output = BufReader::with_capacity(1 << 20, running.stdout()?);
    Ok((BlobRequests(BufWriter::new(input)), Blobs { running, output }))
}

impl BlobRequests {
    pub(super) fn ask(&mut self, object: &str) -> io::Result<()> {
        self.0.write_all(object.as_bytes())?;
        self.0.write_all(b"\n")
    }

    /// Hands over what was asked for so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Blobs {
    /// Gives the next content, which must be that of `object`, to `take`.
    pub(super) fn next<T>(
        &mut self,
        object: &str,
        take: impl FnOnce(&mut dyn Read) -> T,
    ) -> Result<T, GitError> {
        let broken = |error: io::Error| GitError::Unexpected(error.to_string());
        let mut head = String::new();
        (&mut self.output).take(1_024).read_line(&mut head).map_err(broken)?;
        // `<object> blob <bytes>`, or `<object> missing`.
        let words: Vec<&str> = head.split_ascii_whitespace().collect();
        let bytes = match words[..] {
            [found, "blob", bytes] if found == object => bytes.parse::<u64>().ok(),
            _ => None,
        };
        let bytes = bytes.ok_or_else(|| {
            GitError::Unexpected(format!("asked for {object}, got {:?}", head.trim_end()))
        })?;
        let mut content = (&mut self.output).take(bytes);
        let taken = take(&mut content);
        // Whoever took it may have given up before the end.
        io::copy(&mut content, &mut io::sink()).map_err(broken)?;
        if content.limit() > 0 {
            return Err(GitError::Unexpected(format!("{object} breaks off")));
        }
        let mut line_break = [0];
        self.output.read_exact(&mut line_break).map_err(broken)?;
        Ok(taken)
    }

    /// Waits for the end, after the requests are dropped.
    pub(super) fn finish(self) -> Result<(), GitError> {
        self.running.finish()
    }
}
