//! The contents of a repository, in the order they are asked for.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    process::{ChildStdin, ChildStdout, Stdio},
};

use super::{
    GitError,
    loose::{LooseBlob, LooseListing, LooseObjects},
    objects::Objects,
    process::GitProcess,
};

use spacefold_event_core::bytes::to_u64;

/// Blobs of more bytes are handed on by git as it unpacks them; it holds smaller ones whole.
const STREAMED: &str = "core.bigFileThreshold=1m";
/// What git reads an object with.
const READING: &str = "reading the contents";

/// Asks for contents; one thread may do so while another reads them.
pub(super) struct BlobRequests {
    git: BufWriter<ChildStdin>,
    loose: LooseListing,
}

/// A content that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) object: String,
    /// Whether it is in a large file of its own, which git was not asked for.
    is_loose: bool,
}

/// The contents asked for, in that order.
pub(super) struct Blobs<'r> {
    objects: &'r Objects,
    loose: LooseObjects,
    git: Answers,
}

/// What `git cat-file` answers.
pub(super) struct Answers {
    running: Option<GitProcess>,
    output: BufReader<ChildStdout>,
}

/// Starts to read contents of a repository.
pub(super) fn read(objects: &Objects) -> Result<(BlobRequests, Blobs<'_>), GitError> {
    let (git, answers) = start(objects, "--batch")?;
    let loose = LooseObjects::in_folders(objects.folders());
    let requests = BlobRequests { git, loose: LooseListing::of(loose.clone()) };
    Ok((requests, Blobs { objects, loose, git: answers }))
}

/// Starts `git cat-file`, which answers what it is asked as the option says.
pub(super) fn start(
    objects: &Objects,
    option: &str,
) -> Result<(BufWriter<ChildStdin>, Answers), GitError> {
    let mut command = objects.git(["-c", STREAMED, "cat-file", option]);
    let mut running = GitProcess::start(command.stdin(Stdio::piped()), READING)?;
    let input = running.stdin();
    let input = input.ok_or_else(|| GitError::Unexpected("no input".to_owned()))?;
    let output = BufReader::with_capacity(1 << 20, running.stdout()?);
    Ok((BufWriter::new(input), Answers { running: Some(running), output }))
}

impl BlobRequests {
    /// What has to be asked for to have this content.
    pub(super) fn wanted(&mut self, object: &str) -> Wanted {
        Wanted { object: object.to_owned(), is_loose: self.loose.has_large(object) }
    }

    pub(super) fn ask(&mut self, wanted: &Wanted) -> io::Result<()> {
        if wanted.is_loose {
            return Ok(());
        }
        self.git.write_all(wanted.object.as_bytes())?;
        self.git.write_all(b"\n")
    }

    /// Hands over what was asked for so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.git.flush()
    }
}

impl Blobs<'_> {
    /// Gives the next content, which must be the one wanted, to `take`; nothing when the repository
    /// does not have it. Where `take` fails, there is no next one.
    pub(super) fn next<T, E>(
        &mut self,
        wanted: &Wanted,
        take: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>, GitError> {
        let object = wanted.object.as_str();
        if !wanted.is_loose {
            return self.git.next(object, "blob", take);
        }
        let unreadable = |error: io::Error| GitError::Unexpected(format!("{object}: {error}"));
        let Some(file) = self.loose.large(object) else {
            // It has been packed meanwhile.
            let (mut requests, mut answers) = start(self.objects, "--batch")?;
            writeln!(requests, "{object}").and_then(|()| requests.flush()).map_err(unreadable)?;
            drop(requests);
            return answers.next(object, "blob", take);
        };
        let blob = LooseBlob::open(file).map_err(unreadable)?;
        let mut counted = Exactly { left: blob.bytes, source: blob, failed: None };
        let taken = take(&mut counted);
        counted.failed.map_or(Ok(Some(taken)), |error| Err(unreadable(error)))
    }

    /// Waits for the end, after the requests are dropped.
    pub(super) fn finish(mut self) -> Result<(), GitError> {
        self.git.running.take().map_or(Ok(()), GitProcess::finish)
    }
}

impl Answers {
    /// The kind and the bytes of the next object; nothing when the repository does not have it.
    pub(super) fn head(&mut self, object: &str) -> Result<Option<(String, u64)>, GitError> {
        let mut head = String::new();
        let read = (&mut self.output).take(1_024).read_line(&mut head);
        read.map_err(|error| GitError::Unexpected(error.to_string()))?;
        // `<object> blob <bytes>`, or `<object> missing`.
        let words: Vec<&str> = head.split_ascii_whitespace().collect();
        match words[..] {
            [found, "missing"] if found == object => return Ok(None),
            [found, kind, bytes] if found == object => {
                if let Ok(bytes) = bytes.parse() {
                    return Ok(Some((kind.to_owned(), bytes)));
                }
            }
            _ => {}
        }
        Err(self.broken(format!("asked for {object}, got {:?}", head.trim_end())))
    }

    /// Gives the next object to `take`. Where that fails, there is no next one.
    pub(super) fn next<T, E>(
        &mut self,
        object: &str,
        kind: &str,
        take: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>, GitError> {
        let broken = |error: io::Error| GitError::Unexpected(error.to_string());
        let Some((found, bytes)) = self.head(object)? else { return Ok(None) };
        if found != kind {
            return Err(GitError::Unexpected(format!("{object} is a {found}, not a {kind}")));
        }
        let mut content = (&mut self.output).take(bytes);
        let taken = take(&mut content);
        if taken.is_err() {
            return Ok(Some(taken));
        }
        if content.limit() > 0 {
            return Err(self.broken(format!("{object} breaks off")));
        }
        let mut line_break = [0];
        self.output.read_exact(&mut line_break).map_err(broken)?;
        Ok(Some(taken))
    }

    /// Why the answers end: what git says of it, if it has given up.
    fn broken(&mut self, what: String) -> GitError {
        let has_ended = self.output.fill_buf().is_ok_and(<[u8]>::is_empty);
        let running = if has_ended { self.running.take() } else { None };
        match running.map(GitProcess::finish) {
            Some(Err(error)) => error,
            _ => GitError::Unexpected(what),
        }
    }
}

/// A source that must have this many bytes, no fewer and no more.
struct Exactly<R> {
    source: R,
    left: u64,
    /// Whoever takes the content may make another error of it.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.failed.is_some() {
            return Ok(0);
        }
        let outcome = self.source.read(buffer).and_then(|read| {
            let bytes = to_u64(read);
            if bytes > self.left || read == 0 && self.left > 0 {
                let what = "it has another length than it says";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.left -= bytes;
            Ok(read)
        });
        outcome.inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(io::Error::new(error.kind(), error.to_string()));
            }
        })
    }
}
