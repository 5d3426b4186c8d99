"""The pages of the reference, written from the program: keys, kinds, metrics, commands, the Python API.

    make docs       # the whole site, in site/

mkdocs calls the functions `on_...` (see mkdocs.yml), so that nothing generated is kept in git. `pages` needs
no mkdocs.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

import nearfield
from nearfield.cli.families import WRITTEN, families, from_elsewhere, of_the_library
from nearfield.cli.main import app
from nearfield.cli.reference import limits, sections, shown_default
from nearfield.core.keys import Key, keys
from nearfield.core.settings import kinds
from nearfield.core.text import first_paragraph
from nearfield.metrics.registry import BASELINES, FAMILIES, NEEDS, PARAMETERS, MetricRow, rows
from nearfield.study.facts import introductions
from nearfield.training.recipe import Recipe

HERE = Path(__file__).parent
EXTERNAL = re.compile(
    r"<(?:script|img|iframe|source|audio|video)\b[^>]*?\bsrc=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*?\bhref=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|url\([\"']?(?:https?:)?//[^)]+|@import\s+[\"'](?:https?:)?//[^\"']+",
    re.IGNORECASE,
)
"""What makes a browser fetch something from elsewhere; links that a reader follows do not."""
STUDY_LINKS = "[study.html](study.html), [study.pdf](study.pdf)"


# Pages, by their path in the site.


def pages() -> dict[str, str]:
    """Every generated page: its path to its Markdown."""
    found = {
        "reference/recipe.md": recipe_page(),
        "reference/study.md": study_page(),
        "reference/metrics.md": metrics_page(),
        "reference/commands.md": commands_page(),
        "reference/python.md": python_page(),
        "small.md": small_page(),
    }
    return found | {f"reference/kinds/{name}.md": kinds_page(name) for name in families()}


def recipe_page() -> str:
    """The sections of a recipe: families of kinds, and the keys of the fixed sections."""
    lines = [
        "# Recipe",
        "",
        "A recipe is a YAML file of these sections. Each has a default, so a recipe names only what differs.",
        "`nearfield recipe labels` prints a whole one; `--set SECTION.KEY=VALUE` changes a key.",
        "",
        "| section | what it decides | default |",
        "|---|---|---|",
    ]
    fixed, plural = sections(), families_of_sections()
    for key in keys(Recipe, inner=False):
        place = f"#{key.name}" if key.name in fixed else f"kinds/{plural[key.name]}.md"
        default = "" if key.name in fixed else _code(shown_default(key.default))
        lines.append(f"| [`{key.name}`]({place}) | {_cell(key.about)} | {default} |")
    for name, settings in fixed.items():
        if name != "study":
            lines += ["", f"## {name}", "", first_paragraph(settings.__doc__), "", *_keys(keys(settings))]
            lines += _introductions(name)
    return _page(lines)


def families_of_sections() -> dict[str, str]:
    """The family whose kinds a section of a recipe names: {"loss": "losses"}."""
    known = {frozenset(kinds(union)): name for name, union in families().items()}
    fixed = sections()
    found = {}
    for name, field in Recipe.model_fields.items():
        if name not in fixed:
            several = get_origin(field.annotation) is tuple
            union = get_args(field.annotation)[0] if several else field.rebuild_annotation()
            found[name] = known[frozenset(kinds(union))]
    return found


def study_page() -> str:
    """The keys of a study file."""
    lines = [
        "# Study",
        "",
        "A study file asks one question of a recipe. `nearfield study print margin` prints a shipped one. "
        "[Metrics](metrics.md) lists what may judge it.",
        "",
        *_keys(keys(sections()["study"])),
    ]
    return _page(lines)


def kinds_page(family: str) -> str:
    """The kinds of a family, each with its keys."""
    section = next((name for name, plural in families_of_sections().items() if plural == family), "")
    lines = [f"# {family.capitalize()}", "", _written(family, section), ""]
    if f"{section}.kind" in introductions():
        lines += [introductions()[f"{section}.kind"], ""]
    for kind, settings in kinds(families()[family]).items():
        lines += [f"## {kind}", "", _paragraphs(settings.__doc__), "", *_keys(keys(settings))]
        lines += [*_introductions(f"{section}.{kind}"), ""]
    for sentence in from_elsewhere(family):
        lines += [sentence, ""]
    if family == "losses":
        lines += ["## Losses of pytorch-metric-learning", "", of_the_library()]
    return _page(lines)


def _written(family: str, section: str) -> str:
    if family in WRITTEN:
        return f"Kinds of {family}{WRITTEN[family]}."
    every = f"`nearfield list {family}` shows the same."
    if section == "augment":
        return f"A list of these stands under `augment:` in a recipe, such as `- {{kind: noise}}`. {every}"
    return f"One of these stands under `{section}:` in a recipe, as `kind:` and its keys. {every}"


def metrics_page() -> str:
    """Every metric."""
    lines = [
        "# Metrics",
        "",
        "An evaluation writes these into `result.json`, a training the curves `val` and `train` into "
        "`metrics.jsonl`, each as FAMILY/NAME. A study may be judged by those marked *, and describe all but "
        "the curves. Headlines, in bold, stand in tables and comparisons.",
        "",
        "Parameters: "
        + "; ".join(f"`{name}`: {', '.join(each)}" for name, each in PARAMETERS.items() if each)
        + ".",
    ]
    for family in FAMILIES:
        here = [row for row in rows().values() if row.family is family]
        lines += ["", f"## {family.prefix}", "", family.about]
        if family.needs:
            lines[-1] += f" Needs {', '.join(NEEDS[each] for each in family.needs)}."
        if family.refused:
            lines[-1] += f" Judges no study: {family.refused}."
        if family.prefix == "baseline/{space}":
            lines += ["", "| space | what it is |", "|---|---|"]
            lines += [f"| `{each.name}` | {_cell(each.about)} |" for each in BASELINES]
            continue
        lines += ["", "| metric | range, better | judges | what it is |", "|---|---|---|---|"]
        lines += [_metric(row) for row in here]
    return _page(lines)


def _metric(row: MetricRow) -> str:
    name = f"`{row.metric.name}`"
    if row.is_headline:
        name = f"**{name}**"
    more = [NEEDS[each] for each in row.own_needs]
    about = f"{row.metric.about} Needs {', '.join(more)}." if more else row.metric.about
    return f"| {' | '.join(map(_cell, (name, limits(row), '' if row.refused else '*', about)))} |"


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        "`nearfield COMMAND --help` shows the same. `--json` prints an answer for programs; "
        "`nearfield --install-completion` installs completion for the shell. Exit codes: 0 done, 1 the work "
        "failed, 2 the request was wrong, 130 stopped by Ctrl-C.",
    ]
    for path, command in commands():
        context = command.make_context(path[-1], [], resilient_parsing=True)
        lines += ["", f"## nearfield {' '.join(path)}", "", _paragraphs(command.help), ""]
        lines += ["| argument or option | what it is |", "|---|---|"]
        for param in command.params:
            if param.name != "help":
                name, about = param.get_help_record(context)
                lines.append(f"| `{_cell(name)}` | {_cell(about)} |")
    return _page(lines)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the command line with the words that call it; groups are left out."""
    from typer.main import get_command

    def inside(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, each in group.commands.items():
            if hasattr(each, "commands"):
                yield from inside(each, (*path, name))
            else:
                yield (*path, name), each

    return inside(get_command(app), ())


def python_page() -> str:
    """The public names with a sentence each, then each in full, which mkdocstrings takes from docstrings."""
    lines = [
        "# Python",
        "",
        "Public, too, are `nearfield.losses.pml` (losses under pytorch-metric-learning's names, see "
        "[Python](../python.md)) and the base classes that [Extending it](../extend.md) names. "
        "Everything else may change.",
        "",
    ]
    lines += ["| name | what it is |", "|---|---|"]
    every = public_names()
    lines += [f"| `{name}` | {_cell(first_paragraph(found.__doc__))} |" for name, found in every.items()]
    lines.append("")
    for name, found in every.items():
        lines += _entry(name, found)
    return _page(lines)


def public_names() -> dict[str, Any]:
    """Every name of the front door, and of the modules among them, with its object."""
    found: dict[str, Any] = {}
    for name in nearfield.__all__:
        found[f"nearfield.{name}"] = each = getattr(nearfield, name)
        for inner in each.__all__ if inspect.ismodule(each) else ():
            found[f"nearfield.{name}.{inner}"] = getattr(each, inner)
    return found


def _entry(name: str, found: Any) -> list[str]:
    """A public name, which may be another than the one under which the thing is defined."""
    is_module = inspect.ismodule(found)
    home = found.__name__ if is_module else f"{found.__module__}.{found.__qualname__}"
    lines = [f"::: {home}", "    options:", f"      heading: {name}", f"      toc_label: {name}"]
    return [*lines, *(["      members: false"] if is_module else []), ""]


def small_page() -> str:
    """docs/small.py, as it is."""
    text = (HERE / "small.py").read_text(encoding="utf-8")
    head = ["# The whole idea in one file", "", "`python docs/small.py` runs it.", ""]
    return _page([*head, "```python", text, "```"])


# Tables of keys.


def _keys(every: Iterable[Key]) -> list[str]:
    found = list(every)
    if not found:
        return ["No keys."]
    lines = ["| key | type and range | default | what it does |", "|---|---|---|---|"]
    for key in found:
        cells = (f"`{key.name}`", key.allowed, _code(shown_default(key.default)), key.about)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return lines


def _introductions(before: str) -> list[str]:
    """What keys do and what fails at both ends, as studies say it; `before`: "train", "loss.triplet"."""
    texts = {key.removeprefix(f"{before}."): text for key, text in introductions().items() if before in key}
    own = {key: text for key, text in texts.items() if "." not in key and key != "kind"}
    return [line for key, text in own.items() for line in ("", f"**`{key}`**: {text}")]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _paragraphs(doc: str | None) -> str:
    return inspect.cleandoc(doc or "")


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


# What mkdocs calls while it builds.


def on_files(files: Any, config: Any) -> Any:
    """Adds the generated pages; the short form of a study stands beside its study.html, not in its place."""
    file_class = import_module("mkdocs.structure.files").File
    for path, text in pages().items():
        files.append(file_class.generated(config, path, content=text))
    for each in files:
        if each.src_uri.startswith("studies/") and each.src_uri.endswith("/study.md"):
            each.dest_uri = each.src_uri.replace("study.md", "index.html")
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links that lead out of docs/ on a disk lead nowhere on a site."""
    folder = Path(page.file.abs_src_path).parent if page.file.abs_src_path else HERE
    if STUDY_LINKS in markdown and not (folder / "study.html").is_file():
        markdown = markdown.replace(STUDY_LINKS, "`make documents`")
    return re.sub(r"\[([^]]+)\]\(\.\./README\.md\)", r"\1", markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Fails the build where a page would fetch something from the network."""
    if found := external(output):
        raise SystemExit(f"{page.file.src_uri}: fetched from the network: {', '.join(found)}")
    return output


def external(text: str) -> list[str]:
    """What of an HTML page or a style sheet would be fetched from elsewhere."""
    return EXTERNAL.findall(text)
