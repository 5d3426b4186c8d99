"""Routes: clips, the map, search, suspects and decisions, curves of trainings."""

from collections.abc import Mapping
from functools import lru_cache
from threading import Lock
from typing import Annotated, Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import (
    APIRouter,
    Depends,
    File,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import HTMLResponse, StreamingResponse

from nearfield.analysis.triplets import page_policy, triplets_of_run, triplets_page
from nearfield.core.errors import NearfieldError, RequestError
from nearfield.data.audio import decode, describe
from nearfield.server.decisions import Decisions, ReviewDecision, Runs
from nearfield.server.media import Theme, byte_range, log_mel_png, picture_png
from nearfield.server.requests import NOT_A_FORM, QueryRequest, QueryService, check_form
from nearfield.server.state import AppState, LoadedSpace, SpaceClip
from nearfield.space.generation import Grouping
from nearfield.space.query import Wish, answer
from nearfield.training.run_folder import RunFolder

# GET /clips/ID/...: a clip as sound, spectrogram or image.

SpaceNumber = Annotated[int, Query(description="0: the space; 1: the one beside it")]
Side = Annotated[int, Query(ge=16, le=2048, description="pixels of the longer side, at most")]

Around = Annotated[
    float, Query(ge=0, le=30, description="seconds before and after the clip, if its file has them")
]

_WHOLE = 2**20  # bytes up to which an answer is sent at once: a stream waits for a thread for each piece
_DRAWN = 2  # spectrograms computed at a time, to bound memory and leave threads for sounds


def clip_routes(shows: AppState) -> APIRouter:
    """The routes for clips."""
    routes = APIRouter(tags=["clips"])
    hands = CapacityLimiter(_DRAWN)
    png: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}, 400: {}, 404: {}}

    def found(name: str, number: int, kind: str) -> tuple[LoadedSpace, SpaceClip]:
        shown, clip = shows.clip(name, number)
        if shown.kind != kind:
            others, kind = (
                ("audio and spectrogram", "sounds") if shown.kind == "sound" else ("picture", "images")
            )
            raise RequestError(f"The clips of {shown.name} are {kind}. Request {others}.")
        return shown, clip

    @routes.head("/clips/{id:path}/audio", include_in_schema=False)
    @routes.get(
        "/clips/{id:path}/audio",
        response_class=Response,
        responses={200: {"content": {"audio/wav": {}}}, 206: {}, 400: {}, 404: {}, 416: {}},
    )
    def audio(
        request: Request,
        id: str,
        space: SpaceNumber = 0,
        range: Annotated[str | None, Header(description="bytes=FIRST-LAST")] = None,
    ) -> Response:
        """The clip as WAV, 16-bit PCM at the sample rate of its file; supports byte ranges."""
        shown, clip = found(id, space, "sound")
        window = shown.window(clip)
        headers = {"accept-ranges": "bytes"}
        try:
            part = byte_range(range, window.size)
        except ValueError:
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{window.size}"})
        begin, end = part or (0, window.size)
        headers["content-length"] = str(end - begin)
        if part:
            headers["content-range"] = f"bytes {begin}-{end - 1}/{window.size}"
        status = 206 if part else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type="audio/wav")
        pieces = window.read(begin, end)
        if end - begin <= _WHOLE:
            return Response(b"".join(pieces), status, headers, "audio/wav")
        return StreamingResponse(pieces, status, headers, "audio/wav")

    @routes.get("/clips/{id:path}/spectrogram", response_class=Response, responses=png)
    async def spectrogram(
        id: str, space: SpaceNumber = 0, theme: Theme = "light", around: Around = 0.0
    ) -> Response:
        """The log-mel spectrogram of the clip as PNG, with the bands of the run; at most ten minutes."""
        shown, clip = found(id, space, "sound")

        def draw() -> bytes:
            begin, end, _ = _extent(shown, clip, around)
            waves, rate = decode(shown.file(clip), begin, min(end - begin, shows.limits.picture_seconds))
            if clip.channel is not None:
                waves = waves[clip.channel : clip.channel + 1]
            return log_mel_png(waves, rate, shown.picture(), theme)

        return Response(await to_thread.run_sync(draw, limiter=hands), media_type="image/png")

    @routes.get("/clips/{id:path}/axes", responses={400: {}, 404: {}})
    def axes(id: str, space: SpaceNumber = 0, around: Around = 0.0) -> dict[str, object]:
        """The axes of the spectrogram: its start and end in seconds of the file, and the center frequency of
        each row in Hz, lowest first."""
        shown, clip = found(id, space, "sound")
        begin, end, rate = _extent(shown, clip, around)
        end = min(end, begin + shows.limits.picture_seconds)
        peaks = shown.picture().mel_bands(rate).edges()[1:-1]
        return {"begin": begin, "end": end, "hertz": peaks.round(1).tolist()}

    @routes.get("/clips/{id:path}/picture", response_class=Response, responses=png)
    async def picture(id: str, space: SpaceNumber = 0, side: Side = 768) -> Response:
        """The image as an upright PNG; large images are scaled down."""
        shown, clip = found(id, space, "picture")
        made = await to_thread.run_sync(lambda: picture_png(shown.file(clip), side), limiter=hands)
        return Response(made, media_type="image/png")

    @routes.get("/clips/{id:path}", responses={404: {}})
    def clip(id: str, space: SpaceNumber = 0) -> dict[str, object]:
        """All columns of a clip."""
        shown, found = shows.clip(id, space)
        return {**found.plain(), "columns": shown.columns_of(found.row)}

    return routes


