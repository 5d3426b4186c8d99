"""A file of the published weights of musicnn, for the recipe `music_tags`, out of the wheel that has them.

    pip download musicnn==0.1.0 --no-deps
    pip install tensorflow-cpu
    python -m nearfield.replication.musicnn_file WHEEL MSD_musicnn msd_musicnn.safetensors

TensorFlow reads its own checkpoint, this once, and checks its sums; afterwards nothing needs it.
"""

import email
import sys
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from nearfield.cli.output import say
from nearfield.core.errors import NearfieldError, RequestError, choose
from nearfield.core.files import digest, replacing
from nearfield.core.types import Vectors
from nearfield.replication.musicnn import musicnn_weights

_INDEX, _DATA = ".index", ".data-00000-of-00001"
"""The files of a checkpoint, behind its name, which is empty there."""
MOST = 200_000_000
"""Bytes of a file of the wheel at most: a small archive can say that it holds what fills the memory."""


def convert(
    wheel: Annotated[Path, typer.Argument(help="The wheel musicnn-0.1.0-py3-none-any.whl.")],
    model: Annotated[str, typer.Argument(help="MSD_musicnn (Million Song) or MTT_musicnn (MagnaTagATune).")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Write musicnn's published weights as a file for backbone.weights and normalize.weights.

    The file's metadata say where they come from, their licence with its text, and the wheel's sha256. Raises
    RequestError for another file than the wheel, another model, or where TensorFlow is missing.
    """
    from safetensors.numpy import save_file

    try:
        with zipfile.ZipFile(wheel) as archive:
            parts, said = _parts(archive, model), _said(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise RequestError(f"{wheel} is not a wheel that can be read: {error}. {_WHERE}") from None
    weights = musicnn_weights(_variables(parts))
    with replacing(out) as temporary:
        save_file(weights, temporary, said | {"model": model, "sha256": digest(wheel)})
    print(f"{out}: {sum(value.size for value in weights.values()):,} numbers, licence {said['licence']}")


_WHERE = "Get it by: pip download musicnn==0.1.0 --no-deps"


def _parts(archive: zipfile.ZipFile, model: str) -> dict[str, bytes]:
    """Both files of a model's checkpoint."""
    names = set(archive.namelist())
    models = sorted(
        folder.removeprefix("musicnn/")
        for folder in {name.rpartition("/")[0] for name in names}
        if folder.startswith("musicnn/") and {f"{folder}/{part}" for part in (_INDEX, _DATA)} <= names
    )
    if model not in models:
        raise RequestError(f"{archive.filename} holds no model {model!r}. {choose(model, models)} {_WHERE}")
    return {part: _member(archive, f"musicnn/{model}/{part}") for part in (_INDEX, _DATA)}


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MOST:
        raise RequestError(
            f"{archive.filename}: {name} is of {size:,} bytes, and {MOST:,} are read at most: this is not "
            f"the wheel of musicnn. {_WHERE}"
        )
    return archive.read(name)


def _variables(parts: dict[str, bytes]) -> dict[str, Vectors]:
    """Every variable of a checkpoint, as TensorFlow reads it."""
    try:
        tensorflow: Any = import_module("tensorflow")
    except ImportError:
        raise RequestError(
            "The wheel holds a checkpoint of TensorFlow, which is needed to read it, this once, and is not "
            "installed. Run: pip install tensorflow-cpu"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        for part, content in parts.items():
            (Path(folder) / f"model{part}").write_bytes(content)
        reader = tensorflow.train.load_checkpoint(str(Path(folder) / "model"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _said(archive: zipfile.ZipFile) -> dict[str, str]:
    """source, version, licence and its text, as the wheel's own files say them."""
    found = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    if not {"METADATA", "LICENSE.md"} <= found.keys():
        raise RequestError(f"{archive.filename} is not the wheel of musicnn: it states no licence. {_WHERE}")
    about = email.message_from_bytes(_member(archive, found["METADATA"]))
    return {
        "source": f"https://pypi.org/project/{about['Name']}/{about['Version']}/",
        "version": str(about["Version"]),
        "licence": str(about["License"]),
        "licence_text": _member(archive, found["LICENSE.md"]).decode("utf-8").strip(),
    }


if __name__ == "__main__":
    try:
        typer.run(convert)
    except NearfieldError as wrong:
        say(f"nearfield: {wrong}", err=True)
        sys.exit(wrong.exit_code)
