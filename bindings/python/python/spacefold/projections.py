"""Read models of one's own: rows made of events, kept with the position in one step.

A projection is a class with a name, a version and ``apply(table, event)``. The store folds it,
beside the writers, in a thread of its own, goes on where it was when it is opened again, and folds
it anew when its version is another one.

>>> import spacefold
>>> from spacefold import Event, projections
>>> class Stars:
...     name = "stars"
...     version = 1
...     def apply(self, table, event):
...         if event.type_name == "com.example.rated":
...             table[event.space_id] = table.get(event.space_id, 0) + event.payload["stars"]
>>> with spacefold.in_memory() as store:
...     stars = projections.register(store, Stars())
...     receipt = store.append([Event("com.example.rated", "guide", {"stars": n}) for n in (3, 5)])
...     _ = stars.wait(receipt.last_position)
...     stars["guide"], stars.get("other"), list(stars.scan())
(8, None, [('guide', 8)])

Keys are texts, values are JSON. An event at which ``apply`` raises pauses the projection, and
nothing else: ``info`` says where and why, ``resume`` tries it again, ``skip_event`` leaves it out
for ever. What an event writes is kept when ``apply`` returns, all or none.

``apply`` is called by one thread of Python, which is there from ``register`` until the store is
closed, for live folding and rebuilds alike. It should depend on the event and the table alone, and
cannot wait for its store.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from . import _native
from ._errors import ClosedError
from ._native import RecordedEvent, Store
from .event_model import SpaceEventType

__all__ = ["Projection", "ProjectionHandle", "Table", "register"]


@runtime_checkable
class Projection(Protocol):
    """What can be registered.

    It may have ``event_types`` too, the core types that it wants: then it gets no others.
    """

    name: str
    version: int

    def apply(self, table: Table, event: RecordedEvent) -> None:
        """Takes in an event. Raising pauses the projection in front of it."""


def _key(key: str) -> bytes:
    return key.encode()


def _value(value: Any) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


class _Rows:
    """What the rows of a table and those of a handle have in common."""

    def _get(self, key: bytes) -> bytes | None:
        raise NotImplementedError

    def _scan(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        raise NotImplementedError

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a row, or ``default``."""
        value = self._get(_key(key))
        return default if value is None else json.loads(value)

    def __getitem__(self, key: str) -> Any:
        value = self._get(_key(key))
        if value is None:
            raise KeyError(key)
        return json.loads(value)

    def __contains__(self, key: str) -> bool:
        return self._get(_key(key)) is not None

    def scan(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """The rows whose keys begin so, sorted by the bytes of their keys."""
        for key, value in self._scan(_key(prefix)):
            yield key.decode(), json.loads(value)


class Table(_Rows):
    """The rows of a projection while it takes in an event: the reads see what it has written."""

    def __init__(self, job: _native.Job) -> None:
        self._job = job

    def _get(self, key: bytes) -> bytes | None:
        return self._job.get(key)

    def _scan(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return self._job.scan(prefix)

    def __setitem__(self, key: str, value: Any) -> None:
        self._job.set(_key(key), _value(value))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.remove(key)

    def put(self, key: str, value: Any) -> None:
        """Sets a row."""
        self[key] = value

    def remove(self, key: str) -> None:
        """Removes a row, whether it is there or not."""
        self._job.set(_key(key), None)


class ProjectionHandle(_Rows):
    """Reads the rows of a projection that is registered: those of one position at a time."""

    def __init__(self, projecting: _native.Projecting, projection: Projection) -> None:
        self._projecting = projecting
        self._projection = projection
        # The store is closed before the interpreter ends, which ends it.
        self._thread = threading.Thread(
            target=_work,
            args=(projecting, projection),
            name=f"spacefold-projection-{projection.name}",
            daemon=True,
        )
        self._thread.start()

    def _get(self, key: bytes) -> bytes | None:
        return self._projecting.get(key)

    def _scan(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return self._projecting.scan(prefix)

    @property
    def position(self) -> int:
        """The position that the rows are of."""
        return self._projecting.position

    def rows(self) -> _native.Table:
        """All rows as a table: ``key``, and ``value`` as JSON text."""
        return self._projecting.rows()

    def info(self) -> dict[str, Any]:
        """How it is doing: position and lag, where and why it is paused, what was skipped."""
        return self._projecting.info()

    def wait(self, position: int, timeout: float | None = None) -> int:
        """Waits until the rows are of a position or a later one.

        Raises ``WaitTimeout`` when they are not in time, ``PausedError`` when it is paused before.
        """
        return self._projecting.wait(position, timeout)

    def resume(self) -> int:
        """Tries the event again that it is paused in front of, and folds on.

        Raises ``PausedError`` when it fails again.
        """
        return self._projecting.resume()

    def skip_event(self) -> int:
        """Leaves the event out that it is paused in front of, for ever, and folds on."""
        return self._projecting.skip_event()

    def rebuild(self, *, replace: bool = False) -> str:
        """Folds all rows anew and compares them: ``"identical"``, ``"diverged"``, or with
        ``replace`` ``"replaced"``.
        """
        return self._projecting.rebuild(replace=replace)


def register(store: Store, projection: Projection) -> ProjectionHandle:
    """Has a store fold a projection from now on, beginning where it was, or at the first event.

    Raises ``ConflictError`` when the store has one of that name.
    """
    types: Iterable[SpaceEventType] | None = getattr(projection, "event_types", None)
    names = None if types is None else [member.value for member in types]
    projecting = store._project(projection.name, projection.version, names)
    return ProjectionHandle(projecting, projection)


def _work(projecting: _native.Projecting, projection: Projection) -> None:
    try:
        while (job := projecting.next_job()) is not None:
            _apply(projection, job)
    finally:
        # Whoever folds waits for this thread no more.
        projecting.stop()


def _apply(projection: Projection, job: _native.Job) -> None:
    try:
        projection.apply(Table(job), job.event)
    except ClosedError:
        # Of no fault of the event: it is folded when the store is opened again.
        job.abandon()
    except BaseException as error:
        job.refuse(f"{type(error).__name__}: {error}")
    else:
        job.done()
