//! A check of the protocol: several replicas over simulated blocks, stepped in any order by a seed,
//! killed at any step, and what they were answered compared with what is there in the end.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventId, EventLog, FailedCondition, LogId,
    LogIdentity, LogReader, MemoryLog, PendingAppend, Position, ReadRequest, Receipt,
    RecordedEvent, Revision, Schemas, SpaceEvent, append_rules,
};

use crate::{
    block_log::{BlockLog, BlockLogLimits, PutAnswer},
    error::BlockDamage,
    flight::{ReplicatedSubmission, outcome_unknown},
    group_block::GroupBlockHeader,
    replica::{BlockPut, Replica},
    sim_blocks::{BlockLie, SimBlocks},
    tail::BlockTail,
    wake::Wake,
};

const SPACES: [&str; 3] = ["a", "b", "c"];
/// Schedules of a plain run; all of them where `SPACEFOLD_PROTOCOL_SCHEDULES` says how many.
const SCHEDULES: u64 = 3_000;

/// Schedules over each backend that lies.
const LYING_SCHEDULES: u64 = 800;

/// One process.
struct Process {
    replica: Replica,
    log: Arc<MemoryLog>,
    /// Which life of a process it is.
    life: u64,
}

/// An append that somebody has made.
struct Tried {
    events: Vec<SpaceEvent>,
    condition: AppendCondition,
    /// The revision that the condition asks for.
    exact: Option<Revision>,
    life: u64,
    /// The revision of the space that is known to be there when it is made.
    known: Option<(&'static str, Revision)>,
    pending: Option<PendingAppend>,
    answer: Option<Result<Receipt, AppendError>>,
    is_retry: bool,
}

struct Schedule {
    random: fastrand::Rng,
    blocks: SimBlocks,
    limits: BlockLogLimits,
    processes: Vec<Process>,
    tried: Vec<Tried>,
    /// Revisions that somebody was told of.
    known: HashMap<&'static str, Revision>,
    lives: u64,
    counts: Counts,
}

/// What happened in the schedules, so that a run that does nothing is seen.
#[derive(Debug, Default)]
struct Counts {
    taken: u64,
    unknown: u64,
    refused: u64,
    conditions: u64,
    crashes: u64,
    parted: u64,
    voids: u64,
    damaged: u64,
    /// What was damaged first.
    damage: Option<BlockDamage>,
    blocks: u64,
}

impl Counts {
    fn note(&mut self, taken: Result<(), BlockDamage>) {
        if let Err(damage) = taken {
            self.damaged += 1;
            self.damage.get_or_insert(damage);
        }
    }

    fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.conditions += other.conditions;
        self.crashes += other.crashes;
        self.parted += other.parted;
        self.voids += other.voids;
        self.damaged += other.damaged;
        self.blocks += other.blocks;
    }
}

fn process(log: Arc<MemoryLog>, limits: BlockLogLimits, life: u64) -> Process {
    let mut writer = [0; 16];
    writer[..8].copy_from_slice(&life.to_le_bytes());
    let own: Arc<dyn EventLog> = Arc::clone(&log) as Arc<dyn EventLog>;
    let replica =
        Replica::new(own, BlockTail::start(), writer, limits, Arc::new(Wake::default())).unwrap();
    Process { replica, log, life }
}

impl Schedule {
    fn new(seed: u64, lie: Option<BlockLie>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = BlockLogLimits {
            max_block_bytes: if random.bool() { 420 } else { 1 << 20 },
            max_in_flight: [1, 2, 5][random.usize(..3)],
        };
        let blocks = SimBlocks::new(random.u64(..), limits).stepped();
        let identity = LogIdentity::created(LogId::random());
        let (first, _) = GroupBlockHeader::first(identity, [9; 16]).encode(&[]);
        let first: Arc<[u8]> = first.into();
        while blocks.is_empty() {
            blocks.put_if_absent(1, Arc::clone(&first), PutAnswer::new(|_| {}));
            blocks.step();
        }
        let blocks = lie.map_or(blocks.clone(), |lie| blocks.lying(lie));
        let writers = random.u64(1..=3);
        let processes = (1..=writers).map(|life| process(Arc::default(), limits, life)).collect();
        Self {
            random,
            blocks,
            limits,
            processes,
            tried: Vec::new(),
            known: HashMap::new(),
            lives: writers,
            counts: Counts::default(),
        }
    }

