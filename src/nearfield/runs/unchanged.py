"""Whether a run's data are still those that it was trained on: by number, contents, labels and sides."""

from nearfield.core.errors import DataError
from nearfield.core.words import count
from nearfield.data.collection import Collection
from nearfield.runs.events import Note, Watcher
from nearfield.runs.folder import Folder


def changed(collection: Collection, folder: Folder) -> str | None:
    """In what a collection, on the run's own sides, is not what the run was begun with; None where it is."""
    before = folder.environment()["data"]
    if len(collection) != before["clips"]:
        return f"it has {count(len(collection), 'clip')}, and had {before['clips']:,}"
    if before.get("fingerprint") in (None, collection.fingerprint()):
        return None
    return "sounds, labels or sides are other ones"


def check_unchanged(collection: Collection, folder: Folder) -> None:
    """Raises DataError where the clips are not those that a run was begun with."""
    what = changed(collection, folder)
    if what:
        raise DataError(
            f"{collection.name}: it is not what {folder.path} was begun with: {what}. Bring the data back as "
            "they were, or train anew with another --out."
        )


def note_changed(collection: Collection, folder: Folder, effect: str, watch: Watcher) -> str | None:
    """Tells, and gives back, that a run's own data have changed since it was trained; `effect` says what then
    holds. Nothing where they have not."""
    what = changed(collection, folder)
    if what is None:
        return None
    said = f"{collection.name} has changed since the run was trained: {what}. {effect}"
    watch(Note(said, is_warning=True))
    return said


def note_if_own(collection: Collection, folder: Folder, effect: str, watch: Watcher) -> None:
    """`note_changed` of the data that a run was trained on, opened without the sides that it kept."""
    if not folder.split.is_file():  # an encoder taken elsewhere has no data of its own
        return
    try:
        own = collection.with_split(folder.split)
    except DataError as error:  # not one clip is known
        watch(Note(f"{error} {effect}", is_warning=True))
        return
    note_changed(own, folder, effect, watch)
