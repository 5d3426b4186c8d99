"""The paper: the same document set by Typst."""

import json
from pathlib import Path

from nearfield.core.errors import WorkError
from nearfield.study.document.content import Content
from nearfield.study.figures import for_print

TEMPLATE = Path(__file__).parent / "templates" / "study.typ"


def pdf(content: Content) -> bytes:
    """A4, with the fonts that come with Typst only, so that it is the same everywhere.

    Raises WorkError where Typst refuses the document.
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
