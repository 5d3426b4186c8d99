"""`nearfield list`: kinds and settings as text."""

import pytest
from pytorch_metric_learning import losses

from nearfield.app.families import as_plain, as_text


@pytest.mark.parametrize("family", list(as_plain()))
def test_lines_fit_the_width_and_sentences_stand_under_each_other(family: str) -> None:
    lines = as_text(family, width=110).splitlines()
    assert max(map(len, lines)) <= 110
    starts = {
        line.index(about["about"].split()[0], len(kind) + 3)
        for kind, about in as_plain(family)[family].items()
        for line in lines
        if line.startswith(f"  {kind} ")
    }
    assert len(starts) == 1


@pytest.mark.parametrize("width", [60, 80, 110])
def test_every_setting_stands_with_its_default_and_sentence(width: int) -> None:
    flat = " ".join(as_text("losses", width).split())
    for about in as_plain("losses")["losses"].values():
        for key, setting in about["settings"].items():
            assert f"{key} {setting['default']} {setting['about']}" in flat


def test_losses_of_the_library_are_named_and_exist_there() -> None:
    told = as_text("losses", width=10_000).splitlines()[-1]
    names = told.rstrip(".").split("): ")[1].split(", ")
    assert len(names) > 15
    assert all(hasattr(losses, name) for name in names)
