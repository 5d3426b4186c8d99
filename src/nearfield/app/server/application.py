"""The web application: routes over what is shown, the page, and the guard in front of both."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

import nearfield.app
from nearfield.app.server.clip_routes import clip_routes
from nearfield.app.server.exhibition import Exhibition
from nearfield.app.server.forms import REFUSED, sentences
from nearfield.app.server.guard import Access, Guard
from nearfield.app.server.map_routes import map_routes
from nearfield.app.server.mending_routes import mending_routes
from nearfield.app.server.reference import reference_page
from nearfield.app.server.search_routes import search_routes
from nearfield.app.server.watching_routes import watching_routes
from nearfield.core.errors import NearfieldError, RequestError

STATIC = Path(nearfield.app.__file__).parent / "static"


def build_application(shows: Exhibition, access: Access) -> Guard:
    """Everything that answers, and in front of it the guard."""
    return Guard(build_routes(shows), access, shows.limits.body_bytes)


def build_routes(shows: Exhibition) -> FastAPI:
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
