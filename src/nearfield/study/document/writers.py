"""Writers of the document of a study: HTML, Markdown, PDF, separate figures."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from nearfield.core.errors import WorkError
from nearfield.core.files import replacing, write_text
from nearfield.study.document.content import Block, Content, Figure, Items, Paragraph, Part, Strong, Table
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
    """Returns title, question, answer and short sections as GitHub Markdown, with links to the whole
    document."""
    lines = [f"# {_safe(content.question)}", "", f"*{_safe(content.title)}*", "", "## The answer", ""]
    for block in content.answer:
        lines += _block(block)
    for section in content.sections:
        if section.short:
            lines += [f"## {_safe(section.title)}", ""]
            lines += [line for block in section.blocks for line in _block(block)]
    lines += [f"{_safe(content.line)}. In full: [study.html](study.html), [study.pdf](study.pdf).", ""]
    return "\n".join(lines)


def _block(block: Block) -> Iterator[str]:
    """Yields the lines of a block; a figure is a link to its file."""
    if isinstance(block, Paragraph):
        yield from ("".join(map(_part, block.parts)).strip(), "")
    elif isinstance(block, Table):
        yield from (*_table(block), "", _safe(block.caption), "")
    elif isinstance(block, Figure):
        yield from (f"![{_safe(block.caption)}](figures/{block.name}.svg)", "")
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
    sections = [section["blocks"] for section in plain["sections"]]
    for block in [block for blocks in (plain["answer"], *sections) for block in blocks]:
        if block["kind"] == "figure":
            block["svg"] = for_print(block["svg"])
    try:
        made: bytes = typst.compile(
            str(TEMPLATE), format="pdf", ignore_system_fonts=True, sys_inputs={"content": json.dumps(plain)}
        )
    except RuntimeError as error:
        raise WorkError(f"study.pdf: Typst refused the document: {error}") from None
    return made


# Files for papers: each figure as SVG and PDF, each table as CSV and LaTeX.

FIGURE = Path(__file__).parent / "templates" / "figure.typ"


def write_figures(content: Content, folder: Path) -> None:
    """Writes the figures of `content` to `folder` as SVG and PDF, and removes earlier ones."""
    import typst

    figures = [block for block in content.blocks() if isinstance(block, Figure)]
    _clear(folder, {f"{each.name}{kind}" for each in figures for kind in (".svg", ".pdf")})
    for each in figures:
        svg = alone(for_print(each.svg))
        write_text(folder / f"{each.name}.svg", svg)
        asked = {"svg": svg, "name": each.name, "alt": each.caption}
        made: bytes = typst.compile(str(FIGURE), format="pdf", ignore_system_fonts=True, sys_inputs=asked)
        with replacing(folder / f"{each.name}.pdf") as temporary:
            temporary.write_bytes(made)


def write_tables(content: Content, folder: Path) -> None:
    """Writes the tables of `content` to `folder` as CSV and LaTeX, and removes earlier ones."""
    tables = [block for block in content.blocks() if isinstance(block, Table)]
    _clear(folder, {f"{each.name}{kind}" for each in tables for kind in (".csv", ".tex")})
    for table in tables:
        write_text(folder / f"{table.name}.csv", comma_separated(table))
        write_text(folder / f"{table.name}.tex", latex(table))


def _clear(folder: Path, kept: set[str]) -> None:
    """Makes the folder, and removes files of the kinds in `kept` that are not in it."""
    folder.mkdir(exist_ok=True)
    kinds = {Path(name).suffix for name in kept}
    for path in folder.iterdir():
        if path.suffix in kinds and path.name not in kept:
            path.unlink()


def comma_separated(table: Table) -> str:
    """Returns the table as CSV: numbers with the minus sign of programs, empty cells where the table has a
    dash."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.head)
    for row in table.rows:
        if row.style != "block":
            writer.writerow("" if cell == "—" else cell.replace("−", "-") for cell in row.cells)
    return text.getvalue()


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
        cells = [
            f"\\textbf{{{tex(cell)}}}" if row.style in ("marked", "block") else tex(cell)
            for cell in row.cells
        ]
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
