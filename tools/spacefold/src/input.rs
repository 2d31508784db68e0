//! Input from a file or standard input, decompressed on the way.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use spacefold_event_core::bytes::to_u64;

use crate::{
    error::{Failure, Status},
    zstd::ZstdReader,
};

const BUFFER_BYTES: usize = 256 << 10;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// An input that was opened.
pub(crate) struct Input {
    pub(crate) reader: Box<dyn BufRead + Send>,
    /// What the user calls it.
    pub(crate) name: String,
    /// Its length, where that is known, and how much of that has been read.
    pub(crate) bytes: Option<u64>,
    pub(crate) bytes_read: Arc<AtomicU64>,
}

impl Input {
    /// Opens a file, or standard input for `-`. Nothing is read yet.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted =
            |source: Box<dyn Read + Send>| Counted { source, read: Arc::clone(&bytes_read) };
        let (raw, name, bytes) = if path.as_os_str() == "-" {
            (counted(Box::new(io::stdin())), "standard input".to_owned(), None)
        } else {
            let hint = "name a file of JSON lines, or - for standard input";
            let (file, bytes) = open_file(path, hint)?;
            (counted(Box::new(file)), path.display().to_string(), bytes)
        };
        let decoding = Decoding::Unknown {
            raw: Some(raw),
            extension: path.extension().and_then(|name| name.to_str()).map(str::to_lowercase),
        };
        Ok(Self {
            reader: Box::new(BufReader::with_capacity(BUFFER_BYTES, decoding)),
            name,
            bytes,
            bytes_read,
        })
    }

    /// Opens a file, or standard input for `-`, to read its bytes as they are. Nothing is read yet.
    pub(crate) fn open_as_it_is(path: &Path, hint: &str) -> Result<Box<dyn Read + Send>, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Box::new(io::stdin()));
        }
        Ok(Box::new(open_file(path, hint)?.0))
    }

    /// Where in the input line `number` is.
    pub(crate) fn place(name: &str, number: u64) -> String {
        format!("line {number} of {name}")
    }
}

fn open_file(path: &Path, hint: &str) -> Result<(File, Option<u64>), Failure> {
    let failed = |what: String| Failure::new(Status::Failed, what, path.display(), hint);
    let file =
        File::open(path).map_err(|error| failed(format!("the input cannot be opened: {error}")))?;
    let metadata =
        file.metadata().map_err(|error| failed(format!("the input cannot be opened: {error}")))?;
    if metadata.is_dir() {
        return Err(failed("the input is a folder".to_owned()));
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

/// Whether two paths lead to one file.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| -> Option<PathBuf> { path.canonicalize().ok() };
    resolved(one).is_some_and(|one| Some(one) == resolved(other))
}

/// Counts what is read, for the progress bar.
struct Counted {
    source: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.read.fetch_add(to_u64(read), Ordering::Relaxed);
        Ok(read)
    }
}

/// Finds out at the first read how the input is compressed, so that opening never blocks.
enum Decoding {
    Unknown { raw: Option<Counted>, extension: Option<String> },
    Known(Box<dyn Read + Send>),
}

impl Read for Decoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self {
                Self::Known(decoded) => return decoded.read(buffer),
                Self::Unknown { raw, extension } => {
                    let Some(raw) = raw.take() else {
                        return Ok(0);
                    };
                    *self = Self::Known(decode(raw, extension.as_deref())?);
                }
            }
        }
    }
}

fn decode(mut raw: Counted, extension: Option<&str>) -> io::Result<Box<dyn Read + Send>> {
    let mut beginning = Vec::new();
    let mut byte = [0];
    // A byte that begins no compressed input ends the search, so that a line that is being typed
    // is not waited for.
    let may_go_on = |beginning: &[u8]| {
        [GZIP_MAGIC, ZSTD_MAGIC]
            .iter()
            .any(|magic| magic.len() > beginning.len() && magic.starts_with(beginning))
    };
    while may_go_on(&beginning) {
        match raw.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => beginning.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is = |magic: &[u8], name: &str| {
        beginning.starts_with(magic) || (!beginning.is_empty() && extension == Some(name))
    };
    let gzip = is(GZIP_MAGIC, "gz");
    let zstd = is(ZSTD_MAGIC, "zst");
    let whole = Cursor::new(beginning).chain(raw);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, whole)))
    } else if zstd {
        Box::new(ZstdReader::new(BufReader::with_capacity(BUFFER_BYTES, whole)))
    } else {
        Box::new(whole)
    })
}
