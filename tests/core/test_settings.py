"""Refused settings become whole sentences: key, what was given, what is allowed, the nearest spelling."""

import time
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from nearfield.core.errors import RequestError, choose, nearest
from nearfield.core.plain_yaml import read_yaml
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


BOMB = "\n".join([f"a0: &a0 [{', '.join(['x'] * 10)}]"] + [
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
])  # fmt: skip
HOSTILE = {
    "a bomb of aliases": (BOMB, "it expands to 1.*keys and values; 20,000 at most"),
    "an alias of itself": ("a: &a [1, *a]", "an alias refers to a value that contains it"),
    "a date that is none": ("a: 2020-13-45", "is not YAML: month must be in 1..12"),
    "very many digits": ("a: " + "9" * 6000, "is not YAML: Exceeds the limit"),
    "digits that are none": ("a: 0x_", "is not YAML: invalid literal"),
    "a tag that lies": ("a: !!int abc", "is not YAML: invalid literal"),
    "deep nesting": ("a: " + "[" * 500 + "]" * 500, "more than 32 deep"),
    "deep nesting of keys": ("{a: " * 500 + "}" * 500, "more than 32 deep"),
    "very many keys": ("\n".join(f"k{n}: 1" for n in range(40_000)), "too many keys and values"),
    "a very long text": ("a: " + "x" * 600_000, "it has 600,003 characters"),
    "a list as a key": ("[1, 2]: 3", "is not YAML"),
    "a key twice": ("a: 1\na: 2", "the key 'a' is given twice"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_a_short_sentence_soon(name: str) -> None:
    text, told = HOSTILE[name]
    before = time.process_time()
    with pytest.raises(RequestError, match=told) as raised:
        read_yaml(text, "r.yaml")
    assert str(raised.value).startswith("r.yaml")
    assert len(str(raised.value)) < 700
    assert time.process_time() - before < 5


def test_harmless_aliases_are_read() -> None:
    assert read_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]", "r.yaml") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }
    assert read_yaml("", "r.yaml") is None


def test_complaints_are_few_and_short() -> None:
    class Small(Settings):
        """One number."""

        number: int = 1

    given = {"number": "x" * 10_000} | {f"k{n}": 1 for n in range(500)} | {"k" * 10_000: 1}
    with pytest.raises(RequestError, match=r"and 482 more complaints\.") as raised:
        make(Small, "r.yaml", given)
    assert len(str(raised.value)) < 3000
    assert "Given: 'xxxxx" in str(raised.value)
    assert "(10,002 characters)" in str(raised.value)
