"""Commands on spaces: each is checked against the state of its space and recorded as an event.

>>> import spacefold
>>> from spacefold.service import SpaceService
>>> service = SpaceService()
>>> _ = service.create_space("handbook", "Handbook")
>>> service.add_document("handbook", "intro", "/intro.md").last_position
2
>>> _ = service.set_content("handbook", "intro", b"# Hello")
>>> service.set_content("handbook", "intro", b"# Hello").unchanged
True
>>> try:
...     service.add_document("handbook", "other", "/intro.md")
... except spacefold.Refused as refused:
...     print(refused.rule)
path_taken
>>> with service.batch("handbook") as batch:
...     batch.move_document("intro", "/start.md")
...     batch.activate_space()
>>> batch.outcome.revision
5
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import _native
from ._native import AppendCondition, Outcome, Store

if TYPE_CHECKING:
    from .bus import EventBus

__all__ = ["Batch", "RenderGuard", "SpaceService"]

References = Iterable["str | tuple[str, str | None]"]


class SpaceService:
    """What takes commands.

    Without a store it works on one in memory. With a bus that has no store, it publishes there what
    it records; a bus over the same store hears of it anyway.

    A command that does not fit the state of the space raises ``Refused``, whose ``rule`` says why;
    nothing is written then. What changes nothing records nothing.
    """

    def __init__(self, store: Store | None = None, bus: EventBus | None = None) -> None:
        self._store = _native.in_memory() if store is None else store
        self._bus = bus
        self._options: dict[str, Any] = {}

    @property
    def store(self) -> Store:
        """The store that it works on."""
        return self._store

    @property
    def bus(self) -> EventBus | None:
        """The bus that it publishes on."""
        return self._bus

    def with_options(
        self,
        *,
        source: str | None = None,
        correlation_id: str | None = None,
        tags: Iterable[str] | None = None,
        extra: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        key: str | None = None,
        only_if: AppendCondition | None = None,
    ) -> SpaceService:
        """The service, with something that is added to what it records.

        Under a ``key`` a command is recorded once: repeated, it is answered as the first time. With
        ``only_if`` it is recorded only if the condition holds.

        >>> service = SpaceService().with_options(source="editor", tags=["user:7"])
        >>> service.create_space("handbook", "Handbook").events[0].tags
        ('user:7',)
        """
        given: dict[str, Any] = {
            "source": source,
            "correlation_id": correlation_id,
            "tags": None if tags is None else list(tags),
            "extra": None if extra is None else dict(extra),
            "timestamp": timestamp,
            "key": key,
            "only_if": only_if,
        }
        service = SpaceService(self._store, self._bus)
        service._options = {**self._options, **{k: v for k, v in given.items() if v is not None}}
        return service

    def batch(self, space_id: str) -> Batch:
        """Commands on one space that happen together, or not at all: see ``Batch``."""
        return Batch(self, space_id)

    def render(
        self, space_id: str, document_id: str | None = None, *, instead_of: int | None = None
    ) -> RenderGuard:
        """Begins a render of a document, or of the space: see ``RenderGuard``.

        ``instead_of`` is the position of the start of one whose process is gone.
        """
        guard = self._store._render(space_id, document_id, instead_of, self._options)
        return RenderGuard(self, guard)

    def execute(self, space_id: str, operation: str, **arguments: Any) -> Outcome:
        """Executes the command of an operation by its name, as the methods below do."""
        return self._told(self._store._execute(space_id, operation, arguments, self._options))

    def _commit(self, space_id: str, commands: list[tuple[str, dict[str, Any]]]) -> Outcome:
        return self._told(self._store._execute_all(space_id, commands, self._options))

    def _told(self, outcome: Outcome) -> Outcome:
        bus = self._bus
        if bus is not None and bus.store is None:
            for event in outcome.events:
                bus.publish(event.to_space_event())
        return outcome

    def create_space(self, space_id: str, name: str) -> Outcome:
        """Creates a space, or creates it again after it was deleted: ``space.created``."""
        return self.execute(space_id, "create_space", name=name)

    def update_space(self, space_id: str, changes: Mapping[str, Any]) -> Outcome:
        """Merges changes into the metadata; ``None`` removes a key: ``space.updated``."""
        return self.execute(space_id, "update_space", changes=changes)

    def rename_space(self, space_id: str, name: str) -> Outcome:
        """Renames a space: ``space.updated`` with the name."""
        return self.execute(space_id, "rename_space", name=name)

    def activate_space(self, space_id: str) -> Outcome:
        """Makes a space active: ``space.activated``."""
        return self.execute(space_id, "activate_space")

    def archive_space(self, space_id: str) -> Outcome:
        """Archives a space: ``space.archived``."""
        return self.execute(space_id, "archive_space")

    def delete_space(self, space_id: str) -> Outcome:
        """Deletes a space and all that it holds; its history stays: ``space.deleted``."""
        return self.execute(space_id, "delete_space")

    def add_document(self, space_id: str, document_id: str, path: str) -> Outcome:
        """Adds a document without content, at a path where none is: ``document.added``."""
        return self.execute(space_id, "add_document", document_id=document_id, path=path)

    def update_document(
        self, space_id: str, document_id: str, changes: Mapping[str, Any]
    ) -> Outcome:
        """Merges changes into the attributes; ``None`` removes one: ``document.updated``."""
        return self.execute(space_id, "update_document", document_id=document_id, changes=changes)

    def move_document(self, space_id: str, document_id: str, new_path: str) -> Outcome:
        """Moves a document to a path where none is: ``document.moved``."""
        return self.execute(space_id, "move_document", document_id=document_id, new_path=new_path)

    def remove_document(self, space_id: str, document_id: str) -> Outcome:
        """Removes a document with its references: ``document.removed``."""
        return self.execute(space_id, "remove_document", document_id=document_id)

    def set_content(self, space_id: str, document_id: str, content: bytes) -> Outcome:
        """Keeps content and gives it to a document: ``document.content_changed``, unless it has
        it.
        """
        return self.execute(space_id, "set_content", document_id=document_id, content=content)

    def set_content_hash(self, space_id: str, document_id: str, hash: str) -> Outcome:
        """Gives a document the content with this hash, whose bytes are kept elsewhere."""
        return self.execute(space_id, "set_content_hash", document_id=document_id, hash=hash)

    def set_variable(self, space_id: str, name: str, value: Any) -> Outcome:
        """Sets a variable to a JSON value: ``variable.set``."""
        return self.execute(space_id, "set_variable", name=name, value=value)

    def delete_variable(self, space_id: str, name: str) -> Outcome:
        """Deletes a variable: ``variable.deleted``."""
        return self.execute(space_id, "delete_variable", name=name)

    def add_reference(
        self, space_id: str, document_id: str, target: str, kind: str | None = None
    ) -> Outcome:
        """Adds a reference to a document: ``reference.added``."""
        return self.execute(
            space_id, "add_reference", document_id=document_id, target=target, kind=kind
        )

    def set_references(self, space_id: str, document_id: str, references: References) -> Outcome:
        """Makes these the references of a document, by the fewest events that do."""
        return self.execute(
            space_id, "set_references", document_id=document_id, references=list(references)
        )

    def clear_references(self, space_id: str, document_id: str | None = None) -> Outcome:
        """Clears the references of a document, or all of the space's: ``reference.cleared``."""
        return self.execute(space_id, "clear_references", document_id=document_id)

    def start_render(self, space_id: str, document_id: str | None = None) -> Outcome:
        """Says that a render began: ``render.started``. ``render`` gives a guard."""
        return self.execute(space_id, "start_render", document_id=document_id)

    def complete_render(
        self,
        space_id: str,
        document_id: str | None = None,
        output_hash: str | None = None,
        started: int | None = None,
    ) -> Outcome:
        """Says that the running render ended well: ``render.completed``."""
        return self.execute(
            space_id,
            "complete_render",
            document_id=document_id,
            output_hash=output_hash,
            started=started,
        )

    def fail_render(
        self,
        space_id: str,
        document_id: str | None = None,
        error: str | None = None,
        started: int | None = None,
    ) -> Outcome:
        """Says that the running render failed: ``render.failed``."""
        return self.execute(
            space_id, "fail_render", document_id=document_id, error=error, started=started
        )

    def take_over_render(
        self, space_id: str, started: int, document_id: str | None = None
    ) -> Outcome:
        """Ends a render whose process is gone, and begins another one in its place."""
        return self.execute(space_id, "take_over_render", document_id=document_id, started=started)

    def start_sync(self, space_id: str, direction: str | None = None) -> Outcome:
        """Says that a synchronisation began: ``sync.started``."""
        return self.execute(space_id, "start_sync", direction=direction)

    def take_over_sync(self, space_id: str, started: int, direction: str | None = None) -> Outcome:
        """Begins a synchronisation in place of one whose process is gone: ``sync.started``."""
        return self.execute(space_id, "take_over_sync", direction=direction, started=started)

    def complete_sync(self, space_id: str, started: int | None = None) -> Outcome:
        """Says that the running synchronisation ended: ``sync.completed``."""
        return self.execute(space_id, "complete_sync", started=started)

    def record_conflict(
        self,
        space_id: str,
        document_id: str,
        local_hash: str | None = None,
        remote_hash: str | None = None,
        started: int | None = None,
    ) -> Outcome:
        """Records that a document differs at the other side: ``sync.conflict``."""
        return self.execute(
            space_id,
            "record_conflict",
            document_id=document_id,
            local_hash=local_hash,
            remote_hash=remote_hash,
            started=started,
        )

    def resolve_conflict(self, space_id: str, document_id: str, hash: str) -> Outcome:
        """Closes a conflict by the hash of the content chosen: ``document.content_changed``."""
        return self.execute(space_id, "resolve_conflict", document_id=document_id, hash=hash)

    def resolve_conflict_with(self, space_id: str, document_id: str, content: bytes) -> Outcome:
        """Closes a conflict by the content chosen, and keeps that."""
        return self.execute(
            space_id, "resolve_conflict_with", document_id=document_id, content=content
        )

    def invalidate_cache(
        self, space_id: str, document_ids: Iterable[str], reason: str | None = None
    ) -> Outcome:
        """Marks documents stale: ``cache.invalidated``."""
        return self.execute(
            space_id, "invalidate_cache", document_ids=list(document_ids), reason=reason
        )

    def record(self, space_id: str, type_name: str, payload: Mapping[str, Any]) -> Outcome:
        """Records an event of the application's own, such as ``com.example.comment.added``."""
        return self.execute(space_id, "record", type_name=type_name, payload=payload)


