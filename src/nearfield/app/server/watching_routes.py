"""GET /runs...: the curves of runs that are being trained, and the triplets that they are given."""

from functools import lru_cache
from threading import Lock
from typing import Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from nearfield.app.server.curves import Runs
from nearfield.app.server.exhibition import Exhibition
from nearfield.app.triplets_page import page_policy, triplets_page
from nearfield.core.errors import NearfieldError
from nearfield.runs.folder import Folder
from nearfield.runs.triplets import triplets_of_run

PAGES = 8
"""Pages of triplets that are kept: their sounds are megabytes."""


def watching_routes(shows: Exhibition) -> APIRouter:
    """The routes over the runs of `shows`."""
    routes = APIRouter(tags=["training"])

    def runs() -> Runs:
        if shows.runs is None:
            raise HTTPException(404, "No training is shown here. Give --watch FOLDER of a run or a study.")
        return shows.runs

    one_at_a_time = Lock()  # each opens a whole collection

    @lru_cache(maxsize=PAGES)
    def page(folder: Folder, begun: int) -> str:
        return triplets_page(triplets_of_run(folder), f"Triplets of {folder.path.resolve().name}")

    @routes.get("/runs")
    def all_runs() -> dict[str, Any]:
        """Every run of the folder, and how far it is."""
        return {"folder": runs().folder.resolve().name, "runs": runs().plain()}

    @routes.get("/runs/{name:path}/metrics")
    def metrics(
        name: str, after: int = Query(0, ge=0, description="`next` of the answer before")
    ) -> dict[str, Any]:
        """Lines of a run's metrics since then, at most a megabyte; `next` says where to go on."""
        found = runs()
        if name not in found.found():
            raise HTTPException(404, "There is no run of this name here.")
        lines, following = found.lines(name, after)
        return {"lines": lines, "next": following}

    @routes.get("/runs/{name:path}/triplets")
    def triplets(name: str) -> HTMLResponse:
        """The first triplets that a run was given, as one page that shows and plays them."""
        found = runs().found()
        if name not in found:
            raise HTTPException(404, "There is no run of this name here.")
        try:
            with one_at_a_time:
                text = page(found[name], (found[name].path / "environment.json").stat().st_mtime_ns)
        except (NearfieldError, OSError):  # the message would name the folder of the data
            raise HTTPException(
                409,
                "The triplets of this run cannot be drawn. `nearfield listen triplets RUN` says why.",
            ) from None
        return HTMLResponse(text, headers={"content-security-policy": page_policy()})

    return routes
