"""Refused settings become whole sentences: key, what was given, what is allowed, the nearest spelling."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from nearfield.core.errors import RequestError, choose, nearest
from nearfield.core.settings import Settings, kinds, make, sentences


class Apple(Settings):
    """An apple."""

    kind: Literal["apple"] = "apple"
    weight: float = Field(0.2, gt=0, le=4)


class Bread(Settings):
    """A loaf."""

    kind: Literal["bread"] = "bread"
    slices: int = 8


Food = Annotated[Apple | Bread, Field(discriminator="kind")]


class Basket(Settings):
    """What is carried."""

    first: Food = Apple()
    rest: tuple[Food, ...] = ()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"frist": 1}, "basket: unknown key 'frist'. Did you mean 'first'? Known: first, rest."),
        (
            {"first": {"kind": "appel"}},
            "basket: first: unknown kind 'appel'. Did you mean 'apple'? Known: apple, bread.",
        ),
        (
            {"first": {"kind": "apple", "wieght": 1}},
            "basket: first: unknown key 'wieght'. Did you mean 'weight'? Known: weight.",
        ),
        (
            {"first": {"kind": "apple", "weight": 9}},
            "basket: first.weight: input should be less than or equal to 4. Given: 9.",
        ),
        ({"rest": [{}]}, "basket: rest[0]: no kind given. Known: apple, bread."),
        (
            {"rest": [{"kind": "bread"}, {"kind": "bread", "slices": "many"}]},
            "basket: rest[1].slices: a whole number is wanted. Given: 'many'.",
        ),
    ],
)
def test_whole_sentences(given: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(Basket, "basket", given)
    assert str(caught.value) == text


def test_several_complaints_are_all_told() -> None:
    with pytest.raises(RequestError) as caught:
        make(Basket, "basket", {"first": {"kind": "apple", "weight": -1}, "rst": 1})
    assert len(str(caught.value).splitlines()) == 2


def test_a_family_lists_its_kinds() -> None:
    assert list(kinds(Food)) == ["apple", "bread"]


def test_the_nearest_word_is_near() -> None:
    assert nearest("Tripelt", ["triplet", "circle"]) == "triplet"
    assert nearest("xyz", ["triplet", "circle"]) is None
    assert choose("xyz", ["a"]) == "Known: a."


class Rye(Bread):
    """A loaf of rye."""

    slices: int = 12
    """How many
    it is cut into."""
    crust: bool = True
    whole: bool = False
    """Whether it is cut at all."""


class Sour(Rye):
    """A sour one."""

    whole: bool = True
    """Whether it is not cut."""


def test_sentences_under_keys_are_read_with_those_of_what_is_extended() -> None:
    assert sentences(Rye) == {"slices": "How many\nit is cut into.", "whole": "Whether it is cut at all."}
    assert sentences(Sour) == sentences(Rye) | {"whole": "Whether it is not cut."}
    assert sentences(Apple) == {}


def test_a_class_within_a_function_has_its_sentences_and_one_without_source_has_none() -> None:
    class Inner(Settings):
        """Within."""

        size: int = 1
        """How large."""

    assert sentences(Inner) == {"size": "How large."}
    assert sentences(create_model("Made", __base__=Rye)) == sentences(Rye)
