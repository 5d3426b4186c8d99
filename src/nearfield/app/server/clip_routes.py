"""GET /clips/ID/...: the window of a clip as sound, and as a picture."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from nearfield.app.server.exhibition import Exhibition
from nearfield.app.server.pictures import Theme, log_mel_png
from nearfield.app.server.windows import byte_range
from nearfield.data.audio import decode

Number = Annotated[int, Query(description="0: the space; 1: the one beside it")]


def clip_routes(shows: Exhibition) -> APIRouter:
    """The routes over the clips of `shows`."""
    routes = APIRouter(tags=["clips"])

    @routes.head("/clips/{id:path}/audio", include_in_schema=False)
    @routes.get(
        "/clips/{id:path}/audio",
        response_class=Response,
        responses={200: {"content": {"audio/wav": {}}}, 206: {}, 404: {}, 416: {}},
    )
    def audio(
        request: Request,
        id: str,
        space: Number = 0,
        range: Annotated[str | None, Header(description="bytes=FIRST-LAST")] = None,
    ) -> Response:
        """Exactly the clip's window as WAV, PCM of 16 bits at the file's own rate; any range of bytes."""
        shown, clip = shows.clip(id, space)
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
        return StreamingResponse(window.read(begin, end), status, headers, "audio/wav")

    @routes.get(
        "/clips/{id:path}/spectrogram",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}, 404: {}},
    )
    def spectrogram(id: str, space: Number = 0, theme: Theme = "light") -> Response:
        """The clip's log-mel as PNG, by the bands that the run hears; at most the first ten minutes."""
        shown, clip = shows.clip(id, space)
        settings = shown.picture()
        seconds = min(clip.seconds, shows.limits.picture_seconds)
        waves, rate = decode(clip.path, clip.start, seconds)
        if clip.channel is not None:
            waves = waves[clip.channel : clip.channel + 1]
        return Response(log_mel_png(waves, rate, settings, theme), media_type="image/png")

    @routes.get("/clips/{id:path}", responses={404: {}})
    def clip(id: str, space: Number = 0) -> dict[str, object]:
        """What the space knows of a clip, all its columns."""
        shown, found = shows.clip(id, space)
        return {**found.plain(), "columns": shown.columns_of(found.row)}

    return routes
