use std::{thread, time::Duration};

use spacefold_event_core::{EventFilter, Revision};

use super::*;
use crate::retry_policy::RetryPolicy;

fn activated(space_id: &str) -> SpaceEvent {
    SpaceEvent::space_activated(space_id)
}

fn answers(test: &HandlerTest) -> Vec<Vec<Result<(), &str>>> {
    let answers = test.handled().iter().map(|handled| {
        handled.answers.iter().map(|answer| answer.as_ref().copied().map_err(String::as_str))
    });
    answers.map(Iterator::collect).collect()
}

/// The spaces and positions of the events that a handler was called for.
type Calls = Arc<Lock<Vec<(String, u64)>>>;

/// A handler that keeps its calls, and fails as often as
/// `failures` says for each space.
fn failing(failures: fn(&str) -> usize) -> (Handler, Calls) {
    let calls = Calls::default();
    let kept = Arc::clone(&calls);
    let handler = Handler::new(move |event: &RecordedEvent| {
        assert_eq!(thread::current().name(), Some("caller"), "in another thread");
        let mut calls = kept.lock();
        calls.push((event.event.space_id.clone(), event.position.get()));
        let before = calls.iter().filter(|(space, _)| *space == event.event.space_id).count();
        if before <= failures(&event.event.space_id) {
            Err(format!("busy {before}"))
        } else {
            Ok(())
        }
    });
    (handler, calls)
}

/// In a thread that has a name.
fn in_the_caller(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name("caller".to_owned()).spawn(run).unwrap().join().unwrap();
}

#[test]
fn what_failed_is_tried_again_and_parked_in_order_in_this_thread() {
    in_the_caller(|| {
        let (handler, calls) = failing(|space| match space {
            "good" => 0,
            "slow" => 2,
            _ => usize::MAX,
        });
        let filter = EventFilter::all().spaces(["good", "slow", "bad"]);
        let handler = handler.named("mail").matching(filter);
        let spaces = ["good", "slow", "other", "bad", "good"];
        let test = HandlerTest::new(handler).given(spaces.map(activated));
        let busy = [Err("busy 1"), Err("busy 2"), Err("busy 3")];
        let expected: [&[_]; 5] = [&[Ok(())], &[busy[0], busy[1], Ok(())], &[], &busy, &[Ok(())]];
        assert_eq!(answers(&test), expected);
        let positions = [("good", 1), ("slow", 2), ("slow", 2), ("slow", 2)];
        let later = [("bad", 4), ("bad", 4), ("bad", 4), ("good", 5)];
        let expected = positions.into_iter().chain(later).map(|(space, n)| (space.to_owned(), n));
        assert_eq!(*calls.lock(), expected.collect::<Vec<_>>());
        let handled = test.handled().iter().map(|it| (it.event.position, it.event.revision));
        let places = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2)];
        let places = places.map(|(n, m)| (Position::new(n), Revision::new(m)));
        assert_eq!(handled.collect::<Vec<_>>(), places);
        let [parked] = &test.parked()[..] else { panic!("{:?}", test.parked()) };
        assert_eq!((parked.handler.as_str(), parked.attempts), ("mail", 3));
        assert_eq!((parked.position, parked.reason.as_str()), (Position::new(4), "busy 3"));
    });
}

#[test]
fn the_policy_says_how_often_and_nobody_waits() {
    in_the_caller(|| {
        let day = Duration::from_secs(24 * 60 * 60);
        for attempts in [1, 2, 5] {
            let (handler, calls) = failing(|_| usize::MAX);
            let retry = RetryPolicy::new(attempts, day);
            let test = HandlerTest::new(handler.retry(retry)).given([activated("s")]);
            assert_eq!(calls.lock().len(), usize::try_from(attempts).unwrap());
            assert_eq!(
                (test.handled()[0].answers.len(), test.parked().len()),
                (calls.lock().len(), 1)
            );
        }
        let (handler, calls) = failing(|_| usize::MAX);
        let _ = HandlerTest::new(handler.retry(RetryPolicy::NEVER)).given([activated("s")]);
        assert_eq!(calls.lock().len(), 1);
    });
}

#[test]
fn an_event_that_is_given_again_is_delivered_again() {
    in_the_caller(|| {
        let (handler, calls) = failing(|_| 0);
        let [one, two] = [activated("a"), activated("b")];
        let test = HandlerTest::new(handler).given([one.clone(), two]).given([one]);
        let expected = [("a", 1), ("b", 2), ("a", 1)].map(|(space, n)| (space.to_owned(), n));
        assert_eq!(*calls.lock(), expected);
        assert_eq!(test.handled()[2], test.handled()[0]);
    });
}

#[test]
fn panics_awaited_answers_and_handlers_of_one_event_are_shown() {
    let panicking = Handler::new(|_| -> () { panic!("no mail") }).retry(RetryPolicy::NEVER);
    let test = HandlerTest::new(panicking).given([activated("s")]);
    assert_eq!(answers(&test), [[Err("panicked: no mail")]]);
    let awaited = Handler::new_async(|event| async move {
        if event.position.get() == 1 { Err("too early") } else { Ok(()) }
    });
    let test = HandlerTest::new(awaited.retry(RetryPolicy::NEVER)).given(["a", "b"].map(activated));
    assert_eq!(answers(&test), [[Err("too early")], [Ok(())]]);
    let once = Handler::new(|_| ()).once();
    let test = HandlerTest::new(once).given(["a", "b"].map(activated));
    assert_eq!(answers(&test), [vec![Ok(())], vec![]]);
}

#[test]
#[should_panic(expected = "what is given cannot be recorded")]
fn an_event_past_a_limit_is_told() {
    let _ = HandlerTest::new(Handler::new(|_| ())).given([activated("")]);
}
