//! Writers that run under the recorder, which writes down what they do to their files, or makes one
//! of their calls fail.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    child::ChildOptions,
    entry::{self, Entry},
};

/// The file that the recorder is built as.
const LIBRARY: &str = "libspacefold_crash_recorder.so";

/// How long a program may take.
const LONG: Duration = Duration::from_secs(120);
/// How often it is looked after.
const LOOK: Duration = Duration::from_millis(1);

/// What a writer tells before its first acknowledgement.
const MARKS_OF_OPENING: u64 = 2;

/// What runs under the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A writer, see [`crate::child`].
    Writer,
    /// A writer that goes on after errors, see [`crate::faults::subject`].
    Subject,
    /// What works on a content store, see [`crate::packs::subject`].
    Content,
    /// What acknowledges events, see [`crate::places::subject`].
    Places,
}

impl Program {
    /// The command of the binary `torture`.
    const fn command(self) -> &'static str {
        match self {
            Self::Writer => "child",
            Self::Subject => "subject",
            Self::Content => "packs-subject",
            Self::Places => "places-subject",
        }
    }
}

/// The writer and the recorder, as files.
#[derive(Clone, Debug)]
pub struct Preload {
    torture: PathBuf,
    library: PathBuf,
}

/// Where a writer works under the recorder.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The folder that is watched.
    pub root: PathBuf,
    /// The file of entries, outside of it.
    pub log: PathBuf,
    /// The file that the writer tells of its appends, outside of it too.
    pub marks: PathBuf,
    /// Whether the entries say what was written.
    pub keeps_bytes: bool,
}

impl Recording {
    /// Files and an empty folder in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let root = folder.join("root");
        fs::create_dir_all(&root)?;
        Ok(Self { root, log: folder.join("log"), marks: folder.join("marks"), keeps_bytes: true })
    }

    /// The entries so far; one that is not whole, since its process was killed meanwhile, is the
    /// last.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let bytes = fs::read(&self.log)?;
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        while let Some((entry, len)) = Entry::decode(rest) {
            entries.push(entry);
            rest = rest.get(len..).unwrap_or(&[]);
        }
        Ok(entries)
    }
}

impl Preload {
    /// Finds the recorder beside the binary `torture`, where cargo builds both.
    ///
    /// # Errors
    /// When it is not there.
    pub fn beside(torture: &Path) -> io::Result<Self> {
        let folder = torture.parent().unwrap_or(Path::new("."));
        let found = ["deps", "."].map(|place| folder.join(place).join(LIBRARY));
        let library = found.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            let what = format!("{LIBRARY} is not beside {}", torture.display());
            io::Error::new(io::ErrorKind::NotFound, what)
        })?;
        Ok(Self { torture: torture.to_owned(), library: library.canonicalize()? })
    }

    /// Runs a program to its end, and records it. `fault` says which of its calls fails.
    ///
    /// # Errors
    /// When it does not start, or does not end.
    pub fn run(
        &self,
        program: Program,
        recording: &Recording,
        options: &ChildOptions,
        fault: Option<&str>,
    ) -> io::Result<ExitStatus> {
        let receipts = Some(recording.marks.clone());
        let die_after = options.die_after;
        let options = ChildOptions { receipts, die_after: None, ..options.clone() };
        let mut command = Command::new(&self.torture);
        command
            .arg(program.command())
            .args(options.arguments())
            .env("LD_PRELOAD", &self.library)
            .env(entry::ROOT, &recording.root)
            .env(entry::LOG, &recording.log)
            .env(entry::MARKS, &recording.marks)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // The recorder kills the process, so that no change is left out.
        if let Some(acknowledgements) = die_after {
            let marks = acknowledgements + MARKS_OF_OPENING;
            command.env(entry::DIE_AFTER, marks.to_string());
        }
        if let Some(fault) = fault {
            command.env(entry::FAULT, fault);
        }
        if !recording.keeps_bytes {
            command.env(entry::BYTES, "0");
        }
        wait(command.spawn()?)
    }
}

/// Waits for a process; one that takes too long is killed.
fn wait(mut child: Child) -> io::Result<ExitStatus> {
    let began = Instant::now();
    while began.elapsed() < LONG {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("a process takes longer than {LONG:?}")))
}
