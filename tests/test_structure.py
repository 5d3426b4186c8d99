"""The shape of the package: one way from room to room, and no circle of modules, deferred imports counted."""

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from nearfield.core.plugins import TABLE

ROOT = Path(__file__).parents[1] / "src"


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / "nearfield").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Modules of ours that a module imports anywhere: at the top, in a function, for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)


def graph() -> dict[str, set[str]]:
    """Module -> modules that it imports."""
    files = modules()
    return {
        name: set(imports(ast.parse(path.read_text(encoding="utf-8")), set(files))) - {name}
        for name, path in files.items()
    }


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches every other: by reachability."""
    reach: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        waiting = list(arrows[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(arrows.get(name, ()))
        reach[start] = seen
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in arrows if a in reach[a]}
    return [list(group) for group in sorted(groups)]


def test_a_circle_behind_a_deferred_import_is_seen() -> None:
    """The check itself: three modules, one arrow of which hides in a function."""
    known = {"a", "b", "c"}
    hidden = ast.parse("def late():\n    from a import thing\n    return thing\n")
    arrows = {"a": {"b"}, "b": {"c"}, "c": set(imports(hidden, known))}
    assert circles(arrows) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and those for types alone are counted like any other."""
    assert circles(graph()) == []


def test_training_imports_no_report() -> None:
    """What a trainer needs, directly or through others, holds nothing of analysis, study or space."""
    arrows = graph()
    waiting, seen = ["nearfield.training.trainer"], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(arrows[name])
    above = ("nearfield.analysis", "nearfield.study", "nearfield.space", "nearfield.cli", "nearfield.server")
    assert not [name for name in seen if name.startswith(above)]


def test_no_two_classes_have_one_name() -> None:
    """A name says which class is meant, wherever it is read; the adapter's are those of another library."""
    homes: dict[str, list[str]] = {}
    of_another_library = "nearfield.losses.pml"  # its names are the point of it
    for name, path in modules().items():
        if name == "nearfield.losses.pml":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and name != of_another_library:
                homes.setdefault(node.name, []).append(name)
    several = {name: found for name, found in homes.items() if len(found) > 1}
    assert several == {}


def test_the_readme_names_the_files_from_the_command_to_the_loss() -> None:
    """Each file calls, or imports, what the next one defines; four files in all."""
    text = " ".join((ROOT.parent / "README.md").read_text(encoding="utf-8").split())
    listed = text.partition("From the command to the arithmetic of a loss: ")[2].partition(". ")[0]
    named = re.findall(r"`([a-z_/]+)\.py` \(`(\w+)`\)", text.partition("arithmetic of a loss: ")[2][:300])
    assert len(named) == 4, listed
    sources = [(ROOT / "nearfield" / f"{path}.py").read_text(encoding="utf-8") for path, _ in named]
    for source, (_, name) in zip(sources, named, strict=True):
        assert re.search(rf"^ *def {name}\(", source, flags=re.M), name
    for (source, _), (_, (_, name)) in pairwise(zip(sources, named, strict=True)):
        assert re.search(rf"[ .(]{name}\(", source), name


def test_replication_is_found_through_its_table_alone() -> None:
    """No module outside imports it; each entry is the class that it names, and no class is left out."""
    inside = "nearfield.replication"
    outside = {name: arrows for name, arrows in graph().items() if not name.startswith(inside)}
    assert not [name for name, arrows in outside.items() if any(to.startswith(inside) for to in arrows)]
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    listed = {value: kind for kinds in table.values() for kind, value in kinds.items()}
    written = {
        f"{name}:{node.name}": kind
        for name, path in modules().items()
        if name.startswith(inside)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        for kind in kinds_of(node)
    }
    assert listed == written


def kinds_of(node: ast.ClassDef) -> Iterator[str]:
    """What a class of settings gives `kind` as its default."""
    for line in node.body:
        match line:
            case ast.AnnAssign(target=ast.Name(id="kind"), value=ast.Constant(value=str(kind))):
                yield kind
