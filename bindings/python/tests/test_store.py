"""Appends, reads, states and what led from one to another."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow
import pytest

import spacefold
from spacefold import AppendCondition, Event, Filter, Store
from spacefold.event_model import (
    SpaceEvent,
    SpaceEventType,
    document_added_event,
    document_content_changed_event,
    space_created_event,
)


def fill(store: Store) -> None:
    store.append(
        [
            space_created_event("handbook", "Handbook", source="editor"),
            document_added_event("handbook", "intro", "/intro.md"),
            document_content_changed_event("handbook", "intro", None, "h1"),
            space_created_event("guide", "Guide"),
        ]
    )


def test_an_append_is_read_back(store: Store) -> None:
    event = space_created_event("handbook", "Handbook", source="editor")
    event.correlation_id = "c1"
    event.payload["extra"] = [1, 2.5, None, {"a": 'é\n"\\'}, 2**80, -(2**70), True]
    receipt = store.append(event)
    assert (receipt.first_position, receipt.last_position, receipt.count) == (1, 1, 1)
    assert receipt.durable and receipt.revision == 1
    [read] = store.events()
    assert read.position == read.revision == 1
    assert read.event_id == event.event_id
    assert read.event_type is SpaceEventType.SPACE_CREATED
    assert read.type_name == "space.created"
    assert read.payload == event.payload
    assert (read.source, read.correlation_id, read.tags) == ("editor", "c1", ())
    assert read.timestamp == event.timestamp.astimezone()
    assert read.timestamp.tzinfo is UTC
    assert read.recorded_at == receipt.recorded_at
    assert read.to_space_event() == event
    assert json.loads(read.to_json()) == read.to_dict()
    assert read == next(iter(store.events())) and read in {read}


def test_all_ways_to_hand_in_an_event(store: Store) -> None:
    line = {"event_type": "space.created", "space_id": "a", "payload": {"name": "A"}}
    store.append(line)
    store.append([{**line, "space_id": "b", "timestamp": "2020-01-02T03:04:05.678901+02:00"}])
    store.append(e for e in [Event("com.example.paid", "a", {"cents": 1}, tags=["x", "y"])])
    [a, b, paid] = store.events()
    assert a.payload == {"name": "A"}
    assert b.timestamp == datetime(2020, 1, 2, 1, 4, 5, 678901, UTC)
    assert paid.event_type == "com.example.paid" and paid.tags == ("x", "y")
    event = paid.to_space_event()
    assert isinstance(event, Event) and event.tags == ("x", "y")
    with spacefold.in_memory() as other:
        other.append(store.events())
        assert [e.event_id for e in other.events()] == [e.event_id for e in store.events()]


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"event_type": "space.eaten", "space_id": "a"}, "unknown event type"),
        ({"event_type": "space.created", "space_id": "a"}, 'payload key "name" is missing'),
        ({"event_type": "space.created", "space_id": "a", "payload": {"name": 1}}, "name"),
        ({"space_id": "a"}, "event_type"),
        ({"event_type": "space.activated", "space_id": "a", "event_id": "x"}, "event_id"),
        ({"event_type": "space.activated", "space_id": "a", "timestamp": "noon"}, "timestamp"),
        (
            {"event_type": "space.activated", "space_id": "a", "payload": {"x": float("nan")}},
            "finite",
        ),
        (
            {"event_type": "space.activated", "space_id": "a", "payload": {"x": "\ud800"}},
            "surrogate",
        ),
        ([], "at least one event"),
    ],
)
def test_what_is_no_event_is_refused(store: Store, bad: object, message: str) -> None:
    with pytest.raises(spacefold.InvalidEventError, match=message) as refused:
        store.append(bad)  # type: ignore[arg-type]
    assert isinstance(refused.value, ValueError)
    assert store.durable_head == 0


@pytest.mark.parametrize(
    "bad",
    [
        7,
        None,
        {"event_type": 7, "space_id": "a"},
        {"event_type": "space.activated", "space_id": "a", "payload": {"x": {1, 2}}},
        {"event_type": "space.activated", "space_id": "a", "payload": {1: 2}},
        {"event_type": "space.activated", "space_id": "a", "payload": {"x": b"bytes"}},
    ],
)
def test_what_has_another_type_is_a_type_error(store: Store, bad: object) -> None:
    with pytest.raises(TypeError):
        store.append(bad)  # type: ignore[arg-type]


def test_limits_have_an_error_of_their_own(store: Store) -> None:
    created = {"event_type": "space.created", "payload": {"name": "A"}}
    store.append({**created, "space_id": "x" * 512})
    with pytest.raises(spacefold.LimitError, match="512") as refused:
        store.append({**created, "space_id": "x" * 513})
    assert isinstance(refused.value, ValueError)
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(spacefold.LimitError, match="nest"):
        store.append(
            {"event_type": "variable.set", "space_id": "a", "payload": {"name": "n", "value": deep}}
        )
    with pytest.raises(spacefold.LimitError, match="4096"):
        store.append([{**created, "space_id": "a"}] * 4097)


def test_conditions_have_one_winner(store: Store) -> None:
    created = space_created_event("handbook", "Handbook")
    store.append(created, condition=AppendCondition.no_space("handbook"))
    with pytest.raises(spacefold.ConflictError, match="handbook") as lost:
        store.append(
            space_created_event("handbook", "Other"), condition=AppendCondition.no_space("handbook")
        )
    assert lost.value.failed[0]["space_id"] == "handbook"
    assert lost.value.failed[0]["revision"] == 1
    seat = Event("com.example.seat.taken", "hall", {"seat": 7}, tags=["seat:7"])
    free = AppendCondition.no_event_matching(Filter(tags="seat:7"))
    store.append(seat, condition=free & AppendCondition.exists("handbook"))
    with pytest.raises(spacefold.ConflictError) as lost:
        store.append(Event("com.example.seat.taken", "hall", {}, tags=["seat:7"]), condition=free)
    assert lost.value.failed[0]["position"] == 2
    assert store.durable_head == 2


def test_a_retry_is_answered_as_the_first_time(store: Store) -> None:
    event = space_created_event("handbook", "Handbook")
    first = store.append(event)
    assert store.append(event) == first
    assert store.durable_head == 1
    event.payload = {"name": "Other"}
    with pytest.raises(spacefold.ConflictError, match="is stored at position 1"):
        store.append(event)
    event.payload = {"name": "Handbook"}
    with pytest.raises(spacefold.ConflictError):
        store.append(event, only_new=True)


def test_filters(store: Store) -> None:
    fill(store)
    store.append(Event("com.example.rated", "guide", {"stars": 5}, tags=["user:7"]))

    def positions(*filters: Filter, **rest: int) -> list[int]:
        return [e.position for e in store.events(list(filters) if filters else None, **rest)]

    assert positions() == [1, 2, 3, 4, 5]
    assert positions(after=1, to=3) == [2, 3]
    assert positions(limit=2) == [1, 2]
    assert positions(Filter(spaces="guide")) == [4, 5]
    assert positions(Filter(types="document.*")) == [2, 3]
    assert positions(Filter(types=SpaceEventType.SPACE_CREATED)) == [1, 4]
    assert positions(Filter(types=[SpaceEventType.SPACE_CREATED, "com.*"])) == [1, 4, 5]
    assert positions(Filter(tags=["user:7"])) == [5]
    assert positions(Filter(document="intro")) == [2, 3]
    assert positions(Filter(source="editor")) == [1]
    assert positions(Filter(source="editor"), Filter(tags="user:7")) == [1, 5]
    assert Filter(spaces=["a"]) == Filter(spaces="a")
    with pytest.raises(spacefold.InvalidEventError):
        Filter(types="space.eaten")
    assert [e.position for e in store.read_space("guide", after=1)] == [5]
    found = next(iter(store.events(after=2)))
    assert store.find_event(found.event_id) == 3
    assert store.find_event("00000000-0000-4000-8000-000000000000") is None


def test_states_of_now_and_then(store: Store) -> None:
    fill(store)
    now = store.snapshot("handbook")
    assert (now.name, now.status, now.revision, now.position) == ("Handbook", "created", 3, 4)
    assert now.has_path("/intro.md")
    document = now.document("intro")
    assert document is not None and document == now.document_at("/intro.md")
    assert (document.content_hash, document.attributes) == ("h1", {})
    assert now.document("other") is None
    assert store.snapshot("handbook", at=1).documents == []
    assert store.snapshot("handbook", at=2).state_hash != now.state_hash
    assert now.to_dict()["state_hash"] == now.state_hash
    assert store.snapshot("handbook", at=datetime.now(UTC) + timedelta(days=1)) == now
    assert [s.space_id for s in store.snapshots()] == ["guide", "handbook"]
    assert [s.space_id for s in store.snapshots(at=3)] == ["handbook"]
    assert store.space_ids() == ["guide", "handbook"]
    with pytest.raises(spacefold.NotFound, match="no space") as unknown:
        store.snapshot("other")
    assert isinstance(unknown.value, LookupError)
    with pytest.raises(spacefold.NotFound, match="beyond the head"):
        store.snapshot("handbook", at=9)
    with pytest.raises(TypeError):
        store.snapshot("handbook", at="noon")  # type: ignore[arg-type]
    with pytest.raises(spacefold.WaitTimeout) as late:
        store.snapshot_after("handbook", 5, timeout=0.01)
    assert isinstance(late.value, TimeoutError)
    assert store.snapshot_after("handbook", 4, timeout=5).position >= 4


def test_diff_history_and_blame(store: Store) -> None:
    fill(store)
    diff = store.diff("handbook", 1, 3)
    assert [change.kind for change in diff] == ["document_added"]
    [change] = diff
    assert change.document_id == "intro" and change.before is None
    assert change.after == {"attributes": {}, "content_hash": "h1", "path": "/intro.md"}
    assert diff[-1] == change and len(diff) == 1
    with pytest.raises(IndexError):
        diff[1]
    assert len(store.diff("handbook", 1, 2, document_id="other")) == 0
    assert [e.position for e in store.history("handbook")] == [1, 2, 3]
    assert [e.position for e in store.history("handbook", "intro")] == [2, 3]
    with pytest.raises(spacefold.NotFound):
        store.history("other")
    blame = store.blame("handbook")
    assert blame["documents"][0]["content"]["position"] == 3
    assert store.blame("handbook", at=2)["documents"][0]["content"] is None


def test_times_are_local_without_an_offset(store: Store) -> None:
    naive = datetime(2021, 3, 4, 5, 6, 7, 890123)
    zone = timezone(timedelta(hours=-7, minutes=-30))
    store.append(
        [
            SpaceEvent(SpaceEventType.SPACE_ACTIVATED, "a", timestamp=naive),
            SpaceEvent(SpaceEventType.SPACE_ACTIVATED, "a", timestamp=naive.replace(tzinfo=zone)),
            SpaceEvent(
                SpaceEventType.SPACE_ACTIVATED, "a", timestamp=datetime(1, 1, 3, tzinfo=UTC)
            ),
        ]
    )
    [local, aware, early] = store.events()
    assert local.timestamp == naive.astimezone()
    assert local.to_space_event().timestamp == naive
    assert aware.timestamp == naive.replace(tzinfo=zone)
    assert early.timestamp == datetime(1, 1, 3, tzinfo=UTC)
    with pytest.raises(spacefold.InvalidEventError, match="years 1 to 9999"):
        early_zone = timezone(timedelta(hours=14))
        store.append(
            SpaceEvent(
                SpaceEventType.SPACE_ACTIVATED, "a", timestamp=datetime(1, 1, 1, tzinfo=early_zone)
            )
        )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
def test_local_times_are_those_of_python(
    zone: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        # Over a year, and minute by minute over the changes of the clock.
        times = [datetime(2025, 1, 1) + timedelta(hours=7, microseconds=n) * n for n in range(1300)]
        for begin in (
            datetime(2025, 3, 30),
            datetime(2025, 10, 26),
            datetime(2025, 4, 6),
            datetime(2025, 10, 5),
        ):
            minutes = [begin + timedelta(minutes=n, microseconds=999_999) for n in range(300)]
            times += [t.replace(fold=fold) for t in minutes for fold in (0, 1)]
        events = [SpaceEvent(SpaceEventType.SPACE_ACTIVATED, "a", timestamp=t) for t in times]
        for begin_at in range(0, len(events), 4000):
            store.append(events[begin_at : begin_at + 4000])
        for time_, read in zip(times, store.events(), strict=True):
            seconds = int(time_.replace(microsecond=0).timestamp())
            expected = datetime.fromtimestamp(seconds, UTC) + timedelta(
                microseconds=time_.microsecond
            )
            assert read.timestamp == expected, time_
            assert read.to_space_event().timestamp == expected.astimezone().replace(tzinfo=None)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_all_kinds_of_objects_are_events(store: Store) -> None:
    class Slots:
        __slots__ = ("event_type", "payload", "space_id", "timestamp")

    class Properties:
        event_type = "space.created"

        @property
        def space_id(self) -> str:
            return "b"

        @property
        def payload(self) -> dict[str, str]:
            return {"name": "B"}

    slots: Any = Slots()
    slots.event_type, slots.space_id = SpaceEventType.SPACE_CREATED, "a"
    slots.payload, slots.timestamp = MappingProxyType({"name": "A"}), ""
    given: list[Any] = [
        slots,
        Properties(),
        MappingProxyType({"event_type": "space.activated", "space_id": "c"}),
    ]
    store.append(given)
    assert [e.space_id for e in store.events()] == ["a", "b", "c"]


def test_every_type_is_given_back_as_it_came(store: Store) -> None:
    payloads: dict[str, dict[str, object]] = {
        "space.created": {"name": "A"},
        "space.updated": {"changes": {"a": [1, {"b": None}], "z": 2**70}},
        "space.deleted": {"name": None},
        "space.activated": {},
        "space.archived": {"why": "x"},
        "document.added": {"document_id": "d", "space_path": '/"\\\n\t\x01é'},
        "document.updated": {"document_id": "d", "changes": {}},
        "document.removed": {"document_id": "d"},
        "document.moved": {"document_id": "d", "old_path": None, "new_path": "/n"},
        "document.content_changed": {"document_id": "d", "old_hash": "o", "new_hash": "n"},
        "variable.set": {"name": "v", "value": [True, 1.5, -0.0, 1e300, "", {}]},
        "variable.deleted": {"name": "v"},
        "reference.added": {"document_id": "d", "target": "t", "kind": None},
        "reference.cleared": {"document_id": None},
        "render.started": {"document_id": "d"},
        "render.completed": {"output_hash": "h", "error": None},
        "render.failed": {"error": "e", "document_id": "d", "output_hash": None},
        "sync.started": {"direction": "push"},
        "sync.completed": {"extra": {"deep": [[]]}},
        "sync.conflict": {"document_id": "d", "local_hash": None, "remote_hash": "r"},
        "cache.invalidated": {"document_ids": ["a", "b"], "reason": "r"},
        "com.example.own": {"a": 1, "b": [None]},
    }
    assert payloads.keys() - {"com.example.own"} == {m.value for m in SpaceEventType}
    for name, payload in payloads.items():
        store.append({"event_type": name, "space_id": "a", "payload": payload})
    table = pyarrow.table(store.events())
    for read, row, (name, payload) in zip(
        store.events(), table.to_pylist(), payloads.items(), strict=True
    ):
        assert read.type_name == row["event_type"] == name
        assert read.payload == read.to_dict()["payload"] == json.loads(row["payload"]) == payload
        assert json.dumps(read.payload) == json.dumps(json.loads(row["payload"]))
        assert row["event_id"] == read.event_id


def test_content(path: Path) -> None:
    with spacefold.open(path) as store:
        hash = store.put_content(b"# Hello")
        assert store.get_content(hash) == b"# Hello"
        store.append(
            [
                space_created_event("handbook", "Handbook"),
                document_added_event("handbook", "intro", "/intro.md"),
                document_content_changed_event("handbook", "intro", None, hash),
            ]
        )
        assert store.content("handbook", "intro") == b"# Hello"
        with pytest.raises(spacefold.NotFound, match="no content"):
            store.content("handbook", "intro", at=2)
        with pytest.raises(spacefold.LimitError):
            store.get_content(hash, limit=3)
        with pytest.raises(spacefold.NotFound):
            store.get_content("0" * 64)
        with pytest.raises(spacefold.InvalidEventError):
            store.get_content("0")
        store.put_content(b"unnamed")
    with spacefold.open(path) as store:
        assert store.collect_garbage() >= 0
        assert store.content("handbook", "intro") == b"# Hello"


def test_export_and_import(store: Store, tmp_path: Path) -> None:
    fill(store)
    file = tmp_path / "events.jsonl"
    assert store.export_lines(file) == 4
    with pytest.raises(FileExistsError):
        store.export_lines(file)
    with spacefold.in_memory() as other:
        report = other.import_lines(file)
        assert (report["read"], report["appended"]) == (4, 4)
        assert other.import_lines(file)["already_present"] == 4
        assert other.snapshot("handbook").state_hash == store.snapshot("handbook").state_hash
    file.write_text('{"event_type": "space.activated", "space_id": "a"}\n{}\n')
    with pytest.raises(spacefold.ImportLinesError) as ended:
        store.import_lines(file)
    assert (ended.value.line, ended.value.appended) == (2, 1)
    with pytest.raises(FileNotFoundError):
        store.import_lines(tmp_path / "none")


def test_verify_info_and_rebuild(path: Path) -> None:
    with spacefold.open(path) as store:
        fill(store)
        assert store.info()["durable_head"] == 4
        assert store.verify().ok
        assert set(store.rebuild().values()) <= {"identical", "nothing to compare", "created"}
    report = spacefold.verify(path)
    assert report.ok and not report.damaged and report.events == 4


def test_damage_is_found_and_said(path: Path) -> None:
    with spacefold.open(path) as store:
        for _ in range(50):
            store.append(space_created_event("handbook", "Handbook"))
    for file in (path / "journal").iterdir():
        content = bytearray(file.read_bytes())
        at = content.find(b"Handbook")
        if at >= 0:
            content[at] ^= 1
            file.write_bytes(content)
    report = spacefold.verify(path)
    assert report.damaged and report.problems[0].kind
    with pytest.raises(spacefold.DamageError) as damaged:
        with spacefold.open(path) as store:
            list(store.events())
    assert isinstance(damaged.value, OSError)


def test_opening(path: Path) -> None:
    with pytest.raises(spacefold.NotFound, match="no store"):
        spacefold.open(path, create=False)
    with pytest.raises(ValueError):
        spacefold.open(path, durability="never")  # type: ignore[arg-type]
    store = spacefold.open(path)
    assert store.path == str(path) and not store.read_only
    with pytest.raises(spacefold.AlreadyOpenError, match="in use") as taken:
        spacefold.open(path)
    import os

    assert taken.value.pid == os.getpid() and isinstance(taken.value, OSError)
    fill(store)
    with spacefold.follow(path, cache="memory") as beside:
        assert beside.read_only and beside.snapshot("handbook").name == "Handbook"
        with pytest.raises(spacefold.ReadOnlyError):
            beside.append(space_created_event("a", "A"))
        receipt = store.append(space_created_event("a", "A"))
        assert beside.snapshot_after("a", receipt.last_position, timeout=10).name == "A"
        assert beside.info()["durable_head"] >= 5
    store.close()
    store.close()
    assert store.closed
    with pytest.raises(spacefold.ClosedError, match="closed"):
        store.append(space_created_event("b", "B"))
    with spacefold.open(path, durability="os", folding="on_demand") as again:
        assert again.durable_head == 5


def test_reprs_say_what_they_are(store: Store) -> None:
    fill(store)
    assert "in memory: durable head 4" in repr(store)
    assert repr(next(iter(store.events()))).startswith("RecordedEvent(position=1")
    assert "4" in repr(store.spaces()) or "2" in repr(store.spaces())
    assert repr(Filter()) == "<Filter: every event>"
    assert "Snapshot" in repr(store.snapshot("guide"))
