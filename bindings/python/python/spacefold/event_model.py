"""The event model of information spaces: a drop-in for the module ``event_model``.

A program that imports it from here goes on unchanged: the names, the fields and their defaults,
what ``to_dict`` gives and ``from_dict`` takes are the same, and events are plain mutable
dataclasses, to be compared, copied, replaced and pickled. A ``Store`` takes them as they are.

A time without an offset is local time, as ``datetime.now`` gives it.

>>> event = space_created_event("handbook", "Handbook", source="editor")
>>> event.event_type
<SpaceEventType.SPACE_CREATED: 'space.created'>
>>> SpaceEvent.from_dict(event.to_dict()) == event
True
"""

# No `__all__`, as the module has none: a star import gives what it always gave.

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Dict, Optional
import typing as _typing
import uuid

if _typing.TYPE_CHECKING:
    from ._native import RecordedEvent as _RecordedEvent


class SpaceEventType(Enum):
    """What can happen to a space: the 21 core types, by category."""

    # Space lifecycle
    SPACE_CREATED = "space.created"
    SPACE_UPDATED = "space.updated"
    SPACE_DELETED = "space.deleted"
    SPACE_ACTIVATED = "space.activated"
    SPACE_ARCHIVED = "space.archived"
    # Documents
    DOCUMENT_ADDED = "document.added"
    DOCUMENT_UPDATED = "document.updated"
    DOCUMENT_REMOVED = "document.removed"
    DOCUMENT_MOVED = "document.moved"
    DOCUMENT_CONTENT_CHANGED = "document.content_changed"
    # Variables
    VARIABLE_SET = "variable.set"
    VARIABLE_DELETED = "variable.deleted"
    # References
    REFERENCE_ADDED = "reference.added"
    REFERENCE_CLEARED = "reference.cleared"
    # Rendering
    RENDER_STARTED = "render.started"
    RENDER_COMPLETED = "render.completed"
    RENDER_FAILED = "render.failed"
    # Synchronisation
    SYNC_STARTED = "sync.started"
    SYNC_COMPLETED = "sync.completed"
    SYNC_CONFLICT = "sync.conflict"
    # Caches
    CACHE_INVALIDATED = "cache.invalidated"


@dataclass
class SpaceEvent:
    """Something that happened to a space.

    ``source`` says who says so, ``correlation_id`` what it belongs to; the id and the time are made
    up when they are left out.
    """

    event_type: SpaceEventType
    space_id: str
    payload: Dict[str, Any] = field(default_factory=dict)  # pyright: ignore
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: datetime = field(default_factory=datetime.now)
    source: Optional[str] = None
    correlation_id: Optional[str] = None

    def to_dict(self) -> Dict[str, Any]:
        """The event as a dictionary, to be serialized: the interchange form."""
        return {
            "event_id": self.event_id,
            "event_type": self.event_type.value,
            "space_id": self.space_id,
            "payload": self.payload,
            "timestamp": self.timestamp.isoformat(),
            "source": self.source,
            "correlation_id": self.correlation_id,
        }

    @classmethod
    def from_dict(cls, data: Dict[str, Any]) -> "SpaceEvent":
        """The event that a dictionary states; id, payload and time may be left out."""
        return cls(
            event_id=data.get("event_id", str(uuid.uuid4())),
            event_type=SpaceEventType(data["event_type"]),
            space_id=data["space_id"],
            payload=data.get("payload", {}),
            timestamp=datetime.fromisoformat(data["timestamp"])
            if data.get("timestamp")
            else datetime.now(),
            source=data.get("source"),
            correlation_id=data.get("correlation_id"),
        )


def space_created_event(space_id: str, name: str, source: Optional[str] = None) -> SpaceEvent:
    """``space.created``."""
    return SpaceEvent(
        event_type=SpaceEventType.SPACE_CREATED,
        space_id=space_id,
        payload={"name": name},
        source=source,
    )


def space_updated_event(
    space_id: str, changes: Dict[str, Any], source: Optional[str] = None
) -> SpaceEvent:
    """``space.updated``."""
    return SpaceEvent(
        event_type=SpaceEventType.SPACE_UPDATED,
        space_id=space_id,
        payload={"changes": changes},
        source=source,
    )


def space_deleted_event(space_id: str, name: str, source: Optional[str] = None) -> SpaceEvent:
    """``space.deleted``."""
    return SpaceEvent(
        event_type=SpaceEventType.SPACE_DELETED,
        space_id=space_id,
        payload={"name": name},
        source=source,
    )


def document_added_event(
    space_id: str, document_id: str, space_path: str, source: Optional[str] = None
) -> SpaceEvent:
    """``document.added``."""
    return SpaceEvent(
        event_type=SpaceEventType.DOCUMENT_ADDED,
        space_id=space_id,
        payload={"document_id": document_id, "space_path": space_path},
        source=source,
    )


def document_updated_event(
    space_id: str, document_id: str, changes: Dict[str, Any], source: Optional[str] = None
) -> SpaceEvent:
    """``document.updated``."""
    return SpaceEvent(
        event_type=SpaceEventType.DOCUMENT_UPDATED,
        space_id=space_id,
        payload={"document_id": document_id, "changes": changes},
        source=source,
    )


def document_removed_event(
    space_id: str, document_id: str, space_path: str, source: Optional[str] = None
) -> SpaceEvent:
    """``document.removed``."""
    return SpaceEvent(
        event_type=SpaceEventType.DOCUMENT_REMOVED,
        space_id=space_id,
        payload={"document_id": document_id, "space_path": space_path},
        source=source,
    )


def document_content_changed_event(
    space_id: str,
    document_id: str,
    old_hash: Optional[str],
    new_hash: str,
    source: Optional[str] = None,
) -> SpaceEvent:
    """``document.content_changed``."""
    return SpaceEvent(
        event_type=SpaceEventType.DOCUMENT_CONTENT_CHANGED,
        space_id=space_id,
        payload={"document_id": document_id, "old_hash": old_hash, "new_hash": new_hash},
        source=source,
    )


def cache_invalidated_event(
    space_id: str,
    document_ids: list,  # type: ignore[type-arg]
    reason: str,
    source: Optional[str] = None,
) -> SpaceEvent:
    """``cache.invalidated``."""
    return SpaceEvent(
        event_type=SpaceEventType.CACHE_INVALIDATED,
        space_id=space_id,
        payload={"document_ids": document_ids, "reason": reason},
        source=source,
    )


def _of_recorded(  # pyright: ignore[reportUnusedFunction]
    recorded: "_RecordedEvent", timestamp: datetime
) -> SpaceEvent:
    """A recorded event as one of this module; one of an application's own as an ``Event``."""
    event_type = recorded.event_type
    tags = recorded.tags
    if tags or not isinstance(event_type, SpaceEventType):
        from ._event import Event

        return Event(
            event_type=event_type,
            space_id=recorded.space_id,
            payload=recorded.payload,
            event_id=recorded.event_id,
            timestamp=timestamp,
            source=recorded.source,
            correlation_id=recorded.correlation_id,
            tags=tags,
        )
    return SpaceEvent(
        event_type=event_type,
        space_id=recorded.space_id,
        payload=recorded.payload,
        event_id=recorded.event_id,
        timestamp=timestamp,
        source=recorded.source,
        correlation_id=recorded.correlation_id,
    )
