"""An event-sourced storage engine for information spaces, embedded in your program.

>>> import spacefold
>>> from spacefold.event_model import document_added_event, space_created_event
>>> with spacefold.in_memory() as store:
...     store.append(space_created_event("handbook", "Handbook"))
...     _ = store.append(document_added_event("handbook", "intro", "/intro.md"))
...     store.snapshot("handbook").has_path("/intro.md")
...     store.snapshot("handbook", at=1).has_path("/intro.md")
...     [change.kind for change in store.diff("handbook", 1, 2)]
Receipt(first_position=1, last_position=1, revision=1, durable=True)
True
False
['document_added']
"""

from __future__ import annotations

import atexit
import os

from . import _native
from ._errors import (
    AlreadyOpenError,
    ClosedError,
    ConflictError,
    DamageError,
    FailedCondition,
    ForkError,
    ImportLinesError,
    InvalidEventError,
    LimitError,
    NotFound,
    OutcomeUnknownError,
    PausedError,
    ReadOnlyError,
    Refused,
    SpacefoldError,
    StorageError,
    WaitTimeout,
)
from ._event import Event
from ._native import (
    AppendCondition,
    Change,
    Diff,
    Document,
    Events,
    Filter,
    Outcome,
    Problem,
    Receipt,
    RecordedEvent,
    Snapshot,
    Store,
    Subscription,
    Table,
    VerifyReport,
    follow,
    in_memory,
    open,
    verify,
)
from .event_model import SpaceEvent, SpaceEventType

__all__ = [
    "AlreadyOpenError",
    "AppendCondition",
    "Change",
    "ClosedError",
    "ConflictError",
    "DamageError",
    "Diff",
    "Document",
    "Event",
    "Events",
    "FailedCondition",
    "Filter",
    "ForkError",
    "ImportLinesError",
    "InvalidEventError",
    "LimitError",
    "NotFound",
    "Outcome",
    "OutcomeUnknownError",
    "PausedError",
    "Problem",
    "ReadOnlyError",
    "Receipt",
    "RecordedEvent",
    "Refused",
    "Snapshot",
    "SpaceEvent",
    "SpaceEventType",
    "SpacefoldError",
    "StorageError",
    "Store",
    "Subscription",
    "Table",
    "VerifyReport",
    "WaitTimeout",
    "follow",
    "in_memory",
    "open",
    "verify",
]

# Before the interpreter ends every store is closed, and threads that wait in one are let out.
atexit.register(_native.close_all)
os.register_at_fork(after_in_child=_native.after_fork)