class Batch:
    """Commands on one space that happen together: as a context manager it commits at the end, and
    nothing where the block raises.

    >>> service = SpaceService()
    >>> with service.batch("handbook") as batch:
    ...     batch.create_space("Handbook")
    ...     batch.add_document("intro", "/intro.md")
    >>> len(batch.outcome.events)
    2
    """

    def __init__(self, service: SpaceService, space_id: str) -> None:
        self._service = service
        self._space_id = space_id
        self._commands: list[tuple[str, dict[str, Any]]] = []
        self._outcome: Outcome | None = None

    @property
    def outcome(self) -> Outcome:
        """What was recorded, once it is committed."""
        if self._outcome is None:
            raise RuntimeError("the batch is not committed")
        return self._outcome

    def __len__(self) -> int:
        return len(self._commands)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._outcome is None:
            self.commit()

    def commit(self) -> Outcome:
        """Records all of the commands, or none: ``Refused.index`` says which one does not fit."""
        if self._outcome is not None:
            raise RuntimeError("the batch is committed")
        self._outcome = self._service._commit(self._space_id, self._commands)
        return self._outcome

    def execute(self, operation: str, **arguments: Any) -> None:
        """Adds the command of an operation by its name, as the methods below do."""
        if self._outcome is not None:
            raise RuntimeError("the batch is committed")
        self._commands.append((operation, arguments))

    def create_space(self, name: str) -> None:
        self.execute("create_space", name=name)

    def update_space(self, changes: Mapping[str, Any]) -> None:
        self.execute("update_space", changes=changes)

    def rename_space(self, name: str) -> None:
        self.execute("rename_space", name=name)

    def activate_space(self) -> None:
        self.execute("activate_space")

    def archive_space(self) -> None:
        self.execute("archive_space")

    def delete_space(self) -> None:
        self.execute("delete_space")

    def add_document(self, document_id: str, path: str) -> None:
        self.execute("add_document", document_id=document_id, path=path)

    def update_document(self, document_id: str, changes: Mapping[str, Any]) -> None:
        self.execute("update_document", document_id=document_id, changes=changes)

    def move_document(self, document_id: str, new_path: str) -> None:
        self.execute("move_document", document_id=document_id, new_path=new_path)

    def remove_document(self, document_id: str) -> None:
        self.execute("remove_document", document_id=document_id)

    def set_content(self, document_id: str, content: bytes) -> None:
        self.execute("set_content", document_id=document_id, content=content)

    def set_content_hash(self, document_id: str, hash: str) -> None:
        self.execute("set_content_hash", document_id=document_id, hash=hash)

    def set_variable(self, name: str, value: Any) -> None:
        self.execute("set_variable", name=name, value=value)

    def delete_variable(self, name: str) -> None:
        self.execute("delete_variable", name=name)

    def add_reference(self, document_id: str, target: str, kind: str | None = None) -> None:
        self.execute("add_reference", document_id=document_id, target=target, kind=kind)

    def set_references(self, document_id: str, references: References) -> None:
        self.execute("set_references", document_id=document_id, references=list(references))

    def clear_references(self, document_id: str | None = None) -> None:
        self.execute("clear_references", document_id=document_id)

    def start_render(self, document_id: str | None = None) -> None:
        self.execute("start_render", document_id=document_id)

    def complete_render(
        self,
        document_id: str | None = None,
        output_hash: str | None = None,
        started: int | None = None,
    ) -> None:
        self.execute(
            "complete_render", document_id=document_id, output_hash=output_hash, started=started
        )

    def fail_render(
        self,
        document_id: str | None = None,
        error: str | None = None,
        started: int | None = None,
    ) -> None:
        self.execute("fail_render", document_id=document_id, error=error, started=started)

    def take_over_render(self, started: int, document_id: str | None = None) -> None:
        self.execute("take_over_render", document_id=document_id, started=started)

    def start_sync(self, direction: str | None = None) -> None:
        self.execute("start_sync", direction=direction)

    def take_over_sync(self, started: int, direction: str | None = None) -> None:
        self.execute("take_over_sync", direction=direction, started=started)

    def complete_sync(self, started: int | None = None) -> None:
        self.execute("complete_sync", started=started)

    def record_conflict(
        self,
        document_id: str,
        local_hash: str | None = None,
        remote_hash: str | None = None,
        started: int | None = None,
    ) -> None:
        self.execute(
            "record_conflict",
            document_id=document_id,
            local_hash=local_hash,
            remote_hash=remote_hash,
            started=started,
        )

    def resolve_conflict(self, document_id: str, hash: str) -> None:
        self.execute("resolve_conflict", document_id=document_id, hash=hash)

    def resolve_conflict_with(self, document_id: str, content: bytes) -> None:
        self.execute("resolve_conflict_with", document_id=document_id, content=content)

    def invalidate_cache(self, document_ids: Iterable[str], reason: str | None = None) -> None:
        self.execute("invalidate_cache", document_ids=list(document_ids), reason=reason)

    def record(self, type_name: str, payload: Mapping[str, Any]) -> None:
        self.execute("record", type_name=type_name, payload=payload)


class RenderGuard:
    """A render under way. As a context manager it says how the block ended: well, unless it raises.

    >>> service = SpaceService()
    >>> _ = service.create_space("handbook", "Handbook")
    >>> with service.render("handbook") as render:
    ...     render.output_hash = "h1"
    >>> service.store.snapshot("handbook").to_dict()["renders"][0]["status"]
    'completed'
    """

    def __init__(self, service: SpaceService, guard: _native.RenderGuard) -> None:
        self._service = service
        self._guard = guard
        self._ended = False
        self.output_hash: str | None = None
        """What the end of the block says was rendered."""

    @property
    def started(self) -> int:
        """The position of its start."""
        return self._guard.started

    def complete(self, output_hash: str | None = None) -> Outcome:
        """Says that it ended well: ``render.completed``."""
        self._ended = True
        return self._service._told(self._guard.complete(output_hash))

    def fail(self, error: str | None = None) -> Outcome:
        """Says that it failed: ``render.failed``."""
        self._ended = True
        return self._service._told(self._guard.fail(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ended:
            return
        if kind is None:
            self.complete(self.output_hash)
        else:
            self.fail(f"{kind.__name__}: {error}")
