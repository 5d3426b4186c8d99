"""Pictures in class folders or a table, also where there are sounds beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.layouts.folder import First, list_files
from nearfield.data.layouts.table import Table
from nearfield.data.listing import Listing
from nearfield.data.search import search


class Images(Settings):
    """Pictures (png, jpg, bmp, webp): class folders, one folder without labels, or a table of them."""

    kind: Literal["images"] = "images"
    first: First | None = None
    """What the first folders are, as for `folder`."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Only taken by name: a folder of pictures alone is understood by `folder`."""
        return False

    def read(self, path: Path) -> Listing:
        """One row a picture. Raises DataError where there is none."""
        if Table.recognises(path):
            return replace(Table().read(path), kind="picture")
        found = search(path)
        if not found.pictures:
            raise DataError(
                f"{path}: there are no pictures in it. Give a folder with png, jpg, bmp or webp files."
            )
        return list_files(path, found.pictures, "picture", found.nameless(), self)
