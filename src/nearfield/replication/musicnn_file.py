"""Command that converts the published weights of musicnn to a file for the recipe `music_tags`.

    pip download musicnn==0.1.0 --no-deps
    pip install tensorflow-cpu
    python -m nearfield.replication.musicnn_file WHEEL MSD_musicnn msd_musicnn.safetensors

TensorFlow reads its checkpoint and verifies checksums; it is needed only for this conversion.
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
"""Suffixes of the files of a checkpoint, whose name is empty."""
MOST = 200_000_000
"""Largest size of a file in the wheel, in bytes, because a small archive can expand to fill the memory."""


def convert(
    wheel: Annotated[Path, typer.Argument(help="The wheel musicnn-0.1.0-py3-none-any.whl.")],
    model: Annotated[str, typer.Argument(help="MSD_musicnn (Million Song) or MTT_musicnn (MagnaTagATune).")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Write the published weights of musicnn to a file for backbone.weights and normalize.weights.

    The metadata of the file contain the source, the license with its text, and the sha256 of the wheel.
    Raises RequestError if the file is not the wheel, the model is unknown, or TensorFlow is not installed.
    """
    from safetensors.numpy import save_file

    try:
        with zipfile.ZipFile(wheel) as archive:
            parts, metadata = _parts(archive, model), _metadata(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise RequestError(f"{wheel} is not a readable wheel: {error}. {_WHERE}") from None
    weights = musicnn_weights(_variables(parts))
    with replacing(out) as temporary:
        save_file(weights, temporary, metadata | {"model": model, "sha256": digest(wheel)})
    print(f"{out}: {sum(value.size for value in weights.values()):,} weights, licence {metadata['licence']}")


_WHERE = "Download it with: pip download musicnn==0.1.0 --no-deps"


def _parts(archive: zipfile.ZipFile, model: str) -> dict[str, bytes]:
    """Returns both files of the checkpoint of a model."""
    names = set(archive.namelist())
    models = sorted(
        folder.removeprefix("musicnn/")
        for folder in {name.rpartition("/")[0] for name in names}
        if folder.startswith("musicnn/") and {f"{folder}/{part}" for part in (_INDEX, _DATA)} <= names
    )
    if model not in models:
        raise RequestError(
            f"{archive.filename} contains no model {model!r}. {choose(model, models)} {_WHERE}"
        )
    return {part: _member(archive, f"musicnn/{model}/{part}") for part in (_INDEX, _DATA)}


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MOST:
        raise RequestError(
            f"{archive.filename}: {name} has {size:,} bytes, more than the {MOST:,} allowed: this is not "
            f"the wheel of musicnn. {_WHERE}"
        )
    return archive.read(name)


def _variables(parts: dict[str, bytes]) -> dict[str, Vectors]:
    """Reads all variables of a checkpoint with TensorFlow."""
    try:
        tensorflow: Any = import_module("tensorflow")
    except ImportError:
        raise RequestError(
            "The wheel contains a TensorFlow checkpoint, and TensorFlow, which is needed to read it, is not "
            "installed. Run: pip install tensorflow-cpu"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        for part, content in parts.items():
            (Path(folder) / f"model{part}").write_bytes(content)
        reader = tensorflow.train.load_checkpoint(str(Path(folder) / "model"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _metadata(archive: zipfile.ZipFile) -> dict[str, str]:
    """Returns source, version, license and its text, as stated in the wheel."""
    found = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    if not {"METADATA", "LICENSE.md"} <= found.keys():
        raise RequestError(f"{archive.filename} is not the wheel of musicnn: it states no license. {_WHERE}")
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
