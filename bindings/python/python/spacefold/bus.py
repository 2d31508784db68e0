"""A bus that calls handlers with events, by priority.

Without a store it calls them while an event is published:

>>> from spacefold.bus import EventBus
>>> from spacefold.event_model import SpaceEventType, space_created_event
>>> bus = EventBus(history_size=100)
>>> bus.subscribe(SpaceEventType.SPACE_CREATED, lambda event: print("second", event.space_id))
>>> bus.subscribe(None, lambda event: print("first", event.space_id), priority=10)
>>> _ = bus.publish(space_created_event("handbook", "Handbook"))
first handbook
second handbook
>>> len(bus.history())
1

Over a store, publishing appends, and a thread of the bus calls the handlers with whatever the store
commits, whoever has appended it. With a name the bus keeps its place in the store, goes on after it
when it is started again, and keeps what handlers cannot process: see ``parked``.

>>> import spacefold
>>> with spacefold.in_memory() as store, EventBus(store) as bus:
...     bus.subscribe(None, lambda event: print(event.event_type.value))
...     _ = bus.publish(space_created_event("handbook", "Handbook"))
...     bus.flush()
space.created
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from ._errors import ClosedError, SpacefoldError, WaitTimeout
from ._native import Filter, Receipt, RecordedEvent, Store, Subscription
from .event_model import SpaceEvent, SpaceEventType

__all__ = ["EventBus", "Handler", "HandlerFailure", "ParkedEvent", "Published"]

Handler = Callable[[SpaceEvent], object] | Callable[[SpaceEvent], Awaitable[object]]
"""What is called with events: a function, or an ``async def`` one, which is awaited."""

MAX_PARKED = 1_000
"""How many events a bus sets aside before it stops, so that somebody looks at them."""

_BATCH = 256
_MAX_ERROR = 300

_log = logging.getLogger("spacefold.bus")


@dataclass(frozen=True)
class HandlerFailure:
    """A handler raised."""

    handler: str
    event: SpaceEvent
    error: BaseException


@dataclass
class Published:
    """What came of publishing: over a store the receipt, else the handlers that failed."""

    event: SpaceEvent
    receipt: Receipt | None = None
    failures: list[HandlerFailure] = field(default_factory=list[HandlerFailure])


@dataclass(frozen=True)
class ParkedEvent:
    """An event that a handler went on failing at, set aside."""

    handler: str
    position: int
    error: str


@dataclass
class _Registered:
    event_type: str | None
    handler: Handler
    priority: int
    order: int
    name: str

    def wants(self, event: SpaceEvent | RecordedEvent) -> bool:
        wanted = self.event_type
        if wanted is None:
            return True
        found = _type_name(event.event_type)
        return found.startswith(wanted[:-1]) if wanted.endswith(".*") else found == wanted


def _type_name(event_type: SpaceEventType | str) -> str:
    return event_type if isinstance(event_type, str) else event_type.value


def _name_of(handler: Handler) -> str:
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{getattr(handler, '__module__', '')}.{name}"


class EventBus:
    """Calls handlers with events, those of a higher priority first.

    Without a store, ``history_size`` events are kept for ``history``. Over a store, ``retries`` is
    how often a handler that raised is called again, ``backoff`` seconds later, twice as long each
    time, before the event is parked for it; the other handlers are called all the same. A bus over
    a store calls handlers in one thread of its own, one event after the other.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        name: str | None = None,
        history_size: int = 0,
        retries: int = 3,
        backoff: float = 0.1,
    ) -> None:
        if name is not None and store is None:
            raise ValueError("a bus with a name needs a store that keeps its place")
        self._store = store
        self._name = name
        self._retries = retries
        self._backoff = backoff
        self._history: deque[SpaceEvent] = deque(maxlen=history_size)
        self._lock = threading.RLock()
        self._handlers: list[_Registered] = []
        self._registered = 0
        self._tasks: set[asyncio.Future[object]] = set()
        self._delivering: _Delivering | None = None
        self._closed = False

    @property
    def store(self) -> Store | None:
        """The store whose commits it tells of; ``None`` for one that only tells what is
        published.
        """
        return self._store

    def subscribe(
        self,
        event_type: SpaceEventType | str | None,
        handler: Handler,
        priority: int = 0,
        *,
        name: str | None = None,
    ) -> None:
        """Has a handler called for events of a type, of all whose names begin so
        (``"com.example.*"``), or of every type (``None``).

        Over a store, what is parked is kept under the name of the handler, by default that of the
        function.
        """
        wanted = None if event_type is None or event_type == "*" else _type_name(event_type)
        with self._lock:
            if self._closed:
                raise ClosedError("the bus is closed")
            self._registered += 1
            registered = _Registered(
                wanted, handler, priority, self._registered, name or _name_of(handler)
            )
            # Replaced, not changed: who goes through it meanwhile goes through the old one.
            self._handlers = sorted(
                [*self._handlers, registered], key=lambda it: (-it.priority, it.order)
            )
        if self._store is not None and self._name is None:
            self.start()

    def unsubscribe(self, event_type: SpaceEventType | str | None, handler: Handler) -> bool:
        """Takes a handler off again; ``False`` when there is none such."""
        wanted = None if event_type is None or event_type == "*" else _type_name(event_type)
        with self._lock:
            for registered in self._handlers:
                if registered.event_type == wanted and registered.handler == handler:
                    self._handlers = [it for it in self._handlers if it is not registered]
                    return True
        return False

    def publish(self, event: SpaceEvent) -> Published:
        """Over a store: appends the event, and answers once it is on disk; handlers are called
        later.

        Else calls the handlers; ``async def`` ones become tasks of the running loop, or are run to
        their end where none is running. A handler that raises is logged, told of in the answer, and
        keeps no other one from being called.
        """
        self._check_open()
        if self._store is not None:
            return Published(event, receipt=self._store.append(event))
        self._history.append(event)
        published = Published(event)
        for registered in self._handlers:
            if not registered.wants(event):
                continue
            try:
                answer = registered.handler(event)
                if inspect.isawaitable(answer):
                    self._run(answer, registered, published)
            except Exception as error:
                self._note(registered, published, error)
        return published

    async def publish_async(self, event: SpaceEvent) -> Published:
        """As ``publish``, awaiting ``async def`` handlers one after the other, by priority."""
        self._check_open()
        if self._store is not None:
            receipt = await asyncio.to_thread(self._store.append, event)
            return Published(event, receipt=receipt)
        self._history.append(event)
        published = Published(event)
        for registered in self._handlers:
            if not registered.wants(event):
                continue
            try:
                answer = registered.handler(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:
                self._note(registered, published, error)
        return published

    def history(
        self,
        event_type: SpaceEventType | str | None = None,
        space_id: str | None = None,
        limit: int | None = None,
    ) -> list[SpaceEvent]:
        """The events that were published, oldest first, the last ``limit`` of them: those that are
        kept, or over a store all that it has.
        """
        if self._store is not None:
            wanted = None if event_type is None else _type_name(event_type)
            chosen = Filter(types=wanted, spaces=space_id)
            found: Iterable[SpaceEvent] = (it.to_space_event() for it in self._store.events(chosen))
        else:
            found = (
                it
                for it in list(self._history)
                if (event_type is None or _type_name(it.event_type) == _type_name(event_type))
                and (space_id is None or it.space_id == space_id)
            )
        return list(deque(found, maxlen=limit))

    def clear_history(self) -> None:
        """Forgets the events that are kept; over a store it forgets nothing."""
        self._history.clear()

    def start(self) -> None:
        """Begins to call handlers, over a store. A bus without a name begins by itself with its
        first handler, at what is committed from then on; one with a name where it was, the first
        time at the first event, so that its handlers are there by then.
        """
        if self._store is None:
            return
        with self._lock:
            self._check_open()
            if self._delivering is None:
                self._delivering = _Delivering(self, self._store, self._name)

    def flush(self, timeout: float | None = None) -> None:
        """Waits until the handlers were called with everything that the store has committed by now.

        Raises ``WaitTimeout``, or what has stopped the bus.
        """
        delivering, store = self._delivering, self._store
        if delivering is not None and store is not None:
            delivering.wait(store.durable_head, timeout)

    @property
    def parked(self) -> list[ParkedEvent]:
        """What handlers could not process; kept in the store when the bus has a name."""
        delivering = self._delivering
        return [] if delivering is None else list(delivering.parked)

    def retry_parked(self) -> int:
        """Calls handlers again with what is parked for them; answers how many events are left. An
        event whose handler is not there stays parked.
        """
        delivering = self._delivering
        return 0 if delivering is None else delivering.retry()

    def close(self) -> None:
        """Ends it: waits for the handler that is running, unless that is what calls this."""
        with self._lock:
            self._closed = True
            delivering = self._delivering
        if delivering is not None:
            delivering.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the bus is closed")

    def _run(self, answer: Any, registered: _Registered, published: Published) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(_awaited(answer))
            return
        task = asyncio.ensure_future(answer)
        self._tasks.add(task)

        def ended(task: asyncio.Future[object]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._note(registered, published, error)

        task.add_done_callback(ended)

    def _note(self, registered: _Registered, published: Published, error: BaseException) -> None:
        _log.error("handler %s failed", registered.name, exc_info=error)
        published.failures.append(HandlerFailure(registered.name, published.event, error))


async def _awaited(answer: Awaitable[object]) -> object:
    return await answer


class _Delivering:
    """The thread that calls the handlers of a bus over a store."""

    def __init__(self, bus: EventBus, store: Store, name: str | None) -> None:
        self._bus = bus
        self._store = store
        self._durable = name is not None
        self.parked: list[ParkedEvent] = []
        self._subscription: Subscription
        if name is None:
            self._subscription = store.subscribe(after=store.durable_head)
        else:
            self._subscription = store.subscribe_durable(name)
            self.parked = _read_parked(self._subscription.result)
        self._done = self._subscription.position
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._stopped_by: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: deque[Future[int]] = deque()
        # The store is closed before the interpreter ends, which ends it.
        self._thread = threading.Thread(
            target=self._deliver, name=f"spacefold-bus-{name or 'unnamed'}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._subscription.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def wait(self, position: int, timeout: float | None) -> None:
        def over() -> bool:
            return self._done >= position or self._stopped_by is not None or self._is_over()

        deadline = None if timeout is None else time.monotonic() + timeout
        with self._moved:
            # In slices, so that Ctrl-C is heard wherever the interpreter waits without it.
            while not over():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeout(f"handlers are at {self._done}, not at {position} yet")
                self._moved.wait(0.1 if left is None else min(left, 0.1))
        if self._done < position:
            if self._stopped_by is not None:
                raise self._stopped_by
            raise ClosedError("the bus is closed")

    def retry(self) -> int:
        if threading.current_thread() is self._thread:
            raise RuntimeError("a handler cannot ask for it")
        asked: Future[int] = Future()
        self._asked.append(asked)
        while not self._is_over():
            try:
                return asked.result(timeout=0.1)
            except TimeoutError:
                continue
        raise ClosedError("the bus is closed")

    def _is_over(self) -> bool:
        return self._stopping.is_set() or not self._thread.is_alive()

    def _deliver(self) -> None:
        try:
            while not self._stopping.is_set():
                events = self._subscription.recv_many(_BATCH, timeout=0.1)
                self._take(events)
                while self._asked:
                    self._asked.popleft().set_result(self._again())
        except ClosedError:
            pass
        except BaseException as error:
            _log.error("the bus has stopped", exc_info=error)
            self._stopped_by = error
        finally:
            if self._loop is not None:
                self._loop.close()
            with self._moved:
                self._moved.notify_all()

    def _take(self, events: list[RecordedEvent]) -> None:
        acknowledged = self._done
        for recorded in events:
            if self._stopping.is_set():
                break
            parked = len(self.parked)
            if not self._handle(recorded):
                break
            self._reach(recorded.position)
            if len(self.parked) > parked:
                self._acknowledge(recorded.position)
                acknowledged = recorded.position
        if self._done > acknowledged:
            self._acknowledge(self._done)
        if not events:
            # What does not pass a filter counts as done.
            self._reach(self._subscription.position)

    def _reach(self, position: int) -> None:
        with self._moved:
            self._done = max(self._done, position)
            self._moved.notify_all()

    def _acknowledge(self, position: int) -> None:
        if self._durable:
            self._subscription.ack(position, _write_parked(self.parked))

    def _handle(self, recorded: RecordedEvent) -> bool:
        """Calls the handlers; ``False`` when the bus was stopped before they were done."""
        event: SpaceEvent | None = None
        for registered in self._bus._handlers:
            if not registered.wants(recorded):
                continue
            if event is None:
                event = recorded.to_space_event()
            error = self._call_often(registered, event)
            if error is None:
                continue
            if self._stopping.is_set():
                return False
            if len(self.parked) >= MAX_PARKED:
                raise SpacefoldError(
                    f"{len(self.parked)} events are parked, the limit: call retry_parked, or mend "
                    f"the handlers and start the bus again"
                ) from error
            _log.error(
                "event %d is parked for %s", recorded.position, registered.name, exc_info=error
            )
            told = f"{type(error).__name__}: {error}"[:_MAX_ERROR]
            self.parked = [*self.parked, ParkedEvent(registered.name, recorded.position, told)]
        return True

    def _call_often(self, registered: _Registered, event: SpaceEvent) -> BaseException | None:
        error = self._call(registered, event)
        pause = self._bus._backoff
        for _ in range(self._bus._retries):
            if error is None:
                break
            if self._stopping.wait(pause):
                return ClosedError("the bus is closed")
            pause *= 2
            error = self._call(registered, event)
        return error

    def _call(self, registered: _Registered, event: SpaceEvent) -> BaseException | None:
        try:
            answer = registered.handler(event)
            if inspect.isawaitable(answer):
                if self._loop is None:
                    self._loop = asyncio.new_event_loop()
                self._loop.run_until_complete(_awaited(answer))
        except Exception as error:
            return error
        return None

    def _again(self) -> int:
        handlers = {it.name: it for it in self._bus._handlers}
        left: list[ParkedEvent] = []
        for parked in self.parked:
            registered = handlers.get(parked.handler)
            if registered is None:
                left.append(parked)
                continue
            [recorded] = self._store.events(after=parked.position - 1, limit=1)
            error = self._call(registered, recorded.to_space_event())
            if error is not None:
                told = f"{type(error).__name__}: {error}"[:_MAX_ERROR]
                left.append(ParkedEvent(parked.handler, parked.position, told))
        self.parked = left
        if self._durable:
            self._subscription.ack(self._subscription.acknowledged, _write_parked(left))
        return len(left)


_PARKED_VERSION = 1


def _write_parked(parked: list[ParkedEvent]) -> bytes:
    rows = [[it.handler, it.position, it.error] for it in parked]
    return json.dumps({"version": _PARKED_VERSION, "parked": rows}).encode()


def _read_parked(kept: bytes) -> list[ParkedEvent]:
    if not kept:
        return []
    told = json.loads(kept)
    if told.get("version") != _PARKED_VERSION:
        raise SpacefoldError(f"what is parked has version {told.get('version')!r}: known is 1")
    return [ParkedEvent(*row) for row in told["parked"]]
