"""Recipes: every shipped one is read whole, changes go where they should, text and values agree."""

from itertools import permutations
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nearfield.core.errors import RequestError
from nearfield.core.shipped import shipped
from nearfield.training.prepare import check
from nearfield.training.recipe import Recipe

SHIPPED = list(shipped("recipes").values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_whole(path: Path) -> None:
    recipe = Recipe.load(path)
    check(recipe)
    assert path.read_text().startswith("# ")  # a sentence that says what it is for
    assert Recipe.of(yaml.safe_load(recipe.text())) == recipe


def test_nothing_is_left_to_defaults_in_the_text() -> None:
    plain = yaml.safe_load(Recipe().text())
    assert list(plain) == list(Recipe.model_fields)
    assert plain["loss"]["margin"] == Recipe().loss.margin  # type: ignore[union-attr]


def test_changes_reach_their_key(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "loss: {kind: triplet, margin: 0.5, swap: true}\naugment: [{kind: gain}, {kind: time_mask}]\n"
    )
    assert Recipe.load(path, ["loss.margin=0.3"]).loss.model_dump()["swap"] is True
    # Another kind begins with its own settings: the old kind's would only be in the way.
    assert Recipe.load(path, ["loss.kind=circle", "loss.m=0.3"]).loss.model_dump()["m"] == 0.3
    assert Recipe.load(path, ["augment.1.kind=flip"]).augment[1].kind == "flip"
    assert Recipe.load(path, ["optimizer.lr=1e-4"]).optimizer.lr == 1e-4
    assert Recipe.load(path, ["backbone.stem_stride=[4, 2]"]).backbone.model_dump()["stem_stride"] == (4, 2)


@given(
    st.floats(0.01, 1.9), st.integers(2, 512), st.sampled_from(["triplet", "circle", "supcon", "NTXentLoss"])
)
def test_plain_values_come_back_as_they_went(margin: float, size: int, kind: str) -> None:
    loss = {"kind": kind, "margin": margin} if kind == "triplet" else {"kind": kind}
    recipe = Recipe.of({"loss": loss, "embedding": {"size": size}})
    assert Recipe.of(recipe.plain()) == recipe
    assert Recipe.of(yaml.safe_load(recipe.text())) == recipe


def test_python_objects_in_yaml_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("loss: !!python/object/apply:os.system ['echo hello']\n")
    with pytest.raises(RequestError, match=r"evil\.yaml is not YAML: could not determine a constructor"):
        Recipe.load(path)


def test_kinds_within_kinds_are_changed_in_any_order() -> None:
    changes = {
        "backbone.front.kind": "cnn1d",
        "backbone.front.width": 8,
        "backbone.kind": "stacked",
        "backbone.stack.kind": "dense",
    }
    wanted = Recipe.of(
        {"backbone": {"kind": "stacked", "front": {"kind": "cnn1d", "width": 8}, "stack": {"kind": "dense"}}}
    )
    for order in permutations(changes):
        assert Recipe.of({}).changed({key: changes[key] for key in order}) == wanted


def test_a_recipe_is_changed_by_dotted_keys_in_any_order() -> None:
    recipe = Recipe.of({"loss": {"kind": "triplet", "margin": 0.5}, "augment": [{"kind": "gain"}]})
    changed = recipe.changed({"loss.m": 0.3, "loss.kind": "circle", "augment": [], "embedding.size": 8})
    assert changed == Recipe.of({"loss": {"kind": "circle", "m": 0.3}, "embedding": {"size": 8}})
    assert recipe.changed({"loss.kind": "triplet"}) == recipe  # the same kind keeps its settings
    with pytest.raises(RequestError, match=r"here: loss: unknown key 'margn'\. Did you mean 'margin'"):
        recipe.changed({"loss.margn": 0.3}, "here")
    with pytest.raises(RequestError, match=r"here: 'size' holds 64, which has no keys below it"):
        recipe.changed({"embedding.size.more": 1}, "here")


def test_a_section_that_is_left_out_can_be_given_key_by_key() -> None:
    whole = Recipe.of(Recipe().plain())  # as a run keeps it, with `fold: null`
    assert whole.data.fold is None
    fold = whole.changed({"data.fold.of": 4, "data.fold.number": 2}).data.fold
    assert fold is not None
    assert (fold.of, fold.number) == (4, 2)
