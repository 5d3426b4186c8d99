"""`serve`: shows a space, two side by side, or a training, in a browser."""

import socket
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn

from nearfield.app.server.application import build_application
from nearfield.app.server.connections import PATIENCE, Connection, Room
from nearfield.app.server.curves import Runs
from nearfield.app.server.decisions import Decisions
from nearfield.app.server.exhibition import Exhibition
from nearfield.app.server.guard import Access
from nearfield.app.server.shown import Shown
from nearfield.core.errors import RequestError, WorkError
from nearfield.runs.events import Stage, Watcher, nobody
from nearfield.space.map import map_beside
from nearfield.space.space import Space

MAP = "map.parquet"
DECISIONS = "decisions.csv"


@dataclass(frozen=True)
class Show:
    """What is to be shown, by path; at least one of the three."""

    space: Path | None = None
    beside: Path | None = None
    """A second space, whose clips are told by the same ids."""
    watch: Path | None = None
    """A run's folder or a study's."""
    suspects: Sequence[Mapping[str, Any]] = ()
    """Each with id, kind, score, reason, suggestion, proposed, other; the most suspicious first."""
    decisions: Path | None = None
    """The patch table; none: decisions.csv in the space's folder."""


def prepare(show: Show, watch: Watcher = nobody) -> Exhibition:
    """Opens spaces, makes the maps that are missing, and loads the networks.

    Raises RequestError, DataError where a space cannot be shown.
    """
    paths = [path for path in (show.space, show.beside) if path is not None]
    if show.space is None and (show.beside is not None or show.watch is None):
        raise RequestError(
            "There is nothing to show. Give a space, or --watch with a run's or study's folder."
        )
    if show.watch is not None and not show.watch.is_dir():
        raise RequestError(f"--watch: {show.watch} is not a folder. Give that of a run or of a study.")
    most = {str(each["id"]): float(each["score"]) for each in reversed(show.suspects)}
    spaces = tuple(_shown(path, most if path == show.space else {}, watch) for path in paths)
    table = show.decisions or (show.space / DECISIONS if show.space else None)
    if table is not None:
        Decisions(table).rows()  # a table of another sort is refused now, not at the first decision
    return Exhibition(
        spaces,
        tuple(show.suspects),
        Decisions(table) if table else None,
        Runs(show.watch) if show.watch else None,
    )


def serve(
    exhibition: Exhibition,
    access: Access,
    announce: Callable[[str], None] = print,
    open_browser: bool = True,
) -> None:
    """Serves until it is interrupted; `announce` gets the address to open, with the token where there is one.

    Raises WorkError where the address cannot be listened on.
    """
    listening = listen(access)
    access = replace(access, port=int(listening.getsockname()[1]))
    address = address_of(access)
    announce(address)
    if open_browser:
        webbrowser.open(address)
    server(exhibition, access).run(sockets=[listening])


def listen(access: Access) -> socket.socket:
    """A socket on the address. Raises WorkError where it is taken or not of this machine."""
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    # asyncio switches off Nagle's algorithm only of a socket whose protocol is named TCP; with it on, the
    # last piece of every answer on a kept connection waits for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((access.host, access.port))
        listening.listen(128)  # a browser that is opened at once waits until it is answered
    except OSError as error:
        listening.close()
        raise WorkError(
            f"{access.host}:{access.port} cannot be listened on: {error.strerror}. "
            "Choose another by --port; 0 takes a free one."
        ) from None
    return listening


def server(exhibition: Exhibition, access: Access) -> uvicorn.Server:
    """The server, ready to run; it writes no log of addresses, as one may hold the token."""
    room = Room.of_system()
    return uvicorn.Server(
        uvicorn.Config(
            build_application(exhibition, access),
            http=Connection,
            backlog=room.backlog,
            access_log=False,
            log_level="warning",
            limit_concurrency=room.clients,
            timeout_keep_alive=round(PATIENCE),
            timeout_graceful_shutdown=3,
            server_header=False,
            ws="none",
        )
    )


def address_of(access: Access) -> str:
    """The page's address for a browser on this machine."""
    host = "127.0.0.1" if access.host == "0.0.0.0" else access.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{access.port}/" + (
        f"?token={quote(access.token, safe='')}" if access.token else ""
    )


def _shown(path: Path, suspicion: Mapping[str, float], watch: Watcher) -> Shown:
    space = Space.open(path)
    ids = space.rows(["id"])["id"].to_pylist()
    layouts = map_beside(path / MAP, ids, space.vectors, space.identity.digest, watch)
    watch(Stage("network", 0, 1))
    _ = space.run  # so that the first search does not wait for it, nor the page for its map
    space.search(ids[0], top=1)  # nor a search for its compiler
    shown = Shown(space, layouts, suspicion)
    shown.packed_map(next(iter(layouts.layouts)), True)
    return shown
