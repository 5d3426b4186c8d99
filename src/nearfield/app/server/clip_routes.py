"""GET /clips/ID/...: the window of a clip as sound, and as a picture."""

from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from nearfield.app.server.exhibition import Exhibition
from nearfield.app.server.pictures import Theme, log_mel_png, picture_png
from nearfield.app.server.shown import Clip, Shown
from nearfield.app.server.windows import byte_range
from nearfield.core.errors import RequestError
from nearfield.data.audio import decode, describe

Number = Annotated[int, Query(description="0: the space; 1: the one beside it")]
Side = Annotated[int, Query(ge=16, le=2048, description="pixels of the longer side, at most")]

Around = Annotated[
    float, Query(ge=0, le=30, description="seconds before and after the clip, where its file has them")
]

_WHOLE = 2**20  # bytes that are sent at once: a stream waits for a thread again at each of its pieces
_DRAWN = 2  # pictures made at a time: each has its sound in memory, and none keeps a thread from a sound


def clip_routes(shows: Exhibition) -> APIRouter:
    """The routes over the clips of `shows`."""
    routes = APIRouter(tags=["clips"])
    hands = CapacityLimiter(_DRAWN)
    png: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}, 400: {}, 404: {}}

    def found(name: str, number: int, kind: str) -> tuple[Shown, Clip]:
        shown, clip = shows.clip(name, number)
        if shown.kind != kind:
            others = "audio and spectrogram" if shown.kind == "sound" else "picture"
            raise RequestError(f"The clips of {shown.name} are {shown.kind}s: ask for {others}.")
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
        space: Number = 0,
        range: Annotated[str | None, Header(description="bytes=FIRST-LAST")] = None,
    ) -> Response:
        """Exactly the clip's window as WAV, PCM of 16 bits at the file's own rate; any range of bytes."""
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
        id: str, space: Number = 0, theme: Theme = "light", around: Around = 0.0
    ) -> Response:
        """The clip's log-mel as PNG, by the bands that the run hears; at most the first ten minutes."""
        shown, clip = found(id, space, "sound")

        def draw() -> bytes:
            begin, end, _ = _extent(shown, clip, around)
            waves, rate = decode(shown.file(clip), begin, min(end - begin, shows.limits.picture_seconds))
            if clip.channel is not None:
                waves = waves[clip.channel : clip.channel + 1]
            return log_mel_png(waves, rate, shown.picture(), theme)

        return Response(await to_thread.run_sync(draw, limiter=hands), media_type="image/png")

    @routes.get("/clips/{id:path}/axes", responses={400: {}, 404: {}})
    def axes(id: str, space: Number = 0, around: Around = 0.0) -> dict[str, object]:
        """The axes of the clip's spectrogram: the seconds of the file that it shows, and the frequency in Hz
        at the middle of each of its rows, the lowest first."""
        shown, clip = found(id, space, "sound")
        begin, end, rate = _extent(shown, clip, around)
        end = min(end, begin + shows.limits.picture_seconds)
        peaks = shown.picture().mel_bands(rate).edges()[1:-1]
        return {"begin": begin, "end": end, "hertz": peaks.round(1).tolist()}

    @routes.get("/clips/{id:path}/picture", response_class=Response, responses=png)
    async def picture(id: str, space: Number = 0, side: Side = 768) -> Response:
        """The picture that the clip is, as PNG, upright; large ones are made smaller."""
        shown, clip = found(id, space, "picture")
        made = await to_thread.run_sync(lambda: picture_png(shown.file(clip), side), limiter=hands)
        return Response(made, media_type="image/png")

    @routes.get("/clips/{id:path}", responses={404: {}})
    def clip(id: str, space: Number = 0) -> dict[str, object]:
        """What the space knows of a clip, all its columns."""
        shown, found = shows.clip(id, space)
        return {**found.plain(), "columns": shown.columns_of(found.row)}

    return routes


def _extent(shown: Shown, clip: Clip, around: float) -> tuple[float, float, int]:
    """The seconds of its file that the picture of a clip begins and ends at, and the file's rate in Hz."""
    facts = describe(shown.file(clip))
    end = clip.start + clip.seconds
    return max(0.0, clip.start - around), max(end, min(facts.seconds, end + around)), facts.rate
