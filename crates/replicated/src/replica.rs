//! The protocol of one process: what it has read, decided and sent, and what each answer means.
//!
//! Nothing here waits, reads a clock or talks to a backend: a thread of `replicated_log.rs` does, and
//! a model check steps several replicas over a simulated backend in any order.
//!
//! # Invariants
//! - The first flight is for the place that is read next, and each other one for the place behind the
//!   one before it, on whose hash it is made.
//! - A flight has landed when the block in its place is read and is its own. An answer *landed* only saves
//!   reading it, and counts for the first flight alone: what is behind one that is lost is void.
//! - An append is answered when its block has landed, refused for good, or given up as unknown.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use spacefold_event_core::{
    AppendError, EncodedBody, EventLog, ExpectedRevision, FailedCondition, MAX_APPEND_EVENTS,
    Receipt, RecordedEvent, Records, Revision, StorageError, Timestamp,
    append_rules::{self, AppendDecision, Proposal},
};

use crate::{
    ahead::{GroupsAhead, LogAhead},
    block_log::{BlockLogLimits, PutAnswer, PutOutcome},
    error::BlockDamage,
    flight::{Flight, FlightVerdict, PutState, ReplicatedSubmission, undecided},
    group_block::{self, GroupBlockHeader},
    tail::BlockTail,
    wake::Wake,
};

/// Bytes of bodies at which a group is closed. An append of more is a group of its own.
const GROUP_BYTES: usize = 1 << 20;
/// Bytes of blocks that are taken in as one append of the log that follows.
const INTAKE_BYTES: usize = 4 << 20;

/// Own groups for which another writer is taken to be at it since one of its blocks was read.
const CONTENDED_FOR: u8 = 8;

/// A put that is to be made.
#[derive(Debug)]
pub(crate) struct BlockPut {
    pub(crate) place: u64,
    pub(crate) block: Arc<[u8]>,
    pub(crate) answer: PutAnswer,
}

/// What one process knows of the log.
pub(crate) struct Replica {
    /// What has been read, and counts: the log of this process alone.
    log: Arc<dyn EventLog>,
    last_recorded_at: Timestamp,
    tail: BlockTail,
    ahead: GroupsAhead,
    flights: VecDeque<Flight>,
    waiting: VecDeque<ReplicatedSubmission>,
    writer: [u8; 16],
    groups: u64,
    limits: BlockLogLimits,
    /// The log of this process takes nothing any more.
    failed: Option<StorageError>,
    /// How many more own groups have to land until no other writer is at it.
    contended_for: u8,
    wake: Arc<Wake>,
}

/// A group that is being made.
#[derive(Default)]
struct NewGroup {
    runs: Vec<(Records, Arc<EncodedBody>)>,
    decided: Vec<(ReplicatedSubmission, FlightVerdict)>,
    bytes: usize,
    events: usize,
}

impl NewGroup {
    fn has_room_for(&self, proposal: &Proposal) -> bool {
        self.runs.is_empty()
            || (self.bytes.saturating_add(proposal.body_bytes()) <= GROUP_BYTES
                && self.events + events_of(proposal) <= MAX_APPEND_EVENTS)
    }
}

fn events_of(proposal: &Proposal) -> usize {
    proposal.runs().iter().map(|run| run.body().count()).sum()
}