def _extent(shown: LoadedSpace, clip: SpaceClip, around: float) -> tuple[float, float, int]:
    """Start and end of the spectrogram of a clip in seconds of its file, and the sample rate in Hz."""
    facts = describe(shown.file(clip))
    end = clip.start + clip.seconds
    return max(0.0, clip.start - around), max(end, min(facts.seconds, end + around)), facts.rate


# GET /map, GET /rows: coordinates and columns for the page; GET /spaces: the open spaces.

_BINARY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}, 404: {}}


def map_routes(shows: AppState) -> APIRouter:
    """The routes for maps."""
    routes = APIRouter(tags=["map"])

    @routes.get("/spaces")
    def spaces() -> dict[str, Any]:
        """The spaces that are shown, and what else there is to see.

        `is_current`: whether the space is as it was opened; an update is shown once the server begins anew.
        """
        return {
            "spaces": [
                {
                    "name": shown.name,
                    "identity": str(shown.space.identity),
                    "count": len(shown),
                    "layouts": list(shown.layouts.layouts),
                    "kind": shown.kind,
                    "is_current": shown.is_current,
                }
                for shown in shows.spaces
            ],
            "suspects": len(shows.suspects),
            "watches": shows.runs is not None,
            "limits": {"bytes": shows.limits.body_bytes, "seconds": shows.limits.seconds},
        }

    @routes.get("/map", response_class=Response, responses=_BINARY)
    def whole_map(
        layout: Annotated[str, Query(description="umap_2d, umap_3d, pca_2d or pca_3d")] = "",
        columns: Annotated[bool, Query(description="with ids and columns")] = True,
        space: SpaceNumber = 0,
    ) -> Response:
        """Coordinates, and columns as class numbers or figures.

        Four bytes, the length of a JSON header, little-endian; the header, whose `arrays` give name, type,
        first byte after the header, and count; the arrays. `ids` are UTF-8 with a zero byte between.
        """
        shown = shows.shown(space)
        body = shown.packed_map(layout or next(iter(shown.layouts.layouts)), columns)
        return Response(body, media_type="application/octet-stream")

    @routes.get("/rows", response_class=Response, responses=_BINARY)
    def rows(
        where: Annotated[str, Query(max_length=2000, description="label = 'rain' and seconds > 2")],
        space: SpaceNumber = 0,
    ) -> Response:
        """Row numbers of the clips that a filter selects, uint32, little-endian."""
        found = shows.shown(space).rows_where(where)
        return Response(np.asarray(found, "<u4").tobytes(), media_type="application/octet-stream")

    return routes


# POST /search, /encode, /tag: nearest clips of examples; the vector of a sound; its tags.

Sent = Annotated[UploadFile | None, File(description="a sound (wav, flac, ogg, mp3, ...), or an image")]
Name = Annotated[str | None, Form(description="id of a clip of the space")]
Names = Annotated[list[str] | None, Form(max_length=100)]
Start = Annotated[float, Form(ge=0, description="seconds into the clip or sound")]
Seconds = Annotated[float | None, Form(gt=0, description="length in seconds; none: to the end")]
SpaceForm = Annotated[int, Form(description="0: the space; 1: the one beside it")]


def search_routes(shows: AppState) -> APIRouter:
    """The routes for searches."""
    routes = APIRouter(tags=["search"], dependencies=[Depends(check_form)], responses=NOT_A_FORM)

    @routes.post("/search")
    def search(
        file: Sent = None,
        clip: Name = None,
        start: Start = 0.0,
        seconds: Seconds = None,
        plus: Names = None,
        minus: Names = None,
        where: Annotated[str | None, Form(max_length=2000, description="label = 'rain'")] = None,
        diverse: Annotated[
            Grouping | None, Form(description="at most one answer per group or recording")
        ] = None,
        top: Annotated[int, Form(ge=1, le=1000)] = 10,
        space: SpaceForm = 0,
    ) -> dict[str, Any]:
        """The nearest clips with their distances in the space: by clip, span, file, or several clips.

        `plus` are clips to be near to, `minus` clips to be far from; examples are no answers. Distance is
        1 - cos. `typicality` is the share of the clips of the whole space, whatever `where` says,
        whose nearest is at least as far away as the query's: near 0 nothing here is like it. The query's own
        recording is left out.
        """
        queries = QueryService(shows, space)
        shown = queries.space
        aim = queries.aim(QueryRequest(clip, file, start, seconds), plus or [], minus or [])
        answers = answer(shown.space.state, aim, Wish(top, where or None, diverse))
        rows = [
            {**shown.at(each.position).plain(), "rank": each.rank, "distance": each.distance}
            for each in answers
        ]
        typicality = answers[0].typicality if answers else None
        return {"identity": str(shown.space.identity), "typicality": typicality, "answers": rows}

    @routes.post("/encode")
    def encode(
        file: Sent = None,
        clip: Name = None,
        start: Start = 0.0,
        seconds: Seconds = None,
        space: SpaceForm = 0,
    ) -> dict[str, Any]:
        """The unit vector of a sound or clip, and the identity of its space."""
        queries = QueryService(shows, space)
        vector = queries.resolve(QueryRequest(clip, file, start, seconds)).vector
        return {"identity": str(queries.space.space.identity), "size": len(vector), "vector": vector.tolist()}

    @routes.post("/tag")
    def tag_sound(
        file: Sent = None,
        clip: Name = None,
        start: Start = 0.0,
        seconds: Seconds = None,
        space: SpaceForm = 0,
    ) -> dict[str, Any]:
        """The score of each tag, 0..1, highest first; an error if the run has no tags."""
        names, scores = QueryService(shows, space).tags(QueryRequest(clip, file, start, seconds))
        order = sorted(zip(names, scores.tolist(), strict=True), key=lambda each: -each[1])
        return {"tags": [{"name": name, "probability": probability} for name, probability in order]}

    return routes


