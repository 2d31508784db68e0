//! The seam: what a place gives in which objects are kept.

use std::fmt;

use crate::{error::ObjectError, key::ObjectKey};

/// Where objects are kept under keys. An object is whole or not there, whatever interrupts a call; whoever
/// gets one sees all the bytes of one put.
///
/// # Durability
/// What a call has answered is so for good, over power cuts too: on a folder as far as its disk keeps its
/// word to sync, on a service by the word of the service. What has failed says what is known
/// ([`ObjectErrorKind`](crate::ObjectErrorKind)).
///
/// # Errors
/// Every method fails with an [`ObjectError`] that names the object and what was being done.
pub trait ObjectStorage: fmt::Debug + Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// Puts an object, in the place of one that is there.
    ///
    /// # Errors
    /// As the trait says.
    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), ObjectError>;

    /// Puts an object unless one is there: `false` then, and it stays. Of several who try at once one has
    /// it, from wherever they do.
    ///
    /// After an outcome that was unknown the same call answers `false` where the first has put it. Who must
    /// tell this from another's object gets it, and compares: so such objects should have something in them
    /// that was drawn at random.
    ///
    /// # Errors
    /// As the trait says; of kind [`Unconditional`](crate::ObjectErrorKind::Unconditional) where the
    /// service has no such call, or does as if it had.
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, ObjectError>;

    /// The bytes of an object; `None` where there is none. Of one of more than `most` bytes one byte more
    /// than that is read, so that it is seen to be longer.
    ///
    /// # Errors
    /// As the trait says.
    fn get(&self, key: &ObjectKey, most: u64) -> Result<Option<Vec<u8>>, ObjectError>;

    /// The names of objects that lie directly in a folder, and come after this one, in ascending order of
    /// their bytes, at most this many; fewer only where no more follow. The empty folder is the storage
    /// itself.
    ///
    /// Names may be among them that are no object's: of folders, of what was being put when a process
    /// stopped, of what others have left. [`ObjectKey::listed`] tells most of them. What is put or
    /// removed meanwhile is listed or not.
    ///
    /// # Errors
    /// As the trait says.
    fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, ObjectError>;

    /// Removes those of these objects that are there, in any order.
    ///
    /// # Errors
    /// As the trait says: each of them may be gone or not.
    fn remove(&self, keys: &[ObjectKey]) -> Result<(), ObjectError>;

    /// All that [`ObjectStorage::list`] gives of a folder.
    ///
    /// # Errors
    /// As the trait says.
    fn list_all(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        let mut all = Vec::new();
        loop {
            let page = self.list(folder, all.last().map(String::as_str), PAGE)?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}

/// Names that are asked for at a time.
const PAGE: usize = 1_000;
