//! The bytes of documents.

use std::{fs::File, io::Write, path::PathBuf, sync::atomic::Ordering};

use pyo3::{prelude::*, types::PyBytes};
use spacefold::content::{ContentHash, ContentStore, MAX_CONTENT_BYTES};

use super::Store;
use crate::{
    calls,
    errors::{self, OrRaise},
    events, filter, times,
};

fn hash(py: Python<'_>, text: &str) -> PyResult<ContentHash> {
    text.parse().map_err(|error| errors::invalid(py, &format!("{error}")))
}

#[pymethods]
impl Store {
    /// Keeps content and answers its hash. It is on disk when this answers; the event that names it
    /// is the caller's to append, or `SpaceService.set_content` does both.
    fn put_content(&self, py: Python<'_>, content: &[u8]) -> PyResult<String> {
        let store = self.writer(py)?;
        let stored = calls::detached(py, || {
            let stored = store.content().put(&mut &*content)?;
            store.content().sync()?;
            Ok::<_, spacefold::content::ContentError>(stored)
        })?;
        Ok(stored.or_raise(py)?.hash.to_string())
    }

    /// The content with a hash. Raises `NotFound` when it is not here, `LimitError` when it has more
    /// than `limit` bytes.
    #[pyo3(signature = (hash, *, limit = None))]
    fn get_content<'py>(
        &self,
        py: Python<'py>,
        hash: &str,
        limit: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let store = self.get(py)?;
        let hash = self::hash(py, hash)?;
        let limit = limit.unwrap_or(MAX_CONTENT_BYTES);
        let bytes = calls::detached(py, || store.read_content(&hash, limit))?.or_raise(py)?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The bytes of a document: now, or as of a position or a `datetime`.
    #[pyo3(signature = (space_id, document_id, *, at = None))]
    fn content<'py>(
        &self,
        py: Python<'py>,
        space_id: &str,
        document_id: &str,
        at: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let store = self.get(py)?;
        let at = at.map(times::moment).transpose()?;
        let read = calls::detached(py, || {
            let moment = at.unwrap_or_else(|| store.durable_head().into());
            let mut reader = store.at(moment).content(space_id, document_id)?;
            let mut bytes = Vec::new();
            let read = std::io::Read::read_to_end(&mut reader, &mut bytes);
            Ok::<_, spacefold::content::ContentAtError>(read.map(|_| bytes))
        })?;
        let bytes = read.or_raise(py)?.map_err(|error| errors::storage(py, &error.to_string()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes the events that pass a filter to a new file, in the interchange form, one JSON object a
    /// line; answers how many. It is on disk when this answers.
    #[pyo3(signature = (path, filter = None, *, after = 0, to = None))]
    fn export_lines(
        &self,
        py: Python<'_>,
        path: PathBuf,
        filter: Option<&Bound<'_, PyAny>>,
        after: u64,
        to: Option<u64>,
    ) -> PyResult<u64> {
        let opened = std::sync::Arc::clone(self.get(py)?);
        let read = events::request(filter::query_of_py(filter)?, after, to);
        let mut file = std::io::BufWriter::new(File::create_new(path)?);
        let exported = calls::interruptible(py, move |given_up| {
            let (mut lines, mut line) = (0, Vec::new());
            for page in opened.log().pages(read) {
                if given_up.load(Ordering::Acquire) {
                    break;
                }
                for event in page?.events() {
                    line.clear();
                    event?.write_json(&mut line);
                    line.push(b'\n');
                    if let Err(error) = file.write_all(&line) {
                        return Ok(Err(error));
                    }
                    lines += 1;
                }
            }
            let written = file.flush().and_then(|()| file.get_ref().sync_all());
            Ok::<_, spacefold::ReadError>(written.map(|()| lines))
        })?;
        Ok(exported.or_raise(py)??)
    }
}
