"""`nearfield list`: kinds and settings as text."""

from pathlib import Path

import pytest
from pytorch_metric_learning import losses

from nearfield.cli.families import HOMES, as_plain, as_text
from nearfield.cli.reference import listed, sections
from nearfield.core.errors import RequestError
from nearfield.core.shipped import Sort, located, shipped, text_of
from nearfield.metrics.registry import METRICS
from nearfield.training.recipe import Recipe


@pytest.mark.parametrize("family", list(HOMES))
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


def test_sections_are_those_of_a_recipe_without_kinds_and_the_study() -> None:
    assert list(sections()) == ["data", "embedding", "penalty", "train", "study"]
    assert listed()[-1] == "metrics"
    assert f"nearfield list recipes|studies|{'|'.join(listed())}" in " ".join(as_text(None, 200).split())


@pytest.mark.parametrize("section", ["data", "embedding", "penalty", "train", "study"])
@pytest.mark.parametrize("width", [80, 110])
def test_every_key_of_a_section_stands_with_all_that_is_known_of_it(section: str, width: int) -> None:
    flat, found = " ".join(as_text(section, width).split()), as_plain(section)[section]
    assert set(sections()[section].model_fields) - {"kind"} <= set(found)
    for key, each in found.items():
        allowed = f"{each['type']}: {each['range']}" if each["range"] else each["type"]
        assert f"{each['about']} ({allowed})" in flat, key
        assert f" {key} " in flat


def test_what_is_allowed_is_read_off_the_settings() -> None:
    data, study = as_plain("data")["data"], as_plain("study")["study"]
    channels = data["channels"]
    assert (channels["type"], channels["range"]) == (
        "choice or whole number",
        "mean, all, views; 0 to 1,023",
    )
    assert data["label"]["type"] == "text, false or none"
    assert data["trim_db"]["range"] == "above 0, at most 200"
    assert data["fold.number"]["default"] == 1
    assert study["recipe"]["default"] == "required"
    assert study["search.space.KEY.step"]["range"] == "above 0"
    assert study["maps"]["type"] == "list of choices"
    assert as_plain("embedding")["embedding"]["dropout"]["range"] == "0 or more, below 1"
    assert "kind" not in data


def test_every_metric_is_listed_with_its_sentence() -> None:
    flat, found = " ".join(as_text("metrics", 110).split()), as_plain("metrics")["metrics"]
    for metric in METRICS:
        assert f"{metric.name} " in flat
        assert metric.about in flat
    recall = found["retrieval/recall_at_{k}"]
    assert recall["judges"]
    assert recall["headline"]
    assert found["geometry/hubness"]["range"] == [None, None]


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
