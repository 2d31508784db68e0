use super::*;
use crate::{
    AppendRequest, EventFilter, EventLog, EventType, LogWriter, MemoryLog, SpaceEvent, testing,
};

/// A log whose pages get nowhere from some position on, in one way or another.
struct Withholding {
    log: MemoryLog,
    from: Position,
    gives: fn(&ReadRequest) -> Page,
}

impl Withholding {
    fn new(events: u64, from: u64, gives: fn(&ReadRequest) -> Page) -> Self {
        let log = MemoryLog::new();
        for _ in 0..events {
            log.append(&AppendRequest::new(&[SpaceEvent::space_activated("a")])).unwrap();
        }
        Self { log, from: Position::new(from), gives }
    }
}

impl testing::LogWrapper for Withholding {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        if read.from >= self.from {
            return Ok((self.gives)(read));
        }
        self.log.read(&read.clone().to(read.to.min(self.from.previous())))
    }
}

#[test]
fn pages_lead_from_the_beginning_to_the_head_and_end() {
    let log = Withholding::new(10, 11, |read| Page::empty(read.from)).log;
    for limit in [1, 3, 10, 11] {
        let mut pages = log.pages(ReadRequest::from(Position::START).limit(limit));
        let mut positions = Vec::new();
        for page in pages.by_ref() {
            positions.extend(page.unwrap().envelopes().map(|event| event.position.get()));
        }
        assert_eq!(positions, (1..=10).collect::<Vec<_>>(), "{limit}");
        assert_eq!(pages.next_position(), Position::new(11));
        assert!(pages.next().is_none());
    }
    let none = EventFilter::all().types([EventType::SpaceDeleted]);
    let pages = log.pages(ReadRequest::from(Position::new(4)).matching(none));
    assert_eq!(pages.map(|page| page.unwrap().len()).sum::<usize>(), 0);
    assert!(log.pages(ReadRequest::from(Position::new(11))).next().is_none());
    assert!(log.pages(ReadRequest::from(Position::new(5)).to(Position::new(4))).next().is_none());
}

#[test]
fn a_log_that_gives_nothing_before_its_head_is_an_error_and_no_end() {
    let nowhere: fn(&ReadRequest) -> Page = |read| Page::empty(read.from);
    let to_the_end: fn(&ReadRequest) -> Page = |read| Page::empty(read.to.next());
    let back: fn(&ReadRequest) -> Page = |_| Page::empty(Position::new(1));
    let activated = EventFilter::all().types([EventType::SpaceActivated]);
    for (gives, filter) in [
        (nowhere, EventFilter::all()),
        (nowhere, activated.clone()),
        (back, activated),
        (back, EventFilter::all()),
        (to_the_end, EventFilter::all()),
    ] {
        for missing in [1, 6, 10] {
            let log = Withholding::new(10, missing, gives);
            let read = ReadRequest::from(Position::new(1)).matching(filter.clone());
            let mut pages = log.pages(read);
            let mut given = 0;
            let error = loop {
                match pages.next().expect("an end before the head") {
                    Ok(page) => given += page.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(given as u64, missing - 1);
            let (position, to) = (Position::new(missing), Position::new(10));
            assert!(
                matches!(error, ReadError::NothingGiven { position: p, to: t } if p == position && t == to),
                "{error}"
            );
            assert!(pages.next().is_none(), "something behind the error");
        }
    }
}

#[test]
fn pages_of_nothing_are_refused_once() {
    let log = Withholding::new(3, 4, |read| Page::empty(read.from)).log;
    for read in [
        ReadRequest::from(Position::new(1)).limit(0),
        ReadRequest::from(Position::new(1)).looking_at(0),
    ] {
        let mut pages = log.pages(read);
        assert!(matches!(pages.next(), Some(Err(ReadError::NothingAsked))));
        assert!(pages.next().is_none());
    }
}

#[test]
fn a_page_looks_at_no_more_than_it_is_told_and_a_run() {
    let log = MemoryLog::new();
    for _ in 0..50 {
        let run = [0; 7].map(|_| SpaceEvent::space_activated("a"));
        log.append(&AppendRequest::new(&run)).unwrap();
    }
    let none = EventFilter::all().types([EventType::SpaceDeleted]);
    let mut next = Position::new(1);
    let mut pages = 0;
    for page in log.pages(ReadRequest::from(next).matching(none).looking_at(20)) {
        let page = page.unwrap();
        assert!(page.next().since(next) < 20 + 7);
        next = page.next();
        pages += 1;
    }
    assert_eq!((next, pages), (Position::new(351), 350_u64.div_ceil(21)));
}
