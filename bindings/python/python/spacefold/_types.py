"""What annotations need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ._native import RecordedEvent
from .event_model import SpaceEvent

EventLike: TypeAlias = SpaceEvent | RecordedEvent | Mapping[str, Any]
"""What can be appended: an event, a mapping in the interchange form, a recorded event."""
