"""A process that performs tasks one after another: `python -m nearfield.study.engines.worker SOCKET`.

It communicates over the given socket in JSON. It receives the settings that all tasks share and then one task
at a time; it sends events and one answer per task. When the parent dies for any reason, the socket closes and
this process exits at once. Runs survive that as they survive a kill.
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
"""Seconds between two progress reports of a stage; more reports would cost time and be unreadable."""


def main(socket: int) -> None:
    """Performs tasks until the parent ends or interrupts this process."""
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
    """Forwards events to the parent; of a stage at most one per `PAUSE` seconds, and always the last."""
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