    fn act(&mut self) -> Result<(), String> {
        let which = self.random.usize(..self.processes.len());
        match self.random.u32(..100) {
            0..12 => self.append(which),
            12..15 => self.retry(which),
            15..32 => self.put(which),
            32..60 => {
                self.blocks.step();
            }
            60..72 => {
                let taken = self.processes[which].replica.take_landed();
                self.counts.note(taken);
            }
            72..86 => self.read(which),
            86..94 => {
                let put = self.processes[which].replica.put_again();
                self.send(put);
            }
            94..95 => self.processes[which].replica.give_up("in the model"),
            95..97 => self.crash(which),
            _ => self.listen(),
        }
        Ok(())
    }

    fn append(&mut self, which: usize) {
        let space = SPACES[self.random.usize(..SPACES.len())];
        let text = "x".repeat(self.random.usize(..400));
        let event = |n: usize| SpaceEvent::variable_set(space, format!("n{n}"), text.as_str());
        let events: Vec<SpaceEvent> = (0..self.random.usize(1..4)).map(event).collect();
        let known = self.known.get(space).copied().unwrap_or_default();
        let exact = match self.random.u32(..4) {
            0 => Some(known),
            1 => Some(self.processes[which].log.revision(space).unwrap()),
            _ => None,
        };
        let condition =
            exact.map_or_else(AppendCondition::none, |n| AppendCondition::exact(space, n));
        self.submit(which, (events, condition, exact), Some((space, known)), false);
    }

    /// Somebody makes an append again that was answered in no way, or was told to be unknown.
    fn retry(&mut self, which: usize) {
        let unknown: Vec<usize> = (0..self.tried.len())
            .filter(|at| {
                matches!(self.tried[*at].answer, Some(Err(AppendError::OutcomeUnknown(_))))
            })
            .collect();
        if unknown.is_empty() {
            return;
        }
        let of = &self.tried[unknown[self.random.usize(..unknown.len())]];
        let made = (of.events.clone(), of.condition.clone(), of.exact);
        self.submit(which, made, None, true);
    }

