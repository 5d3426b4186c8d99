"""Parsing of untrusted YAML: limited size and depth, errors with clear messages."""

from typing import Any

import yaml

from nearfield.core.errors import RequestError
from nearfield.core.text import shortened

LETTERS = 500_000
VALUES = 20_000
"""Largest number of keys and values; values of aliases count each time."""
DEPTH = 32
"""Largest depth of nested lists and sections."""


def read_yaml(text: str, where: str) -> Any:
    """Parses YAML to plain values; `where` is the beginning of error messages.

    Raises RequestError for invalid YAML, a repeated key, an invalid number or date, or a text that exceeds
    the limits of this module.
    """
    if len(text) > LETTERS:
        raise RequestError(f"{where}: it has {len(text):,} characters; {LETTERS:,} at most.")
    try:
        _check_depth(text, where)
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node, where)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise RequestError(f"{where} is not YAML: {shortened(str(error), 500)}") from None


def _check_depth(text: str, where: str) -> None:
    """Checks the depth before parsing to nodes, which is recursive."""
    depth = 0
    for values, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        if values > 2 * VALUES:
            raise RequestError(f"{where}: it has too many keys and values; {VALUES:,} at most.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                raise RequestError(f"{where}: its lists and sections are nested more than {DEPTH} deep.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_size(root: yaml.Node, where: str) -> None:
    """Counts values as often as aliases repeat them: a few lines can expand to billions."""
    known: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in known:
            return known[id(node)]
        if id(node) in open_:
            raise RequestError(f"{where}: an alias refers to a value that contains it. Remove the alias.")
        open_.add(id(node))
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        total = 1 + sum(size(each) for each in inner)
        open_.discard(id(node))
        known[id(node)] = total
        return total

    found = size(root)
    if found > VALUES:
        number = shortened(f"{found:,}", 40)
        raise RequestError(f"{where}: it expands to {number} keys and values; {VALUES:,} at most.")


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that rejects repeated keys, of which YAML would silently use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<: the keys of an alias
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict | set):
                break  # the loader raises its own error
            if key in seen:
                text = f"the key {shortened(repr(key))} is given twice"
                raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
