"""GET /suspects, /decisions and POST /decisions: what looks wrong, and what somebody decided about it."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Query, Response

from nearfield.app.server.decisions import Decision, Decisions
from nearfield.app.server.exhibition import Exhibition


def mending_routes(shows: Exhibition) -> APIRouter:
    """The routes over the suspects of `shows`; the collection itself is never touched."""
    routes = APIRouter(tags=["mending"])

    def table() -> Decisions:
        if shows.decisions is None:
            raise HTTPException(404, "There is no place for decisions here.")
        return shows.decisions

    @routes.get("/suspects")
    def suspects(kind: str = "", top: int = Query(1000, ge=1, le=100_000)) -> dict[str, Any]:
        """Clips that look wrong, the most suspicious first; and which kinds there are."""
        kinds = list(dict.fromkeys(str(each["kind"]) for each in shows.suspects))
        found = [each for each in shows.suspects if kind in ("", each["kind"])]
        return {"kinds": kinds, "count": len(found), "suspects": [_plain(each) for each in found[:top]]}

    @routes.get("/decisions")
    def decisions() -> dict[str, Any]:
        """All decisions, the oldest first."""
        return {"decisions": table().rows() if shows.decisions else []}

    @routes.get("/decisions.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def patch() -> Response:
        """The patch table."""
        headers = {"content-disposition": 'attachment; filename="decisions.csv"'}
        return Response(table().text(), media_type="text/csv", headers=headers)

    @routes.post("/decisions")
    def decide(decision: Decision) -> dict[str, int]:
        """Adds one; how many there are now."""
        shows.clip(decision.id)
        return {"count": table().add(decision)}

    @routes.post("/decisions/undo")
    def undo() -> dict[str, Any]:
        """Takes the last one back, and gives it."""
        return {"undone": table().undo()}

    return routes


def _plain(suspect: Mapping[str, Any]) -> dict[str, Any]:
    """What a client may know: all but where the file lies."""
    return {name: value for name, value in suspect.items() if name != "path"}
