"""What a study's document says, once, for all its forms: sections of paragraphs, lists, tables and figures.

The page, the paper and the short form are written from this one model, so they never say different things.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nearfield.study.claims import Claim


@dataclass(frozen=True)
class Quoted:
    """Words that are not the document's own: of the plan, of a source, of a run. They are not checked."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str


Part = str | Claim | Quoted | Strong


@dataclass(frozen=True)
class Paragraph:
    """Parts in a row."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Items:
    """A list; each item is parts in a row."""

    items: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True)
class Row:
    """One line of a table. A "block" row has one cell, the heading of the rows below it."""

    cells: tuple[str, ...]
    style: Literal["", "block", "marked", "baseline"] = ""


@dataclass(frozen=True)
class Table:
    """A table; columns after the first `words` hold numbers, which never break across lines."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure as SVG, as `figures` draws it."""

    name: str
    caption: str
    svg: str
    key: str = ""
    """Names that belong to the caption and are not the document's own words."""


@dataclass(frozen=True)
class Code:
    """A command."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


Block = Paragraph | Items | Table | Picture | Code | Heading


@dataclass(frozen=True)
class Section:
    """A numbered section, or an unnumbered one at the end."""

    title: str
    blocks: tuple[Block, ...]
    numbered: bool = True
    short: bool = False
    """Whether it stands in the short form too."""


@dataclass(frozen=True)
class Content:
    """A whole document."""

    title: str
    question: str
    line: str
    """Below the title: what stands where a paper has its authors."""
    abstract: tuple[Block, ...]
    sections: tuple[Section, ...]

    def blocks(self) -> Iterator[Block]:
        """All blocks in reading order."""
        yield from self.abstract
        for section in self.sections:
            yield from section.blocks

    def own_text(self) -> str:
        """Every sentence that the document says in its own words, captions too: a line a paragraph."""
        lines: list[str] = []
        for block in self.blocks():
            if isinstance(block, Paragraph):
                lines.append(own(block.parts))
            elif isinstance(block, Items):
                lines += [own(item) for item in block.items]
            elif isinstance(block, Table | Picture):
                lines.append(block.caption)
        return "\n".join(lines)

    def plain(self) -> dict[str, Any]:
        """The document as values that JSON and templates hold; tables and figures with their numbers."""
        numbers = {"table": 0, "picture": 0}

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
            "abstract": [block(each) for each in self.abstract],
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
