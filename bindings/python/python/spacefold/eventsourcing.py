"""A persistence module for the library ``eventsourcing``, over application events.

Set ``PERSISTENCE_MODULE=spacefold.eventsourcing`` and ``SPACEFOLD_PATH`` to the folder of a store;
without a path the store is in memory, and gone with its factory. Applications of one process with
the same path share the store.

An aggregate is a space, ``events:<id>``; a snapshot of it is in ``snapshots:<id>``; what was
processed of another application is in ``tracking:<name>``. An event of topic ``module:Class`` has
the type ``es.module:Class``, and its state, which may be compressed or encrypted, is hexadecimal.
Notification ids are positions of the log: they rise, with gaps where something else was stored.

Decisions over several aggregates (``eventsourcing.dcb``) are in the space ``dcb``, with their tags.

>>> from eventsourcing.persistence import InfrastructureFactory, StoredEvent
>>> factory = InfrastructureFactory.construct({"PERSISTENCE_MODULE": "spacefold.eventsourcing"})
>>> recorder = factory.application_recorder()
>>> recorder.insert_events([StoredEvent("dog-1", 1, "dogs:Registered", b"{}")])
[1]
>>> [event.topic for event in recorder.select_notifications(start=1, limit=10)]
['dogs:Registered']
>>> factory.close()
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
)
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DatabaseError,
    DataError,
    InfrastructureFactory,
    IntegrityError,
    InterfaceError,
    InternalError,
    Notification,
    OperationalError,
    ProcessRecorder,
    ProgrammingError,
    Recorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.utils import resolve_topic

from . import _native
from ._errors import (
    ClosedError,
    ConflictError,
    DamageError,
    InvalidEventError,
    LimitError,
    SpacefoldError,
    StorageError,
)
from ._native import AppendCondition, Filter, Receipt, RecordedEvent, Store

__all__ = [
    "SpacefoldAggregateRecorder",
    "SpacefoldApplicationRecorder",
    "SpacefoldDCBRecorder",
    "SpacefoldDCBSubscription",
    "SpacefoldFactory",
    "SpacefoldProcessRecorder",
    "SpacefoldSubscription",
    "SpacefoldTrackingRecorder",
]

_R = TypeVar("_R", bound="_SpacefoldRecorder")

_EVENTS = "es."
_SNAPSHOTS = "es-snapshots."
_DCB = "es-dcb."
_TRACKED = "es-tracking.tracked"
_DCB_SPACE = "dcb"

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:.")

# Events of an append, the limit of the engine.
_MAX_EVENTS = 4096


def _type_of(prefix: str, topic: str) -> str:
    """The name of a type for a topic: what a name may not hold is written ``-xx``, byte by byte."""
    has_empty_label = topic == "" or topic[0] == "." or topic[-1] == "." or ".." in topic
    if not has_empty_label and _PLAIN.issuperset(topic):
        return prefix + topic
    plain = _PLAIN - {"."} if has_empty_label else _PLAIN
    escaped = [
        letter if letter in plain else "".join(f"-{byte:02x}" for byte in letter.encode())
        for letter in topic
    ]
    return prefix + ("".join(escaped) or "-")


def _topic_of(prefix: str, name: str) -> str:
    rest = name[len(prefix) :]
    if "-" not in rest:
        return rest
    if rest == "-":
        return ""
    topic = bytearray()
    at = 0
    while at < len(rest):
        if rest[at] == "-":
            topic.append(int(rest[at + 1 : at + 3], 16))
            at += 3
        else:
            topic += rest[at].encode()
            at += 1
    return topic.decode()


def _raised(error: SpacefoldError) -> DatabaseError | InterfaceError:
    """The library's error for one of ours."""
    message = str(error)
    if isinstance(error, ConflictError):
        return IntegrityError(message)
    if isinstance(error, LimitError | InvalidEventError):
        return DataError(message)
    if isinstance(error, ClosedError):
        return InterfaceError(message)
    if isinstance(error, DamageError):
        return InternalError(message)
    if isinstance(error, StorageError):
        return OperationalError(message)
    return DatabaseError(message)


