"""The drop-in behaves as the module that users have."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from datetime import datetime
from enum import Enum
from types import ModuleType

import pytest

import event_model as seed
import spacefold
from spacefold import event_model as ours

MODULES = [seed, ours]


def public(module: ModuleType) -> set[str]:
    return {name for name in vars(module) if not name.startswith("_")}


def test_the_names_are_the_same() -> None:
    assert public(seed) == public(ours)


def test_the_types_are_the_same() -> None:
    assert issubclass(ours.SpaceEventType, Enum)
    members = [(m.name, m.value) for m in seed.SpaceEventType]
    assert [(m.name, m.value) for m in ours.SpaceEventType] == members
    with pytest.raises(ValueError):
        ours.SpaceEventType("com.example.paid")


def test_the_fields_are_the_same() -> None:
    def fields(module: ModuleType) -> list[tuple[str, object]]:
        return [(f.name, f.default) for f in dataclasses.fields(module.SpaceEvent)]

    assert fields(ours) == fields(seed)
    signature = [inspect.signature(m.SpaceEvent).parameters.keys() for m in MODULES]
    assert list(signature[0]) == list(signature[1])


FACTORIES = [
    ("space_created_event", ("a", "A")),
    ("space_updated_event", ("a", {"x": 1})),
    ("space_deleted_event", ("a", "A")),
    ("document_added_event", ("a", "d", "/d")),
    ("document_updated_event", ("a", "d", {"x": 1})),
    ("document_removed_event", ("a", "d", "/d")),
    ("document_content_changed_event", ("a", "d", None, "h")),
    ("cache_invalidated_event", ("a", ["d"], "why")),
]


@pytest.mark.parametrize("name, arguments", FACTORIES)
def test_the_factories_are_the_same(name: str, arguments: tuple[object, ...]) -> None:
    made = [getattr(m, name)(*arguments, source="s").to_dict() for m in MODULES]
    for one in made:
        one["event_id"], one["timestamp"] = "id", "now"
    assert made[0] == made[1]
    assert [str(p) for p in inspect.signature(getattr(seed, name)).parameters] == [
        str(p) for p in inspect.signature(getattr(ours, name)).parameters
    ]


@pytest.mark.parametrize(
    "data",
    [
        {"event_type": "space.created", "space_id": "a"},
        {"event_type": "space.created", "space_id": "a", "timestamp": None, "payload": {"name": 1}},
        {"event_type": "space.created", "space_id": "a", "timestamp": "2020-01-01T00:00:00+05:00"},
        {"event_type": "space.created", "space_id": "a", "event_id": None, "payload": None},
        {"event_type": "space.created"},
        {"event_type": "x", "space_id": "a"},
        {"event_type": "space.created", "space_id": "a", "timestamp": "noon"},
    ],
)
def test_from_dict_takes_and_refuses_the_same(data: dict[str, object]) -> None:
    def read(module: ModuleType) -> object:
        try:
            event = module.SpaceEvent.from_dict(data)
        except Exception as error:
            return type(error)
        form = event.to_dict()
        if "event_id" not in data:
            form["event_id"] = "made up"
        if not data.get("timestamp"):
            form["timestamp"] = "now"
        return form

    assert read(ours) == read(seed)


def test_events_are_plain_dataclasses() -> None:
    event = ours.space_created_event("a", "A")
    assert isinstance(event.timestamp, datetime) and event.timestamp.tzinfo is None
    event.source = "changed"
    assert dataclasses.replace(event, space_id="b").event_id == event.event_id
    assert dataclasses.asdict(event)["source"] == "changed"
    assert list(dataclasses.asdict(event)) == list(
        dataclasses.asdict(seed.space_created_event("a", "A"))
    )
    assert pickle.loads(pickle.dumps(event)) == event == copy.deepcopy(event)
    assert event != ours.space_created_event("a", "A")
    with pytest.raises(TypeError):
        hash(event)
    assert repr(event).startswith("SpaceEvent(event_type=<SpaceEventType.SPACE_CREATED")


def test_what_the_module_writes_is_read_and_what_we_write_it_reads(
    store: spacefold.Store,
) -> None:
    theirs = seed.document_added_event("a", "d", "/d", source="s")
    store.append(theirs)  # type: ignore[arg-type]
    store.append(json.loads(json.dumps(ours.space_created_event("a", "A").to_dict())))
    for recorded in store.events():
        read = seed.SpaceEvent.from_dict(recorded.to_dict())
        assert read.event_id == recorded.event_id
    given = next(iter(store.events())).to_space_event()
    assert given.to_dict() == theirs.to_dict()


def test_an_event_of_ones_own_is_one_too() -> None:
    event = spacefold.Event("com.example.paid", "a", {"x": 1}, tags=["t"])
    assert isinstance(event, ours.SpaceEvent)
    assert spacefold.Event.from_dict(event.to_dict()) == event
    assert pickle.loads(pickle.dumps(event)) == event
