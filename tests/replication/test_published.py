"""A file of published weights out of the wheel that has them, and what is said where that cannot be."""

import sys
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors import safe_open

from nearfield.core.errors import RequestError
from nearfield.replication import musicnn_file as published
from nearfield.replication.musicnn import musicnn_weights
from nearfield.replication.musicnn_file import convert
from tests.replication.test_musicnn import made


def wheel(folder: Path, model: str, files: dict[str, bytes]) -> Path:
    """A wheel as musicnn's is laid out."""
    path = folder / "musicnn-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"musicnn/{model}/{name}", content)
        about = "musicnn-0.1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Name: musicnn\nVersion: 0.1.0\nLicense: ISC\n\n# musicnn\n")
        archive.writestr(f"{about}/LICENSE.md", "Copyright (c) A Group 2019.\n")
    return path


def test_a_file_is_made_out_of_the_wheel(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip(
        "tensorflow", reason="TensorFlow reads its checkpoints: pip install tensorflow-cpu"
    )
    variables = made()
    with tensorflow.Graph().as_default(), tensorflow.compat.v1.Session() as session:
        for name, value in variables.items():
            tensorflow.compat.v1.get_variable(name, initializer=value)
        session.run(tensorflow.compat.v1.global_variables_initializer())
        saver = tensorflow.compat.v1.train.Saver()
        saver.save(session, str(tmp_path / "saved"), write_meta_graph=False)
    files = {path.name.removeprefix("saved"): path.read_bytes() for path in tmp_path.glob("saved.*")}
    given, out = wheel(tmp_path, "MSD_musicnn", files), tmp_path / "out.safetensors"
    convert(given, "MSD_musicnn", out)
    with safe_open(out, "np") as file:
        said = file.metadata()
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wanted = musicnn_weights(variables)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert said["licence"] == "ISC"
    assert said["licence_text"] == "Copyright (c) A Group 2019."
    assert said["source"] == "https://pypi.org/project/musicnn/0.1.0/"
    assert said["model"] == "MSD_musicnn"


def test_what_cannot_be_converted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises(
        RequestError, match=r"nothing\.whl is not a readable wheel.* pip download musicnn==0\.1\.0"
    ):
        convert(tmp_path / "nothing.whl", "MSD_musicnn", out)
    given = wheel(tmp_path, "MSD_musicnn", {".index": b"", ".data-00000-of-00001": b""})
    with pytest.raises(RequestError, match=r"no model 'MSD_music'\. Did you mean 'MSD_musicnn'\?"):
        convert(given, "MSD_music", out)
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as where it is not installed
    with pytest.raises(RequestError, match="Run: pip install tensorflow-cpu"):
        convert(given, "MSD_musicnn", out)
    assert not out.exists()


def test_a_model_is_both_parts_below_musicnn_and_of_a_size_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.safetensors"
    half = wheel(tmp_path, "MSD_musicnn", {".index": b""})
    with pytest.raises(RequestError, match="no model 'MSD_musicnn'"):
        convert(half, "MSD_musicnn", out)
    with zipfile.ZipFile(half, "a") as archive:
        archive.writestr("other/MTT_musicnn/.index", b"")
        archive.writestr("other/MTT_musicnn/.data-00000-of-00001", b"")
    with pytest.raises(RequestError, match="no model 'MTT_musicnn'"):
        convert(half, "MTT_musicnn", out)
    whole = wheel(tmp_path, "MSD_musicnn", {".index": b"", ".data-00000-of-00001": bytes(2000)})
    monkeypatch.setattr(published, "MOST", 1999)
    with pytest.raises(RequestError, match=r"musicnn/MSD_musicnn/\.data-00000-of-00001 .* 2,000 bytes"):
        convert(whole, "MSD_musicnn", out)


def test_a_disk_that_cannot_be_written_is_not_blamed_on_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = wheel(tmp_path, "MSD_musicnn", {".index": b"", ".data-00000-of-00001": b""})
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match="nowhere"):
        convert(given, "MSD_musicnn", tmp_path / "out.safetensors")