def _append(
    store: Store, events: list[dict[str, Any]], condition: AppendCondition | None = None
) -> Receipt:
    try:
        return store.append(events, condition=condition, only_new=True)
    except SpacefoldError as error:
        raise _raised(error) from error


class _SpacefoldRecorder(Recorder):
    def __init__(self, store: Store | None = None) -> None:
        self._store = _native.in_memory() if store is None else store

    @property
    def store(self) -> Store:
        """The store that it records in."""
        return self._store


class SpacefoldAggregateRecorder(_SpacefoldRecorder, AggregateRecorder):
    """Stored events of aggregates, each version once."""

    def __init__(self, store: Store | None = None, purpose: str = "events") -> None:
        super().__init__(store)
        self._purpose = purpose
        self._prefix = _EVENTS if purpose == "events" else _SNAPSHOTS

    def _space(self, originator_id: UUID | str) -> str:
        return f"{self._purpose}:{originator_id}"

    def _stored(self, stored: StoredEvent) -> dict[str, Any]:
        space_id = self._space(stored.originator_id)
        # Made of what has to be unique, so that the store takes a version once.
        key = f"{stored.originator_version} {space_id}".encode()
        event_id = str(UUID(bytes=hashlib.blake2b(key, digest_size=16).digest(), version=5))
        payload = {"version": stored.originator_version, "state": stored.state.hex()}
        if isinstance(stored.originator_id, UUID):
            payload["uuid"] = True
        return {
            "event_id": event_id,
            "event_type": _type_of(self._prefix, stored.topic),
            "space_id": space_id,
            "payload": payload,
        }

    def _originator(self, event: RecordedEvent, payload: dict[str, Any]) -> UUID | str:
        originator_id = event.space_id[len(self._purpose) + 1 :]
        return UUID(originator_id) if payload.get("uuid") else originator_id

    def _stored_event(self, event: RecordedEvent) -> StoredEvent:
        payload = event.payload
        return StoredEvent(
            originator_id=self._originator(event, payload),
            originator_version=payload["version"],
            topic=_topic_of(self._prefix, event.type_name),
            state=bytes.fromhex(payload["state"]),
        )

    def _insert(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None
    ) -> Receipt | None:
        events = [self._stored(stored) for stored in stored_events]
        if len({event["event_id"] for event in events}) < len(events):
            raise IntegrityError(f"stored events are not unique: {stored_events}")
        return _append(self._store, events) if events else None

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Stores events, all or none. Raises ``IntegrityError`` when a version is there already."""
        self._insert(stored_events, kwargs.get("tracking"))
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of an aggregate by their versions."""
        try:
            found = [self._stored_event(it) for it in self._read(originator_id, gt, lte)]
        except SpacefoldError as error:
            raise _raised(error) from error
        found = [
            it
            for it in found
            if (gt is None or it.originator_version > gt)
            and (lte is None or it.originator_version <= lte)
        ]
        found.sort(key=lambda it: it.originator_version, reverse=desc)
        return found if limit is None else found[:limit]

    def _read(
        self, originator_id: UUID | str, gt: int | None, lte: int | None
    ) -> Iterator[RecordedEvent]:
        """The events of an aggregate; those up to ``gt`` are passed over where versions rise one by
        one with the revisions of the space, as those of the library's aggregates do.
        """
        space_id = self._space(originator_id)
        after = 0
        if gt is not None and gt > 0 and self._purpose == "events":
            # Version `gt` is at that revision when the first version is 1, and one later when it is
            # 0: one or two are read too many.
            before = self._store.read_space(space_id, after=max(gt - 1, 0), limit=1)
            if before and before[0].payload["version"] <= gt:
                after = max(gt - 1, 0)
        while True:
            page = self._store.read_space(space_id, after=after, limit=_MAX_EVENTS)
            yield from page
            if len(page) < _MAX_EVENTS:
                return
            after = page[-1].revision


