//! Who receives under which durable subscription: one session a name, a stream or polls.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use serde::Serialize;
use spacefold::{Position, Timestamp, subscribe::DurablePlace};
use tokio::{
    runtime::Handle,
    sync::{
        Notify,
        mpsc::{Sender, WeakSender},
        watch,
    },
    time::{Instant, sleep_until},
};

use crate::problem::HttpProblem;

/// Events that wait to be given to who polls, again.
const MAX_RETRIED_EVENTS: usize = 64;

/// How events are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionKind {
    Stream,
    Poll,
}

/// Who receives under a name, as others are told: never by which id.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionOwner {
    pub(crate) held_by: SessionKind,
    pub(crate) client: Option<String>,
    pub(crate) since: Timestamp,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// Whoever received has gone.
    Gone,
    /// Somebody else receives now.
    TakenOver,
    /// The subscription was moved or removed.
    Changed,
}

impl SessionEnd {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::TakenOver => "taken_over",
            Self::Changed => "changed",
        }
    }
}

/// One use of a durable subscription: it has the name until it is over.
pub(crate) struct ReceivingSession {
    /// What acknowledgements carry: nobody else knows it.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: SessionOwner,
    /// Gone once it is over.
    place: Mutex<Option<DurablePlace>>,
    /// Everything up to here was given, or does not pass.
    received: AtomicU64,
    ended: watch::Sender<Option<SessionEnd>>,
    /// Where a stream is written.
    out: Mutex<Option<WeakSender<Bytes>>>,
    /// Events that who polls is given again.
    retried: Mutex<Vec<Vec<u8>>>,
    retry_added: Notify,
    /// When it is over unless it polls again.
    kept_until: Mutex<Instant>,
    is_watched: AtomicBool,
}

/// The sessions of a router.
#[derive(Default)]
pub(crate) struct ReceivingSessions(Mutex<HashMap<String, Arc<ReceivingSession>>>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What acknowledgements without a session that counts are answered.
pub(crate) fn session_over() -> HttpProblem {
    let detail = "the session is over, or is of another subscription: what it has not acknowledged is \
                  given to the next one";
    HttpProblem::conflict("session_over", detail)
}

impl ReceivingSessions {
    /// Begins the session of who has taken a place.
    pub(crate) fn begin(
        &self,
        name: &str,
        owner: SessionOwner,
        place: DurablePlace,
    ) -> Result<Arc<ReceivingSession>, HttpProblem> {
        let session = Arc::new(ReceivingSession {
            id: random_id()?,
            name: name.to_owned(),
            owner,
            received: AtomicU64::new(place.acknowledged().get()),
            place: Mutex::new(Some(place)),
            ended: watch::Sender::new(None),
            out: Mutex::default(),
            retried: Mutex::default(),
            retry_added: Notify::new(),
            kept_until: Mutex::new(Instant::now()),
            is_watched: AtomicBool::new(false),
        });
        locked(&self.0).insert(name.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// The session of a name.
    pub(crate) fn of(&self, name: &str) -> Option<Arc<ReceivingSession>> {
        locked(&self.0).get(name).cloned()
    }

    /// The session of a name, if it is the one of this id.
    pub(crate) fn known(&self, name: &str, id: &str) -> Result<Arc<ReceivingSession>, HttpProblem> {
        self.of(name).filter(|session| session.id == id).ok_or_else(session_over)
    }

    /// Ends the session of a name, if there is one. As [`end`](Self::end).
    pub(crate) fn end_of(&self, name: &str, end: SessionEnd) {
        if let Some(session) = self.of(name) {
            self.end(&session, end);
        }
    }

    /// Ends a session: its name is free. Waits for an acknowledgement that is under way, so it is
    /// called on the pool.
    pub(crate) fn end(&self, session: &Arc<ReceivingSession>, end: SessionEnd) {
        // Whoever finds no session finds the name free.
        drop(locked(&session.place).take());
        let mut sessions = locked(&self.0);
        if sessions.get(&session.name).is_some_and(|it| Arc::ptr_eq(it, session)) {
            sessions.remove(&session.name);
        }
        drop(sessions);
        session.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(end);
            is_first
        });
    }

    /// Ends a session in a while, since who has it has gone.
    fn end_soon(self: Arc<Self>, session: Arc<ReceivingSession>) {
        let end = move || self.end(&session, SessionEnd::Gone);
        // Where the runtime ends, so do all sessions.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(end));
        }
    }

    /// Keeps the session of who polls for so long, and ends it then, unless it is kept longer.
    pub(crate) fn keep(self: &Arc<Self>, session: &Arc<ReceivingSession>, time: Duration) {
        if let Some(until) = Instant::now().checked_add(time) {
            *locked(&session.kept_until) = until;
        }
        if !session.is_watched.swap(true, Ordering::AcqRel) {
            tokio::spawn(end_when_idle(Arc::downgrade(self), Arc::downgrade(session)));
        }
    }
}

