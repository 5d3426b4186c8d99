"""The short form: question, verdict and its evidence, for a README."""

import re

from nearfield.study.document.content import Content, Paragraph, Part, Strong, Table


def markdown(content: Content) -> str:
    """Title, question and abstract as GitHub's Markdown, and where the rest stands."""
    lines = [f"# {_safe(content.title)}", "", f"*{_safe(content.question)}*", ""]
    for block in content.abstract:
        if isinstance(block, Paragraph):
            lines += ["".join(map(_part, block.parts)).strip(), ""]
        elif isinstance(block, Table):
            lines += [*_table(block), "", f"{_safe(block.caption)}", ""]
    lines += [f"{_safe(content.line)}. In full: [study.html](study.html), [study.pdf](study.pdf).", ""]
    return "\n".join(lines)


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
