//! Large objects that git keeps in a file each.
//!
//! Git maps such a file into memory whole, whatever it is told. It is a zlib stream, so it is read
//! here, a piece at a time.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
};

use flate2::bufread::ZlibDecoder;

/// Files of at least this many bytes are read here.
const LARGE_BYTES: u64 = 1 << 20;
/// Bytes of what stands before the content: `blob <bytes>` and a NUL.
const MAX_HEAD_BYTES: u64 = 32;

/// Where objects are looked for that have a file each.
#[derive(Clone, Debug)]
pub(super) struct LooseObjects {
    folders: Vec<PathBuf>,
}

/// Names of objects that are listed of one folder of theirs; where there are more, each is looked for.
const MAX_LISTED: usize = 1_024;

/// Which objects have a file each, so that those of a repository that is packed are not looked for one
/// by one.
#[derive(Debug)]
pub(super) struct LooseListing {
    objects: LooseObjects,
    /// By the first two digits: the others of those that were there; `None` where any may be.
    names: HashMap<String, Option<HashSet<OsString>>>,
}

/// The content of a blob, and how much of it there has to be.
pub(super) struct LooseBlob {
    content: BufReader<ZlibDecoder<BufReader<File>>>,
    pub(super) bytes: u64,
}

impl LooseObjects {
    pub(super) const fn in_folders(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The file of an object, if it is a large one.
    pub(super) fn large(&self, object: &str) -> Option<File> {
        let (folder, name) = object.split_at_checked(2)?;
        self.folders.iter().find_map(|objects| {
            let path = objects.join(folder).join(name);
            // What is no file, such as a pipe, is not opened.
            let metadata = fs::metadata(&path).ok()?;
            let is_large = metadata.is_file() && metadata.len() >= LARGE_BYTES;
            is_large.then(|| File::open(&path).ok()).flatten()
        })
    }
}

impl LooseObjects {
    /// The names in the folders for these two digits; `None` where they cannot be listed, or are many.
    fn names_in(&self, digits: &str) -> Option<HashSet<OsString>> {
        let mut names = HashSet::new();
        for objects in &self.folders {
            let entries = match fs::read_dir(objects.join(digits)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => return None,
            };
            for entry in entries {
                names.insert(entry.ok()?.file_name());
                if names.len() > MAX_LISTED {
                    return None;
                }
            }
        }
        Some(names)
    }
}

impl LooseListing {
    pub(super) fn of(objects: LooseObjects) -> Self {
        Self { objects, names: HashMap::new() }
    }

    /// Whether an object is a large one in a file of its own.
    pub(super) fn has_large(&mut self, object: &str) -> bool {
        let Some((folder, name)) = object.split_at_checked(2) else { return false };
        if !self.names.contains_key(folder) {
            self.names.insert(folder.to_owned(), self.objects.names_in(folder));
        }
        let names = self.names.get(folder).and_then(Option::as_ref);
        names.is_none_or(|names| names.contains(OsStr::new(name)))
            && self.objects.large(object).is_some()
    }
}

impl LooseBlob {
    /// The blob in a file.
    pub(super) fn open(file: File) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut content = BufReader::new(ZlibDecoder::new(BufReader::new(file)));
        let mut head = Vec::new();
        (&mut content).take(MAX_HEAD_BYTES).read_until(0, &mut head)?;
        let text = head.strip_suffix(&[0]).and_then(|head| std::str::from_utf8(head).ok());
        let bytes = text.and_then(|text| text.strip_prefix("blob ")?.parse().ok());
        let bytes = bytes.ok_or_else(|| {
            invalid(format!("{:?} begins no blob", head.escape_ascii().to_string()))
        })?;
        Ok(Self { content, bytes })
    }
}

impl Read for LooseBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn object(folder: &std::path::Path, head: &[u8], content: &[u8]) -> LooseObjects {
        std::fs::create_dir_all(folder.join("ab")).unwrap();
        let file = File::create(folder.join("ab/cdef")).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(file, flate2::Compression::none());
        zlib.write_all(head).unwrap();
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap();
        LooseObjects::in_folders(vec![folder.join("nowhere"), folder.to_owned()])
    }

    #[test]
    fn large_ones_are_read_and_small_ones_left_to_git() {
        let folder = tempfile::tempdir().unwrap();
        let content = vec![7; 2 << 20];
        let objects = object(folder.path(), b"blob 2097152\0", &content);
        let mut blob = LooseBlob::open(objects.large("abcdef").unwrap()).unwrap();
        assert_eq!(blob.bytes, 2 << 20);
        let mut read = Vec::new();
        blob.read_to_end(&mut read).unwrap();
        assert!(read == content);
        assert!(objects.large("abcdee").is_none() && objects.large("").is_none());
        let mut listing = LooseListing::of(objects);
        assert!(listing.has_large("abcdef"));
        assert!(!listing.has_large("abcdee") && !listing.has_large("accdef"));
        assert!(!listing.has_large(""));
        let objects = object(folder.path(), b"blob 3\0", b"abc");
        assert!(objects.large("abcdef").is_none());
        assert!(!LooseListing::of(objects).has_large("abcdef"));
    }

    #[test]
    fn where_there_are_too_many_to_list_each_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let objects = object(folder.path(), b"blob 2097152\0", &vec![7; 2 << 20]);
        for other in 0..=MAX_LISTED {
            File::create(folder.path().join(format!("ab/{other}"))).unwrap();
        }
        assert_eq!(objects.names_in("ab"), None);
        let mut listing = LooseListing::of(objects);
        assert!(listing.has_large("abcdef") && !listing.has_large("ab0"));
    }

    #[test]
    fn what_is_no_blob_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let content = vec![7; 2 << 20];
        for head in [&b"tree 2097152\0"[..], b"blob \0", b"blob 2097152", b""] {
            let objects = object(folder.path(), head, &content);
            assert!(LooseBlob::open(objects.large("abcdef").unwrap()).is_err(), "{head:?}");
        }
    }
}