    fn submit(
        &mut self,
        which: usize,
        (events, condition, exact): (Vec<SpaceEvent>, AppendCondition, Option<Revision>),
        known: Option<(&'static str, Revision)>,
        is_retry: bool,
    ) {
        let append = AppendRequest::new(&events).on(condition.clone());
        let proposal = append_rules::propose(&append, Schemas::today()).unwrap();
        let (answer, pending) = PendingAppend::new(|| Err(outcome_unknown("it was killed")));
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let process = &mut self.processes[which];
        let life = process.life;
        process.replica.submit(ReplicatedSubmission {
            proposal: Box::new(proposal),
            answer,
            deadline,
        });
        let pending = Some(pending);
        let tried =
            Tried { events, condition, exact, life, known, pending, answer: None, is_retry };
        self.tried.push(tried);
    }

    fn put(&mut self, which: usize) {
        let put = self.processes[which].replica.next_put(Instant::now());
        self.send(put);
    }

    fn send(&mut self, put: Option<BlockPut>) {
        if let Some(BlockPut { place, block, answer }) = put {
            self.blocks.put_if_absent(place, block, answer);
        }
    }

    fn read(&mut self, which: usize) {
        let next = self.processes[which].replica.tail().next;
        if let Ok(blocks) = self.blocks.get(next) {
            let taken = self.processes[which].replica.take_blocks(next, &blocks);
            self.counts.note(taken);
        }
    }

    /// The process is killed, and started again: with the log that it had, or without.
    fn crash(&mut self, which: usize) {
        self.counts.crashes += 1;
        self.lives += 1;
        let log = Arc::clone(&self.processes[which].log);
        let log = if self.random.bool() { log } else { Arc::default() };
        self.processes[which] = process(log, self.limits, self.lives);
        self.listen();
    }

    fn listen(&mut self) {
        for tried in &mut self.tried {
            let Some(pending) = tried.pending.take() else { continue };
            match pending.try_wait() {
                Ok(answer) => {
                    if let (Ok(receipt), Some(space)) = (&answer, space_of(&tried.events)) {
                        let known = self.known.entry(space).or_default();
                        *known = (*known).max(receipt.revision());
                    }
                    tried.answer = Some(answer);
                }
                Err(pending) => tried.pending = Some(pending),
            }
        }
    }

    /// Lets everything come to rest, and compares what was answered with what is there, unless that
    /// cannot be read in the end.
    fn finish(mut self) -> Result<Counts, String> {
        self.blocks.calm();
        let damaged_before = self.counts.damaged;
        for _ in 0..400 {
            for which in 0..self.processes.len() {
                self.put(which);
                self.blocks.calm();
                let taken = self.processes[which].replica.take_landed();
                self.counts.note(taken);
                self.read(which);
                let put = self.processes[which].replica.put_again();
                self.send(put);
                self.blocks.calm();
            }
            if self.processes.iter().all(|process| process.replica.is_idle()) {
                break;
            }
        }
        if self.counts.damaged > damaged_before {
            return Ok(self.counts);
        }
        self.listen();
        if let Some(tried) = self.tried.iter().find(|tried| tried.answer.is_none()) {
            return Err(format!("an append of life {} was never answered", tried.life));
        }
        let reader = process(Arc::default(), self.limits, u64::MAX);
        self.processes.push(reader);
        let last = self.processes.len() - 1;
        for which in 0..=last {
            self.read(which);
        }
        if self.counts.damaged > damaged_before {
            return Ok(self.counts);
        }
        let whole = whole(&self.processes[last].log);
        for process in &self.processes {
            if self::whole(&process.log) != whole {
                return Err(format!("life {} holds other events than a fresh one", process.life));
            }
        }
        self.counts.blocks += self.blocks.len();
        self.counts.voids += u64::from(self.processes[last].replica.tail().last_void > 0);
        self.check(&whole)?;
        Ok(self.counts)
    }

    fn check(&mut self, whole: &[RecordedEvent]) -> Result<(), String> {
        let mut places: HashMap<EventId, Position> = HashMap::new();
        for event in whole {
            if places.insert(event.event.event_id, event.position).is_some() {
                return Err(format!("{} is stored twice", event.event.event_id));
            }
        }
        let mut taken: BTreeMap<u64, Position> = BTreeMap::new();
        let mut sure: HashMap<EventId, bool> = HashMap::new();
        for tried in &self.tried {
            let found: Vec<Option<Position>> =
                tried.events.iter().map(|event| places.get(&event.event_id).copied()).collect();
            let is_stored = found[0].is_some();
            let run = (0..).zip(&found).all(|(n, at)| *at == found[0].map(|first| first.plus(n)));
            if !run {
                return Err(format!("an append is torn: {found:?}"));
            }
            match tried.answer.as_ref().expect("checked") {
                Ok(receipt) => {
                    self.counts.taken += 1;
                    if found[0] != Some(receipt.first_position()) {
                        return Err(format!("acknowledged at {receipt:?}, found at {found:?}"));
                    }
                    let first =
                        &whole[usize::try_from(receipt.first_position().get()).unwrap() - 1];
                    if let Some(n) = tried.exact.filter(|n| first.revision != n.next()) {
                        return Err(format!("{n} was expected, {} is there", first.revision));
                    }
                    if !tried.is_retry {
                        let last = taken.insert(tried.life, receipt.last_position());
                        if last.is_some_and(|last| last >= receipt.first_position()) {
                            return Err(format!("life {} is out of order", tried.life));
                        }
                    }
                }
                Err(AppendError::OutcomeUnknown(_)) => self.counts.unknown += 1,
                Err(error) => {
                    self.counts.refused += 1;
                    if !tried.is_retry {
                        sure.insert(tried.events[0].event_id, is_stored);
                    }
                    if let AppendError::ConditionFailed { failed } = error {
                        self.counts.conditions += 1;
                        check_refusal(failed, tried)?;
                    }
                }
            }
            self.counts.parted += u64::from(is_stored && self.limits.max_block_bytes < 1_000);
        }
        // What was refused was never made again.
        if let Some((id, _)) = sure.iter().find(|(_, is_stored)| **is_stored) {
            return Err(format!("{id} was refused, and is stored"));
        }
        Ok(())
    }
}

/// Refused for a revision that is not there yet, an append may not be told of less than was known
/// before it was made. One that is refused for what is there already stays refused.
fn check_refusal(failed: &[FailedCondition], tried: &Tried) -> Result<(), String> {
    for part in failed {
        if let (FailedCondition::Revision { current, .. }, Some((_, known))) = (part, tried.known)
            && *current < known
            && tried.exact.is_some_and(|exact| *current < exact)
        {
            return Err(format!("refused at revision {current}, though {known} was known"));
        }
    }
    Ok(())
}

fn space_of(events: &[SpaceEvent]) -> Option<&'static str> {
    SPACES.into_iter().find(|space| events.iter().any(|event| event.space_id == *space))
}

