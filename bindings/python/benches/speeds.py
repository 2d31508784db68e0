"""How fast the package is, beside the pure module ``event_model`` and beside ``sqlite3`` with a
JSON column, all in one run, turn by turn.

    python benches/speeds.py [--events 1000000] [--rounds 5] [--folder FOLDER] [--module PATH]

Prints a table in Markdown. ``--module`` is the file of the module; without it, the drop-in, which
is as fast. The folder should be on the disk that a store would be on."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow

import spacefold

SPACES = 1000


def module_at(path: str | None) -> ModuleType:
    if path is None:
        from spacefold import event_model

        return event_model
    spec = importlib.util.spec_from_file_location("event_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def events(module: ModuleType, count: int, begin: int = 0) -> list[Any]:
    return [
        module.document_added_event(
            f"space-{n % SPACES}", f"document-{n}", f"/chapters/{n}.md", source="bench"
        )
        for n in range(begin, begin + count)
    ]


class Sqlite:
    """One table, one JSON column; with ``indexed`` what a store has too: ids once, spaces found."""

    def __init__(self, path: Path, indexed: bool) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=full")
        unique = "unique" if indexed else ""
        self.db.execute(
            "create table events (position integer primary key, "
            f"event_id text {unique}, space_id text, event json)"
        )
        if indexed:
            self.db.execute("create index by_space on events (space_id, position)")

    def append(self, batch: list[Any]) -> None:
        rows = [(e.event_id, e.space_id, json.dumps(e.to_dict())) for e in batch]
        self.db.execute("begin immediate")
        self.db.executemany("insert into events (event_id, space_id, event) values (?, ?, ?)", rows)
        self.db.execute("commit")

    def read(self) -> Iterator[dict[str, Any]]:
        for (line,) in self.db.execute("select event from events order by position"):
            yield json.loads(line)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def append_each(append: Callable[[list[Any]], object], batches: list[list[Any]]) -> None:
    for batch in batches:
        append(batch)


def rate(count: int, times: list[float]) -> str:
    median = count / statistics.median(times)
    return f"{median:,.0f}/s ({count / max(times):,.0f} to {count / min(times):,.0f})"


def appends(module: ModuleType, folder: Path, rounds: int) -> list[tuple[str, str, str, str, str]]:
    rows = []
    store = spacefold.open(folder / "store")
    plain = Sqlite(folder / "plain.db", indexed=False)
    indexed = Sqlite(folder / "indexed.db", indexed=True)
    made = 0
    for size, turns in ((1, 100), (64, 40), (4096, 5)):
        times: dict[str, list[float]] = {"ours": [], "plain": [], "indexed": []}
        for _ in range(rounds):
            batches = [events(module, size, made + turn * size) for turn in range(turns)]
            made += size * turns
            for name, append in (
                ("ours", store.append),
                ("plain", plain.append),
                ("indexed", indexed.append),
            ):
                times[name].append(seconds(partial(append_each, append, batches)))
        medians = {name: statistics.median(took) for name, took in times.items()}
        rows.append(
            (
                f"append {size}",
                rate(size * turns, times["ours"]),
                rate(size * turns, times["plain"]),
                f"{medians['plain'] / medians['ours']:.2f}x",
                f"{medians['indexed'] / medians['ours']:.2f}x",
            )
        )
    store.close()
    return rows


def reads(module: ModuleType, folder: Path, count: int, rounds: int) -> list[tuple[str, str, str]]:
    store = spacefold.open(folder / "read")
    kept = Sqlite(folder / "read.db", indexed=True)
    for begin in range(0, count, 4096):
        batch = events(module, min(4096, count - begin), begin)
        store.append(batch)
        kept.append(batch)
    # What `from_dict` is handed: already parsed, and no more than fits memory at once.
    parsed = [e.to_dict() for e in events(module, 20_000)]

    def objects() -> None:
        for _ in store.events():
            pass

    def touched() -> None:
        for event in store.events():
            _ = (event.position, event.type_name, event.space_id, event.event_id, event.source)

    def payloads() -> None:
        for event in store.events():
            _ = (event.event_type, event.space_id, event.payload)

    def whole() -> None:
        for event in store.events():
            event.to_space_event()

    def from_dict() -> None:
        for line in parsed:
            module.SpaceEvent.from_dict(line)

    def from_sqlite() -> None:
        for line in kept.read():
            module.SpaceEvent.from_dict(line)

    calls: dict[str, tuple[int, Callable[[], object]]] = {
        "engine's replay": (count, store._replay),
        "Arrow (pyarrow.table)": (count, lambda: pyarrow.table(store.events())),
        "objects": (count, objects),
        "objects, five fields": (count, touched),
        "objects, type, space and payload": (count, payloads),
        "objects, to_space_event": (count, whole),
        "module's from_dict, of parsed lines": (len(parsed), from_dict),
        "sqlite3, json.loads and from_dict": (count, from_sqlite),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (_, call) in calls.items():
            times[name].append(seconds(call))
    took = {name: statistics.median(times[name]) / calls[name][0] for name in calls}
    rows = [
        (
            name,
            rate(calls[name][0], times[name]),
            f"{took['module' + chr(39) + 's from_dict, of parsed lines'] / took[name]:.1f}x of "
            f"from_dict, {took['engine' + chr(39) + 's replay'] / took[name]:.2f}x of replay",
        )
        for name in calls
    ]
    chance = random.Random(7)
    asked = [
        (f"space-{chance.randrange(SPACES)}", chance.randrange(SPACES + 1, count + 1))
        for _ in range(200)
    ]

    def as_of() -> None:
        for space_id, position in asked:
            store.snapshot(space_id, at=position)

    def folded() -> None:
        for space_id, position in asked[:20]:
            documents: dict[str, str] = {}
            found = kept.db.execute(
                "select event from events where space_id = ? and position <= ? order by position",
                (space_id, position),
            )
            for (line,) in found:
                event = module.SpaceEvent.from_dict(json.loads(line))
                documents[event.payload["document_id"]] = event.payload["space_path"]

    as_of()
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(seconds(as_of))
        theirs.append(seconds(folded))
    speedup = (statistics.median(theirs) / 20) / (statistics.median(ours) / len(asked))
    rows.append(
        (
            "state as of a position",
            rate(len(asked), ours),
            f"{speedup:.1f}x of a fold in Python over sqlite3 ({rate(20, theirs)})",
        )
    )
    store.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--module", default=None)
    arguments = parser.parse_args()
    module = module_at(arguments.module)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder, prefix="spacefold-speeds-"))
    load = os.getloadavg()[0]
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}, "
        f"sqlite {sqlite3.sqlite_version}, {arguments.events:,} events, median of "
        f"{arguments.rounds} rounds (slowest to fastest)\n"
    )
    try:
        print("| | events | sqlite3, JSON column | ours to that | to one with indexes |")
        print("|---|---|---|---|---|")
        for row in appends(module, folder, arguments.rounds):
            print("| " + " | ".join(row) + " |", flush=True)
        print("\n| | a second | beside |\n|---|---|---|")
        for line in reads(module, folder, arguments.events, arguments.rounds):
            print("| " + " | ".join(line) + " |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
