"""The short form: question, verdict and its evidence, for a README."""

import re
from collections.abc import Iterator

from nearfield.study.document.content import Block, Content, Items, Paragraph, Part, Strong, Table


def markdown(content: Content) -> str:
    """Title, question, abstract and short sections as GitHub's Markdown, and where the rest stands."""
    lines = [f"# {_safe(content.question)}", "", f"*{_safe(content.title)}*", ""]
    for block in content.abstract:
        lines += _block(block)
    for section in content.sections:
        if section.short:
            lines += [f"## {_safe(section.title)}", ""]
            lines += [line for block in section.blocks for line in _block(block)]
    lines += [f"{_safe(content.line)}. In full: [study.html](study.html), [study.pdf](study.pdf).", ""]
    return "\n".join(lines)


def _block(block: Block) -> Iterator[str]:
    """Lines; none of figures, which the short form leaves to the whole."""
    if isinstance(block, Paragraph):
        yield from ("".join(map(_part, block.parts)).strip(), "")
    elif isinstance(block, Table):
        yield from (*_table(block), "", _safe(block.caption), "")
    elif isinstance(block, Items):
        yield from (*(f"- {''.join(map(_part, item))}" for item in block.items), "")


def _part(part: Part) -> str:
    text = _safe(part if isinstance(part, str) else part.text)
    if isinstance(part, Strong):
        bare = text.strip()
        return text.replace(bare, f"**{bare}**")
    return text


def _table(table: Table) -> list[str]:
    marks = ["---"] * len(table.head)
    rows = [
        [f"**{_cell(c)}**" if row.style == "marked" else _cell(c) for c in row.cells] for row in table.rows
    ]
    return [f"| {' | '.join(cells)} |" for cells in ([_cell(head) for head in table.head], marks, *rows)]


def _cell(text: str) -> str:
    return _safe(text).replace("|", "\\|").replace("\n", " ")


def _safe(text: str) -> str:
    """`text` with what Markdown or HTML would take for markup made plain."""
    return re.sub(r"[\\`*]|(?<!\w)_|_(?!\w)|<(?=[a-zA-Z/!])|\[(?=[^]]*]\()", r"\\\g<0>", text).replace(
        "\n", " "
    )
