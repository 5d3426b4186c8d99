"""What cannot be read of a client is said briefly, whatever its size."""

from typing import Any

import pytest
from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, ValidationError

from nearfield.server.requests import sentences


class Sent(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid")
    count: int = 0
    words: dict[str, int] = {}
    sound: UploadFile | None = None


def said(body: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Sent.model_validate(body)
    return sentences([{**item, "loc": ("body", *item["loc"])} for item in caught.value.errors()])


@pytest.mark.parametrize("given", ["x" * 10**6, ["x"] * 10**6, {"x" * 10**6: 1}, {"x": {"x": "x" * 10**6}}])
def test_what_was_sent_is_never_sent_back_at_length(given: Any) -> None:
    assert len(said({"count": given})) < 200
    assert len(said({"words": {"y" * 10**6: given}})) < 400


def test_a_name_that_there_is_not_is_cut() -> None:
    assert said({"n" * 1000: 1}).startswith("n" * 100 + ": there is no such field.")


def test_what_is_short_is_shown_as_it_was_sent() -> None:
    assert said({"count": "two"}) == "count: a whole number is wanted. Given: 'two'."
    assert said({"count": 1.5}) == "count: a whole number is wanted. Given: 1.5."
    assert said({"count": [1]}) == "count: a whole number is wanted. Given: [1]."


def test_nesting_without_end_is_told() -> None:
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    assert said({"count": deep}).startswith("count: a whole number is wanted.")


def test_a_file_is_asked_for_plainly() -> None:
    text = said({"sound": "low.wav"})
    assert text == "sound: a file is expected, as by curl -F sound=@FILE. Given: 'low.wav'."
