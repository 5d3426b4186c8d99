"""A file of the published weights of musicnn, for `recipes/music_tags.yaml`, out of the wheel that has them.

    pip download musicnn==0.1.0 --no-deps
    pip install tensorflow-cpu
    python -m nearfield.app.published musicnn-0.1.0-py3-none-any.whl MSD_musicnn msd_musicnn.safetensors

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

from nearfield.core.errors import NearfieldError, RequestError, choose
from nearfield.core.files import digest, replacing
from nearfield.core.nouns import Vectors
from nearfield.models.published import musicnn_weights

_INDEX, _DATA = ".index", ".data-00000-of-00001"
"""The files of a checkpoint, behind its name, which is empty there."""


def convert(
    wheel: Annotated[Path, typer.Argument(help="The wheel musicnn-0.1.0-py3-none-any.whl.")],
    model: Annotated[str, typer.Argument(help="MSD_musicnn (Million Song) or MTT_musicnn (MagnaTagATune).")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Write musicnn's published weights as a file for backbone.weights and normalise.weights.

    The file's metadata say where they come from, their licence with its text, and the wheel's sha256. Raises
    RequestError for another file than the wheel, another model, or where TensorFlow is missing.
    """
    from safetensors.numpy import save_file

    try:
        with zipfile.ZipFile(wheel) as archive:
            variables = _variables(archive, model)
            said = _said(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise RequestError(f"{wheel} is not a wheel that can be read: {error}. {_WHERE}") from None
    weights = musicnn_weights(variables)
    with replacing(out) as temporary:
        save_file(weights, temporary, said | {"model": model, "sha256": digest(wheel)})
    print(f"{out}: {sum(value.size for value in weights.values()):,} numbers, licence {said['licence']}")


_WHERE = "Get it by: pip download musicnn==0.1.0 --no-deps"


def _variables(archive: zipfile.ZipFile, model: str) -> dict[str, Vectors]:
    """Every variable of a model in the wheel, as TensorFlow reads it."""
    names = archive.namelist()
    models = sorted(
        name.split("/")[1] for name in names if name.endswith(f"/{_INDEX}") and name.count("/") == 2
    )
    if model not in models:
        raise RequestError(f"{archive.filename} holds no model {model!r}. {choose(model, models)} {_WHERE}")
    try:
        tensorflow: Any = import_module("tensorflow")
    except ImportError:
        raise RequestError(
            "The wheel holds a checkpoint of TensorFlow, which is needed to read it, this once, and is not "
            "installed. Run: pip install tensorflow-cpu"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        for part in (_INDEX, _DATA):
            (Path(folder) / f"model{part}").write_bytes(archive.read(f"musicnn/{model}/{part}"))
        reader = tensorflow.train.load_checkpoint(str(Path(folder) / "model"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _said(archive: zipfile.ZipFile) -> dict[str, str]:
    """source, version, licence and its text, as the wheel's own files say them."""
    found = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    if not {"METADATA", "LICENSE.md"} <= found.keys():
        raise RequestError(f"{archive.filename} is not the wheel of musicnn: it states no licence. {_WHERE}")
    about = email.message_from_bytes(archive.read(found["METADATA"]))
    return {
        "source": f"https://pypi.org/project/{about['Name']}/{about['Version']}/",
        "version": str(about["Version"]),
        "licence": str(about["License"]),
        "licence_text": archive.read(found["LICENSE.md"]).decode("utf-8").strip(),
    }


if __name__ == "__main__":
    try:
        typer.run(convert)
    except NearfieldError as wrong:
        print(f"nearfield: {wrong}", file=sys.stderr)
        sys.exit(wrong.exit_code)
