"""POST /search, /encode, /tag: what is near a clip, a sound or several; a sound's vector; its tags."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile

from nearfield.app.server.asking import Asked, Desk
from nearfield.app.server.exhibition import Exhibition
from nearfield.app.server.forms import NOT_A_FORM, check_form
from nearfield.space.answers import Wish, answer
from nearfield.space.generation import Grouping

Sent = Annotated[UploadFile | None, File(description="a sound (wav, flac, ogg, mp3, ...), or a picture")]
Name = Annotated[str | None, Form(description="id of a clip of the space")]
Names = Annotated[list[str] | None, Form(max_length=100)]
Start = Annotated[float, Form(ge=0, description="seconds into the clip or sound")]
Seconds = Annotated[float | None, Form(gt=0, description="how much of it; none: to its end")]
Number = Annotated[int, Form(description="0: the space; 1: the one beside it")]


def search_routes(shows: Exhibition) -> APIRouter:
    """The routes that ask the spaces of `shows`."""
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
        diverse: Annotated[Grouping | None, Form(description="one answer of each group")] = None,
        top: Annotated[int, Form(ge=1, le=1000)] = 10,
        space: Number = 0,
    ) -> dict[str, Any]:
        """The nearest clips with their distances in the space: by clip, span, file, or several clips.

        `plus` are clips to be near to, `minus` clips to be far from; examples are no answers. Distance is
        1 - cos. `typicality` is the share of the clips of the whole space, whatever `where` says,
        whose nearest is at least as far away as the query's: near 0 nothing here is like it. The query's own
        recording is left out.
        """
        desk = Desk(shows, space)
        shown = desk.shown
        aim = desk.aim(Asked(clip, file, start, seconds), plus or [], minus or [])
        answers = answer(shown.space.state, aim, Wish(top, where or None, diverse))
        rows = [
            {**shown.at(each.position).plain(), "rank": each.rank, "distance": each.distance}
            for each in answers
        ]
        typicality = answers[0].typicality if answers else None
        return {"identity": str(shown.space.identity), "typicality": typicality, "answers": rows}

    @routes.post("/encode")
    def encode(
        file: Sent = None, clip: Name = None, start: Start = 0.0, seconds: Seconds = None, space: Number = 0
    ) -> dict[str, Any]:
        """The vector of a sound or clip, of unit length, and the identity of its space."""
        desk = Desk(shows, space)
        vector = desk.resolve(Asked(clip, file, start, seconds)).vector
        return {"identity": str(desk.shown.space.identity), "size": len(vector), "vector": vector.tolist()}

    @routes.post("/tag")
    def tag_sound(
        file: Sent = None, clip: Name = None, start: Start = 0.0, seconds: Seconds = None, space: Number = 0
    ) -> dict[str, Any]:
        """What the run says of each tag, 0..1, the likeliest first; refused where it knows no tags."""
        desk = Desk(shows, space)
        names, said = desk.tags(Asked(clip, file, start, seconds))
        order = sorted(zip(names, said.tolist(), strict=True), key=lambda each: -each[1])
        return {"tags": [{"name": name, "probability": probability} for name, probability in order]}

    return routes
