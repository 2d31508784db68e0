//! What all subscribers of a log share: the log, the watch on its head, the newest pages.

use std::{
    cell::OnceCell,
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use spacefold_event_core::{
    EventFilter, LogReader, Page, Position, ReadError, ReadRequest, closing::Callbacks, lock::Lock,
};

use crate::{
    head_watch::{HeadWatch, Woken},
    names::Names,
    news::News,
    recent::{RecentLookup, RecentPage, RecentPages},
    stop::Stop,
    subscription::LagPolicy,
};

/// How many events a page holds at the most.
const PAGE_EVENTS: usize = 4_096;
/// About how many events are looked at in one poll of a stream, a millisecond's work at the most.
pub(crate) const POLL_EVENTS: usize = 1_024;
/// So many events behind the head, a subscriber reads its own pages, with its filter.
const NEAR_HEAD_EVENTS: u64 = 4 * PAGE_EVENTS as u64;

/// How much of the log is looked at in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stride {
    /// As much as a page takes: by a thread that has nothing else to do.
    Long,
    /// [`POLL_EVENTS`]: by a thread that has others to serve.
    Short,
}

impl Stride {
    /// The read of a page from a position on.
    pub(crate) const fn read(self, from: Position) -> ReadRequest {
        match self {
            Self::Long => ReadRequest::from(from).limit(PAGE_EVENTS),
            Self::Short => ReadRequest::from(from).limit(POLL_EVENTS).looking_at(POLL_EVENTS),
        }
    }
}

pub(crate) struct FeedSource {
    pub(crate) log: Arc<dyn LogReader>,
    pub(crate) watch: HeadWatch<Arc<Standing>>,
    /// The durable subscriptions that somebody owns.
    pub(crate) owned: Arc<Names>,
    /// What the handlers of buses are called by.
    pub(crate) callbacks: Arc<Callbacks>,
    /// What ends the rests of buses.
    stops: Lock<Vec<Weak<Stop>>>,
    recent: RecentPages,
    /// What the watch has as its head and as its end, to be looked at without its lock.
    announced: AtomicU64,
    is_closed: AtomicBool,
}

/// What others can see of a subscriber.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) filter: EventFilter,
    pub(crate) lag_policy: LagPolicy,
    position: AtomicU64,
    is_closed: AtomicBool,
}

impl Standing {
    pub(crate) fn new(
        name: String,
        filter: EventFilter,
        lag_policy: LagPolicy,
        position: Position,
    ) -> Self {
        let position = AtomicU64::new(position.get());
        Self { name, filter, lag_policy, position, is_closed: AtomicBool::new(false) }
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// How far it has come.
    pub(crate) fn position(&self) -> Position {
        Position::new(self.position.load(Ordering::Relaxed))
    }

    pub(crate) fn move_to(&self, position: Position) {
        self.position.store(position.get(), Ordering::Relaxed);
    }
}

impl FeedSource {
    pub(crate) fn new(log: Arc<dyn LogReader>) -> Self {
        Self {
            log,
            watch: HeadWatch::new(),
            owned: Arc::default(),
            callbacks: Arc::default(),
            stops: Lock::default(),
            recent: RecentPages::default(),
            announced: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// The durable head as it was announced last.
    pub(crate) fn announced(&self) -> Position {
        Position::new(self.announced.load(Ordering::Acquire))
    }

    /// Tells the subscribers that the durable head has moved. For the watcher alone.
    pub(crate) fn announce(&self, before: Position, head: Position) -> Woken {
        self.announced.fetch_max(head.get(), Ordering::Release);
        // Read when somebody waits whose filter has to be looked at.
        let pages = OnceCell::new();
        let news = OnceCell::new();
        self.watch.advance(head, |standing| {
            if standing.filter.is_all() {
                return true;
            }
            let pages: &Option<Vec<Arc<Page>>> = pages.get_or_init(|| self.new_pages(before, head));
            pages
                .as_ref()
                .is_none_or(|pages| news.get_or_init(|| News::of(pages)).concern(&standing.filter))
        })
    }

    /// Ends every subscription, and the buses over them after the events at hand.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.watch.close();
        let stops = std::mem::take(&mut *self.stops.lock());
        stops.iter().filter_map(Weak::upgrade).for_each(|stop| stop.stop());
    }

    /// Has a bus stopped when the source is closed, or now when it is.
    pub(crate) fn add_stop(&self, stop: &Arc<Stop>) {
        let mut stops = self.stops.lock();
        stops.retain(|stop| stop.strong_count() > 0);
        stops.push(Arc::downgrade(stop));
        drop(stops);
        if self.is_closed() {
            stop.stop();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// A page of what passes `filter` from `next` on, up to the durable head `head`, which must
    /// not be before `next`. It may be empty, and leads beyond `next`.
    ///
    /// Near the head, one reads for all: the pages are shared, and filtered from memory. Those
    /// that follow are left in `ahead`, to be looked at first the next time.
    pub(crate) fn page(
        &self,
        next: Position,
        head: Position,
        filter: &EventFilter,
        ahead: &mut VecDeque<RecentPage>,
        stride: Stride,
    ) -> Result<Arc<Page>, ReadError> {
        while let Some(recent) = ahead.pop_front() {
            if recent.from <= next && next < recent.page.next() {
                return select(&recent, next, filter);
            }
        }
        let to = match self.recent.find(next, ahead) {
            RecentLookup::Page(recent) => return select(&recent, next, filter),
            RecentLookup::Newer if head.since(next) < NEAR_HEAD_EVENTS => {
                return select(&self.read_for_all(next, head, stride)?, next, filter);
            }
            RecentLookup::Newer => head,
            RecentLookup::Older { kept_from } => kept_from.previous().min(head),
        };
        let read = stride.read(next).to(to).matching(filter.clone());
        self.read(&read).map(Arc::new)
    }

    /// A page up to a position that the log has, which leads on.
    pub(crate) fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let page = self.log.read(read)?;
        page.check_progress(read)?;
        Ok(page)
    }

    /// The events behind `after` up to the head; `None` when they are too many to be looked at for
    /// others, or cannot be read. What fails here is told where the events are read.
    fn new_pages(&self, after: Position, head: Position) -> Option<Vec<Arc<Page>>> {
        if head.since(after) > PAGE_EVENTS as u64 {
            return None;
        }
        let all = EventFilter::all();
        let (mut next, mut ahead, mut pages) = (after.next(), VecDeque::new(), Vec::new());
        while next <= head {
            let page = self.page(next, head, &all, &mut ahead, Stride::Long).ok()?;
            next = page.next();
            pages.push(page);
        }
        Some(pages)
    }

    fn read_for_all(
        &self,
        from: Position,
        head: Position,
        stride: Stride,
    ) -> Result<RecentPage, ReadError> {
        let page = self.read(&stride.read(from).to(head))?;
        let recent = RecentPage::new(from, page);
        self.recent.keep(&recent);
        Ok(recent)
    }
}

/// What passes the filter from `next` on.
fn select(
    recent: &RecentPage,
    next: Position,
    filter: &EventFilter,
) -> Result<Arc<Page>, ReadError> {
    if next == recent.from && filter.is_all() {
        return Ok(Arc::clone(&recent.page));
    }
    recent.page.matching(next, filter).map(Arc::new)
}
