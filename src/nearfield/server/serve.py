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

# The reference of the API as one plain page, made of its OpenAPI document.

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>Nearfield: reference of the API</title>"
    "<h1>Reference of the API</h1><p>The same for programs: <a href=/openapi.json>/openapi.json</a>. "
    "Errors are JSON with a sentence as <code>detail</code>.</p>"
)


def reference_page(document: Mapping[str, Any]) -> str:
    """HTML: every route with what it does, what may be sent, and what it answers."""
    return _HEAD + "".join(
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(route.get('description', ''))}</p>"
        + _table(list(_fields(document, route)))
        + f"<p>Answers: {escape(', '.join(_answers(route)))}</p>"
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    )


def _fields(document: Mapping[str, Any], route: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, where it stands, type, and what is to be known of each thing that may be sent."""
    for field in route.get("parameters", ()):
        needed = ", needed" if field.get("required") else ""
        yield field["name"], field["in"] + needed, _kind(field["schema"]), field.get("description", "")
    for sort, body in route.get("requestBody", {}).get("content", {}).items():
        schema = body["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = document["components"]["schemas"].get(name, schema)
        place = "JSON" if sort == "application/json" else "form"
        for name, field in schema.get("properties", {}).items():
            needed = ", needed" if name in schema.get("required", ()) else ""
            yield name, place + needed, _kind(field), field.get("description", "")


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a word or two, with its range, choices and default."""
    some = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    one = some[0] if some else schema
    kind = "file" if one.get("contentMediaType") or one.get("format") == "binary" else one.get("type", "any")
    choices = one.get("enum") or ([one["const"]] if "const" in one else [])
    said = [" | ".join(map(str, choices)) if choices else kind]
    ranges = {"minimum": "from", "maximum": "to", "exclusiveMinimum": "above", "maxLength": "signs at most"}
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


# The web application: routes over what is shown, the page, and the guard in front of both.

STATIC = Path(__file__).parent / "static"


def build_application(shows: AppState, access: Access) -> Guard:
    """Everything that answers, and in front of it the guard."""
    return Guard(build_routes(shows), access, shows.limits.body_bytes)


def build_routes(shows: AppState) -> FastAPI:
    """Everything that answers; its OpenAPI document is at /openapi.json, the same for people at /docs."""
    application = FastAPI(
        title="Nearfield",
        description="A learnt space of sound: searched, looked at, listened to.",
        docs_url=None,  # FastAPI's page comes from a server elsewhere
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
        """Our own errors as a sentence: 400 where the request was wrong, else 500."""
        said = shows.without_places(str(error))
        return JSONResponse({"detail": said}, 400 if isinstance(error, RequestError) else 500)

    @application.exception_handler(RequestValidationError)
    def unfit(request: Request, error: Exception) -> JSONResponse:
        """A field that cannot be what was sent, as a sentence."""
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"detail": sentences(error.errors())}, 422)

    return application


# `serve`: shows a space, two side by side, or a training, in a browser.

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


def prepare(show: Show, watch: Callback = ignore) -> AppState:
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


def server(exhibition: AppState, access: Access) -> uvicorn.Server:
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


def _shown(path: Path, suspicion: Mapping[str, float], watch: Callback) -> LoadedSpace:
    space = Space.load(path)
    ids = space.rows(["id"])["id"].to_pylist()
    layouts = map_beside(path / MAP, ids, space.vectors, space.identity.digest, watch)
    watch(Stage("network", 0, 1))
    _ = space.run  # so that the first search does not wait for it, nor the page for its map
    space.search(ids[0], top=1)  # nor a search for its compiler
    shown = LoadedSpace(space, layouts, suspicion)
    shown.packed_map(next(iter(layouts.layouts)), True)
    return shown
