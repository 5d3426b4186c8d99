"""Under which licence a run's data stands: what the collection's folder says."""

from pathlib import Path

from nearfield.models.licences import stated_licence


def data_licence(given: str) -> tuple[str | None, str | None]:
    """Identifier and sentence of the licence, as `stated_licence` finds them; None where there is none.

    `given`: the collection as a run names it, a folder, a table, or "NAME:PATH".
    """
    for path in (Path(given), Path(given.partition(":")[2])):
        if given and path.is_dir():
            return stated_licence(path)
        if given and path.is_file():
            return stated_licence(path.parent)
    return None, None