# GET /suspects, /decisions and POST /decisions: suspicious clips and decisions on them.


def mending_routes(shows: AppState) -> APIRouter:
    """The routes for suspects; the collection itself is never changed."""
    routes = APIRouter(tags=["mending"])

    def table() -> Decisions:
        if shows.decisions is None:
            raise HTTPException(404, "This server has no table of decisions.")
        return shows.decisions

    @routes.get("/suspects")
    def suspects(kind: str = "", top: int = Query(1000, ge=1, le=100_000)) -> dict[str, Any]:
        """Suspicious clips, the most suspicious first, and their kinds."""
        kinds = list(dict.fromkeys(str(each["kind"]) for each in shows.suspects))
        found = [each for each in shows.suspects if kind in ("", each["kind"])]
        return {"kinds": kinds, "count": len(found), "suspects": [_plain(each) for each in found[:top]]}

    @routes.get("/decisions")
    def decisions() -> dict[str, Any]:
        """All decisions, oldest first."""
        return {"decisions": table().rows() if shows.decisions else []}

    @routes.get("/decisions.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def patch() -> Response:
        """The patch table."""
        headers = {"content-disposition": 'attachment; filename="decisions.csv"'}
        return Response(table().text(), media_type="text/csv", headers=headers)

    @routes.post("/decisions")
    def decide(decision: ReviewDecision) -> dict[str, int]:
        """Adds a decision; returns their number."""
        shows.clip(decision.id)
        return {"count": table().add(decision)}

    @routes.post("/decisions/undo")
    def undo() -> dict[str, Any]:
        """Removes the last decision and returns it."""
        return {"undone": table().undo()}

    return routes


def _plain(suspect: Mapping[str, Any]) -> dict[str, Any]:
    """What a client may know: all but where the file lies."""
    return {name: value for name, value in suspect.items() if name != "path"}


# GET /runs...: training curves, and triplets of training.

PAGES = 8
"""Pages of triplets that are cached: each has megabytes of sounds."""


def watching_routes(shows: AppState) -> APIRouter:
    """The routes for runs."""
    routes = APIRouter(tags=["training"])

    def runs() -> Runs:
        if shows.runs is None:
            raise HTTPException(404, "No training is shown here. Give --watch FOLDER of a run or a study.")
        return shows.runs

    one_at_a_time = Lock()  # each page opens a whole collection

    @lru_cache(maxsize=PAGES)
    def page(folder: RunFolder, begun: int) -> str:
        return triplets_page(triplets_of_run(folder), f"Triplets of {folder.path.resolve().name}")

    @routes.get("/runs")
    def all_runs() -> dict[str, Any]:
        """Every run of the folder and its progress."""
        return {"folder": runs().folder.resolve().name, "runs": runs().plain()}

    @routes.get("/runs/{name:path}/metrics")
    def metrics(
        name: str, after: int = Query(0, ge=0, description="`next` of the answer before")
    ) -> dict[str, Any]:
        """New lines of the metrics of a run, at most a megabyte; `next` is the offset of the next request."""
        found = runs()
        if name not in found.found():
            raise HTTPException(404, "There is no run with this name.")
        lines, following = found.lines(name, after)
        return {"lines": lines, "next": following}

    @routes.get("/runs/{name:path}/triplets")
    def triplets(name: str) -> HTMLResponse:
        """The first triplets of a training as a page that shows and plays them."""
        found = runs().found()
        if name not in found:
            raise HTTPException(404, "There is no run with this name.")
        try:
            with one_at_a_time:
                text = page(found[name], (found[name].path / "environment.json").stat().st_mtime_ns)
        except (NearfieldError, OSError):  # their messages name the folder of the data
            raise HTTPException(
                409,
                "The triplets of this run cannot be shown. `nearfield listen triplets RUN` gives the reason.",
            ) from None
        return HTMLResponse(text, headers={"content-security-policy": page_policy()})

    return routes
