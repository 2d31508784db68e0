"""Handlers: their order, their failures, what is kept for them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import spacefold
from spacefold import Event, Store
from spacefold.bus import EventBus
from spacefold.event_model import SpaceEvent, SpaceEventType, space_created_event


def created(space_id: str) -> SpaceEvent:
    return space_created_event(space_id, space_id)


def test_handlers_are_called_by_priority_then_in_order() -> None:
    bus, called = EventBus(), list[str]()
    bus.subscribe(SpaceEventType.SPACE_CREATED, lambda _: called.append("low"), priority=-1)
    bus.subscribe(None, lambda _: called.append("global"))
    bus.subscribe("space.*", lambda _: called.append("pattern"))
    bus.subscribe(SpaceEventType.SPACE_DELETED, lambda _: called.append("other"))
    bus.subscribe(SpaceEventType.SPACE_CREATED, lambda _: called.append("high"), priority=5)
    assert bus.publish(created("a")).failures == []
    assert called == ["high", "global", "pattern", "low"]


def test_a_handler_is_taken_off() -> None:
    bus, called = EventBus(), list[SpaceEvent]()
    bus.subscribe(None, called.append)
    assert not bus.unsubscribe(SpaceEventType.SPACE_CREATED, called.append)
    assert bus.unsubscribe(None, called.append)
    assert not bus.unsubscribe(None, called.append)
    bus.publish(created("a"))
    assert called == []


def test_a_failure_keeps_no_other_handler(caplog: pytest.LogCaptureFixture) -> None:
    bus, called = EventBus(), list[SpaceEvent]()

    def fails(_: SpaceEvent) -> None:
        raise KeyError("why")

    bus.subscribe(None, fails, priority=1)
    bus.subscribe(None, called.append)
    [failure] = bus.publish(created("a")).failures
    assert isinstance(failure.error, KeyError) and "fails" in failure.handler
    assert len(called) == 1 and "fails" in caplog.text


def test_async_handlers_are_awaited() -> None:
    bus, called = EventBus(), list[str]()

    async def slow(event: SpaceEvent) -> None:
        await asyncio.sleep(0)
        called.append(f"slow {event.space_id}")

    async def fails(_: SpaceEvent) -> None:
        raise KeyError

    bus.subscribe(None, slow, priority=1)
    bus.subscribe(None, lambda event: called.append(f"quick {event.space_id}"))
    bus.publish(created("a"))
    assert called == ["slow a", "quick a"]

    async def main() -> None:
        await bus.publish_async(created("b"))
        assert called[2:] == ["slow b", "quick b"]
        bus.subscribe(None, fails)
        assert len((await bus.publish_async(created("c"))).failures) == 1
        published = bus.publish(created("d"))
        assert called[-1] == "quick d"
        while called[-1] != "slow d" or not published.failures:
            await asyncio.sleep(0)

    asyncio.run(main())


def test_history() -> None:
    bus = EventBus(history_size=2)
    for space_id in "abc":
        bus.publish(created(space_id))
    assert [event.space_id for event in bus.history()] == ["b", "c"]
    assert [event.space_id for event in bus.history(space_id="b")] == ["b"]
    assert bus.history(SpaceEventType.SPACE_DELETED) == []
    assert [event.space_id for event in bus.history(limit=1)] == ["c"]
    bus.clear_history()
    assert bus.history() == [] == EventBus().history()


def test_over_a_store_handlers_hear_what_is_committed(store: Store) -> None:
    store.append(created("before"))
    called: list[str] = []
    here = threading.get_ident()

    async def awaited(event: SpaceEvent) -> None:
        await asyncio.sleep(0)
        called.append(f"async {event.space_id}")

    def sync(event: SpaceEvent) -> None:
        assert threading.get_ident() != here
        called.append(f"sync {event.space_id}")

    with EventBus(store) as bus:
        bus.subscribe(None, awaited)
        bus.subscribe(SpaceEventType.SPACE_CREATED, sync, priority=1)
        receipt = bus.publish(created("a")).receipt
        assert receipt is not None and receipt.first_position == 2
        store.append(Event("com.example.paid", "a", {}))
        bus.flush(timeout=20)
        assert called == ["sync a", "async a", "async a"]
        assert asyncio.run(bus.publish_async(created("b"))).receipt is not None
        bus.flush(timeout=20)
        assert called[3:] == ["sync b", "async b"]
        assert [event.space_id for event in bus.history(SpaceEventType.SPACE_CREATED)] == [
            "before",
            "a",
            "b",
        ]
        assert [event.space_id for event in bus.history(space_id="b", limit=5)] == ["b"]
    with pytest.raises(spacefold.ClosedError):
        bus.publish(created("c"))


def test_a_handler_may_publish(store: Store) -> None:
    with EventBus(store) as bus:

        def follow_up(event: SpaceEvent) -> None:
            if event.space_id == "a":
                bus.publish(created("b"))

        bus.subscribe(None, follow_up)
        bus.publish(created("a"))
        bus.flush(timeout=20)
        assert [event.space_id for event in store.events()] == ["a", "b"]


def test_what_fails_is_retried_then_parked(store: Store) -> None:
    attempts: list[str] = []
    healthy: list[str] = []
    works = threading.Event()

    def flaky(event: SpaceEvent) -> None:
        attempts.append(event.space_id)
        if event.space_id == "bad" and not works.is_set():
            raise KeyError("not now")

    with EventBus(store, retries=2, backoff=0.001) as bus:
        bus.subscribe(None, flaky, priority=1, name="flaky")
        bus.subscribe(None, lambda event: healthy.append(event.space_id))
        for space_id in ("bad", "good"):
            bus.publish(created(space_id))
        bus.flush(timeout=20)
        assert attempts == ["bad", "bad", "bad", "good"] and healthy == ["bad", "good"]
        [parked] = bus.parked
        assert (parked.handler, parked.position) == ("flaky", 1)
        assert parked.error == "KeyError: 'not now'"
        assert bus.retry_parked() == 1
        works.set()
        assert bus.retry_parked() == 0 and bus.parked == []


def test_a_named_bus_goes_on_where_it_was(path: Path) -> None:
    called: list[str] = []

    def fails_at_b(event: SpaceEvent) -> None:
        if event.space_id == "b":
            raise KeyError("b")

    def opened(store: Store) -> EventBus:
        bus = EventBus(store, name="mailer", retries=0)
        bus.subscribe(None, lambda event: called.append(event.space_id), name="note")
        bus.subscribe(None, fails_at_b, name="fails")
        bus.start()
        return bus

    with spacefold.open(path) as store:
        store.append([created("a"), created("b")])
        with opened(store) as bus:
            bus.flush(timeout=20)
            assert called == ["a", "b"] and [it.position for it in bus.parked] == [2]
            with pytest.raises(spacefold.ConflictError, match="owned"):
                EventBus(store, name="mailer").start()
        store.append(created("c"))
    with spacefold.open(path) as store, opened(store) as bus:
        assert [it.position for it in bus.parked] == [2]
        bus.flush(timeout=20)
        assert called == ["a", "b", "c"]
    with pytest.raises(ValueError):
        EventBus(name="mailer")


def test_closing_the_store_ends_the_bus(store: Store) -> None:
    bus = EventBus(store)
    bus.subscribe(None, lambda _: None)
    store.close()
    bus.close()
    with pytest.raises(spacefold.ClosedError):
        bus.subscribe(None, lambda _: None)
