"""Losses as classes: what a constructor takes is what the settings say, and errors are the string form's."""

import copy
import inspect
import pickle
import re
from typing import Any, get_type_hints

import pytest
import torch

import nearfield
from nearfield import losses
from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds
from nearfield.learning.build import loss
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.settings import LOSSES, pair_kinds

OWN = [kind for kind in kinds(LossSettings) if kind not in LOSSES.sources]
"""Kinds of the package itself."""
SIZES = {"size": 4, "classes": 3}
each = pytest.mark.parametrize("kind", OWN)


def sizes(kind: str) -> dict[str, int]:
    return {} if kind in pair_kinds() else SIZES


CLASSES: dict[str, Any] = {kind: type(loss(kind, **sizes(kind))) for kind in OWN}


def test_every_own_kind_has_a_class_at_the_front_door() -> None:
    named = {name: getattr(losses, name) for name in losses.__all__}
    assert set(named.values()) == {*CLASSES.values(), losses.AutogradLoss, losses.PairLoss}
    for kind, made in CLASSES.items():
        (name,) = (name for name, each in named.items() if each is made)
        assert name.lower() == kind.replace("_", "")
    assert nearfield.losses is losses
    assert all(made.__doc__ for made in named.values())


@each
def test_a_constructor_takes_what_the_settings_say(kind: str) -> None:
    """Names, defaults, types and their order; and each stands in the class's documentation."""
    settings, made = kinds(LossSettings)[kind], CLASSES[kind]
    parameters = dict(inspect.signature(made).parameters)
    for name in sizes(kind):
        assert parameters.pop(name).default is inspect.Parameter.empty
    fields = {name: field for name, field in settings.model_fields.items() if name != "kind"}
    assert list(parameters) == list(fields)
    types = get_type_hints(made.__init__)
    for name, field in fields.items():
        assert parameters[name].default == field.default
        assert type(parameters[name].default) is type(field.default)
        assert types[name] == field.annotation
        assert re.search(rf"^    {name}\n        \S", made.__doc__, re.M), name


@each
def test_a_class_makes_what_the_string_form_makes(kind: str) -> None:
    torch.manual_seed(0)
    by_name = loss(kind, **sizes(kind))
    torch.manual_seed(0)
    by_class = CLASSES[kind](**sizes(kind))
    assert type(by_class) is type(by_name)
    assert by_class.settings == by_name.settings
    assert repr(by_class) == repr(by_name)
    for again in (copy.deepcopy(by_class), pickle.loads(pickle.dumps(by_class))):
        assert again.settings == by_class.settings
        assert repr(again) == repr(by_class)
    if not sizes(kind):
        vectors, labels = torch.randn(12, 4), torch.arange(12) // 3
        assert torch.equal(by_class(vectors, labels), by_name(vectors, labels))


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (losses.Triplet(margin=0.3), "TripletLoss(margin=0.3, distance='euclidean')"),
        (
            losses.Triplet(1, "cosine", smooth=True, reduction="mean"),
            "TripletLoss(margin=1.0, distance='cosine', reduction='mean', smooth=True)",
        ),
        (losses.Circle(), "CircleLoss(m=0.4, gamma=80.0)"),
        (
            losses.Circle(2, allow_impossible_margin=True),
            "CircleLoss(m=2.0, gamma=80.0, allow_impossible_margin=True)",
        ),
        (losses.Contrastive(), "ContrastiveLoss(pos_margin=0.0, neg_margin=1.0, distance='euclidean')"),
        (losses.NTXent(0.2), "NTXentLoss(temperature=0.2)"),
        (losses.SupCon(), "SupConLoss(temperature=0.1)"),
        (losses.MultiSimilarity(base=0.1), "MultiSimilarityLoss(alpha=2.0, beta=50.0, base=0.1)"),
        (
            losses.BCE(4, 3, class_weights="balanced"),
            "BCELoss(\n  class_weights='balanced'\n"
            "  (tags): Linear(in_features=4, out_features=3, bias=True)\n)",
        ),
        (
            losses.Focal(4, 3),
            "FocalLoss(\n  gamma=2.0\n  (tags): Linear(in_features=4, out_features=3, bias=True)\n)",
        ),
    ],
)
def test_a_loss_shows_its_settings(made: losses.PairLoss, shown: str) -> None:
    assert repr(made) == shown


def test_a_loss_of_the_library_shows_its_settings() -> None:
    shown = repr(loss("CosFaceLoss", size=8, classes=3, margin=0.3))
    assert shown.startswith("LibraryLoss(\n  'CosFaceLoss', margin=0.3\n  (inner): CosFaceLoss(")


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("triplet", {"margin": 0}),
        ("triplet", {"margin": "wide"}),
        ("triplet", {"distance": "euclid"}),
        ("triplet", {"reduction": "sum", "margin": -1}),
        ("triplet", {"margin": 2.5, "distance": "cosine"}),
        ("circle", {"m": 1.5}),
        ("contrastive", {"neg_margin": 3, "distance": "cosine"}),
        ("nt_xent", {"temperature": 0}),
        ("multi_similarity", {"base": 2}),
        ("focal", {"alpha": 1}),
        ("bce", {"classes": 0}),
    ],
)
def test_wrong_settings_are_refused_in_the_same_sentences(kind: str, wrong: dict[str, Any]) -> None:
    given = {**sizes(kind), **wrong}
    with pytest.raises(RequestError) as by_name:
        loss(kind, **given)
    with pytest.raises(RequestError) as by_class:
        CLASSES[kind](**given)
    assert str(by_class.value) == str(by_name.value)
    assert str(by_class.value).startswith("loss")


def test_an_unknown_setting_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'margn'"):
        losses.Triplet(margn=0.3)  # type: ignore[call-arg]
