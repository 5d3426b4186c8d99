"""Writers of the document of a study: HTML, Markdown, PDF, separate figures."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from nearfield.core.errors import WorkError
from nearfield.core.files import replacing, write_text
from nearfield.study.document.content import Block, Content, Items, Paragraph, Part, Picture, Strong, Table
from nearfield.study.document.figures import alone, for_page, for_print

# The HTML page: one file that needs no network, for all screens, light and dark themes, and printing.

TEMPLATES = Path(__file__).parent / "templates"


def html(content: Content) -> str:
    """Returns the whole document as one HTML page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda svg: Markup(for_page(svg))
    return environment.get_template("study.html.jinja").render(content.plain()) + "\n"


# The short form in Markdown: question, verdict and evidence.


def markdown(content: Content) -> str:
    """Returns title, question, abstract and short sections as GitHub Markdown, with links to the whole
    document."""
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
    """Yields the lines of a block; none for figures, which the short form omits."""
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
    """Escapes the markup of Markdown and HTML in text."""
    return re.sub(r"[\\`*]|(?<!\w)_|_(?!\w)|<(?=[a-zA-Z/!])|\[(?=[^]]*]\()", r"\\\g<0>", text).replace(
        "\n", " "
    )


# The PDF, set by Typst.

TEMPLATE = Path(__file__).parent / "templates" / "study.typ"


def pdf(content: Content) -> bytes:
    """Returns the whole document as PDF in A4, with the fonts of Typst only, so that it is the same
    everywhere.

    Raises WorkError if Typst fails.
    """
    import typst

    plain = content.plain()
    for section in plain["sections"]:
        for block in section["blocks"]:
            if block["kind"] == "picture":
                block["svg"] = for_print(block["svg"])
    try:
        made: bytes = typst.compile(
            str(TEMPLATE), format="pdf", ignore_system_fonts=True, sys_inputs={"content": json.dumps(plain)}
        )
    except RuntimeError as error:
        raise WorkError(f"study.pdf: Typst refused the document: {error}") from None
    return made


# Files for papers: each figure as SVG and PDF, and the verdicts as a LaTeX table.

FIGURE = Path(__file__).parent / "templates" / "figure.typ"
KINDS = (".svg", ".pdf", ".tex")


def write_figures(content: Content, folder: Path) -> None:
    """Writes the figures of `content` and the tables of its abstract to `folder`, and removes earlier
    ones."""
    import typst

    folder.mkdir(exist_ok=True)
    pictures = [block for block in content.blocks() if isinstance(block, Picture)]
    tables = [block for block in content.abstract if isinstance(block, Table)]
    kept = {f"{each.name}{kind}" for each in pictures for kind in (".svg", ".pdf")}
    kept |= {f"{each.name}.tex" for each in tables}
    for path in folder.iterdir():
        if path.suffix in KINDS and path.name not in kept:
            path.unlink()
    for each in pictures:
        svg = alone(for_print(each.svg))
        write_text(folder / f"{each.name}.svg", svg)
        asked = {"svg": svg, "name": each.name, "alt": each.caption}
        made: bytes = typst.compile(str(FIGURE), format="pdf", ignore_system_fonts=True, sys_inputs=asked)
        with replacing(folder / f"{each.name}.pdf") as temporary:
            temporary.write_bytes(made)
    for table in tables:
        write_text(folder / f"{table.name}.tex", latex(table))


def latex(table: Table) -> str:
    """Returns the table as LaTeX with the package booktabs."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        f"\\caption{{{tex(table.caption)}}}",
        f"\\begin{{tabular}}{{{'l' * len(table.head)}}}",
        "\\toprule",
        " & ".join(map(tex, table.head)) + " \\\\",
        "\\midrule",
    ]
    for row in table.rows:
        cells = [f"\\textbf{{{tex(cell)}}}" if row.style == "marked" else tex(cell) for cell in row.cells]
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def tex(text: str) -> str:
    """Escapes the markup of TeX in text."""
    plain = re.sub(r"[\\{}]", lambda found: {"\\": "\0"}.get(found[0], f"\\{found[0]}"), text)
    plain = re.sub(r"([&%$#_])", r"\\\1", plain).replace("\0", "\\textbackslash{}")
    for sign, words in _SIGNS.items():
        plain = plain.replace(sign, words)
    return plain


_SIGNS = {
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "−": "$-$",
    "×": "$\\times$",
    "<": "$<$",
    ">": "$>$",
    "—": "---",
    "–": "--",
}
