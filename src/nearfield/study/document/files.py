"""What a paper can take from a study: each figure as SVG and PDF, and the verdicts as a table for LaTeX."""

import re
from pathlib import Path

from nearfield.core.files import replacing, write_text
from nearfield.study.document.content import Content, Picture, Table
from nearfield.study.figures import alone, for_print

TEMPLATE = Path(__file__).parent / "templates" / "figure.typ"
KINDS = (".svg", ".pdf", ".tex")


def write_figures(content: Content, folder: Path) -> None:
    """Writes the figures of `content` and its first table into `folder`, and removes what was there
    before."""
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
        made: bytes = typst.compile(str(TEMPLATE), format="pdf", ignore_system_fonts=True, sys_inputs=asked)
        with replacing(folder / f"{each.name}.pdf") as temporary:
            temporary.write_bytes(made)
    for table in tables:
        write_text(folder / f"{table.name}.tex", latex(table))


def latex(table: Table) -> str:
    """The table with the rules of the package booktabs."""
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
    """`text` with what TeX would read as markup made plain."""
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
