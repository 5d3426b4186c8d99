"""The content of the document of a study for all formats: sections of paragraphs, lists, tables and figures.

HTML, PDF and Markdown are written from this model, so their content is the same.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nearfield.study.claims import Claim


@dataclass(frozen=True)
class Quoted:
    """Text from the plan, a source or a run; it is not checked for unsupported comparisons."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Emphasized text."""

    text: str


Part = str | Claim | Quoted | Strong


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Items:
    """A list; each item consists of parts."""

    items: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True)
class Row:
    """One line of a table. A "block" row has one cell, the heading of the rows below it."""

    cells: tuple[str, ...]
    style: Literal["", "block", "marked", "baseline"] = ""


@dataclass(frozen=True)
class Table:
    """A table; columns after the first `words` contain numbers, which are not wrapped."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    words: int = 1


@dataclass(frozen=True)
class Figure:
    """A figure as SVG, drawn by the module `figures`."""

    name: str
    caption: str
    svg: str
    key: str = ""
    """Names that belong to the caption but are not checked."""


@dataclass(frozen=True)
class Code:
    """A command."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


Block = Paragraph | Items | Table | Figure | Code | Heading


@dataclass(frozen=True)
class Section:
    """A numbered section, or an unnumbered one at the end."""

    title: str
    blocks: tuple[Block, ...]
    numbered: bool = True
    short: bool = False
    """Whether it is also in the short form."""


@dataclass(frozen=True)
class Content:
    """A whole document."""

    title: str
    question: str
    line: str
    """The line below the title."""
    answer: tuple[Block, ...]
    """What stands before the first section: the answer, its table and its figure."""
    sections: tuple[Section, ...]

    def blocks(self) -> Iterator[Block]:
        """Yields all blocks in reading order."""
        yield from self.answer
        for section in self.sections:
            yield from section.blocks

    def own_text(self) -> str:
        """Returns all text of the document, with captions but without quoted text, one line per paragraph."""
        lines: list[str] = []
        for block in self.blocks():
            if isinstance(block, Paragraph):
                lines.append(own(block.parts))
            elif isinstance(block, Items):
                lines += [own(item) for item in block.items]
            elif isinstance(block, Table | Figure):
                lines.append(block.caption)
        return "\n".join(lines)

    def plain(self) -> dict[str, Any]:
        """Returns the document as plain values for templates; tables and figures are numbered."""
        numbers = {"table": 0, "figure": 0}

        def block(each: Block) -> dict[str, Any]:
            kind = type(each).__name__.lower()
            found = {"kind": kind, **asdict(each)}
            if isinstance(each, Paragraph):
                found["parts"] = [_plain_part(part) for part in each.parts]
            elif isinstance(each, Items):
                found["items"] = [[_plain_part(part) for part in item] for item in each.items]
            elif kind in numbers:
                numbers[kind] += 1
                found["number"] = numbers[kind]
            return found

        count = iter(range(1, 100))
        return {
            "title": self.title,
            "question": self.question,
            "line": self.line,
            "answer": [block(each) for each in self.answer],
            "sections": [
                {
                    "title": section.title,
                    "number": next(count) if section.numbered else None,
                    "blocks": [block(each) for each in section.blocks],
                }
                for section in self.sections
            ],
        }


def own(parts: tuple[Part, ...]) -> str:
    """The document's own words among `parts`; an ellipsis stands for those of others."""
    return "".join(
        part if isinstance(part, str) else "… " if isinstance(part, Quoted) else part.text for part in parts
    )


def said(parts: tuple[Part, ...]) -> str:
    """All the words of `parts`."""
    return "".join(part if isinstance(part, str) else part.text for part in parts)


def _plain_part(part: Part) -> dict[str, str]:
    if isinstance(part, Claim):
        return {
            "kind": "claim",
            "text": part.text,
            "one": part.comparison.one,
            "other": part.comparison.other,
        }
    if isinstance(part, str):
        return {"kind": "text", "text": part}
    return {"kind": type(part).__name__.lower(), "text": part.text}
