"""The store for programs of ``asyncio``: calls that may wait are made in threads of the loop's
executor, and subscriptions wait for a file, so that nothing blocks the loop.

>>> import asyncio
>>> from spacefold import aio
>>> from spacefold.event_model import space_created_event
>>> async def main():
...     async with aio.in_memory() as store:
...         await store.append(space_created_event("handbook", "Handbook"))
...         async with store.subscribe() as events:
...             async for event in events:
...                 return event.type_name
>>> asyncio.run(main())
'space.created'
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar

from . import _native
from ._errors import ClosedError, WaitTimeout

if TYPE_CHECKING:
    from ._types import EventLike

__all__ = ["Opening", "Store", "Subscription", "follow", "in_memory", "open"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


async def _call(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    return await asyncio.to_thread(call, *args, **kwargs)


class Store:
    """A store whose calls are awaited: those of ``spacefold.Store`` that may wait, under their
    names.

    An append that is cancelled may have happened: ask for its event's id, or append it again, which
    answers as the first time.
    """

    def __init__(self, store: _native.Store) -> None:
        self._store = store

    @property
    def sync(self) -> _native.Store:
        """The store itself."""
        return self._store

    @property
    def durable_head(self) -> int:
        """The position of the last event that is known to be on disk."""
        return self._store.durable_head

    async def append(
        self,
        events: EventLike | Iterable[EventLike],
        *,
        condition: _native.AppendCondition | None = None,
        only_new: bool = False,
    ) -> _native.Receipt:
        """Appends events: see ``spacefold.Store.append``."""
        return await _call(self._store.append, events, condition=condition, only_new=only_new)

    async def events(
        self,
        filter: _native.Filter | Sequence[_native.Filter] | None = None,
        *,
        after: int = 0,
        to: int | None = None,
        limit: int | None = None,
    ) -> list[_native.RecordedEvent]:
        """The events that pass a filter, in a list; ``subscribe`` gives them one by one."""
        found = self._store.events(filter, after=after, to=to, limit=limit)
        return await _call(list, found)

    async def snapshot(
        self, space_id: str, *, at: int | datetime | None = None
    ) -> _native.Snapshot:
        """The state of a space: see ``spacefold.Store.snapshot``."""
        return await _call(self._store.snapshot, space_id, at=at)

    async def diff(
        self,
        space_id: str,
        start: int | datetime,
        end: int | datetime,
        *,
        document_id: str | None = None,
    ) -> _native.Diff:
        """What changed: see ``spacefold.Store.diff``."""
        return await _call(self._store.diff, space_id, start, end, document_id=document_id)

    async def content(
        self, space_id: str, document_id: str, *, at: int | datetime | None = None
    ) -> bytes:
        """The bytes of a document: see ``spacefold.Store.content``."""
        return await _call(self._store.content, space_id, document_id, at=at)

    async def run(self, call: Callable[[_native.Store], _T]) -> _T:
        """Calls a function with the store in a thread: for all that has no method here."""
        return await _call(call, self._store)

    def subscribe(
        self,
        filter: _native.Filter | None = None,
        *,
        after: int | datetime | Literal["now"] | None = None,
        lag_policy: Literal["read_on", "coalesce_documents", "skip_oldest"] = "read_on",
    ) -> Subscription:
        """Subscribes to events: history, then what happens. To be used in ``async for``."""
        return Subscription(self._store.subscribe(filter, after=after, lag_policy=lag_policy))

    def subscribe_durable(
        self,
        name: str,
        filter: _native.Filter | None = None,
        *,
        after: int | datetime | Literal["now"] | None = None,
    ) -> Subscription:
        """Subscribes under a name whose place is kept in the store."""
        return Subscription(self._store.subscribe_durable(name, filter, after=after))

    async def close(self) -> None:
        """Closes the store: subscriptions to it end."""
        await _call(self._store.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Subscription:
    """An open subscription: ``async for`` gives each event and waits for the next one; it ends when
    the subscription or the store is closed. One task receives from it.
    """

    def __init__(self, subscription: _native.Subscription) -> None:
        self._subscription = subscription
        self._events: list[_native.RecordedEvent] = []

    @property
    def sync(self) -> _native.Subscription:
        """The subscription itself."""
        return self._subscription

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _native.RecordedEvent:
        try:
            return await self._next()
        except ClosedError:
            raise StopAsyncIteration from None

    async def recv(self, timeout: float | None = None) -> _native.RecordedEvent:
        """The next event; raises ``WaitTimeout`` when none came in time."""
        try:
            return await asyncio.wait_for(self._next(), timeout)
        except TimeoutError:
            raise WaitTimeout("no event came in time") from None

    async def _next(self) -> _native.RecordedEvent:
        while not self._events:
            self._events = self._subscription.poll(1024)
            if self._events:
                # Popped from the end.
                self._events.reverse()
                # Whoever receives much lets others run.
                await asyncio.sleep(0)
            else:
                await self._heard()
        return self._events.pop()

    async def _heard(self) -> None:
        """Waits until there is something to poll for."""
        loop = asyncio.get_running_loop()
        heard = loop.create_future()
        fd = self._subscription.fileno()

        def hear() -> None:
            if not heard.done():
                heard.set_result(None)

        loop.add_reader(fd, hear)
        try:
            await heard
        finally:
            loop.remove_reader(fd)

    def ack(self, event: _native.RecordedEvent | int, result: bytes | None = None) -> None:
        """Of a durable subscription: keeps the place after an event."""
        self._subscription.ack(event, result)

    def close(self) -> None:
        """Ends the subscription."""
        self._subscription.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Opening:
    """A store that is about to be opened: awaited, or entered by ``async with``, which closes
    it.
    """

    def __init__(self, opening: Callable[[], _native.Store]) -> None:
        self._opening = opening
        self._store: Store | None = None

    async def _open(self) -> Store:
        return Store(await _call(self._opening))

    def __await__(self) -> Generator[Any, None, Store]:
        return self._open().__await__()

    async def __aenter__(self) -> Store:
        self._store = await self._open()
        return self._store

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is not None:
            await self._store.close()


def open(
    path: str | PathLike[str],
    *,
    create: bool = True,
    durability: Literal["sync", "os"] | int | None = None,
    folding: Literal["live", "on_demand"] = "live",
) -> Opening:
    """Opens the store in a folder: see ``spacefold.open``."""
    return Opening(
        lambda: _native.open(path, create=create, durability=durability, folding=folding)
    )


def follow(path: str | PathLike[str], *, cache: str | PathLike[str] | None = None) -> Opening:
    """Follows the store in a folder: see ``spacefold.follow``."""
    return Opening(lambda: _native.follow(path, cache=cache))


def in_memory() -> Opening:
    """An empty store in memory."""
    return Opening(_native.in_memory)
