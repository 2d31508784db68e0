"""Events that the module ``event_model`` has no words for: with tags, and of an application's
own.
"""

# The type of an event is wider here than in the module: a program that has types of its own knows.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .event_model import SpaceEvent, SpaceEventType

__all__ = ["Event"]


@dataclass
class Event(SpaceEvent):
    """A ``SpaceEvent`` that may have tags, and a type of the application's own, given by its name.

    >>> from spacefold import Event
    >>> paid = Event("com.example.invoice.paid", "billing", {"cents": 1200}, tags=["invoice:7"])
    >>> paid.tags
    ('invoice:7',)
    >>> Event("space.created", "billing", {"name": "Billing"}).event_type
    <SpaceEventType.SPACE_CREATED: 'space.created'>
    """

    event_type: SpaceEventType | str  # type: ignore[assignment]
    tags: Iterable[str] = ()

    def __post_init__(self) -> None:
        self.tags = tuple(self.tags)
        if isinstance(self.event_type, str):
            self.event_type = _core_or_own(self.event_type)

    def to_dict(self) -> dict[str, Any]:
        """The event in the interchange form; with ``tags`` when there are any."""
        event_type = self.event_type
        form = {
            "event_id": self.event_id,
            "event_type": event_type if isinstance(event_type, str) else event_type.value,
            "space_id": self.space_id,
            "payload": self.payload,
            "timestamp": self.timestamp.isoformat(),
            "source": self.source,
            "correlation_id": self.correlation_id,
        }
        tags = list(self.tags)
        return {**form, "tags": tags} if tags else form

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Event:
        """The event that a dictionary in the interchange form states."""
        timestamp = data.get("timestamp")
        return cls(
            event_type=data["event_type"],
            space_id=data["space_id"],
            payload=data.get("payload") or {},
            event_id=data.get("event_id") or str(uuid.uuid4()),
            timestamp=datetime.fromisoformat(timestamp) if timestamp else datetime.now(),
            source=data.get("source"),
            correlation_id=data.get("correlation_id"),
            tags=data.get("tags") or (),
        )


_CORE = {member.value: member for member in SpaceEventType}


def _core_or_own(name: str) -> SpaceEventType | str:
    return _CORE.get(name, name)
