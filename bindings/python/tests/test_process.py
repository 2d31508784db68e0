"""What the interpreter does to a store: its end, its signals, its forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import spacefold
from spacefold.event_model import space_created_event

# How many interpreters end with things left open.
EXITS = int(os.environ.get("SPACEFOLD_EXITS", "3"))
# A Ctrl-C has to be heard within a slice of 100 ms; the rest is for a machine that is busy.
HEARD_WITHIN = float(os.environ.get("SPACEFOLD_HEARD_WITHIN", "5"))


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# Each leaves something else open when the interpreter ends.
LEFT_OPEN = {
    "a store": "",
    "a daemon thread that waits": """
        threading.Thread(target=lambda: list(store.subscribe()), daemon=True).start()
    """,
    "daemon threads that append and read": """
        def work():
            while True:
                store.append({"event_type": "space.activated", "space_id": "a"})
                store.snapshot("a"); list(store.events(limit=100))
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
    """,
    "a bus that runs": """
        from spacefold.bus import EventBus
        bus = EventBus(store); bus.subscribe(None, lambda event: time.sleep(0.001))
        for _ in range(20):
            bus.publish(Event("com.example.x", "a", {}))
    """,
    "a durable subscription and a batch of events": """
        kept = store.subscribe_durable("x"); left = kept.recv_many()
        state = store.snapshot("a"); events = iter(store.events()); next(events)
    """,
    "a projection that folds": """
        from spacefold import projections
        class Slow:
            name, version = "slow", 1
            def apply(self, table, event):
                table["n"] = table.get("n", 0) + 1
                time.sleep(0.0005)
        handle = projections.register(store, Slow())
        for _ in range(20):
            store.append([{"event_type": "space.activated", "space_id": "a"} for _ in range(99)])
    """,
    "a render": """
        from spacefold.service import SpaceService
        guard = SpaceService(store).render("a")
    """,
    "asyncio": """
        import asyncio
        from spacefold import aio
        async def main():
            global task
            async def wait():
                async for _ in aio.Store(store).subscribe():
                    pass
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0.01)
        loop = asyncio.new_event_loop(); loop.run_until_complete(main())
    """,
    "an exception": "sys.excepthook = lambda *_: None\nraise KeyError",
}


@pytest.mark.parametrize("what", LEFT_OPEN)
@pytest.mark.parametrize("attempt", range(EXITS))
def test_an_interpreter_ends_whatever_is_left_open(what: str, attempt: int, path: Path) -> None:
    setup = """
    import sys, threading, time
    import spacefold
    from spacefold import Event
    store = spacefold.open(sys.argv[1])
    store.append({"event_type": "space.created", "space_id": "a", "payload": {"name": "A"}})
    """
    code = textwrap.dedent(setup) + textwrap.dedent(LEFT_OPEN[what])
    ended = run(code, str(path))
    assert ended.returncode == (1 if what == "an exception" else 0), ended.stderr
    noise = [
        line
        for line in ended.stderr.splitlines()
        if "Task was destroyed" not in line and not line.startswith(("task:", "sys:1:"))
    ]
    assert noise == [] or what in ("asyncio", "an exception", "daemon threads that append and read")
    assert "Fatal" not in ended.stderr and "panicked" not in ended.stderr, ended.stderr
    # It was closed: nothing is to be recovered, and nobody has it.
    report = spacefold.verify(path)
    assert report.ok and not report.needs_recovery
    with spacefold.open(path) as store:
        assert store.durable_head >= 1


def test_nothing_is_begun_while_the_interpreter_ends(path: Path) -> None:
    ended = run(
        """
    import atexit, sys, spacefold
    def late():
        try:
            spacefold.open(sys.argv[1])
        except spacefold.ClosedError as error:
            print(error)
    sys.modules["atexit"].unregister(spacefold._native.close_all)
    atexit.register(late); atexit.register(spacefold._native.close_all)
    """,
        str(path),
    )
    assert ended.stdout == "the interpreter is exiting\n", ended


WAITS = {
    "a subscription": "next(store.subscribe(after='now'))",
    "recv": "store.subscribe(after='now').recv()",
    "recv_many": "store.subscribe(after='now').recv_many()",
    "a snapshot to come": "store.snapshot_after('a', 99)",
    "flush": """
