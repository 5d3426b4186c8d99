"""`nearfield list`: kinds and settings as text."""

from pathlib import Path

import pytest
from pytorch_metric_learning import losses

from nearfield.cli.families import as_plain, as_text
from nearfield.core.errors import RequestError
from nearfield.core.shipped import Sort, located, shipped, text_of
from nearfield.training.recipe import Recipe


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


@pytest.mark.parametrize("sort", ["recipes", "studies"])
def test_what_is_shipped_is_listed_by_the_names_that_commands_take(sort: Sort) -> None:
    listed = as_plain(sort)[sort]
    assert list(listed) == list(shipped(sort))
    for name, about in listed.items():
        assert about["about"].endswith(".")
        assert located(name, sort) == shipped(sort)[name]
        assert located(f"{sort}/{name}.yaml", sort) == Path(f"{sort}/{name}.yaml")
    lines = as_text(sort, width=110).splitlines()
    assert max(map(len, lines)) <= 110


def test_a_file_of_ones_own_comes_before_a_shipped_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels").mkdir()
    assert located("labels", "recipes") == shipped("recipes")["labels"]
    (tmp_path / "labels.yaml").write_text("loss: {margin: 0.4}\n")
    assert located("labels.yaml", "recipes") == Path("labels.yaml")
    assert located("nothing", "recipes") == Path("nothing")


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(RequestError, match=r"No recipe named 'lables' is shipped\. Did you mean 'labels'"):
        text_of("lables", "recipes")
    with pytest.raises(RequestError, match=r"No recipe at recipes/labels\.yaml\. Did you mean 'labels'"):
        Recipe.load("recipes/labels.yaml")
    with pytest.raises(RequestError, match=r"No recipe at lables\. Did you mean 'labels'"):
        Recipe.load("lables")
