//! One piece of damage, as data.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    random::Random,
    stores::{Store, copy_folder, files},
};

/// What is done to a copy of a store. Files are named from the store's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Harm {
    /// Nothing: the control.
    None,
    /// One bit is another.
    Flip { file: String, offset: u64, bit: u8 },
    /// The file ends early.
    Cut { file: String, len: u64 },
    /// A stretch is zeros.
    Zero { file: String, offset: u64, len: u64 },
    /// The file is not there.
    Missing { file: String },
    /// The file is that of another store with the same history.
    FromOther { file: String },
    /// The file is as it was earlier.
    Older { file: String },
    /// So many stretches of the file are noise.
    Noise { file: String, patches: u64, seed: u64 },
    /// Something is done to sled's folder as a whole.
    Sled(SledHarm),
    /// One thing and then another, to other files.
    Both(Box<Self>, Box<Self>),
    /// The whole folder is another store's: nobody can tell but whoever knows what was in it. The
    /// harness must.
    AllFromOther,
    /// The whole folder is as it was earlier: the same.
    AllOlder,
}

/// What is done to sled's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SledHarm {
    /// It is gone.
    Deleted,
    /// It is empty.
    Emptied,
    /// A file stands in its place.
    IsAFile,
    /// Folders stand in the places of its files.
    FilesAreFolders,
    /// Its files are cut in half.
    Halved,
    /// Its files are empty.
    FilesEmptied,
    /// Its files are noise of their own length.
    Noise,
    /// It is another store's.
    FromOther,
    /// It is as it was earlier.
    Older,
    /// What a crash leaves while sled writes a snapshot, with noise in it.
    UnfinishedSnapshot,
    /// A symbolic link to nowhere stands in its place.
    IsADanglingLink,
}

impl SledHarm {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Deleted,
        Self::Emptied,
        Self::IsAFile,
        Self::FilesAreFolders,
        Self::Halved,
        Self::FilesEmptied,
        Self::Noise,
        Self::FromOther,
        Self::Older,
        Self::UnfinishedSnapshot,
        Self::IsADanglingLink,
    ];
}

impl Harm {
    /// The file that is harmed; sled's folder when all of it is.
    #[must_use]
    pub fn file(&self) -> &str {
        match self {
            Self::None | Self::AllFromOther | Self::AllOlder => "",
            Self::Sled(_) => "sled",
            Self::Both(first, _) => first.file(),
            Self::Flip { file, .. }
            | Self::Cut { file, .. }
            | Self::Zero { file, .. }
            | Self::Missing { file }
            | Self::FromOther { file }
            | Self::Older { file }
            | Self::Noise { file, .. } => file,
        }
    }

    /// A word for the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Flip { .. } => "flip",
            Self::Cut { .. } => "cut",
            Self::Zero { .. } => "zeros",
            Self::Missing { .. } => "missing",
            Self::FromOther { .. } => "other store's",
            Self::Older { .. } => "older",
            Self::Noise { .. } => "noise",
            Self::Sled(_) => "sled folder",
            Self::Both(..) => "two harms",
            Self::AllFromOther | Self::AllOlder => "another folder",
        }
    }

    /// Does it to the copy of `store` in `folder`.
    pub fn apply(&self, store: &Store, folder: &Path) {
        let path = folder.join(self.file());
        match self {
            Self::None => {}
            Self::Flip { offset, bit, .. } => {
                let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, *offset).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << bit)], *offset).unwrap();
            }
            Self::Cut { len, .. } => {
                OpenOptions::new().write(true).open(path).unwrap().set_len(*len).unwrap();
            }
            Self::Zero { offset, len, .. } => {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.write_all_at(&vec![0; *len as usize], *offset).unwrap();
            }
            Self::Missing { .. } => fs::remove_file(path).unwrap(),
            Self::FromOther { file } => replace(&store.other().join(file), &path),
            Self::Older { file } => replace(&store.older().join(file), &path),
            Self::Noise { patches, seed, .. } => {
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                let len = fs::metadata(&path).unwrap().len();
                let mut random = Random::new(*seed);
                for _ in 0..*patches {
                    let offset = random.below(len);
                    let count = (1 + random.below(4_096)).min(len - offset);
                    file.write_all_at(&random.bytes(count), offset).unwrap();
                }
            }
            Self::Sled(harm) => harm.apply(store, &path),
            Self::Both(first, second) => {
                first.apply(store, folder);
                second.apply(store, folder);
            }
            Self::AllFromOther => replace_folder(&store.other(), folder),
            Self::AllOlder => replace_folder(&store.older(), folder),
        }
    }
}

impl SledHarm {
    fn apply(self, store: &Store, sled: &Path) {
        let each_file = |act: &dyn Fn(&Path, u64)| {
            for file in files(sled) {
                let path = sled.join(file);
                act(&path, fs::metadata(&path).unwrap().len());
            }
        };
        match self {
            Self::Deleted => fs::remove_dir_all(sled).unwrap(),
            Self::Emptied => {
                fs::remove_dir_all(sled).unwrap();
                fs::create_dir(sled).unwrap();
            }
            Self::IsAFile => {
                fs::remove_dir_all(sled).unwrap();
                fs::write(sled, Random::new(1).bytes(5_000)).unwrap();
            }
            Self::IsADanglingLink => {
                fs::remove_dir_all(sled).unwrap();
                std::os::unix::fs::symlink("nowhere/at/all", sled).unwrap();
            }
            Self::FilesAreFolders => each_file(&|path, _| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            Self::Halved => each_file(&|path, len| {
                OpenOptions::new().write(true).open(path).unwrap().set_len(len / 2).unwrap();
            }),
            Self::FilesEmptied => each_file(&|path, _| fs::write(path, []).unwrap()),
            Self::Noise => each_file(&|path, len| {
                fs::write(path, Random::new(len).bytes(len)).unwrap();
            }),
            Self::FromOther => replace_folder(&store.other().join("sled"), sled),
            Self::Older => replace_folder(&store.older().join("sled"), sled),
            Self::UnfinishedSnapshot => {
                let name = "snap.FFFFFFFFFFFFFFFF.generating";
                fs::write(sled.join(name), Random::new(2).bytes(300)).unwrap();
            }
        }
    }
}

fn replace(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn replace_folder(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy_folder(from, to);
}
