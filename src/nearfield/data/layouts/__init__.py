"""Layouts: ways in which collections lie on disk, in the order in which they are asked."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import Field

from nearfield.core.errors import DataError, RequestError, choose, nearest
from nearfield.core.settings import Settings, make
from nearfield.core.text import is_text, shown
from nearfield.data.layouts.base import LAYOUTS, BaseLayout
from nearfield.data.layouts.folders import Audiofolder, FolderLayout, Images, TableLayout
from nearfield.data.layouts.sets import Esc50, SpokenDigits
from nearfield.data.listing import ARCHIVES, Listing

Layout = Annotated[
    Esc50 | Audiofolder | TableLayout | SpokenDigits | Images | FolderLayout,
    LAYOUTS,
]
LAYOUTS.bind(Layout)


class SyntheticSettings(Settings):
    """What may stand behind `synthetic:NAME?`."""

    seed: int = Field(0, ge=0)
    """Another seed makes another set of the same sort."""
    clips: int | None = Field(None, ge=1)
    """Number of clips, or of recordings; None means the set's own."""
    table: Literal["labels", "clips"] = "labels"
    """`clips`, of scenes alone: stretches of 2 s, labelled by what is heard in them, of all recordings."""


_NAMED = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]+):(?P<path>.*)", re.DOTALL)


def read_layout(data: str) -> tuple[str, Listing]:
    """Name and rows of a collection given as PATH, NAME:PATH, NAME:PATH?key=value&... or synthetic:NAME.

    Raises DataError where there is no such layout, path or set, RequestError for a wrong key or value.
    """
    named = _NAMED.fullmatch(data)
    if not named or Path(data).exists():
        path = _existing(Path(data).expanduser())
        return _name(data), _read(_detect(path), path, data)
    name, place = named["name"], named["path"]
    if name == "synthetic":
        return data, TableLayout().read(_synthetic(place))
    if name not in LAYOUTS.kinds():
        said = choose(name, [*LAYOUTS.kinds(), "synthetic"])
        said = f"{said} {LAYOUTS.faults.get(name, '')}".rstrip()
        raise DataError(f"{data}: there is no layout {name!r}. {said}")
    place, options = _options(place)
    layout = make(Layout, name, {"kind": name, **options})
    return _name(place), _read(layout, _existing(Path(place).expanduser()), place)


def _read(layout: BaseLayout, path: Path, place: str) -> Listing:
    """The rows, with the DATA that names the folder of the sounds, or reads the folder without its table."""
    listing = layout.read(path)
    if path.is_dir() and layout.of_table:
        return replace(listing, instead=f"folder:{place}")
    if "audio" not in type(layout).model_fields:
        return listing
    return replace(listing, elsewhere=f"{layout.kind}:{place}?audio=FOLDER")


def official_folds(data: str) -> dict[int, str]:
    """The same collection with each of its official folds as the judge, by number: `NAME:PATH?fold=2`.

    Raises DataError where its layout has none.
    """
    named = _NAMED.fullmatch(data) if not Path(data).exists() else None
    place, options = _options(named["path"] if named else data)
    members = LAYOUTS.kinds()
    name = named["name"] if named else _detect(_existing(Path(place).expanduser())).kind
    layout = members.get(name)
    found = layout.folds(_existing(Path(place).expanduser())) if layout and layout.has_folds else {}
    if not found:
        with_folds = [kind for kind, each in members.items() if each.has_folds]
        raise DataError(
            f"{data}: there are no official folds in it. Layouts that have some: {', '.join(with_folds)}. "
            "For a cross-validation over its train and val: --over 5. For one split, `nearfield train`."
        )
    return {
        number: f"{name}:{place}?{urlencode({**options, **chosen}, safe='/:')}"
        for number, chosen in found.items()
    }


def _options(place: str) -> tuple[str, dict[str, str]]:
    """`PATH?test_fold=1` in two: the path, and settings of the layout."""
    path, _, options = place.partition("?")
    return path, dict(parse_qsl(options, keep_blank_values=True))


def _detect(path: Path) -> BaseLayout:
    """The first layout that recognises the path; published sets are asked before general ones."""
    for layout in sorted(LAYOUTS.kinds().values(), key=lambda each: each.general):
        if layout.recognises(path):
            if layout is FolderLayout:
                _refuse_sets_inside(path)
            return layout.model_validate({})
    if path.suffix.lower() in ARCHIVES:
        raise DataError(f"{path}: it is an archive, which is not read. Unpack it and give the folder.")
    raise DataError(
        f"{path}: it is neither a folder nor a table. "
        "Give a folder, or a .csv, .tsv, .parquet or .jsonl file."
    )


def _refuse_sets_inside(path: Path) -> None:
    """Raises DataError where folders in a folder are published sets: their names are no labels."""
    found = {
        f"{kind}:{inside}{layout.options_for(inside)}": inside.name
        for inside in sorted(item for item in path.iterdir() if item.is_dir())
        for kind, layout in LAYOUTS.kinds().items()
        if not layout.general and layout.recognises(inside)
    }
    if found:
        raise DataError(
            f"{path}: it holds {' and '.join(found.values())}, each a set of its own. Give one: "
            f"{' or '.join(found)}. To take the folders for labels: folder:{path}."
        )


def _synthetic(place: str) -> Path:
    """Makes a set called NAME, or NAME?seed=1&clips=200."""
    from nearfield.data.layouts import synthetic  # it makes sound, which few need

    name, options = _options(place)
    given: SyntheticSettings = make(SyntheticSettings, f"synthetic:{name}", options)
    table = synthetic.make(name, seed=given.seed, clips=given.clips) / f"{given.table}.csv"
    if not table.is_file():
        raise RequestError(f"synthetic:{name}: table: this set has no {given.table!r}; only scenes has.")
    return table


def _existing(path: Path) -> Path:
    """The path, its links followed. Raises DataError, naming what lies nearest, where it is not there."""
    if path.exists():
        found = path.resolve()
        if not is_text(str(found)):
            raise DataError(f"{shown(str(found))}: the path is not UTF-8 text. Rename the folder.")
        return found
    above = path.absolute()
    while not above.parent.exists():
        above = above.parent
    folder = above.parent
    guess = nearest(above.name, [item.name for item in folder.iterdir()]) if folder.is_dir() else None
    hint = f"Did you mean {str(folder / guess)!r}?" if guess else "Check the path."
    raise DataError(f"{path}: there is no such file or folder. {hint}")


def _name(data: str) -> str:
    """The folder's name; for a table with a usual name that of its folder, else its own."""
    path = Path(os.path.abspath(Path(data).expanduser()))
    if path.is_dir():
        return path.name
    return path.parent.name if path.stem in ("labels", "metadata") else path.stem
