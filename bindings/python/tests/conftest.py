"""What the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import spacefold


@pytest.fixture
def store() -> Iterator[spacefold.Store]:
    """An empty store in memory."""
    with spacefold.in_memory() as store:
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "store"