class SpacefoldApplicationRecorder(SpacefoldAggregateRecorder, ApplicationRecorder):
    """Stored events in the order of the log, too."""

    def __init__(self, store: Store | None = None) -> None:
        super().__init__(store)
        self._last_lock = threading.Lock()
        self._last: int | None = None
        self._looked_up_to = 0

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Stores events, all or none, and answers their notification ids."""
        receipt = self._insert(stored_events, kwargs.get("tracking"))
        if receipt is None:
            return []
        first = receipt.first_position
        return list(range(first, first + len(stored_events)))

    def _filter(self, topics: Sequence[str]) -> Filter:
        return Filter(types=[_type_of(_EVENTS, topic) for topic in topics] or _EVENTS + "*")

    def _notification(self, event: RecordedEvent) -> Notification:
        payload = event.payload
        return Notification(
            id=event.position,
            originator_id=self._originator(event, payload),
            originator_version=payload["version"],
            topic=_topic_of(_EVENTS, event.type_name),
            state=bytes.fromhex(payload["state"]),
        )

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The events from a notification id on, or after it, up to another one."""
        after = 0 if start is None else max(start - 1 if inclusive_of_start else start, 0)
        try:
            events = self._store.events(self._filter(topics), after=after, to=stop, limit=limit)
            return [self._notification(event) for event in events]
        except SpacefoldError as error:
            raise _raised(error) from error

    def max_notification_id(self) -> int | None:
        """The id of the newest event; looks at what was stored since it was last asked."""
        with self._last_lock:
            try:
                head = self._store.durable_head
                looked = self._looked_up_to
                for event in self._store.events(self._filter(()), after=looked, to=head):
                    self._last = event.position
                self._looked_up_to = head
            except SpacefoldError as error:
                raise _raised(error) from error
            return self._last

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """The events after a notification id, then those that are stored."""
        return SpacefoldSubscription(self, gt, topics)


