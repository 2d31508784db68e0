"""Projections in Python: kept, rebuilt, paused, skipped."""

from __future__ import annotations

import time
from pathlib import Path

import polars
import pytest

import spacefold
from spacefold import Event, Store
from spacefold.event_model import SpaceEventType, document_added_event, space_created_event
from spacefold.projections import ProjectionHandle, Table, register


class Paths:
    """Counts documents by space; refuses those of a path."""

    name = "paths"
    version = 1

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.seen: list[int] = []

    def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
        self.seen.append(event.position)
        if event.event_type is not SpaceEventType.DOCUMENT_ADDED:
            return
        path = event.payload["space_path"]
        table[f"count/{event.space_id}"] = table.get(f"count/{event.space_id}", 0) + 1
        table.put(f"path/{path}", {"document": event.payload["document_id"]})
        if path == self.refused:
            raise ValueError(f"no {path}")


def add(store: Store, path: str) -> int:
    return store.append(document_added_event("handbook", path, path)).last_position


def test_rows_are_folded_live(store: Store) -> None:
    add(store, "/a")
    paths = register(store, Paths())
    position = add(store, "/b")
    assert paths.wait(position, timeout=20) == position == paths.position
    assert paths["count/handbook"] == 2 and paths.get("count/other", 7) == 7
    assert "path//a" in paths and "path//c" not in paths
    with pytest.raises(KeyError):
        _ = paths["path//c"]
    assert list(paths.scan("path/")) == [
        ("path//a", {"document": "/a"}),
        ("path//b", {"document": "/b"}),
    ]
    frame = polars.DataFrame(paths.rows())
    assert frame.columns == ["key", "value"] and frame.height == 3
    assert paths.rebuild() == "identical"
    assert paths.info()["lag"] == 0 and paths.info()["paused_at"] is None
    with pytest.raises(spacefold.ConflictError, match="already"):
        register(store, Paths())
    with pytest.raises(spacefold.WaitTimeout):
        paths.wait(position + 1, timeout=0.05)


def test_rows_and_position_are_kept(path: Path) -> None:
    with spacefold.open(path) as store:
        paths = register(store, Paths())
        paths.wait(add(store, "/a"), timeout=20)
    with spacefold.open(path) as store:
        again = Paths()
        paths = register(store, again)
        paths.wait(add(store, "/b"), timeout=20)
        assert again.seen == [2] and paths["count/handbook"] == 2

    class Newer(Paths):
        version = 2

    with spacefold.open(path) as store:
        newer = Newer()
        paths = register(store, newer)
        paths.wait(add(store, "/c"), timeout=20)
        assert newer.seen[0] == 1 and paths["count/handbook"] == 3


def test_an_event_that_is_refused_pauses_it_alone(store: Store) -> None:
    projection = Paths(refused="/bad")
    paths = register(store, projection)
    good = add(store, "/good")
    bad = add(store, "/bad")
    last = add(store, "/later")
    paths.wait(good, timeout=20)
    with pytest.raises(spacefold.PausedError, match="no /bad") as paused:
        paths.wait(last, timeout=20)
    assert paused.value.position == bad and "ValueError" in paused.value.reason
    assert paths.info()["paused_at"] == bad
    # Nothing of what it wrote is kept.
    assert paths["count/handbook"] == 1 and "path//bad" not in paths
    assert store.snapshot("handbook").revision == 3
    with pytest.raises(spacefold.PausedError):
        paths.resume()
    assert paths.skip_event() == last
    assert paths["count/handbook"] == 2 and paths.info()["skipped"] == [bad]
    assert paths.rebuild() == "identical"
    projection.refused = "/later"
    with pytest.raises(spacefold.SpacefoldError, match="no /later"):
        paths.rebuild()


def test_resumed_once_it_is_mended(store: Store) -> None:
    projection = Paths(refused="/bad")
    paths = register(store, projection)
    bad = add(store, "/bad")
    with pytest.raises(spacefold.PausedError):
        paths.wait(bad, timeout=20)
    projection.refused = ""
    assert paths.resume() == bad and paths["count/handbook"] == 1