from spacefold.bus import EventBus
bus = EventBus(store, backoff=60); bus.subscribe(None, lambda event: 1 / 0)
bus.publish(spacefold.Event("com.example.x", "a", {})); bus.flush()
""",
    "asyncio": """
import asyncio
from spacefold import aio
async def main():
    async for event in aio.Store(store).subscribe(after="now"):
        pass
asyncio.run(main())
""",
}


def test_a_kill_is_recovered_from(path: Path) -> None:
    ended = run(
        """
    import os, signal, sys, spacefold
    store = spacefold.open(sys.argv[1])
    store.append({"event_type": "space.created", "space_id": "a", "payload": {"name": "A"}})
    os.kill(os.getpid(), signal.SIGKILL)
    """,
        str(path),
    )
    assert ended.returncode == -signal.SIGKILL
    assert spacefold.verify(path).needs_recovery
    with spacefold.open(path) as store:
        assert store.snapshot("a").name == "A"


@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_ends_every_wait(what: str, path: Path) -> None:
    code = f"""
import sys, threading, time, os, signal
import spacefold
store = spacefold.open(sys.argv[1])
sent = []
def interrupt():
    time.sleep(0.3); sent.append(time.monotonic()); os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
{textwrap.indent(WAITS[what].strip(), "    ")}
except KeyboardInterrupt:
    print("heard", time.monotonic() - sent[0])
"""
    ended = run(code, str(path))
    assert ended.stdout.startswith("heard"), (ended.stdout, ended.stderr)
    assert float(ended.stdout.split()[1]) < HEARD_WITHIN
    assert ended.returncode == 0, ended.stderr


def test_a_long_call_is_given_up(path: Path) -> None:
    ended = run(
        """
    import os, signal, sys, threading, time
    import spacefold
    store = spacefold.in_memory()
    fifo = sys.argv[1] + ".jsonl"
    os.mkfifo(fifo)
    # Held open by this process, so that the import reads and waits for more.
    writer = os.open(fifo, os.O_RDWR)
    def interrupt():
        time.sleep(0.3); os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    try:
        store.import_lines(fifo)
    except KeyboardInterrupt:
        print("heard")
    os._exit(0)
    """,
        str(path),
    )
    assert ended.stdout == "heard\n", ended


def _child(
    store: spacefold.Store,
    subscription: spacefold.Subscription,
    events: spacefold.Events,
    path: str,
    said: object,
) -> None:
    refused: list[str | None] = []
    for call in (
        lambda: store.snapshot("a"),
        lambda: store.append(space_created_event("b", "B")),
        lambda: store.close(),
        lambda: subscription.recv(timeout=1),
        lambda: list(events),
        lambda: subscription.close(),
        lambda: store.durable_head,
    ):
        try:
            call()
            refused.append("nothing")
        except spacefold.SpacefoldError as error:
            refused.append(type(error).__name__)
    with spacefold.follow(path, cache="memory") as beside:
        refused.append(beside.snapshot("a").name)
    said.put(refused)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_noticed_and_refused(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with spacefold.open(path) as store:
        store.append(space_created_event("a", "A"))
        subscription, events = store.subscribe(), store.events()
        said = context.SimpleQueue()
        child = context.Process(target=_child, args=(store, subscription, events, str(path), said))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert said.get() == ["ForkError"] * 7 + ["A"]
        # The parent goes on.
        assert subscription.recv(timeout=10).position == 1
        store.append(space_created_event("c", "C"))


def test_threads_share_a_store(store: spacefold.Store) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(50):
                store.append(space_created_event(f"space-{number}-{turn}", "x"))
                assert store.snapshot(f"space-{number}-{turn}").name == "x"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == [] and store.durable_head == 400


def test_the_interpreter_runs_on_while_the_engine_works(store: spacefold.Store) -> None:
    subscription = store.subscribe(after="now")
    turns = 0
    waiter = threading.Thread(target=lambda: subscription.recv_many(timeout=0.3))
    began = time.monotonic()
    waiter.start()
    while waiter.is_alive():
        turns += 1
    assert turns > 1000 or time.monotonic() - began > 5


def test_a_signal_handler_of_the_program_is_called(store: spacefold.Store) -> None:
    heard = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    try:
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        subscription = store.subscribe(after="now")
        while not heard.is_set():
            assert subscription.recv_many(timeout=0.2) == []
    finally:
        signal.signal(signal.SIGUSR1, before)
