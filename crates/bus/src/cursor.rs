//! Where a subscriber stands in the log, and what comes next there. Never waits.

use std::{collections::VecDeque, sync::Arc};

use spacefold_event_core::{Page, Position, ReadError, bytes::to_u64};

use crate::{
    coalesce::coalesce,
    delivery::Delivery,
    recent::RecentPage,
    source::{FeedSource, Standing, Stride},
    subscription::LagPolicy,
};

pub(crate) struct Cursor {
    source: Arc<FeedSource>,
    standing: Arc<Standing>,
    lagging_after: u64,
    /// The first position that has not been looked at.
    next: Position,
    /// The durable head, as far as it is known here.
    head: Position,
    phase: CursorPhase,
    /// The stretch that is being left out, while its events are counted.
    skipping: Option<Skipping>,
    /// The page behind a marker.
    queued: Option<Arc<Page>>,
    /// Pages that others share, from about `next` on.
    ahead: VecDeque<RecentPage>,
}

/// A stretch that is left out.
#[derive(Clone, Copy)]
struct Skipping {
    from: Position,
    to: Position,
    /// The first position whose event is not counted yet.
    next: Position,
    /// How many events up to there pass the filter.
    events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorPhase {
    /// Reads the history that the subscription begins with.
    CatchingUp,
    Live,
    /// Was live, and has fallen behind.
    Behind,
}

/// What one look at the log gives.
pub(crate) enum Step {
    Deliver(Delivery),
    /// There is nothing to deliver yet, but more was looked at.
    Moved,
    /// There is nothing behind the cursor.
    AtHead,
}

impl Cursor {
    pub(crate) fn new(
        source: Arc<FeedSource>,
        standing: Arc<Standing>,
        lagging_after: u64,
        after: Position,
    ) -> Self {
        let (next, head) = (after.next(), after);
        Self {
            source,
            standing,
            lagging_after,
            next,
            head,
            phase: CursorPhase::CatchingUp,
            skipping: None,
            queued: None,
            ahead: VecDeque::new(),
        }
    }

    /// Nothing up to here is left to be looked at.
    pub(crate) fn passed(&self) -> Position {
        self.next.previous()
    }

    /// Takes note that nothing up to `passed` passes the filter.
    pub(crate) fn pass(&mut self, passed: Position) {
        if passed >= self.next {
            self.move_to(passed.next());
        }
    }

    /// Looks at the log once, as far as one stride.
    pub(crate) fn step(&mut self, stride: Stride) -> Result<Step, ReadError> {
        if let Some(page) = self.queued.take() {
            return Ok(self.deliver(page));
        }
        if let Some(skipping) = self.skipping {
            return self.skip_on(skipping, stride);
        }
        self.look_at_head();
        if self.next > self.head {
            return Ok(self.at_head());
        }
        if let Some(step) = self.fall_behind(stride)? {
            return Ok(step);
        }
        let filter = &self.standing.filter;
        let page = self.source.page(self.next, self.head, filter, &mut self.ahead, stride)?;
        if page.is_empty() {
            self.move_to(page.next());
            return Ok(Step::Moved);
        }
        if self.phase == CursorPhase::Behind
            && self.standing.lag_policy == LagPolicy::CoalesceDocuments
        {
            return self.deliver_coalesced(&page);
        }
        Ok(self.deliver(page))
    }

    fn look_at_head(&mut self) {
        self.head = self.head.max(self.source.announced());
        if self.next > self.head {
            // The watcher may not have got there yet. What was durable before this call is given.
            self.head = self.head.max(self.source.log.durable_head());
        }
    }

    fn at_head(&mut self) -> Step {
        if self.phase == CursorPhase::Live {
            return Step::AtHead;
        }
        self.phase = CursorPhase::Live;
        let position = self.passed();
        tracing::debug!(subscriber = self.standing.name, %position, "caught up");
        Step::Deliver(Delivery::CaughtUp { position })
    }

    fn deliver(&mut self, page: Arc<Page>) -> Step {
        self.move_to(page.next());
        Step::Deliver(Delivery::Events(page))
    }

    /// What there is to say when a subscriber that was live is behind by more than it may be.
    fn fall_behind(&mut self, stride: Stride) -> Result<Option<Step>, ReadError> {
        let position = self.passed();
        if self.phase != CursorPhase::Live || self.head.since(position) <= self.lagging_after {
            return Ok(None);
        }
        self.head = self.head.max(self.source.log.durable_head());
        let lag = self.head.since(position);
        tracing::info!(subscriber = self.standing.name, %position, lag, "a subscriber lags");
        if self.standing.lag_policy == LagPolicy::SkipOldest {
            return self.skip_oldest(stride).map(Some);
        }
        self.phase = CursorPhase::Behind;
        Ok(Some(Step::Deliver(Delivery::Lagging { position, lag })))
    }

    /// Moves on to the newest events.
    fn skip_oldest(&mut self, stride: Stride) -> Result<Step, ReadError> {
        let from = self.next;
        let kept = self.lagging_after / 2;
        let to = Position::new(self.head.get().saturating_sub(kept));
        let skipping = match self.standing.filter.is_all() {
            true => Skipping { from, to, next: to.next(), events: to.next().since(from) },
            false => Skipping { from, to, next: from, events: 0 },
        };
        self.skip_on(skipping, stride)
    }

    /// Counts on what is left out, and moves behind it at its end. An error changes nothing: it is
    /// counted on from there.
    fn skip_on(&mut self, mut skipping: Skipping, stride: Stride) -> Result<Step, ReadError> {
        let Skipping { from, to, .. } = skipping;
        if skipping.next <= to {
            self.skipping = Some(skipping);
            let read = stride.read(skipping.next).to(to).matching(self.standing.filter.clone());
            let page = self.source.read(&read)?;
            skipping.events += to_u64(page.len());
            skipping.next = page.next();
            self.skipping = Some(skipping);
        }
        if skipping.next <= to {
            return Ok(Step::Moved);
        }
        self.skipping = None;
        self.move_to(to.next());
        Ok(match skipping.events {
            0 => Step::Moved,
            events => Step::Deliver(Delivery::Skipped { from, to, events }),
        })
    }

    fn deliver_coalesced(&mut self, page: &Page) -> Result<Step, ReadError> {
        let kept = coalesce(page)?;
        let events = to_u64(page.len() - kept.len());
        if events == 0 {
            return Ok(self.deliver(Arc::new(kept)));
        }
        let (from, to) = (self.next, page.next().previous());
        self.queued = Some(Arc::new(kept));
        Ok(Step::Deliver(Delivery::Skipped { from, to, events }))
    }

    fn move_to(&mut self, next: Position) {
        self.next = next;
        self.standing.move_to(next.previous());
    }
}
