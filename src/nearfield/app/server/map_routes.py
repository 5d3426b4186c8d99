"""GET /map, GET /rows: coordinates and columns for the page; GET /spaces: what is shown."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response

from nearfield.app.server.clip_routes import Number
from nearfield.app.server.exhibition import Exhibition

_BINARY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}, 404: {}}


def map_routes(shows: Exhibition) -> APIRouter:
    """The routes over the maps of `shows`."""
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
        space: Number = 0,
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
        space: Number = 0,
    ) -> Response:
        """Row numbers of the clips that a filter lets through, uint32, little-endian."""
        found = shows.shown(space).rows_where(where)
        return Response(np.asarray(found, "<u4").tobytes(), media_type="application/octet-stream")

    return routes
