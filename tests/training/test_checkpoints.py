"""States to go on from: as many as asked for are kept, and an earlier one serves where the last fails."""

import json
from pathlib import Path

import pytest
import torch

from nearfield.core.errors import RequestError
from nearfield.core.files import digest
from nearfield.training.checkpoint import earlier, load_state, save_state
from nearfield.training.events import Event, Note, ignore
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.trainer import launch
from tests.training.conftest import small


def numbers_of(path: Path) -> int:
    found = load_state(path, ignore)
    assert found is not None
    return int(found[1]["update"])


@pytest.mark.parametrize("kept", [1, 2, 3, 5])
def test_the_newest_are_kept_and_no_more(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "last.safetensors"
    for update in range(1, 8):
        save_state(path, {"w": torch.full((2,), float(update))}, {"update": update}, kept)
        there = [path, *(earlier(path, number) for number in range(1, 9))]
        held = [numbers_of(place) for place in there if place.is_file()]
        assert held == list(range(update, max(0, update - kept), -1))


def test_an_earlier_state_serves_where_the_last_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    assert load_state(path, ignore) is None
    for update in (1, 2, 3):
        save_state(path, {"w": torch.zeros(1)}, {"update": update}, 3)
    path.write_bytes(path.read_bytes()[:20])
    said: list[Event] = []
    found = load_state(path, said.append)
    assert found is not None
    assert found[1]["update"] == 2
    (note,) = said
    assert isinstance(note, Note)
    assert note.is_warning
    assert "Going on from the checkpoint before it, last-1.safetensors." in note.text
    for place in (earlier(path, 1), earlier(path, 2)):
        place.write_bytes(b"")
    with pytest.raises(RequestError, match=r"last.safetensors cannot be read"):
        load_state(path, ignore)


def test_a_run_goes_on_from_an_earlier_state_to_the_same_bits(tones: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(small(train={"updates": 12, "checkpoint_seconds": 0, "checkpoints": 3}))
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    class StopError(Exception):
        """After the seventh update."""

    def stop(event: Event) -> None:
        if getattr(event, "name", "") == "train" and getattr(event, "done", 0) == 8:
            raise StopError

    launch(Request(recipe, str(tones), whole, device="cpu"))
    with pytest.raises(StopError):
        launch(Request(recipe, str(tones), broken, device="cpu"), stop)
    last = broken / "state" / "last.safetensors"
    assert numbers_of(last) == 7
    last.write_bytes(last.read_bytes()[:-5])
    launch(Request(recipe, str(tones), broken, device="cpu", resume=True))
    assert digest(whole / "weights.safetensors") == digest(broken / "weights.safetensors")
    lines = [json.loads(line) for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, 13))
