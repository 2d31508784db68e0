//! Events as text: lines of JSON, or events of a stream.

use std::{sync::Arc, time::Instant};

use axum::body::Bytes;
use spacefold::log::{Page, Pages};

use crate::{
    access::CallerAccess,
    chunks::{BodyChunks, CHUNK_BYTES},
    problem::HttpProblem,
    settings::ServerLimits,
};

/// How each event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventForm {
    /// Its JSON, and a line break.
    Line,
    /// `id`, `event` and `data` of a stream.
    Streamed,
}

/// The events of a page that the caller sees, of which some are written.
pub(crate) struct PageText {
    page: Arc<Page>,
    /// Events that were looked at.
    looked: usize,
    form: EventForm,
    access: CallerAccess,
}

impl PageText {
    pub(crate) const fn new(page: Arc<Page>, form: EventForm, access: CallerAccess) -> Self {
        Self { page, looked: 0, form, access }
    }

    /// Writes further events, at most `most`, until there are enough bytes; answers how many.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, most: usize) -> Result<usize, HttpProblem> {
        let mut written = 0;
        for event in self.page.events().skip(self.looked) {
            if written == most || out.len() >= CHUNK_BYTES {
                break;
            }
            let event = event?;
            self.looked += 1;
            if !self.access.sees(event.space_id) {
                continue;
            }
            match self.form {
                EventForm::Line => {
                    event.write_json(out);
                    out.push(b'\n');
                }
                EventForm::Streamed => {
                    let head = format!("event: event\nid: {}\ndata: ", event.position);
                    out.extend_from_slice(head.as_bytes());
                    event.write_json(out);
                    out.extend_from_slice(b"\n\n");
                }
            }
            written += 1;
        }
        Ok(written)
    }
}

/// The events of a reading, as lines.
pub(crate) struct EventLines {
    pages: Pages<'static>,
    page: Option<PageText>,
    /// How many more there may be.
    left: usize,
    access: CallerAccess,
    limits: ServerLimits,
}

impl EventLines {
    pub(crate) fn new(
        pages: Pages<'static>,
        limit: Option<u64>,
        access: CallerAccess,
        limits: &ServerLimits,
    ) -> Self {
        let left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { pages, page: None, left, access, limits: limits.clone() }
    }
}

impl BodyChunks for EventLines {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpProblem> {
        let began = Instant::now();
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES && self.left > 0 {
            if let Some(page) = &mut self.page {
                let written = page.write(&mut out, self.left)?;
                self.left -= written;
                if written > 0 {
                    continue;
                }
                self.page = None;
            }
            let Some(page) = self.pages.next() else { break };
            self.page = Some(PageText::new(Arc::new(page?), EventForm::Line, self.access.clone()));
            // One page leads on, however little time there is.
            if began.elapsed() >= self.limits.page_time && out.is_empty() {
                return Ok(Some(Bytes::new()));
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}