fn whole(log: &MemoryLog) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        let page = page.unwrap();
        events.extend(page.events().map(|event| event.unwrap().to_owned_event()));
    }
    events
}

fn run(seed: u64, lie: Option<BlockLie>) -> Result<Counts, String> {
    let mut schedule = Schedule::new(seed, lie);
    for _ in 0..schedule.random.usize(40..160) {
        schedule.act()?;
    }
    schedule.finish()
}

fn schedules() -> u64 {
    let told = std::env::var("SPACEFOLD_PROTOCOL_SCHEDULES").ok();
    told.map_or(SCHEDULES, |text| text.parse().expect("a number of schedules"))
}

fn first_seed() -> u64 {
    let told = std::env::var("SPACEFOLD_PROTOCOL_SEED").ok();
    told.map_or_else(|| fastrand::u64(..1 << 40), |text| text.parse().expect("a seed"))
}

#[test]
fn nothing_is_lost_doubled_torn_or_out_of_order() {
    let (first, count) = (first_seed(), schedules());
    println!("seeds from {first}, {count} schedules");
    let mut counts = Counts::default();
    for seed in first..first + count {
        match run(seed, None) {
            Ok(of_one) => {
                assert_eq!(of_one.damage, None, "seed {seed}: an honest backend is called damaged");
                counts.add(&of_one);
            }
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    println!("{counts:?}");
    // All that can go wrong has been tried.
    let least = count / 4;
    assert!(counts.taken > least && counts.unknown > least && counts.conditions > least / 8);
    assert!(counts.crashes > least && counts.parted > least && counts.voids > 0, "{counts:?}");
}

/// How many schedules over a backend that lies end in damage, and how many in a wrong answer.
fn found(lie: BlockLie) -> (usize, usize) {
    let first = first_seed();
    println!("seeds from {first}");
    let runs: Vec<Result<Counts, String>> =
        (first..first + LYING_SCHEDULES).map(|seed| run(seed, Some(lie))).collect();
    let wrong = runs.iter().filter(|run| run.is_err()).count();
    let damaged = runs.iter().flatten().filter(|counts| counts.damaged > 0).count();
    (damaged, wrong)
}

#[test]
fn a_backend_that_replaces_blocks_is_found() {
    let (damaged, wrong) = found(BlockLie::Replaces);
    assert!(damaged + wrong > 10, "{damaged} damaged, {wrong} wrong");
}

#[test]
fn a_backend_that_acknowledges_early_is_found() {
    let (damaged, wrong) = found(BlockLie::AcknowledgesEarly);
    assert!(damaged + wrong > 10, "{damaged} damaged, {wrong} wrong");
}

#[test]
fn a_backend_that_acknowledges_what_it_refused_is_found() {
    let (damaged, wrong) = found(BlockLie::AcknowledgesRefused);
    assert!(damaged + wrong > 10, "{damaged} damaged, {wrong} wrong");
}

#[test]
fn a_backend_that_forgets_is_found() {
    let (damaged, wrong) = found(BlockLie::Forgets);
    assert!(damaged + wrong > 10, "{damaged} damaged, {wrong} wrong");
}

#[test]
fn a_block_that_is_not_given_is_damage_and_never_passed_over() {
    let (damaged, wrong) = found(BlockLie::Skips);
    assert!(damaged > 10, "{damaged} damaged");
    assert_eq!(wrong, 0, "a block was passed over");
}