def test_a_table_shows_what_was_written(store: Store) -> None:
    found: list[object] = []

    class Writes:
        name = "writes"
        version = 1
        event_types = (SpaceEventType.SPACE_CREATED,)

        def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
            before = list(table.scan())
            table["b"] = [1, None, {"é": 2.5}]
            table["a"] = event.space_id
            found.append((before, list(table.scan()), "a" in table))
            del table["a"]
            table.remove("never there")
            try:
                del table["a"]
            except KeyError:
                found.append("gone")
            with pytest.raises(ValueError):
                table["nan"] = float("nan")

    rows = register(store, Writes())
    store.append(Event("com.example.x", "b", {}))
    store.append(space_created_event("one", "One"))
    rows.wait(2, timeout=20)
    assert found == [([], [("a", "one"), ("b", [1, None, {"é": 2.5}])], True), "gone"]
    store.append(space_created_event("two", "Two"))
    rows.wait(3, timeout=20)
    assert found[2] == (
        [("b", [1, None, {"é": 2.5}])],
        [("a", "two"), ("b", [1, None, {"é": 2.5}])],
        True,
    )
    assert list(rows.scan()) == [("b", [1, None, {"é": 2.5}])]


def test_limits_of_rows(store: Store) -> None:
    class Large:
        name = "large"
        version = 1

        def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
            table["k" * 4097] = 1

    rows = register(store, Large())
    position = add(store, "/a")
    with pytest.raises(spacefold.PausedError, match=r"LimitError.*4096"):
        rows.wait(position, timeout=20)
    with pytest.raises(spacefold.LimitError):
        register(store, type("Named", (Large,), {"name": "a name"})())


def test_a_projection_cannot_wait_for_its_store(store: Store) -> None:
    refused: list[str] = []
    handle: list[ProjectionHandle] = []

    class Waits:
        name = "waits"
        version = 1

        def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
            for call in (
                store.close,
                lambda: handle[0].wait(9),
                lambda: handle[0].rebuild(),
                store.rebuild,
            ):
                try:
                    call()
                except RuntimeError as error:
                    refused.append(str(error))

    handle.append(register(store, Waits()))
    handle[0].wait(add(store, "/a"), timeout=20)
    assert len(refused) == 4 and "cannot wait" in refused[0]


def test_a_table_is_of_one_event(store: Store) -> None:
    kept: list[Table] = []

    class Keeps:
        name = "keeps"
        version = 1

        def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
            kept.append(table)

    register(store, Keeps()).wait(add(store, "/a"), timeout=20)
    with pytest.raises(spacefold.ClosedError, match="taken in before"):
        kept[0].get("a")


def test_an_event_is_folded_again_when_something_was_closed(store: Store) -> None:
    class Closed:
        name = "closed"
        version = 1

        def __init__(self) -> None:
            self.calls = 0

        def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
            table["seen"] = table.get("seen", 0) + 1
            self.calls += 1
            if self.calls == 1:
                raise spacefold.ClosedError("a store that it reads from")

    projection = Closed()
    rows = register(store, projection)
    position = add(store, "/a")
    assert rows.wait(position, timeout=30) == position
    assert (projection.calls, rows["seen"]) == (2, 1) and rows.info()["paused_at"] is None


@pytest.mark.parametrize("turn", range(10))
def test_a_store_closes_while_it_is_folded(turn: int, path: Path) -> None:
    class Slow:
        name = "slow"
        version = 1

        def apply(self, table: Table, event: spacefold.RecordedEvent) -> None:
            table["n"] = table.get("n", 0) + 1

    with spacefold.open(path) as store:
        register(store, Slow())
        for _ in range(10):
            store.append([{"event_type": "space.activated", "space_id": "a"} for _ in range(100)])
        time.sleep(turn / 1000)
    with spacefold.open(path) as store:
        rows = register(store, Slow())
        assert rows.wait(1000, timeout=30) == 1000 and rows["n"] == 1000
