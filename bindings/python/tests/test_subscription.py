"""Subscriptions of threads and of asyncio."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import spacefold
from spacefold import Event, Filter, Store, aio
from spacefold.event_model import SpaceEvent, space_created_event


def created(space_id: str) -> SpaceEvent:
    return space_created_event(space_id, space_id)


def in_thread(call: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_history_then_live(store: Store) -> None:
    store.append([created("a"), created("b")])
    got: list[str] = []
    with store.subscribe() as subscription:

        def receive() -> None:
            got.extend(event.space_id for event in subscription)

        assert subscription.recv(timeout=10).space_id == "a"
        thread = in_thread(receive)
        store.append([created("c"), created("d")])
        while len(got) < 3:
            time.sleep(0.001)
    thread.join(10)
    assert not thread.is_alive() and got == ["b", "c", "d"]


def test_where_it_begins_and_what_passes(store: Store) -> None:
    store.append([created("a"), created("b"), Event("com.example.paid", "a", {}, tags=["t"])])

    def first(subscription: spacefold.Subscription) -> int:
        with subscription:
            return subscription.recv(timeout=10).position

    second = next(iter(store.events(after=1)))
    assert first(store.subscribe(after=1)) == 2
    assert first(store.subscribe(Filter(tags="t"))) == 3
    assert first(store.subscribe(Filter(spaces="b"), after=0)) == 2
    assert first(store.subscribe(after=second.recorded_at)) in (1, 2, 3)
    with store.subscribe(after="now") as subscription:
        with pytest.raises(spacefold.WaitTimeout):
            subscription.recv(timeout=0.02)
        assert subscription.recv_many(timeout=0) == []
        assert subscription.caught_up and subscription.lag == 0 and subscription.position == 3
        store.append(created("c"))
        assert [event.position for event in subscription.recv_many(timeout=10)] == [4]
        with pytest.raises(ValueError, match="keeps no place"):
            subscription.ack(1)
    with pytest.raises(spacefold.NotFound, match="beyond the head"):
        store.subscribe(after=9)
    with pytest.raises(ValueError):
        store.subscribe(after="then")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        store.subscribe(lag_policy="x")  # type: ignore[arg-type]
    with pytest.raises(spacefold.ClosedError):
        subscription.recv(timeout=1)
    assert list(subscription) == []


def test_closing_the_store_ends_whoever_waits(store: Store) -> None:
    subscription = store.subscribe(after="now")
    ended = threading.Event()

    def receive() -> None:
        assert list(subscription) == []
        ended.set()

    thread = in_thread(receive)
    store.close()
    thread.join(10)
    assert ended.is_set()


def test_a_durable_one_goes_on_where_it_was_acknowledged(path: Path) -> None:
    with spacefold.open(path) as store:
        store.append([created("a"), created("b"), created("c")])
        with store.subscribe_durable("mailer") as mailer:
            event = mailer.recv(timeout=10)
            mailer.ack(event)
            mailer.ack(mailer.recv(timeout=10), b"total: 2")
            assert mailer.recv(timeout=10).position == 3
            assert mailer.acknowledged == 2
            with pytest.raises(spacefold.ConflictError, match="not received"):
                mailer.ack(9)
            with pytest.raises(spacefold.ConflictError, match="owned"):
                store.subscribe_durable("mailer")
            mailer.sync()
        del mailer
    with spacefold.open(path) as store:
        with store.subscribe_durable("mailer") as mailer:
            assert mailer.result == b"total: 2"
            assert mailer.recv(timeout=10).position == 3
        del mailer
        store.remove_durable("mailer")
        with pytest.raises(spacefold.NotFound):
            store.remove_durable("mailer")


def test_many_events_are_each_received_once(store: Store) -> None:
    count, got = 20_000, list[int]()
    subscription = store.subscribe()

    def receive() -> None:
        for event in subscription:
            got.append(event.position)
            if len(got) == count:
                return

    thread = in_thread(receive)
    for begin in range(0, count, 1000):
        line = {"event_type": "space.activated", "space_id": "a"}
        store.append([line] * 1000 if begin < 0 else [dict(line) for _ in range(1000)])
    thread.join(60)
    assert got == list(range(1, count + 1))


def test_asyncio(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as store:
            got: list[int] = []

            async def receive() -> None:
                async with store.subscribe() as events:
                    async for event in events:
                        got.append(event.position)
                        if len(got) == 5000:
                            return

            task = asyncio.create_task(receive())
            await asyncio.sleep(0)
            for _ in range(50):
                batch = [{"event_type": "space.activated", "space_id": "a"} for _ in range(100)]
                receipt = await store.append(batch)
            await asyncio.wait_for(task, 60)
            assert got == list(range(1, 5001)) and receipt.last_position == 5000
            assert (await store.snapshot("a")).revision == 5000
            assert len(await store.events(limit=10)) == 10
            assert await store.run(lambda it: it.durable_head) == store.durable_head == 5000
            late = store.subscribe(after="now")
            with pytest.raises(spacefold.WaitTimeout):
                await late.recv(timeout=0.02)

            async def end() -> list[int]:
                return [event.position async for event in late]

            ended = asyncio.create_task(end())
            await asyncio.sleep(0.01)
            await store.append(created("b"))
            await asyncio.sleep(0.05)
            late.close()
            assert await asyncio.wait_for(ended, 20) == [5001]
            opened_twice = aio.open(path)
            with pytest.raises(spacefold.AlreadyOpenError):
                await opened_twice
        beside = await aio.follow(path, cache="memory")
        assert (await beside.diff("b", 0, 5001))[0].kind == "space_created"
        await beside.close()

    asyncio.run(main())


def test_a_task_that_waits_is_cancelled_at_once(store: Store) -> None:
    async def main() -> None:
        events = aio.Store(store).subscribe(after="now")
        task = asyncio.create_task(events.recv())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.append(created("a"))
        assert (await events.recv(timeout=10)).space_id == "a"

    asyncio.run(main())


# How many events go through a subscription: a million of them in a soak.
EVENTS = int(os.environ.get("SPACEFOLD_EVENTS", "60000"))
# What memory may grow by once a third has gone through: caches fill, nothing else.
MAY_GROW_BYTES = 96 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Flow:
    """Events that are received are in order, each once, and leave nothing behind."""

    def __init__(self) -> None:
        self.count = 0
        self.at_a_third = 0

    def take(self, event: spacefold.RecordedEvent) -> bool:
        self.count += 1
        assert event.position == self.count
        if self.count % 1000 == 0:
            assert event.payload == {"document_id": "d", "space_path": "/d"}
        if self.count == EVENTS // 3:
            self.at_a_third = resident_bytes()
        return self.count == EVENTS

    def check(self) -> None:
        assert self.count == EVENTS
        grown = resident_bytes() - self.at_a_third
        assert grown < MAY_GROW_BYTES, f"{grown >> 20} MiB"


def append_all(store: Store) -> None:
    for begin in range(0, EVENTS, 4096):
        store.append(
            [
                {
                    "event_type": "document.added",
                    "space_id": f"space-{n % 100}",
                    "payload": {"document_id": "d", "space_path": "/d"},
                }
                for n in range(begin, min(begin + 4096, EVENTS))
            ]
        )


def test_many_events_through_threads_in_flat_memory(path: Path) -> None:
    with spacefold.open(path, durability="os") as store:
        flow, failed = Flow(), list[BaseException]()

        def receive() -> None:
            try:
                for event in store.subscribe():
                    if flow.take(event):
                        return
            except BaseException as error:
                failed.append(error)

        thread = in_thread(receive)
        append_all(store)
        thread.join(600)
        assert failed == []
        flow.check()


def test_many_events_through_asyncio_in_flat_memory(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path, durability="os") as store:
            flow = Flow()
            writer = asyncio.create_task(store.run(append_all))
            async for event in store.subscribe():
                if flow.take(event):
                    break
            await writer
            flow.check()

    asyncio.run(main())
