"""A process that performs tasks one after another: `python -m nearfield.study.engines.worker SOCKET`.

It talks JSON over the socket it was given. First comes what the tasks have in common, then a task at a time;
back go events and one answer a task. When its parent dies, however that comes about, the socket ends, and so
does this process: at once, as by a kill, which every run survives.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from nearfield.core.machine import limit_threads
from nearfield.study.engines.engine import StudyWork, attempt
from nearfield.study.records import Task
from nearfield.training.events import Event, Stage

PAUSE = 0.1
"""Seconds between two reports of how far a stage is; more would cost and nobody could read them."""


def main(socket: int) -> None:
    """Performs tasks until the parent goes away, or interrupts."""
    limit_threads()
    connection = Connection(socket)
    inbox: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    hello = inbox.get()
    work = StudyWork.of(hello["work"])
    while True:
        task = Task(**inbox.get())
        _send(connection, attempt(hello["perform"], work, task, _reporter(connection)))


def _receive(connection: "Connection[Any, Any]", inbox: "SimpleQueue[dict[str, Any]]") -> None:
    try:
        while True:
            inbox.put(json.loads(connection.recv_bytes()))
    except (EOFError, OSError):
        os._exit(1)


def _send(connection: "Connection[Any, Any]", message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message, default=float).encode())


def _reporter(connection: "Connection[Any, Any]") -> Callable[[Event], None]:
    """Sends events on, of the many in a stage only some, the last one always."""
    latest = 0.0

    def report(event: Event) -> None:
        nonlocal latest
        now = time.monotonic()
        if isinstance(event, Stage):
            if event.done < event.total and now - latest < PAUSE:
                return
            latest = now
        _send(connection, {"event": {"type": type(event).__name__, **asdict(event)}})

    return report


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
