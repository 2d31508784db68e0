"""The suites of the library ``eventsourcing`` over our persistence module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.dcb import tests as dcb
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.tests import application as applications
from eventsourcing.tests import persistence as suites
from eventsourcing.utils import Environment

import spacefold
from spacefold.eventsourcing import (
    SpacefoldAggregateRecorder,
    SpacefoldApplicationRecorder,
    SpacefoldDCBRecorder,
    SpacefoldFactory,
    SpacefoldProcessRecorder,
    SpacefoldTrackingRecorder,
    _topic_of,
    _type_of,
)


class TestAggregateRecorder(suites.AggregateRecorderTestCase):
    def create_recorder(self) -> SpacefoldAggregateRecorder:
        return SpacefoldAggregateRecorder()


class TestSnapshotRecorder(suites.AggregateRecorderTestCase):
    def create_recorder(self) -> SpacefoldAggregateRecorder:
        return SpacefoldAggregateRecorder(purpose="snapshots")


class TestApplicationRecorder(suites.ApplicationRecorderTestCase[SpacefoldApplicationRecorder]):
    def create_recorder(self) -> SpacefoldApplicationRecorder:
        return SpacefoldApplicationRecorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationRecorderOfTexts(
    suites.ApplicationRecorderTestCase[SpacefoldApplicationRecorder]
):
    INITIAL_VERSION = 0

    def new_originator_id(self) -> str:
        return f"dog-{uuid4()}"

    def create_recorder(self) -> SpacefoldApplicationRecorder:
        return SpacefoldApplicationRecorder()


class TestTrackingRecorder(suites.TrackingRecorderTestCase):
    def create_recorder(self) -> SpacefoldTrackingRecorder:
        return SpacefoldTrackingRecorder()


class TestProcessRecorder(suites.ProcessRecorderTestCase):
    def create_recorder(self) -> SpacefoldProcessRecorder:
        return SpacefoldProcessRecorder()


class TestNonInterleavingNotificationIDs(suites.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> SpacefoldApplicationRecorder:
        return SpacefoldApplicationRecorder()


class MyTrackingRecorder(SpacefoldTrackingRecorder):
    pass


class TestFactory(suites.InfrastructureFactoryTestCase[SpacefoldFactory]):
    def setUp(self) -> None:
        self.env = Environment("TestCase")
        self.env[InfrastructureFactory.PERSISTENCE_MODULE] = "spacefold.eventsourcing"
        super().setUp()

    def expected_factory_class(self) -> type[SpacefoldFactory]:
        return SpacefoldFactory

    def expected_aggregate_recorder_class(self) -> type[SpacefoldAggregateRecorder]:
        return SpacefoldAggregateRecorder

    def expected_application_recorder_class(self) -> type[SpacefoldApplicationRecorder]:
        return SpacefoldApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[SpacefoldTrackingRecorder]:
        return SpacefoldTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return MyTrackingRecorder

    def expected_process_recorder_class(self) -> type[SpacefoldProcessRecorder]:
        return SpacefoldProcessRecorder


class TestDCBRecorder(dcb.DCBRecorderTestCase):
    def test_append_read(self) -> None:
        self._test_append_read(SpacefoldDCBRecorder())

    def test_append_subscribe(self) -> None:
        self._test_append_subscribe(SpacefoldDCBRecorder())


class TestExampleApplication(applications.ExampleApplicationTestCase):
    """The library's own example application."""

    expected_factory_topic = "spacefold.eventsourcing:SpacefoldFactory"

    def setUp(self) -> None:
        super().setUp()
        os.environ["PERSISTENCE_MODULE"] = "spacefold.eventsourcing"

    def tearDown(self) -> None:
        del os.environ["PERSISTENCE_MODULE"]
        super().tearDown()


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class Dogs(Application[UUID]):
    is_snapshotting_enabled = True


