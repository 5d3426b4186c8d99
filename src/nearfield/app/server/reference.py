"""The reference of the API as one plain page, made of its OpenAPI document."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    "<title>Nearfield: reference of the API</title>"
    "<h1>Reference of the API</h1><p>The same for programs: <a href=/openapi.json>/openapi.json</a>. "
    "Errors are JSON with a sentence as <code>detail</code>.</p>"
)


def reference_page(document: Mapping[str, Any]) -> str:
    """HTML: every route with what it does, what may be sent, and what it answers."""
    return _HEAD + "".join(
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(route.get('description', ''))}</p>"
        + _table(list(_fields(document, route)))
        + f"<p>Answers: {escape(', '.join(_answers(route)))}</p>"
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    )


def _fields(document: Mapping[str, Any], route: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, where it stands, type, and what is to be known of each thing that may be sent."""
    for field in route.get("parameters", ()):
        needed = ", needed" if field.get("required") else ""
        yield field["name"], field["in"] + needed, _kind(field["schema"]), field.get("description", "")
    for sort, body in route.get("requestBody", {}).get("content", {}).items():
        schema = body["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = document["components"]["schemas"].get(name, schema)
        place = "JSON" if sort == "application/json" else "form"
        for name, field in schema.get("properties", {}).items():
            needed = ", needed" if name in schema.get("required", ()) else ""
            yield name, place + needed, _kind(field), field.get("description", "")


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a word or two, with its range, choices and default."""
    some = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    one = some[0] if some else schema
    kind = "file" if one.get("contentMediaType") or one.get("format") == "binary" else one.get("type", "any")
    choices = one.get("enum") or ([one["const"]] if "const" in one else [])
    said = [" | ".join(map(str, choices)) if choices else kind]
    ranges = {"minimum": "from", "maximum": "to", "exclusiveMinimum": "above", "maxLength": "signs at most"}
    said += [f"{words} {one[key]}" for key, words in ranges.items() if key in one]
    if schema.get("default") not in (None, ""):
        said.append(f"default {schema['default']}")
    return ", ".join(said)


def _answers(route: Mapping[str, Any]) -> list[str]:
    return [
        " ".join([status, *answer.get("content", {})])
        for status, answer in sorted(route["responses"].items())
    ]


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    if not rows:
        return ""
    lines = ("".join(f"<td>{escape(cell)}" for cell in row) for row in rows)
    return (
        "<table border=1><tr><th>field<th>in<th>type<th>meaning"
        + "".join(f"<tr>{x}" for x in lines)
        + "</table>"
    )
