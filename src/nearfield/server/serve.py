"""`nearfield explore`: the web application and its server."""

import socket
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from nearfield.core.errors import NearfieldError, RequestError, WorkError
from nearfield.server.decisions import Decisions, Runs
from nearfield.server.guard import PATIENCE, Access, Connection, Guard, Room
from nearfield.server.requests import REFUSED, sentences
from nearfield.server.routes import clip_routes, map_routes, mending_routes, search_routes, watching_routes
from nearfield.server.state import AppState, LoadedSpace
from nearfield.space.map import map_beside
from nearfield.space.space import Space
from nearfield.training.events import Callback, Stage, ignore

# The API reference as one plain HTML page, generated from the OpenAPI document.

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>Nearfield: API reference</title>"
    "<h1>API reference</h1><p>Machine-readable: <a href=/openapi.json>/openapi.json</a>. "
    "Errors are JSON with a message in <code>detail</code>.</p>"
)


def reference_page(document: Mapping[str, Any]) -> str:
    """The HTML page: description, fields and answers of every route."""
    return _HEAD + "".join(
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(route.get('description', ''))}</p>"
        + _table(list(_fields(document, route)))
        + f"<p>Answers: {escape(', '.join(_answers(route)))}</p>"
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    )


def _fields(document: Mapping[str, Any], route: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, place, type and description of each field of a request."""
    for field in route.get("parameters", ()):
        needed = ", required" if field.get("required") else ""
        yield field["name"], field["in"] + needed, _kind(field["schema"]), field.get("description", "")
    for sort, body in route.get("requestBody", {}).get("content", {}).items():
        schema = body["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = document["components"]["schemas"].get(name, schema)
        place = "JSON" if sort == "application/json" else "form"
        for name, field in schema.get("properties", {}).items():
            needed = ", required" if name in schema.get("required", ()) else ""
            yield name, place + needed, _kind(field), field.get("description", "")


def _kind(schema: Mapping[str, Any]) -> str:
    """A type with its range, choices and default."""
    some = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    one = some[0] if some else schema
    kind = "file" if one.get("contentMediaType") or one.get("format") == "binary" else one.get("type", "any")
    choices = one.get("enum") or ([one["const"]] if "const" in one else [])
    said = [" | ".join(map(str, choices)) if choices else kind]
    ranges = {
        "minimum": "from",
        "maximum": "to",
        "exclusiveMinimum": "above",
        "maxLength": "characters at most",
    }
    said += [f"{words} {one[key]}" for key, words in ranges.items() if key in one]
    if schema.get("default") not in (None, ""):
        said.append(f"default {schema['default']}")
    return ", ".join(said)


def _answers(route: Mapping[str, Any]) -> list[str]:
    return [
        " ".join([status, *answer.get("content", {})])
        for status, answer in sorted(route["responses"].items())
    ]


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    if not rows:
        return ""
    lines = ("".join(f"<td>{escape(cell)}" for cell in row) for row in rows)
    return (
        "<table border=1><tr><th>field<th>in<th>type<th>meaning"
        + "".join(f"<tr>{x}" for x in lines)
        + "</table>"
    )


# The web application: routes, pages, and the guard in front of them.

STATIC = Path(__file__).parent / "static"


def build_application(shows: AppState, access: Access) -> Guard:
    """The application behind its guard."""
    return Guard(build_routes(shows), access, shows.limits.body_bytes)


def build_routes(shows: AppState) -> FastAPI:
    """All routes and pages; the OpenAPI document is at /openapi.json, the API reference at /docs."""
    application = FastAPI(
        title="Nearfield",
        description="Search, view and play the clips of an embedding space.",
        docs_url=None,  # FastAPI's page loads scripts from another server
        redoc_url=None,
        responses=REFUSED,
    )
    for routes in (search_routes, map_routes, mending_routes, watching_routes, clip_routes):
        application.include_router(routes(shows))

    @application.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / ("index.html" if shows.spaces else "watch.html"))

    @application.get("/watch", include_in_schema=False)
    def watch() -> FileResponse:
        return FileResponse(STATIC / "watch.html")

    @application.get("/docs", include_in_schema=False)
    def reference() -> HTMLResponse:
        return HTMLResponse(reference_page(application.openapi()))

    application.mount("/static", StaticFiles(directory=STATIC), name="static")

    @application.exception_handler(NearfieldError)
    def refuse(request: Request, error: Exception) -> JSONResponse:
        """Answers errors of the package with their message: 400 for an invalid request, else 500."""
        message = shows.without_places(str(error))
        return JSONResponse({"detail": message}, 400 if isinstance(error, RequestError) else 500)

    @application.exception_handler(RequestValidationError)
    def unfit(request: Request, error: Exception) -> JSONResponse:
        """Answers invalid fields with a sentence."""
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"detail": sentences(error.errors())}, 422)

    return application


# `serve`: shows a space, two side by side, or a training, in a browser.

MAP = "map.parquet"
DECISIONS = "decisions.csv"


@dataclass(frozen=True)
class Show:
    """What the server shows, by path; a space or `watch` is required."""

    space: Path | None = None
    beside: Path | None = None
    """A second space of clips with the same ids."""
    watch: Path | None = None
    """The folder of a run or a study."""
    suspects: Sequence[Mapping[str, Any]] = ()
    """Each with id, kind, score, reason, suggestion, proposed, other; the most suspicious first."""
    decisions: Path | None = None
    """The patch table; None: decisions.csv in the folder of the space."""


def prepare(show: Show, watch: Callback = ignore) -> AppState:
    """Opens the spaces, computes missing maps, and loads the networks.

    Raises RequestError or DataError if a space cannot be shown.
    """
    paths = [path for path in (show.space, show.beside) if path is not None]
    if show.space is None and (show.beside is not None or show.watch is None):
        raise RequestError(
            "There is nothing to show. Give a space, or --watch with the folder of a run or a study."
        )
    if show.watch is not None and not show.watch.is_dir():
        raise RequestError(f"--watch: {show.watch} is not a folder. Give the folder of a run or a study.")
    most = {str(each["id"]): float(each["score"]) for each in reversed(show.suspects)}
    spaces = tuple(_shown(path, most if path == show.space else {}, watch) for path in paths)
    table = show.decisions or (show.space / DECISIONS if show.space else None)
    if table is not None:
        Decisions(table).rows()  # rejects an invalid table now, not at the first decision
    return AppState(
        spaces,
        tuple(show.suspects),
        Decisions(table) if table else None,
        Runs(show.watch) if show.watch else None,
    )


def serve(
    exhibition: AppState,
    access: Access,
    announce: Callable[[str], None] = print,
    open_browser: bool = True,
) -> None:
    """Serves until it is interrupted; `announce` receives the address to open, with the token if any.

    Raises WorkError if the server cannot listen on the address.
    """
    listening = listen(access)
    access = replace(access, port=int(listening.getsockname()[1]))
    address = address_of(access)
    announce(address)
    if open_browser:
        webbrowser.open(address)
    server(exhibition, access).run(sockets=[listening])


def listen(access: Access) -> socket.socket:
    """A socket on the address. Raises WorkError if it is in use or not of this machine."""
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol of the socket is given as TCP; otherwise the
    # last packet of every answer on a persistent connection waits for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((access.host, access.port))
        listening.listen(128)  # a browser that connects before the server runs waits
    except OSError as error:
        listening.close()
        raise WorkError(
            f"The server cannot listen on {access.host}:{access.port}: {error.strerror}. "
            "Choose another --port; 0 takes a free port."
        ) from None
    return listening


def server(exhibition: AppState, access: Access) -> uvicorn.Server:
    """The server, ready to run; without an access log, because an address may contain the token."""
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
    """The address of the page for a browser on this machine."""
    host = "127.0.0.1" if access.host == "0.0.0.0" else access.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{access.port}/" + (
        f"?token={quote(access.token, safe='')}" if access.token else ""
    )


def _shown(path: Path, suspicion: Mapping[str, float], watch: Callback) -> LoadedSpace:
    space = Space.load(path)
    ids = space.rows(["id"])["id"].to_pylist()
    layouts = map_beside(path / MAP, ids, space.vectors, space.identity.digest, watch)
    watch(Stage("network", 0, 1))
    # Load, compile and pack now, so that neither the first search nor the page waits.
    _ = space.run
    space.search(ids[0], top=1)
    shown = LoadedSpace(space, layouts, suspicion)
    shown.packed_map(next(iter(layouts.layouts)), True)
    return shown