async fn end_when_idle(sessions: Weak<ReceivingSessions>, session: Weak<ReceivingSession>) {
    loop {
        let (until, mut ended) = {
            let Some(session) = session.upgrade() else { return };
            (*locked(&session.kept_until), session.ended.subscribe())
        };
        if until <= Instant::now() {
            if let (Some(sessions), Some(session)) = (sessions.upgrade(), session.upgrade()) {
                sessions.end_soon(session);
            }
            return;
        }
        tokio::select! {
            () = sleep_until(until) => {}
            over = ended.wait_for(Option::is_some) => {
                drop(over);
                return;
            }
        }
    }
}

impl ReceivingSession {
    /// Asks the place of the session, on the pool.
    pub(crate) fn with_place<T>(
        &self,
        ask: impl FnOnce(&mut DurablePlace) -> Result<T, HttpProblem>,
    ) -> Result<T, HttpProblem> {
        ask(locked(&self.place).as_mut().ok_or_else(session_over)?)
    }

    /// How far the client was given what there is.
    pub(crate) fn received(&self) -> Position {
        Position::new(self.received.load(Ordering::Acquire))
    }

    /// Notes what is about to be given: before it is, so that it can be acknowledged at once.
    pub(crate) fn give(&self, position: Position) {
        self.received.fetch_max(position.get(), Ordering::AcqRel);
    }

    /// Fails for a position that was not given in this session.
    pub(crate) fn check_received(&self, position: Position) -> Result<(), HttpProblem> {
        let received = self.received();
        if position <= received {
            return Ok(());
        }
        let detail =
            format_args!("position {position} was not given in this session: given is {received}");
        let problem = HttpProblem::conflict("not_received", detail);
        Err(problem.field("position", position).field("received", received))
    }

    /// Waits until the session is over.
    pub(crate) async fn over(&self) -> SessionEnd {
        let mut ended = self.ended.subscribe();
        // The sender is there as long as this.
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        end.unwrap_or(SessionEnd::Gone)
    }

    pub(crate) fn writes_to(&self, out: &Sender<Bytes>) {
        *locked(&self.out) = Some(out.downgrade());
    }

    /// Where its stream is written, of one that has a stream.
    pub(crate) fn stream(&self) -> Option<Sender<Bytes>> {
        locked(&self.out).as_ref().and_then(WeakSender::upgrade)
    }

    /// Has who polls be given an event again, with its next answer.
    pub(crate) fn retry(&self, event: Vec<u8>) -> Result<(), HttpProblem> {
        let mut retried = locked(&self.retried);
        if retried.len() >= MAX_RETRIED_EVENTS {
            let detail = "as many events as may wait to be given again";
            return Err(HttpProblem::unavailable("busy", detail));
        }
        retried.push(event);
        drop(retried);
        self.retry_added.notify_one();
        Ok(())
    }

    /// The events that are to be given again.
    pub(crate) fn take_retried(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *locked(&self.retried))
    }

    /// Waits until there is one.
    pub(crate) async fn retry_added(&self) {
        if locked(&self.retried).is_empty() {
            self.retry_added.notified().await;
        }
    }
}

/// Ends a session when it is dropped, as when its client has gone.
pub(crate) struct SessionGuard {
    pub(crate) sessions: Arc<ReceivingSessions>,
    pub(crate) session: Arc<ReceivingSession>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        Arc::clone(&self.sessions).end_soon(Arc::clone(&self.session));
    }
}

/// 128 bits that nobody guesses.
fn random_id() -> Result<String, HttpProblem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| HttpProblem::internal("internal", error))?;
    Ok(bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    }))
}
