"""The reference: nothing without its sentence, every page in the site, and a site that fetches nothing."""

import re
import subprocess
import sys
from functools import cache
from inspect import getdoc, isclass, isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import nearfield
from nearfield.cli.families import as_plain, families
from nearfield.cli.reference import sections
from nearfield.core.keys import keys
from nearfield.core.settings import kinds
from nearfield.metrics.registry import rows
from tests.scripts import script

ROOT = Path(__file__).parents[1]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def reference() -> ModuleType:
    """docs/reference.py, which is a script."""
    return script("reference")


@cache
def pages() -> dict[str, str]:
    made: dict[str, str] = reference().pages()
    return made


def is_sentence(text: str) -> bool:
    """Whether a text says something, and ends."""
    return len(text.split()) > 1 and text.rstrip("`'\")").endswith((".", ":", "?"))


@pytest.mark.parametrize("section", list(sections()))
def test_every_key_of_a_section_has_a_sentence(section: str) -> None:
    page = pages()["reference/study.md" if section == "study" else "reference/recipe.md"]
    for key in keys(sections()[section]):
        assert is_sentence(key.about), f"{section}.{key.name}: no sentence stands under it"
        assert f"| `{key.name}` | " in page, key.name


@pytest.mark.parametrize("family", list(families()))
def test_every_kind_and_its_keys_have_a_sentence(family: str) -> None:
    page = pages()[f"reference/kinds/{family}.md"]
    for kind, settings in kinds(families()[family]).items():
        assert is_sentence(as_plain(family)[family][kind]["about"]), f"{family}: {kind}: no docstring"
        assert f"\n## {kind}\n" in page
        for key in keys(settings):
            assert is_sentence(key.about), f"{family}: {kind}: {key.name}: no sentence stands under it"
            assert f"| `{key.name}` | " in page


def test_every_command_and_option_has_a_sentence() -> None:
    page = pages()["reference/commands.md"]
    every = dict(reference().commands())
    assert len(every) > 30
    for path, command in every.items():
        called = " ".join(path)
        about = command.help or ""
        assert is_sentence(about.split("\n\n")[0]) or about.endswith(".yaml"), f"{called}: no docstring"
        assert f"\n## nearfield {called}\n" in page
        for param in command.params:
            words = (param.help or "").split()
            assert len(words) > 1 or param.name == "help", f"{called}: {param.name}: no help"


def test_every_metric_has_a_sentence() -> None:
    page = pages()["reference/metrics.md"]
    for pattern, row in rows().items():
        assert is_sentence(row.metric.about), f"{pattern}: no sentence in its row"
        assert is_sentence(row.family.about), row.family.prefix
        assert f"\n## {row.family.prefix}\n" in page
        assert f"`{row.metric.name}`" in page


@pytest.mark.parametrize("name", nearfield.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    found = getattr(nearfield, name)
    assert (getdoc(found) or "").strip(), f"nearfield.{name}: no docstring"
    for shown in [name, *(f"{name}.{inner}" for inner in getattr(found, "__all__", ()))]:
        assert f"      heading: nearfield.{shown}\n" in pages()["reference/python.md"]
    if isclass(found) and found.__module__.startswith("nearfield"):
        for method, of in vars(found).items():
            is_public = isfunction(of) or isinstance(of, classmethod | property)
            if is_public and not method.startswith("_"):
                assert getdoc(getattr(found, method)), f"nearfield.{name}.{method}: no docstring"


def test_every_public_name_is_listed_with_a_sentence() -> None:
    listed = dict(re.findall(r"^\| `(nearfield[\w.]+)` \| (.+) \|$", pages()["reference/python.md"], re.M))
    named = [f"nearfield.{name}" for name in nearfield.__all__]
    assert [name for name in listed if name.count(".") == 1] == named
    assert {f"nearfield.losses.{name}" for name in nearfield.losses.__all__} == {*listed} - {*named}
    for name, sentence in listed.items():
        assert is_sentence(sentence), name


def linked(nav: Any) -> list[str]:
    """Every page that the navigation names."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in linked(each)]


def test_every_page_is_in_the_site_and_no_other() -> None:
    written = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(linked(SITE["nav"])) == sorted({*written, *pages(), "studies/README.md"})


def test_what_a_browser_would_fetch_is_seen() -> None:
    external = reference().external
    for text in (
        '<script src="https://cdn.example/a.js"></script>',
        "<img alt='' src=//pictures.example/a.png>",
        '<link rel="stylesheet" href="https://fonts.example/css?family=Roboto">',
        "body { background: url(https://pictures.example/a.png) }",
        '@import "http://styles.example/a.css";',
    ):
        assert len(external(text)) == 1, text
    for text in (
        '<a href="https://docs.example">read</a>',
        '<script src="assets/a.js"></script><img src="judge.svg"><link href="site.css" rel="stylesheet">',
        '<link rel="canonical" href="https://site.example/">',
    ):
        assert external(text) == []


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_fetches_nothing(tmp_path: Path) -> None:
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="the site is not built: pip install '.[docs]'")
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".css")]
    assert len(made) > 50
    for path in made:
        assert reference().external(path.read_text(encoding="utf-8")) == [], path.name
    assert 'class="doc doc-object doc-class"' in (tmp_path / "reference" / "python.html").read_text()
    assert (tmp_path / "studies" / "margin" / "index.html").is_file()