def test_an_application_goes_on_in_its_folder(path: Path) -> None:
    env = {"PERSISTENCE_MODULE": "spacefold.eventsourcing", "SPACEFOLD_PATH": str(path)}
    with Dogs(env) as dogs, Dogs(env) as same:
        dog = Dog("Fido")
        for trick in ("roll over", "fetch", "play dead"):
            dog.add_trick(trick)
        dogs.save(dog)
        dogs.take_snapshot(dog.id)
        copy: Dog = same.repository.get(dog.id)
        assert copy.tricks == dog.tricks
        stale: Dog = dogs.repository.get(dog.id)
        dog.add_trick("sit")
        dogs.save(dog)
        stale.add_trick("run")
        with pytest.raises(IntegrityError):
            same.save(stale)
    with Dogs(env) as dogs:
        again: Dog = dogs.repository.get(dog.id)
        assert again.tricks == dog.tricks and again.version == 5
        earlier: Dog = dogs.repository.get(dog.id, version=2)
        assert earlier.tricks == ["roll over"]
        assert len(dogs.notification_log.select(start=1, limit=10)) == 5
    with spacefold.open(path) as store:
        [snapshot] = store.history(f"snapshots:{dog.id}")
        assert snapshot.type_name.startswith("es-snapshots.")
        assert store.snapshot(f"events:{dog.id}").status == "unknown"


@pytest.mark.parametrize(
    "topic",
    [
        "topic1",
        "eventsourcing.domain:Aggregate.Created",
        "a.b:C.<locals>.D",
        "a-b",
        "",
        ".",
        "a..b",
        "a.",
        "été:Über",
        "-",
        "--",
        "a b",
    ],
)
def test_every_topic_has_a_type_of_its_own(topic: str, store: spacefold.Store) -> None:
    name = _type_of("es.", topic)
    assert _topic_of("es.", name) == topic
    store.append({"event_type": name, "space_id": "a"})
    [read] = store.events(spacefold.Filter(types="es.*"))
    assert read.type_name == name


@pytest.mark.parametrize("first", [0, 1, 7])
def test_versions_are_selected_wherever_they_begin(first: int) -> None:
    recorder = SpacefoldAggregateRecorder()
    events = [StoredEvent("a", first + n, "t", b"%d" % n) for n in range(20)]
    recorder.insert_events(events)
    for gt in (None, *range(-1, 30)):
        for lte in (None, 0, first, first + 5, 40):
            wanted = [
                e
                for e in events
                if (gt is None or e.originator_version > gt)
                and (lte is None or e.originator_version <= lte)
            ]
            assert recorder.select_events("a", gt=gt, lte=lte) == wanted
            assert (
                recorder.select_events("a", gt=gt, lte=lte, desc=True, limit=3)
                == (wanted[::-1][:3])
            )


def test_sparse_versions_are_in_order() -> None:
    recorder: Any = SpacefoldAggregateRecorder(purpose="snapshots")
    for version in (10, 3, 25):
        recorder.insert_events([StoredEvent("a", version, "t", b"")])
    assert [e.originator_version for e in recorder.select_events("a")] == [3, 10, 25]
    [newest] = recorder.select_events("a", desc=True, limit=1)
    assert newest.originator_version == 25
    [before] = recorder.select_events("a", lte=20, desc=True, limit=1)
    assert before.originator_version == 10


def test_the_newest_id_is_that_of_an_event() -> None:
    store = spacefold.in_memory()
    process = SpacefoldProcessRecorder(store)
    assert process.max_notification_id() is None
    ids = process.insert_events([StoredEvent("a", 1, "t", b"")], tracking=Tracking("up", 1))
    assert ids == [1] and store.durable_head == 2
    assert process.max_notification_id() == 1
    process.insert_events([], tracking=Tracking("up", 2))
    assert process.max_notification_id() == 1
    store.close()
    with pytest.raises(Exception, match="closed"):
        process.max_notification_id()


def test_a_subscription_may_begin_beyond_the_newest_event() -> None:
    recorder = SpacefoldApplicationRecorder()
    with recorder.subscribe(gt=2) as subscription:
        recorder.insert_events([StoredEvent("a", n, "t", b"") for n in range(1, 5)])
        assert next(subscription).id == 3
    decisions = SpacefoldDCBRecorder()
    with decisions.subscribe(after=1) as found:
        decisions.append([DCBEvent("t", b"1"), DCBEvent("t", b"2")])
        assert next(found).event.data == b"2"
