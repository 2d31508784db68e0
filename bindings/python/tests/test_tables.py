"""Tables, as the libraries of others read them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import duckdb
import pandas
import polars
import pyarrow
import pytest

import spacefold
from spacefold import Event, Filter, Store
from spacefold.event_model import (
    SpaceEvent,
    SpaceEventType,
    document_added_event,
    document_content_changed_event,
    document_updated_event,
    space_created_event,
)

COLUMNS = [
    "position",
    "revision",
    "recorded_at",
    "event_id",
    "event_type",
    "space_id",
    "payload",
    "timestamp",
    "source",
    "correlation_id",
    "tags",
]


@pytest.fixture
def filled(store: Store) -> Store:
    store.append(
        [
            space_created_event('hand"book\\', 'Hand}{"b\\ook\n', source='ed"itor'),
            document_added_event('hand"book\\', "intro", "/in{tro.md"),
            document_content_changed_event('hand"book\\', "intro", None, "h1"),
            document_updated_event('hand"book\\', "intro", {"a": {"b": ["}", '\\"', {}]}}),
            Event(
                "com.example.rated",
                "guide",
                {"stars": 5},
                tags=["user:7", "x"],
                timestamp=datetime(1950, 1, 2, 3, 4, 5, 678901, UTC),
            ),
            SpaceEvent(SpaceEventType.SPACE_ACTIVATED, "guide", correlation_id="c1"),
        ]
    )
    return store


def test_events_are_the_same_as_objects(filled: Store) -> None:
    table = pyarrow.table(filled.events())
    assert table.column_names == COLUMNS
    assert table.num_rows == 6
    for row, event in zip(table.to_pylist(), filled.events(), strict=True):
        assert row["position"] == event.position and row["revision"] == event.revision
        assert (
            row["recorded_at"].to_pydatetime()
            if hasattr(row["recorded_at"], "to_pydatetime")
            else row["recorded_at"] == event.recorded_at
        )
        assert row["timestamp"] == event.timestamp
        assert row["event_id"] == event.event_id and row["event_type"] == event.type_name
        assert row["space_id"] == event.space_id
        assert json.loads(row["payload"]) == event.payload
        assert (row["source"], row["correlation_id"]) == (event.source, event.correlation_id)
        assert tuple(row["tags"]) == event.tags


def test_filters_and_limits_hold_for_tables(filled: Store) -> None:
    def positions(events: spacefold.Events) -> list[int]:
        return list(pyarrow.table(events)["position"].to_pylist())

    assert positions(filled.events(Filter(types="document.*"))) == [2, 3, 4]
    assert positions(filled.events(after=1, to=4, limit=2)) == [2, 3]
    assert positions(filled.events(limit=0)) == []
    assert pyarrow.table(filled.events(Filter(tags="none"))).column_names == COLUMNS
    again = filled.events()
    assert positions(again) == positions(again) == [1, 2, 3, 4, 5, 6]


def test_polars_pandas_and_duckdb_read_them(filled: Store) -> None:
    frame = polars.DataFrame(filled.events())
    assert frame.columns == COLUMNS and frame.height == 6
    assert frame["recorded_at"].dtype == polars.Datetime("us", "UTC")
    assert frame["tags"].to_list()[4] == ["user:7", "x"]
    assert pandas.DataFrame.from_arrow(filled.events()).shape == (6, len(COLUMNS))
    events = filled.events()
    relation = duckdb.sql("select event_type, count(*) from events group by 1 order by 1")
    assert relation is not None
    found = relation.fetchall()
    assert found[0] == ("com.example.rated", 1) and len(found) == 6
    del events


def test_large_ones_come_in_batches(store: Store) -> None:
    for _ in range(20):
        store.append([{"event_type": "space.activated", "space_id": "a"} for _ in range(4096)])
    reader = pyarrow.RecordBatchReader.from_stream(store.events())
    sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == 20 * 4096 and len(sizes) > 1
    assert polars.DataFrame(store.events(after=81_000))["position"][0] == 81_001


def test_a_table_is_an_iterable_of_rows(filled: Store) -> None:
    documents = filled.documents('hand"book\\')
    [row] = documents
    assert row["document_id"] == "intro" and row["content_hash"] == "h1"
    assert json.loads(row["attributes"]) == {"a": {"b": ["}", '\\"', {}]}}
    assert len(documents) == 1 and documents.rows() == [row]
    assert pyarrow.table(documents).to_pylist() == [row]
    assert filled.documents('hand"book\\', at=2).rows()[0]["content_hash"] is None
    spaces = filled.spaces()
    assert [it["space_id"] for it in spaces] == ["guide", 'hand"book\\']
    assert spaces.columns[:3] == ["space_id", "name", "status"]
    assert polars.DataFrame(filled.spaces(at=1)).height == 1
    assert spaces.rows()[1]["created_at"] == filled.snapshot('hand"book\\').created_at


def test_a_diff_is_a_frame(filled: Store) -> None:
    frame = polars.DataFrame(filled.diff('hand"book\\', 1, 4))
    assert frame.columns == ["kind", "document_id", "name", "before", "after"]
    assert frame["kind"].to_list() == ["document_added"]
    assert json.loads(frame["after"][0])["path"] == "/in{tro.md"
    assert len(filled.diff('hand"book\\', 1, 4).to_table()) == 1
    assert polars.DataFrame(filled.diff('hand"book\\', 1, 1)).height == 0


def test_activity_counts_days(filled: Store) -> None:
    today = datetime.now(UTC).date()
    rows = filled.activity().rows()
    assert sum(row["events"] for row in rows) == 6
    assert {row["day"] for row in rows} <= {today, date.fromordinal(today.toordinal() - 1)}
    [rated] = filled.activity(types="com.*").rows()
    assert (rated["event_type"], rated["source"], rated["events"]) == ("com.example.rated", None, 1)
    assert filled.activity(tag="user:7").rows() == [rated]
    assert filled.activity(end=date(1999, 1, 1)).rows() == []
    assert len(filled.activity(start=today, end=datetime.now(UTC))) >= 0
    assert polars.DataFrame(filled.activity())["day"].dtype == polars.Date


def test_a_stream_outlives_its_store_object(store: Store) -> None:
    def stream() -> pyarrow.RecordBatchReader:
        other = spacefold.in_memory()
        other.append(space_created_event("a", "A"))
        return pyarrow.RecordBatchReader.from_stream(other.events())

    assert stream().read_all().num_rows == 1


def test_a_store_that_is_closed_says_so(store: Store) -> None:
    store.append(space_created_event("a", "A"))
    reader = pyarrow.RecordBatchReader.from_stream(store.events())
    store.close()
    with pytest.raises(Exception, match="closed"):
        reader.read_all()
