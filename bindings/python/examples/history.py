"""A notebook in one file: a history is loaded, looked at as of a day, compared, and counted.

Run it with polars installed: `python examples/history.py`.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars

import spacefold
from spacefold.event_model import (
    SpaceEvent,
    SpaceEventType,
    document_added_event,
    document_content_changed_event,
    space_created_event,
)

# %% A history to look at: two weeks of a handbook, in a file that the module has written.
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
CHAPTERS = ["intro", "install", "tour", "reference", "faq"]


def history() -> list[SpaceEvent]:
    events = [space_created_event("handbook", "Handbook", source="ada")]
    for day, chapter in enumerate(CHAPTERS):
        events.append(document_added_event("handbook", chapter, f"/{chapter}.md", source="ada"))
        for revision in range(day + 2):
            author = ("ada", "grace")[revision % 2]
            hash = f"{chapter}-{revision}"
            events.append(
                document_content_changed_event("handbook", chapter, None, hash, source=author)
            )
    events.append(SpaceEvent(SpaceEventType.SPACE_ACTIVATED, "handbook", source="grace"))
    for number, event in enumerate(events):
        event.timestamp = BEGIN + timedelta(hours=11 * number)
    return events


folder = Path(tempfile.mkdtemp())
with spacefold.in_memory() as seed:
    seed.append(history())
    seed.export_lines(folder / "history.jsonl")

# %% Load it, as one would load the file of another program.
store = spacefold.open(folder / "store")
report = store.import_lines(folder / "history.jsonl")
print(f"{report['appended']} events, {store.space_ids()}")

# %% All of it as a frame: nothing goes through Python objects.
frame = polars.DataFrame(store.events())
print(frame.group_by("event_type").len().sort("event_type"))

# %% The state as of a position, and what has changed since.
middle = store.durable_head // 2
then, now = store.snapshot("handbook", at=middle), store.snapshot("handbook")
print(f"{len(then.documents)} documents then, {len(now.documents)} now")
print(polars.DataFrame(store.documents("handbook", at=middle)).select("path", "content_hash"))
changes = polars.DataFrame(store.diff("handbook", middle, store.durable_head))
print(changes.group_by("kind").len().sort("kind"))

# %% Who was active, by the day that they say: a plot of text.
by_day = (
    frame.with_columns(day=polars.col("timestamp").dt.date())
    .group_by("day", "source")
    .len()
    .sort("day", "source")
)
for day, source, events in by_day.iter_rows():
    print(f"{day} {source:>6} {'#' * events}")
print(polars.DataFrame(store.activity()).select("event_type", "source", "events").head(3))

# %% Which event gave each document its content.
for blamed in store.blame("handbook")["documents"]:
    print(
        f"{blamed['document_id']:>10} {blamed['content']['position']:>3} "
        f"{blamed['content']['source']}"
    )

store.close()
