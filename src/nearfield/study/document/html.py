"""The page: one file that needs no network, for wide and narrow screens, light and dark, and paper."""

from pathlib import Path

from nearfield.study.document.content import Content
from nearfield.study.figures import for_page

TEMPLATES = Path(__file__).parent / "templates"


def html(content: Content) -> str:
    """The whole document as one HTML page."""
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
