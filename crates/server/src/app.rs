//! What every request is answered with: the store, the settings, and what is left of the limits.

use std::sync::Arc;

use spacefold::{Spacefold, log::LogIdentity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    console_sessions::ConsoleSessions,
    jobs::Jobs,
    pool::BlockingPool,
    problem::HttpProblem,
    receiving_sessions::ReceivingSessions,
    request_ids::RequestIds,
    served_store::ServedStore,
    settings::{ServerLimits, Settings},
    space_timelines::Timelines,
};

/// Body bytes that one permit stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// The state of a router. Clones are cheap.
#[derive(Clone)]
pub(crate) struct App(Arc<AppParts>);

struct AppParts {
    store: ServedStore,
    settings: Settings,
    pool: BlockingPool,
    buffered: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    sessions: ConsoleSessions,
    timelines: Timelines,
    request_ids: RequestIds,
    receiving_sessions: Arc<ReceivingSessions>,
    jobs: Jobs,
}

impl App {
    pub(crate) fn new(store: ServedStore, settings: Settings) -> Self {
        let limits = &settings.limits;
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(AppParts {
            pool: BlockingPool::new(limits.max_blocking_calls, limits.max_waiting_calls),
            buffered: permits(limits.max_buffered_bytes / PERMIT_BYTES),
            streams: permits(limits.max_streams),
            uploads: permits(limits.max_uploads),
            sessions: ConsoleSessions::new(),
            timelines: Timelines::default(),
            request_ids: RequestIds::new(),
            receiving_sessions: Arc::default(),
            jobs: Jobs::default(),
            store,
            settings,
        }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn limits(&self) -> &ServerLimits {
        &self.0.settings.limits
    }

    pub(crate) fn request_ids(&self) -> &RequestIds {
        &self.0.request_ids
    }

    pub(crate) fn pool(&self) -> &BlockingPool {
        &self.0.pool
    }

    /// Who looks at the console.
    pub(crate) fn sessions(&self) -> &ConsoleSessions {
        &self.0.sessions
    }

    pub(crate) fn timelines(&self) -> &Timelines {
        &self.0.timelines
    }

    /// What goes on by itself.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    /// Who receives under which durable subscription.
    pub(crate) fn receiving_sessions(&self) -> &Arc<ReceivingSessions> {
        &self.0.receiving_sessions
    }

    pub(crate) fn store(&self) -> &ServedStore {
        &self.0.store
    }

    /// Which log it is: that is in memory.
    pub(crate) fn identity(&self) -> LogIdentity {
        self.0.store.log().identity()
    }

    /// Asks the store, on the pool.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&ServedStore) -> Result<T, HttpProblem> + Send + 'static,
    ) -> Result<T, HttpProblem> {
        let app = self.clone();
        self.0.pool.run(move || call(&app.0.store)).await?
    }

    /// The store to be written.
    pub(crate) fn writable(&self) -> Result<&Spacefold, HttpProblem> {
        match &self.0.store {
            ServedStore::Open(spaces) if !self.0.settings.read_only => Ok(spaces),
            _ => {
                let status = axum::http::StatusCode::FORBIDDEN;
                Err(HttpProblem::new(status, "read_only", "the store is only read here"))
            }
        }
    }

    /// Room for bytes of a body.
    pub(crate) fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HttpProblem> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0.buffered).try_acquire_many_owned(permits);
        room.map_err(|_| {
            let detail = "the bodies of other requests take all the memory that there is for them";
            HttpProblem::unavailable("busy", detail)
        })
    }

    /// Leave to hold a stream open, or to wait.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, HttpProblem> {
        let stream = Arc::clone(&self.0.streams).try_acquire_owned();
        stream.map_err(|_| {
            let detail =
                format_args!("{} streams are open, the most that may", self.limits().max_streams);
            HttpProblem::unavailable("too_many_streams", detail)
        })
    }

    /// Streams and long polls that are open.
    pub(crate) fn open_streams(&self) -> usize {
        let most = self.limits().max_streams.min(Semaphore::MAX_PERMITS);
        most.saturating_sub(self.0.streams.available_permits())
    }

    /// Leave to take a content in.
    pub(crate) fn upload(&self) -> Result<OwnedSemaphorePermit, HttpProblem> {
        let upload = Arc::clone(&self.0.uploads).try_acquire_owned();
        upload.map_err(|_| {
            let detail =
                format_args!("{} contents arrive, the most that may", self.limits().max_uploads);
            HttpProblem::unavailable("busy", detail)
        })
    }
}
