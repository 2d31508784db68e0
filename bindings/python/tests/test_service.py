"""Commands, batches, renders, and what hears of them."""

from __future__ import annotations

import inspect

import pytest

import spacefold
from spacefold import AppendCondition, Store, _native
from spacefold.bus import EventBus
from spacefold.event_model import SpaceEvent
from spacefold.service import Batch, SpaceService


@pytest.fixture
def service(store: Store) -> SpaceService:
    service = SpaceService(store)
    service.create_space("handbook", "Handbook")
    service.add_document("handbook", "intro", "/intro.md")
    return service


def test_every_operation_of_the_engine_has_a_method() -> None:
    names = {name: fields for name, _, fields in _native.operations()}
    assert len(names) >= 25
    for name, fields in names.items():
        for face, leaves_out in ((SpaceService, {"self", "space_id"}), (Batch, {"self"})):
            method = getattr(face, name)
            assert set(inspect.signature(method).parameters) - leaves_out == set(fields), name


def test_commands_are_checked_and_recorded(service: SpaceService) -> None:
    store = service.store
    moved = service.move_document("handbook", "intro", "/start.md")
    assert [e.payload["old_path"] for e in moved.events] == ["/intro.md"]
    assert moved.last_position == 3 and moved.revision == 3 and moved.durable
    with pytest.raises(spacefold.Refused, match="exists already") as refused:
        service.create_space("handbook", "Again")
    assert refused.value.rule == "space_exists" and refused.value.space_id == "handbook"
    assert isinstance(refused.value, ValueError)
    service.set_variable("handbook", "reviewed", {"by": ["a", 1, None]})
    service.set_variable("handbook", "nothing", None)
    assert store.snapshot("handbook").variables == {
        "reviewed": {"by": ["a", 1, None]},
        "nothing": None,
    }
    service.set_references("handbook", "intro", ["a", ("b", "cites")])
    references = store.snapshot("handbook").to_dict()["references"]
    assert [(r["target"], r["kind"]) for r in references] == [("a", None), ("b", "cites")]
    service.update_document("handbook", "intro", {"title": "Hello"})
    document = store.snapshot("handbook").document("intro")
    assert document is not None and document.attributes == {"title": "Hello"}
    service.record("handbook", "com.example.rated", {"stars": 5})
    assert service.set_content("handbook", "intro", b"x").revision > 0
    assert service.set_content("handbook", "intro", b"x").unchanged
    assert store.content("handbook", "intro") == b"x"
    started = service.start_sync("handbook", "push").last_position
    service.record_conflict("handbook", "intro", "h1", "h2", started)
    service.resolve_conflict_with("handbook", "intro", b"y")
    service.complete_sync("handbook")
    service.invalidate_cache("handbook", ["intro"], "why")
    assert store.snapshot("handbook").stale_documents == ["intro"]
    with pytest.raises(TypeError, match="content is bytes"):
        service.set_content("handbook", "intro", "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        service.set_variable("handbook", "x", object())
    with pytest.raises(ValueError, match="no operation"):
        service.execute("handbook", "eat_document")


def test_a_batch_is_all_or_nothing(service: SpaceService) -> None:
    with service.batch("handbook") as batch:
        batch.move_document("intro", "/start.md")
        batch.activate_space()
        batch.set_content("intro", b"# Hello")
    assert [e.type_name for e in batch.outcome.events] == [
        "document.moved",
        "space.activated",
        "document.content_changed",
    ]
    head = service.store.durable_head
    with pytest.raises(spacefold.Refused) as refused:
        with service.batch("handbook") as batch:
            batch.set_variable("a", 1)
            batch.add_document("other", "/start.md")
    assert (refused.value.rule, refused.value.index) == ("path_taken", 1)
    with pytest.raises(KeyError):
        with service.batch("handbook") as batch:
            batch.set_variable("a", 1)
            raise KeyError
    assert service.store.durable_head == head
    with pytest.raises(RuntimeError):
        _ = batch.outcome


def test_renders_say_how_they_ended(service: SpaceService) -> None:
    def render() -> dict[str, object]:
        renders = service.store.snapshot("handbook").to_dict()["renders"]
        return dict(renders[0])

    with service.render("handbook", "intro") as guard:
        assert render()["status"] == "running" and guard.started == 3
        guard.output_hash = "h1"
    assert (render()["status"], render()["output_hash"]) == ("completed", "h1")
    with pytest.raises(ZeroDivisionError):
        with service.render("handbook", "intro"):
            _ = 1 / 0
    assert render()["error"] == "ZeroDivisionError: division by zero"
    first = service.render("handbook", "intro")
    with pytest.raises(spacefold.Refused) as refused:
        service.render("handbook", "intro")
    assert refused.value.rule == "render_running"
    second = service.render("handbook", "intro", instead_of=first.started)
    with pytest.raises(spacefold.Refused):
        first.complete()
    second.complete("h2")
    with pytest.raises(spacefold.ClosedError):
        second.complete()
    del first, second
    dropped = service.render("handbook", "intro")
    del dropped
    assert render()["status"] == "failed"


def test_options_are_added_to_what_is_recorded(service: SpaceService) -> None:
    by = service.with_options(source="editor", correlation_id="c1", tags=["t"], extra={"x": 1})
    [event] = by.set_variable("handbook", "a", 1).events
    assert (event.source, event.correlation_id, event.tags) == ("editor", "c1", ("t",))
    assert event.payload["x"] == 1
    keyed = service.with_options(key="k1")
    first = keyed.set_variable("handbook", "b", 1)
    again = keyed.set_variable("handbook", "b", 1)
    assert again.repeated and not first.repeated
    assert again.last_position == first.last_position
    with pytest.raises(spacefold.Refused) as refused:
        keyed.set_variable("handbook", "b", 2)
    assert refused.value.rule == "key_reused"
    stale = service.with_options(only_if=AppendCondition.exact("handbook", 1))
    with pytest.raises(spacefold.ConflictError):
        stale.set_variable("handbook", "c", 1)


def test_a_bus_without_a_store_hears_of_what_is_recorded() -> None:
    heard: list[SpaceEvent] = []
    bus = EventBus()
    bus.subscribe(None, heard.append)
    service = SpaceService(bus=bus)
    service.create_space("handbook", "Handbook")
    with service.batch("handbook") as batch:
        batch.activate_space()
        batch.set_variable("a", 1)
    assert [event.event_type.value for event in heard] == [
        "space.created",
        "space.activated",
        "variable.set",
    ]
    service.store.close()