impl Replica {
    /// A replica that goes on from `tail`, with a log that holds what is before that.
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        tail: BlockTail,
        writer: [u8; 16],
        limits: BlockLogLimits,
        wake: Arc<Wake>,
    ) -> Result<Self, AppendError> {
        let newest = log.page_at(log.head())?;
        let newest = newest.as_ref().and_then(|page| page.envelopes().next());
        Ok(Self {
            last_recorded_at: newest.map_or(Timestamp::MIN, |event| event.recorded_at),
            log,
            tail,
            ahead: GroupsAhead::default(),
            flights: VecDeque::new(),
            waiting: VecDeque::new(),
            writer,
            groups: 0,
            limits,
            failed: None,
            contended_for: 0,
            wake,
        })
    }

    pub(crate) const fn tail(&self) -> &BlockTail {
        &self.tail
    }

    /// The log with everything that was decided.
    pub(crate) fn view(&self) -> LogAhead<'_> {
        self.ahead.over(&*self.log, self.last_recorded_at)
    }

    /// What was decided and has not landed, as far as that is known.
    pub(crate) const fn ahead(&self) -> &GroupsAhead {
        &self.ahead
    }

    /// Whether it is known which log it is, and everything was read again that the log of this process
    /// holds: nothing is decided before.
    pub(crate) fn has_read_again(&self) -> bool {
        self.tail.identity.is_some() && self.log.head() == self.tail.head
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.waiting.is_empty()
    }

    /// Whether other writers are at it.
    pub(crate) const fn is_contended(&self) -> bool {
        self.contended_for > 0
    }

    /// Whether another writer's group is there in part.
    pub(crate) fn waits_for_others(&self) -> bool {
        self.flights.is_empty() && self.tail.begun_by().is_some_and(|writer| writer != self.writer)
    }

    /// Takes an append that is to be decided.
    pub(crate) fn submit(&mut self, submission: ReplicatedSubmission) {
        self.waiting.push_back(submission);
    }

    /// The next put that is to be made, if one is.
    pub(crate) fn next_put(&mut self, now: Instant) -> Option<BlockPut> {
        if let Some(failed) = &self.failed {
            let why = failed.to_string();
            self.waiting.drain(..).for_each(|it| it.answer.answer(Err(undecided(&why))));
        }
        let window = self.limits.max_in_flight.max(1);
        // Behind what may be lost nothing new is decided, nor before all is read that this process has
        // read before.
        while self.flights.len() < window
            && !self.waiting.is_empty()
            && !self.is_in_doubt()
            && self.has_read_again()
        {
            self.decide_group(now);
        }
        let wake = Arc::clone(&self.wake);
        let next = self.flights.iter_mut().take(window).find(|flight| flight.put.is_none());
        next.map(|flight| send(flight, &wake))
    }

    /// Whether it is to be found out what became of the first flight.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let outcome = self.flights.front().and_then(Flight::outcome);
        outcome.is_some_and(|outcome| outcome != PutOutcome::Landed)
    }

    /// The put of the first flight once more, after its place was read and found to be free: whichever
    /// lands, it is the same block.
    pub(crate) fn put_again(&mut self) -> Option<BlockPut> {
        if !self.is_in_doubt() {
            return None;
        }
        let wake = Arc::clone(&self.wake);
        self.flights.front_mut().map(|flight| send(flight, &wake))
    }

    /// Takes in the first flights that are said to have landed.
    pub(crate) fn take_landed(&mut self) -> Result<(), BlockDamage> {
        while let Some(first) = self.flights.front()
            && first.outcome() == Some(PutOutcome::Landed)
            && self.failed.is_none()
        {
            let block = Arc::clone(&first.block);
            self.take_blocks(first.place, &[block])?;
        }
        Ok(())
    }

    /// Takes in blocks that were read from a place on. What was taken in already is passed over.
    pub(crate) fn take_blocks(
        &mut self,
        from: u64,
        blocks: &[Arc<[u8]>],
    ) -> Result<(), BlockDamage> {
        let mut staged = self.tail.clone();
        let mut intake = ReplicaIntake::default();
        for (index, (place, block)) in (from..).zip(blocks).enumerate() {
            if place != staged.next || self.failed.is_some() {
                continue;
            }
            let taken = staged.take(block).and_then(|records| intake.add(place, &records));
            if let Err(damage) = taken {
                // What is before it is whole.
                self.take_blocks(from, blocks.get(..index).unwrap_or_default())?;
                return Err(damage);
            }
            intake.places.push((place, staged.last_hash, staged.last_writer));
            intake.bytes += block.len();
            if intake.bytes >= INTAKE_BYTES || intake.events.len() >= MAX_APPEND_EVENTS / 2 {
                self.take_in(std::mem::take(&mut intake), &staged)?;
            }
        }
        self.take_in(intake, &staged)
    }

    fn take_in(&mut self, intake: ReplicaIntake, staged: &BlockTail) -> Result<(), BlockDamage> {
        for events in intake.appends() {
            match self.log.ingest(events) {
                Ok(_) => {}
                Err(
                    error @ (AppendError::DoesNotFollow { .. }
                    | AppendError::EventIdReused { .. }
                    | AppendError::DuplicateEventId { .. }
                    | AppendError::OriginReused { .. }
                    | AppendError::DuplicateOrigin { .. }),
                ) => {
                    let place = intake.places.first().map_or(staged.next, |(place, ..)| *place);
                    return Err(BlockDamage::Divergent { place, why: error.to_string() });
                }
                Err(error) => {
                    self.fail(&error);
                    return Ok(());
                }
            }
        }
        if let Some(last) = intake.events.last() {
            self.last_recorded_at = last.recorded_at;
        }
        self.tail = staged.clone();
        for (place, hash, writer) in intake.places {
            self.contended_for = if writer == self.writer {
                self.contended_for.saturating_sub(1)
            } else {
                CONTENDED_FOR
            };
            match self.flights.front() {
                Some(first) if first.place == place && first.hash == hash => {
                    if let Some(landed) = self.flights.pop_front() {
                        landed.answer_landed(self.tail.head);
                    }
                }
                Some(first) if first.place <= place => self.lose_flights(),
                _ => {}
            }
        }
        self.ahead.release_through(self.tail.head);
        Ok(())
    }

    /// Another block is in the place of the first flight: those behind it are void, wherever they land.
    /// What they were to bring is decided again.
    fn lose_flights(&mut self) {
        let lost: Vec<Flight> = self.flights.drain(..).collect();
        for (submission, _) in lost.into_iter().flat_map(|flight| flight.decided).rev() {
            self.waiting.push_front(submission);
        }
        self.ahead.clear();
    }

    /// Gives up what may not wait any longer: what is under way is unknown then, all of it, since it
    /// rests on the first.
    pub(crate) fn expire(&mut self, now: Instant, why: &str) {
        if self.flights.iter().any(|flight| flight.is_late(now)) {
            self.give_up(why);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for submission in waiting {
            if submission.deadline <= now {
                submission.answer.answer(Err(undecided(why)));
            } else {
                self.waiting.push_back(submission);
            }
        }
    }

    /// When the first of those who wait may not wait any longer.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let under_way = self.flights.iter().flat_map(|flight| &flight.decided);
        let under_way = under_way.map(|(submission, _)| submission.deadline);
        under_way.chain(self.waiting.iter().map(|submission| submission.deadline)).min()
    }

    /// Gives up everything that is under way.
    pub(crate) fn give_up(&mut self, why: &str) {
        self.flights.drain(..).for_each(|flight| flight.answer_unknown(why));
        self.ahead.clear();
    }

    fn fail(&mut self, error: &AppendError) {
        tracing::error!(%error, "the log that follows failed: appends are refused until reopened");
        let why = format!("the log of this replica has failed: {error}");
        self.failed = Some(StorageError::new("following the replicated log", why.clone()));
        self.give_up(&why);
    }

    /// Why the log of this process takes nothing any more.
    pub(crate) const fn failure(&self) -> Option<&StorageError> {
        self.failed.as_ref()
    }

    /// Decides what waits, up to one group, and has it fly.
    fn decide_group(&mut self, now: Instant) {
        let mut group = NewGroup::default();
        let read = self.log.durable_head();
        while let Some(submission) = self.waiting.pop_front() {
            if !group.has_room_for(&submission.proposal) {
                self.waiting.push_front(submission);
                break;
            }
            if submission.deadline <= now {
                submission.answer.answer(Err(undecided("the time for the append is over")));
                continue;
            }
            match self.decide(&submission.proposal, &mut group) {
                Ok(FlightVerdict::Stored(receipt)) if receipt.last_position() <= read => {
                    submission.answer.answer(Ok(receipt));
                }
                Ok(verdict) => group.decided.push((submission, verdict)),
                Err(error) if self.ahead.is_empty() && is_final(&error) => {
                    submission.answer.answer(Err(error));
                }
                Err(error) => group.decided.push((submission, FlightVerdict::Refused(error))),
            }
        }
        if group.decided.is_empty() {
            return;
        }
        // What may hold later is refused by a block that is put after it was asked: one under way may have
        // landed long ago, with others' blocks behind it.
        let is_asked_now = |(_, verdict): &(ReplicatedSubmission, FlightVerdict)| matches!(verdict, FlightVerdict::Refused(error) if !is_final(error));
        let needs_block = !group.runs.is_empty() || group.decided.iter().any(is_asked_now);
        match self.flights.back_mut() {
            // What is only told is told once what it rests on has landed.
            Some(last) if !needs_block => last.decided.append(&mut group.decided),
            _ => self.fly(group),
        }
    }

    fn decide(
        &mut self,
        proposal: &Proposal,
        group: &mut NewGroup,
    ) -> Result<FlightVerdict, AppendError> {
        let view = self.ahead.over(&*self.log, self.last_recorded_at);
        if let AppendDecision::AlreadyStored(receipt) = append_rules::decide(proposal, &view)? {
            return Ok(FlightVerdict::Stored(receipt));
        }
        let assigned = proposal.assign(&view, Timestamp::now())?;
        let receipt = Receipt::of(&assigned, true);
        group.bytes += proposal.body_bytes();
        group.events += events_of(proposal);
        for (records, run) in assigned.into_iter().zip(proposal.runs()) {
            self.ahead.push(records.clone());
            group.runs.push((records, Arc::clone(run.body())));
        }
        Ok(FlightVerdict::Taken(receipt))
    }

    /// Makes the blocks of a group. One without events says only that nobody else's is in its place: it
    /// is put where somebody is to be told what holds there.
    fn fly(&mut self, group: NewGroup) {
        let NewGroup { runs, decided, .. } = group;
        let (place, previous) = match self.flights.back() {
            Some(last) => (last.place + 1, last.hash),
            None => (self.tail.next, self.tail.last_hash),
        };
        let Some(identity) = self.tail.identity else {
            let why = "the first block of the log was not read";
            self.ahead.clear();
            decided.into_iter().for_each(|(it, _)| it.answer.answer(Err(undecided(why))));
            return;
        };
        let first = runs.first().map(|(records, _)| records.first_position());
        let records: Vec<Records> = runs.iter().map(|(records, _)| records.clone()).collect();
        let next = append_rules::AppendView::head(&self.view()).next();
        let header = GroupBlockHeader {
            log_id: identity.log_id,
            timeline: identity.timeline,
            writer: self.writer,
            group: self.groups,
            place,
            read_through: self.tail.next - 1,
            first_position: first.unwrap_or(next),
            count: group_block::count_of(&records),
            part: 0,
            parts: 1,
            previous,
        };
        self.groups += 1;
        let bodies = runs.iter().map(|(records, body)| (records, body.bytes()));
        let payload = group_block::encode_records(bodies);
        let blocks = group_block::blocks_of(&header, &payload, self.limits.max_block_bytes);
        for (place, (block, hash)) in (place..).zip(blocks) {
            let flight =
                Flight { place, hash, block: block.into(), put: None, decided: Vec::new() };
            self.flights.push_back(flight);
        }
        if let Some(last) = self.flights.back_mut() {
            last.decided = decided;
        }
    }

    /// Answers everything that waits: the process stops.
    pub(crate) fn stop(&mut self) {
        self.give_up("the log was closed before it was known");
        self.waiting.drain(..).for_each(|it| it.answer.answer(Err(AppendError::Closed)));
    }
}