class SpacefoldSubscription(Subscription[SpacefoldApplicationRecorder]):
    """Pulls notifications from a subscription of the store."""

    def __init__(
        self,
        recorder: SpacefoldApplicationRecorder,
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        store = recorder.store
        after = min(gt or 0, store.durable_head)
        try:
            self._subscription = store.subscribe(recorder._filter(topics), after=after)
        except SpacefoldError as error:
            raise _raised(error) from error

    def __next__(self) -> Notification:
        if self._has_been_stopped:
            raise StopIteration
        for event in self._subscription:
            if event.position > (self._last_notification_id or 0):
                return self._recorder._notification(event)
        raise StopIteration

    def stop(self) -> None:
        """Stops the subscription, for whoever waits for it too."""
        super().stop()
        self._subscription.close()


class SpacefoldTrackingRecorder(_SpacefoldRecorder, TrackingRecorder):
    """How far other applications were processed."""

    def insert_tracking(self, tracking: Tracking) -> None:
        """Records it. Raises ``IntegrityError`` unless it is beyond what was recorded before."""
        events, condition = self._tracked(tracking)
        _append(self._store, events, condition)

    def _tracked(self, tracking: Tracking) -> tuple[list[dict[str, Any]], AppendCondition]:
        space_id = f"tracking:{tracking.application_name}"
        revision, known = self._newest(tracking.application_name)
        if known is not None and known >= tracking.notification_id:
            raise IntegrityError(
                f"notification {tracking.notification_id} of {tracking.application_name!r} is not "
                f"beyond {known}, which was processed"
            )
        event = {
            "event_type": _TRACKED,
            "space_id": space_id,
            "payload": {"notification_id": tracking.notification_id},
        }
        # Of two who track at once, one is later, and may be behind.
        return [event], AppendCondition.exact(space_id, revision)

    def _newest(self, application_name: str) -> tuple[int, int | None]:
        space_id = f"tracking:{application_name}"
        try:
            revision = self._store.revision(space_id)
            if revision == 0:
                return 0, None
            [event] = self._store.read_space(space_id, after=revision - 1, limit=1)
        except SpacefoldError as error:
            raise _raised(error) from error
        return revision, event.payload["notification_id"]

    def max_tracking_id(self, application_name: str) -> int | None:
        """How far an application was processed."""
        return self._newest(application_name)[1]


class SpacefoldProcessRecorder(
    SpacefoldTrackingRecorder, SpacefoldApplicationRecorder, ProcessRecorder
):
    """Stored events, and in one append with them what they come of."""

    def __init__(self, store: Store | None = None) -> None:
        SpacefoldApplicationRecorder.__init__(self, store)

    def _insert(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None
    ) -> Receipt | None:
        if tracking is None:
            return super()._insert(stored_events, None)
        events = [self._stored(stored) for stored in stored_events]
        if len({event["event_id"] for event in events}) < len(events):
            raise IntegrityError(f"stored events are not unique: {stored_events}")
        tracked, condition = self._tracked(tracking)
        receipt = _append(self._store, events + tracked, condition)
        return receipt if events else None


class SpacefoldDCBRecorder(_SpacefoldRecorder, DCBRecorder):
    """Events with tags, appended on the condition that no other ones match a query."""

    @staticmethod
    def _filters(query: DCBQuery | None) -> list[Filter]:
        if query is None or not query.items:
            return [Filter(spaces=_DCB_SPACE)]
        return [
            Filter(
                spaces=_DCB_SPACE,
                types=[_type_of(_DCB, name) for name in item.types] or None,
                tags=item.tags or None,
            )
            for item in query.items
        ]

    @staticmethod
    def _event(event: RecordedEvent) -> DCBSequencedEvent:
        return DCBSequencedEvent(
            event=DCBEvent(
                type=_topic_of(_DCB, event.type_name),
                data=bytes.fromhex(event.payload["data"]),
                tags=list(event.tags),
            ),
            position=event.position,
        )

    def read(
        self,
        query: DCBQuery | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> DCBReadResponse:
        """The events that match a query, after a position."""
        try:
            head = self._store.durable_head
            events = self._store.events(
                self._filters(query), after=after or 0, to=head, limit=limit
            )
            if limit is None:
                return _ReadResponse(map(self._event, events), head or None)
            found = [self._event(event) for event in events]
        except SpacefoldError as error:
            raise _raised(error) from error
        return _ReadResponse(iter(found), found[-1].position if found else None)

    def append(
        self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None
    ) -> int:
        """Appends events, all or none. Raises ``IntegrityError`` when the condition fails."""
        if not events:
            raise ProgrammingError("an append needs at least one event")
        lines = [
            {
                "event_type": _type_of(_DCB, event.type),
                "space_id": _DCB_SPACE,
                "payload": {"data": event.data.hex()},
                "tags": event.tags,
            }
            for event in events
        ]
        required = None
        if condition is not None:
            filters = self._filters(condition.fail_if_events_match)
            required = AppendCondition.no_event_matching(filters, after=condition.after or 0)
        return _append(self._store, lines, required).last_position

    def subscribe(
        self, query: DCBQuery | None = None, *, after: int | None = None
    ) -> SpacefoldDCBSubscription:
        """The events that match a query, after a position, then those that are appended."""
        return SpacefoldDCBSubscription(self, query, after)


class _ReadResponse(DCBReadResponse):
    def __init__(self, events: Iterator[DCBSequencedEvent], head: int | None) -> None:
        self._events = events
        self._head = head

    @property
    def head(self) -> int | None:
        return self._head

    def __next__(self) -> DCBSequencedEvent:
        try:
            return next(self._events)
        except SpacefoldError as error:
            raise _raised(error) from error


class SpacefoldDCBSubscription(DCBSubscription[SpacefoldDCBRecorder]):
    """Pulls events from a subscription of the store."""

    def __init__(
        self,
        recorder: SpacefoldDCBRecorder,
        query: DCBQuery | None = None,
        after: int | None = None,
    ) -> None:
        super().__init__(recorder=recorder, query=query, after=after)
        store = recorder.store
        begin = min(after or 0, store.durable_head)
        # A subscription has one filter: the query is looked at here.
        self._wanted = query
        try:
            self._subscription = store.subscribe(Filter(spaces=_DCB_SPACE), after=begin)
        except SpacefoldError as error:
            raise _raised(error) from error

    def __next__(self) -> DCBSequencedEvent:
        if self._has_been_stopped:
            raise StopIteration
        for recorded in self._subscription:
            found = self._recorder._event(recorded)
            if found.position > self._last_position and self._matches(found.event):
                self._last_position = found.position
                return found
        raise StopIteration

    def _matches(self, event: DCBEvent) -> bool:
        if self._wanted is None or not self._wanted.items:
            return True
        return any(
            (not item.types or event.type in item.types) and set(item.tags) <= set(event.tags)
            for item in self._wanted.items
        )

    def stop(self) -> None:
        """Stops the subscription, for whoever waits for it too."""
        super().stop()
        self._subscription.close()


class _Shared:
    """The stores of this process that factories have open: one for a path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Store, int]] = {}

    def take(self, path: str) -> Store:
        key = os.path.realpath(path)
        with self._lock:
            store, users = self._open.get(key, (None, 0))
            if store is None or store.closed:
                store, users = _native.open(path), 0
            self._open[key] = (store, users + 1)
            return store

    def give_back(self, path: str) -> None:
        key = os.path.realpath(path)
        with self._lock:
            store, users = self._open.pop(key)
            if users > 1:
                self._open[key] = (store, users - 1)
                return
        store.close()


_shared = _Shared()


class SpacefoldFactory(
    InfrastructureFactory[TrackingRecorder], DCBInfrastructureFactory[TrackingRecorder]
):
    """Makes the recorders of one application, over one store."""

    SPACEFOLD_PATH = "SPACEFOLD_PATH"

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._path = self.env.get(self.SPACEFOLD_PATH)
        try:
            self._store = _shared.take(self._path) if self._path else _native.in_memory()
        except SpacefoldError as error:
            raise _raised(error) from error
        self._is_closed = False

    @property
    def store(self) -> Store:
        """The store of the application."""
        return self._store

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return SpacefoldAggregateRecorder(self._store, purpose)

    def application_recorder(self) -> ApplicationRecorder:
        return self._of_class(self.APPLICATION_RECORDER_TOPIC, SpacefoldApplicationRecorder)

    def tracking_recorder(
        self, tracking_recorder_class: type[TrackingRecorder] | None = None
    ) -> TrackingRecorder:
        if tracking_recorder_class is None:
            return self._of_class(self.TRACKING_RECORDER_TOPIC, SpacefoldTrackingRecorder)
        if not issubclass(tracking_recorder_class, SpacefoldTrackingRecorder):
            raise TypeError(f"{tracking_recorder_class} is no SpacefoldTrackingRecorder")
        return tracking_recorder_class(self._store)

    def process_recorder(self) -> ProcessRecorder:
        return self._of_class(self.PROCESS_RECORDER_TOPIC, SpacefoldProcessRecorder)

    def dcb_recorder(self) -> DCBRecorder:
        return SpacefoldDCBRecorder(self._store)

    def _of_class(self, variable: str, known: type[_R]) -> _R:
        topic = self.env.get(variable)
        chosen: type[_R] = resolve_topic(topic) if topic else known
        if not issubclass(chosen, known):
            raise TypeError(f"{chosen} is no {known.__name__}")
        return chosen(self._store)

    def close(self) -> None:
        """Closes the store, unless another application of this process has it too."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._path:
            _shared.give_back(self._path)
        else:
            self._store.close()
