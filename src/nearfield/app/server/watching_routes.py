"""GET /runs...: the curves of runs that are being trained."""

from typing import Any

from fastapi import APIRouter, HTTPException, Query

from nearfield.app.server.curves import Runs
from nearfield.app.server.exhibition import Exhibition


def watching_routes(shows: Exhibition) -> APIRouter:
    """The routes over the runs of `shows`."""
    routes = APIRouter(tags=["training"])

    def runs() -> Runs:
        if shows.runs is None:
            raise HTTPException(404, "No training is shown here. Give --watch FOLDER of a run or a study.")
        return shows.runs

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

    return routes
