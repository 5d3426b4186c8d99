"""Kinds that other packages add: found, checked, named where they cannot be used."""

import sys
import types
from typing import Annotated, Any, Literal

import pytest

from nearfield.core import settings as settings_module
from nearfield.core.errors import RequestError
from nearfield.core.plugins import Plugin, PluginWarning
from nearfield.core.settings import Family, Settings, family_of, kinds, make


class Fruit(Settings):
    """What every fruit extends."""

    kind: str


class Apple(Fruit):
    """An apple."""

    kind: Literal["apple"] = "apple"


class Further(Fruit):
    """Every other word."""

    kind: str
    weight: float = 1.0


class Pear(Fruit):
    """A pear, of another package."""

    kind: Literal["pear"] = "pear"
    weight: float = 0.3


class SecondApple(Fruit):
    """A clash with ours."""

    kind: Literal["apple"] = "apple"


class Stone(Settings):
    """No fruit."""

    kind: Literal["stone"] = "stone"


def family(monkeypatch: pytest.MonkeyPatch, *offers: tuple[str, str], other: bool = False) -> Any:
    """A family of apples, to which packages offer (kind, class of this module)."""
    module = types.ModuleType("orchard")
    module.__dict__.update(Pear=Pear, SecondApple=SecondApple, Stone=Stone)
    monkeypatch.setitem(sys.modules, "orchard", module)
    found = tuple(Plugin(kind, f"orchard:{name}", "orchard 1.0") for kind, name in offers)
    monkeypatch.setattr(settings_module, "plugins", lambda name: found if name == "fruits" else ())
    fruits: Family[Fruit] = Family("fruits", Fruit)
    return Annotated[Apple | Further, fruits] if other else Annotated[Apple, fruits]


def test_a_kind_of_another_package_is_one_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    fruit = family(monkeypatch, ("pear", "Pear"))
    assert kinds(fruit) == {"apple": Apple, "pear": Pear}
    assert make(fruit, "fruit", {"kind": "pear", "weight": 0.4}) == Pear(weight=0.4)
    with pytest.raises(RequestError) as caught:
        make(fruit, "fruit", {"kind": "pear", "wieght": 0.4})
    assert str(caught.value) == "fruit: unknown key 'wieght'. Did you mean 'weight'? Known: weight."
    with pytest.raises(RequestError, match=r"'peer'\. Did you mean 'pear'\? Known: apple, pear\.$"):
        make(fruit, "fruit", {"kind": "peer"})


def test_every_further_word_is_of_the_member_without_a_kind_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fruit = family(monkeypatch, ("pear", "Pear"), other=True)
    assert kinds(fruit) == {"apple": Apple, "pear": Pear}
    made = make(fruit, "fruit", {"kind": "plum"})
    assert isinstance(made, Further)
    assert isinstance(make(fruit, "fruit", {"kind": "pear"}), Pear)
    with pytest.raises(RequestError, match=r"fruit: no kind given\. Known: apple, pear\."):
        make(fruit, "fruit", {})


@pytest.mark.parametrize(
    ("kind", "name", "what"),
    [
        ("apple", "SecondApple", "is left out: nearfield has a kind of that name. It needs another name."),
        ("stone", "Stone", f"is no {__name__}.Fruit, which its class must extend."),
        (
            "quince",
            "Pear",
            "calls itself 'pear': the entry point and the default of `kind` must be the same.",
        ),
        ("gone", "Gone", "cannot be loaded: AttributeError: module 'orchard' has no attribute 'Gone'."),
    ],
)
def test_what_cannot_be_used_is_named_and_hides_nothing(
    kind: str, name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fruit = family(monkeypatch, (kind, name))
    said = f"The plug-in {kind!r} of orchard 1.0 (orchard:{name}) {what}"
    with pytest.warns(PluginWarning) as caught:
        assert kinds(fruit) == {"apple": Apple}
    assert [str(each.message) for each in caught] == [f"fruits: {said}"]
    assert kinds(fruit) == {"apple": Apple}  # and is not told again
    if kind != "apple":
        with pytest.raises(RequestError) as refused:
            make(fruit, "fruit", {"kind": kind})
        assert str(refused.value) == f"fruit: unknown kind {kind!r}. Known: apple. {said}"


def test_nothing_is_imported_before_the_kinds_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fruit = family(monkeypatch, ("gone", "Gone"))  # its import would warn
    found = family_of(fruit)
    assert found is not None
    assert found.faults == {}
