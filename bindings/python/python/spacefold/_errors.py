"""The exceptions of the package, each also one of those that Python has for the kind."""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "AlreadyOpenError",
    "ClosedError",
    "ConflictError",
    "DamageError",
    "FailedCondition",
    "ForkError",
    "ImportLinesError",
    "InvalidEventError",
    "LimitError",
    "NotFound",
    "OutcomeUnknownError",
    "PausedError",
    "ReadOnlyError",
    "Refused",
    "SpacefoldError",
    "StorageError",
    "WaitTimeout",
]


class FailedCondition(TypedDict, total=False):
    """A part of a condition that does not hold, and what was found instead."""

    message: str
    space_id: str
    revision: int
    after: int
    position: int
    event_id: str


class SpacefoldError(Exception):
    """Whatever the package raises of its own; the message is the engine's."""


class ConflictError(SpacefoldError):
    """Somebody was first: a condition does not hold, an id or a name is taken. Nothing was written.

    ``failed`` has the parts of the condition that do not hold.
    """

    def __init__(self, message: str, *, failed: list[FailedCondition] | None = None) -> None:
        super().__init__(message)
        self.failed: list[FailedCondition] = [] if failed is None else failed


class Refused(SpacefoldError, ValueError):
    """A command does not fit the state of its space: ``rule`` names why. Nothing was written."""

    def __init__(
        self, message: str, *, rule: str = "", space_id: str = "", index: int | None = None
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.space_id = space_id
        self.index = index
        """Which command of a batch it was, from 0."""


class InvalidEventError(SpacefoldError, ValueError):
    """What was handed in is no event. Nothing was written."""


class LimitError(SpacefoldError, ValueError):
    """A limit of the engine was passed: the message has the limit and the value."""


class ClosedError(SpacefoldError, ValueError):
    """The store, or the subscription, is closed."""


class ReadOnlyError(SpacefoldError, OSError):
    """The store is followed, which only reads."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class StorageError(SpacefoldError, OSError):
    """The disk or the machine failed: ``kind`` says how, such as ``"no-room"``."""

    def __init__(self, message: str, *, kind: str = "storage") -> None:
        super().__init__(message)
        self.kind = kind


class OutcomeUnknownError(StorageError):
    """All or none of an append is stored, and nobody knows which: open the store again."""


class AlreadyOpenError(SpacefoldError, OSError):
    """The store is in use by the process ``pid``, where that is known."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class DamageError(SpacefoldError, OSError):
    """What is stored is damaged: ``spacefold.verify`` says where, and mends what it can."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class NotFound(SpacefoldError, LookupError):
    """There is no such store, space, document, content, position or subscription."""


class WaitTimeout(SpacefoldError, TimeoutError):
    """What was waited for did not come in time."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class PausedError(SpacefoldError):
    """A projection met an event that it does not take in, at ``position``, and waits."""

    def __init__(self, message: str, *, position: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.reason = reason


class ForkError(SpacefoldError, RuntimeError):
    """It was opened in a process of which this one is a fork."""


class ImportLinesError(SpacefoldError, ValueError):
    """An import ended early, at ``line`` where it was a line; ``appended`` events are stored."""

    def __init__(self, message: str, *, line: int | None = None, appended: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.appended = appended