fn send(flight: &mut Flight, wake: &Arc<Wake>) -> BlockPut {
    let (state, answer) = PutState::new(wake);
    flight.put = Some(state);
    BlockPut { place: flight.place, block: Arc::clone(&flight.block), answer }
}

/// Whether an append that is refused now is refused ever after, whatever else was appended meanwhile.
fn is_final(error: &AppendError) -> bool {
    match error {
        AppendError::ConditionFailed { failed } => failed.iter().any(|part| match part {
            FailedCondition::Revision { expected, current, .. } => match expected {
                ExpectedRevision::Exact(expected) => current > expected,
                ExpectedRevision::NoSpace => true,
                _ => *current > Revision::NONE,
            },
            _ => true,
        }),
        AppendError::DoesNotFollow { .. } => false,
        _ => true,
    }
}

/// What is taken in together.
#[derive(Default)]
struct ReplicaIntake {
    events: Vec<RecordedEvent>,
    /// Where each group ends.
    ends: Vec<usize>,
    places: Vec<(u64, group_block::GroupBlockHash, [u8; 16])>,
    bytes: usize,
}

impl ReplicaIntake {
    fn add(&mut self, place: u64, runs: &[Records]) -> Result<(), BlockDamage> {
        for envelope in runs.iter().flat_map(Records::envelopes) {
            let event = envelope
                .decode()
                .map_err(|error| BlockDamage::Divergent { place, why: error.to_string() })?;
            self.events.push(event.to_owned_event());
        }
        self.ends.push(self.events.len());
        Ok(())
    }

    /// The events, in whole groups, as many together as one append may have.
    fn appends(&self) -> impl Iterator<Item = &[RecordedEvent]> {
        let mut begin = 0;
        let mut ends = self.ends.iter().copied().peekable();
        std::iter::from_fn(move || {
            let mut end = ends.next()?;
            while let Some(next) = ends.next_if(|next| next - begin <= MAX_APPEND_EVENTS) {
                end = next;
            }
            let events = self.events.get(begin..end);
            begin = end;
            events
        })
    }
}
