"""Export of a run: ONNX, a Hugging Face folder, TensorBoard's projector, a Parquet table."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nearfield.core.errors import DataError, RequestError, choose
from nearfield.training.events import Callback, Note, ignore
from nearfield.training.prepare import folders_are_labels, open_collection
from nearfield.training.run import Run
from nearfield.training.run_folder import note_if_own
from nearfield.training.vector_checks import check_vectors, signals_of
from nearfield.training.windows import table_clips

TARGETS = ("onnx", "huggingface", "projector", "parquet")
"""The formats that `export` writes."""

_FILES = {"onnx": "model.onnx", "parquet": "space.parquet"}
"""Default file names of the formats that are a single file."""


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    to: str
    path: Path
    """The file, or the folder."""
    facts: dict[str, Any]
    """The result of the format's own function, as values for JSON."""


def export(
    run: str | Path, to: str, out: str | Path, callback: Callback = ignore, *, licence: str | None = None
) -> Exported:
    """Exports a finished run to another format.

    Parameters
    ----------
    run
        The folder of the run.
    to
        `onnx` (a file, compared with PyTorch before it is written), `huggingface` (a folder with a model
        card), `projector` (a folder for TensorBoard) or `parquet` (a table with vectors and coordinates).
    out
        The file or folder to write; for onnx and parquet also a folder for the file.
    callback
        Receives progress events.
    licence
        The license of the weights for the model card, such as "cc-by-4.0".

    Raises
    ------
    RequestError
        If the format is unknown, the run is not finished, or an extra is missing.
    WorkError
        If the exported network does not reproduce PyTorch's vectors.
    """
    if to not in TARGETS:
        raise RequestError(f"--to {to!r} is not known. {choose(to, TARGETS)}")
    if licence is not None and to != "huggingface":
        raise RequestError(f"--licence goes into a model card; --to {to} writes none. Omit it.")
    opened = Run.load(run)
    _check(opened, to, callback)
    made = _write(opened, to, _place(Path(out).expanduser(), to), callback, licence)
    facts = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(made).items()}
    return Exported(to, made.path, facts)


def _check(run: Run, to: str, callback: Callback) -> None:
    """Warns of faults in the vectors that the run makes and those that it stores.

    Raises the errors of `check_vectors`.
    """
    doubts = list(run.doubts())
    if to in ("projector", "parquet") and run.folder.vectors.is_file():
        clips, vectors = run.folder.stored_vectors(["id", "path", "start", "seconds"])
        data = run.recipe.data
        signals = signals_of(table_clips(clips, data), data, run.recipe.modality == "image")
        doubts += check_vectors(vectors, list(clips["id"]), signals)
        _note_changed(run, callback)
    for doubt in doubts:
        callback(Note(doubt, is_warning=True))


def _note_changed(run: Run, callback: Callback) -> None:
    """Warns if the data have changed since the stored vectors were made; missing data are ignored."""
    path = str(run.folder.environment()["data"]["path"])
    try:
        collection = open_collection(path, run.recipe, True, folder_labels=folders_are_labels(run.recipe))
    except DataError:
        return
    effect = f"The vectors are from its evaluation. To renew them: nearfield evaluate {run.folder.path}"
    note_if_own(collection, run.folder, effect, callback)


def _write(run: Run, to: str, path: Path, callback: Callback, licence: str | None) -> Any:
    if to == "onnx":
        from nearfield.space.export.onnx_model import export_onnx

        return export_onnx(run, path, callback)
    if to == "huggingface":
        from nearfield.space.export.huggingface import export_huggingface

        return export_huggingface(run, path, callback, licence)
    if to == "projector":
        from nearfield.space.export.tables import export_projector

        return export_projector(run, path)
    from nearfield.space.export.tables import export_parquet

    return export_parquet(run, path)


def _place(out: Path, to: str) -> Path:
    """The path to write: `out` itself if it has the suffix of the format, else a file in it."""
    usual = _FILES.get(to)
    if usual is None or out.suffix == Path(usual).suffix:
        return out
    return out / usual
