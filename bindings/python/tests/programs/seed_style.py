"""A program as users of the module `event_model` write them: with a bus and a service of its own.

`test_programs.py` runs it as it is, and again with its one import line changed.
"""

import asyncio
import dataclasses
import json
import pickle
from collections import defaultdict, deque
from datetime import datetime

from event_model import *


class Bus:
    def __init__(self, history=0):
        self.handlers = defaultdict(list)
        self.past = deque(maxlen=history)

    def subscribe(self, event_type, handler, priority=0):
        self.handlers[event_type].append((priority, handler))
        self.handlers[event_type].sort(key=lambda it: -it[0])

    async def publish(self, event):
        self.past.append(event)
        called = self.handlers[event.event_type] + self.handlers[None]
        for _, handler in sorted(called, key=lambda it: -it[0]):
            answer = handler(event)
            if asyncio.iscoroutine(answer):
                await answer


class Service:
    def __init__(self, bus):
        self.bus = bus
        self.paths = {}

    async def create(self, space_id, name):
        await self.bus.publish(space_created_event(space_id, name, source="service"))

    async def add(self, space_id, document_id, path):
        self.paths[document_id] = path
        event = document_added_event(space_id, document_id, path, source="service")
        await self.bus.publish(event)

    async def change(self, space_id, document_id, old, new):
        event = document_content_changed_event(space_id, document_id, old, new)
        event.correlation_id = "change-1"
        await self.bus.publish(event)
        await self.bus.publish(cache_invalidated_event(space_id, [document_id], "changed"))


async def main():
    bus = Bus(history=100)
    service = Service(bus)

    async def index(event):
        await asyncio.sleep(0)
        print("index", event.event_type.name, sorted(event.payload))

    bus.subscribe(SpaceEventType.DOCUMENT_ADDED, index, priority=5)
    bus.subscribe(None, lambda event: print("log", event.event_type.value, event.source))
    bus.subscribe(SpaceEventType.SPACE_CREATED, lambda event: print("first"), priority=9)
    await service.create("handbook", "Handbook")
    await service.add("handbook", "intro", "/intro.md")
    await service.change("handbook", "intro", None, "h1")
    for event in bus.past:
        assert isinstance(event, SpaceEvent) and isinstance(event.timestamp, datetime)
        assert event.timestamp.tzinfo is None
        line = json.dumps(event.to_dict())
        again = SpaceEvent.from_dict(json.loads(line))
        assert again == event == pickle.loads(pickle.dumps(event))
        assert dataclasses.replace(event, source="x").source == "x"
        print(again.event_type, again.payload, again.correlation_id, uuid.UUID(again.event_id).version)
    try:
        SpaceEvent.from_dict({"event_type": "space.eaten", "space_id": "a"})
    except ValueError as error:
        print(error)


asyncio.run(main())
