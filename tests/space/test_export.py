"""A run taken elsewhere: what others read of it is what the run holds."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file
from sklearn.decomposition import PCA

from nearfield.core.errors import RequestError, WorkError
from nearfield.space.export import TARGETS, export
from nearfield.space.export.huggingface import data_licence, published_recipe, pull, push
from nearfield.space.export.tables import principal_plane
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from tests.space.hub_stand_in import StandIn, serving
from tests.training.conftest import small, tones

__all__ = ["tones"]


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    (tones / "README.md").write_text("# Tones\n\nLicence: CC0 1.0, made for tests.\n")
    recipe = Recipe.of(small(train={"updates": 30}, normalize={"kind": "none"}))
    return train(recipe, tones, tmp_path_factory.mktemp("run") / "r", device="cpu")


@pytest.fixture(scope="module")
def published(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "tone-space"
    made = export(run.folder.path, "huggingface", out, licence="cc-by-4.0")
    assert made.path == out
    return out


def test_a_published_folder_is_a_run(run: Run, published: Path, tones: Path) -> None:
    again = Run.load(published)
    sounds = [tones / "a" / "1.wav", tones / "c" / "5.wav"]
    assert np.array_equal(again.encode(sounds), run.encode(sounds))
    assert again.metrics == run.metrics
    assert again.recipe == run.recipe


def test_it_is_the_layout_of_the_hub(run: Run, published: Path) -> None:
    names = {path.name for path in published.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "README.md",
        "recipe.yaml",
        "environment.json",
        "result.json",
        "canary.safetensors",
    }
    weights = load_file(published / "model.safetensors")
    assert set(weights) == set(run.embedder.state_dict())
    config = json.loads((published / "config.json").read_text())
    assert config["input"] == {"shape": ["batch", 1, "samples"], "sample_rate": 8000, "clip_seconds": 0.4}
    assert config["output"] == {"shape": ["batch", 8], "normalized": True}
    assert Recipe.of(config["recipe"]) == run.recipe


def test_nothing_of_the_authors_machine_goes_out(run: Run, published: Path) -> None:
    own = run.folder.environment()
    for path in published.iterdir():
        if path.suffix != ".safetensors":
            text = path.read_text()
            assert own["data"]["path"] not in text, path.name
            assert own["machine"]["platform"] not in text, path.name


def test_paths_in_the_recipe_lose_their_folders(published: Path) -> None:
    plain = Run.load(published).recipe.plain()
    plain["backbone"] = {"kind": "resnet18", "weights": "/home/ann/private/resnet18.safetensors"}
    shown = published_recipe(Recipe.of(plain)).plain()
    assert shown["backbone"]["weights"] == "resnet18.safetensors"
    assert {key: value for key, value in shown.items() if key != "backbone"} == {
        key: value for key, value in plain.items() if key != "backbone"
    }


def test_the_hubs_own_reader_finds_the_metrics_in_the_card(run: Run, published: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(published / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "nearfield"
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found["retrieval_from_train/recall_at_1"] == pytest.approx(
        run.metrics["retrieval_from_train/recall_at_1"], abs=1e-6
    )
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}


def test_the_card_shows_intervals_baselines_data_and_limits(run: Run, published: Path) -> None:
    card = (published / "README.md").read_text()
    rows = [line.split("|") for line in card.splitlines() if line.startswith("| `")]
    row = next(row for row in rows if "probe/macro_f1" in row[1])
    low, high = run.result["intervals"]["probe/macro_f1"]
    cells = [cell.strip() for cell in row[2:-1]]
    beside = [
        f"{run.metrics[f'baseline/{name}/probe/macro_f1']:.3f}"
        for name in ("chance", "mfcc_stats", "logmel_stats", "random_encoder")
    ]
    assert cells == [f"{run.metrics['probe/macro_f1']:.3f}", f"{low:.3f} to {high:.3f}", *beside]
    assert "CC0 1.0, made for tests." in card
    assert run.folder.environment()["data"]["fingerprint"] in card
    assert "a, b, c, d" in card
    for note in run.result["notes"]:
        assert note in card
    code = card.split("```python\n")[1].split("```")[0]
    sound = published / "sound.wav"
    shutil.copy(Path(run.folder.environment()["data"]["path"]) / "b" / "2.wav", sound)
    names: dict[str, Any] = {}
    exec(code.replace("path/of/this/folder", str(published)).replace('"sound.wav"', repr(str(sound))), names)
    sound.unlink()
    assert names["vectors"].shape == (1, 8)


def test_an_export_is_replaced_but_nothing_else_is(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(run.folder.path, "huggingface", out)
    export(run.folder.path, "huggingface", out)
    card = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert "license" not in card  # nobody chose one
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.doc").write_text("years of work")
    with pytest.raises(RequestError, match=r"holds other files \(thesis.doc\)"):
        export(run.folder.path, "huggingface", other)
    with pytest.raises(RequestError, match="is the run itself"):
        export(run.folder.path, "huggingface", run.folder.path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    with serving() as stand_in:
        yield stand_in


def test_to_the_hub_and_back(run: Run, published: Path, hub: StandIn, tmp_path: Path, tones: Path) -> None:
    (published / "notes.txt").write_text("mine alone")
    address = push(published, "someone/tones", endpoint=hub.endpoint)
    (published / "notes.txt").unlink()
    assert address.startswith(f"{hub.endpoint}/someone/tones/commit/")
    assert hub.private["someone/tones"]
    assert set(hub.files["someone/tones"]) == {path.name for path in published.iterdir()}
    hub.files["someone/tones"]["evil.py"] = b"raise SystemExit"
    cache = tmp_path / "cache"
    again = pull("someone/tones", cache=cache, endpoint=hub.endpoint)
    sound = [tones / "d" / "4.wav"]
    assert np.array_equal(again.encode(sound), run.encode(sound))
    assert not list(cache.rglob("evil.py"))
    offline = pull("someone/tones", cache=cache, offline=True, endpoint=hub.endpoint)
    assert np.array_equal(offline.encode(sound), run.encode(sound))


def test_what_the_hub_does_not_have(run: Run, published: Path, hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"Could not fetch 'someone/nothing' from the Hub"):
        pull("someone/nothing", cache=tmp_path, endpoint=hub.endpoint)
    with pytest.raises(RequestError, match="is not an exported run"):
        push(run.folder.path, "someone/tones", endpoint=hub.endpoint)
    with pytest.raises(WorkError, match="The upload of 'someone/tones' failed"):
        push(published, "someone/tones", endpoint="http://127.0.0.1:9")


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")
def test_the_projector_reads_it(run: Run, tmp_path: Path) -> None:
    """Through the plugin's own server, as the browser would ask."""
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client

    made = export(run.folder.path, "projector", tmp_path / "p")
    ids, vectors = run.vectors()
    context = base_plugin.TBContext(logdir=str(made.path), data_provider=None, multiplexer=None)
    routes = ProjectorPlugin(context).get_plugin_apps()

    def ask(route: str, **query: str) -> bytes:
        return bytes(Client(routes[route]).get("/", query_string=query).data)

    assert json.loads(ask("/runs")) == ["."]
    (info,) = json.loads(ask("/info", run="."))["embeddings"]
    assert info["tensorShape"] == list(vectors.shape)
    name = info["tensorName"]
    shown = np.frombuffer(ask("/tensor", run=".", name=name), np.float32).reshape(vectors.shape)
    assert np.allclose(shown, vectors, rtol=1e-5, atol=1e-7)
    lines = ask("/metadata", run=".", name=name).decode().splitlines()
    assert lines[0].split("\t") == ["label", "tags", "split", "group", "id"]
    assert [line.split("\t")[-1] for line in lines[1:]] == ids
    assert [line.split("\t")[0] for line in lines[1:]] == [name.split("/")[0] for name in ids]


def test_pandas_reads_the_table(run: Run, tmp_path: Path) -> None:
    made = export(run.folder.path, "parquet", tmp_path)
    assert made.path == tmp_path / "space.parquet"
    table = pd.read_parquet(made.path)
    ids, vectors = run.vectors()
    assert list(table["id"]) == ids
    assert np.array_equal(np.stack(list(table["vector"])), vectors)
    assert all(Path(path).is_file() for path in table["path"])
    plane = PCA(2, svd_solver="full").fit_transform(vectors.astype(np.float64))
    assert np.allclose(np.abs(table[["x", "y"]].to_numpy()), np.abs(plane), atol=1e-6)
    types = {field.name: str(field.type) for field in pq.read_schema(made.path)}
    assert types["vector"] == "list<element: float>"
    assert types["tags"] == "list<element: string>"
    assert types["label"] == types["path"] == "string"
    assert 0 < made.facts["explained"] <= 1


def test_a_plane_of_little_is_still_a_plane() -> None:
    for vectors in (np.ones((1, 4)), np.ones((5, 4)), np.zeros((0, 4)), np.array([[0.0, 1], [1, 0]])):
        plane, explained = principal_plane(vectors.astype(np.float32))
        assert plane.shape == (len(vectors), 2)
        assert np.isfinite(plane).all()
        assert 0 <= explained <= 1 + 1e-9


def test_what_cannot_be_exported_says_why(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--to 'onx' is not known\. Did you mean 'onnx'"):
        export(run.folder.path, "onx", tmp_path)
    assert TARGETS == ("onnx", "huggingface", "projector", "parquet")
    unmeasured = tmp_path / "unmeasured"
    shutil.copytree(run.folder.path, unmeasured)
    (unmeasured / "vectors.parquet").unlink()
    for target in ("projector", "parquet"):
        with pytest.raises(RequestError, match=r"not been evaluated. Evaluate it: nearfield evaluate"):
            export(unmeasured, target, tmp_path / "out")
    with pytest.raises(RequestError, match="goes into a model card"):
        export(run.folder.path, "parquet", tmp_path, licence="mit")


def test_licences_are_read_where_the_data_says_them(tmp_path: Path) -> None:
    assert data_licence(str(tmp_path)) == (None, None)
    (tmp_path / "LICENSE").write_text("\nMIT License\n\nCopyright")
    assert data_licence(f"esc50:{tmp_path}") == (None, "MIT License")
    (tmp_path / "README.md").write_text(
        "---\nlicense: cc-by-3.0\n---\n# Set\n\n**License:** CC BY 3.0, A. Name\n"
    )
    (tmp_path / "labels.csv").write_text("path\n")
    assert data_licence(str(tmp_path / "labels.csv")) == ("cc-by-3.0", "CC BY 3.0, A. Name")
    (tmp_path / "README.md").write_text("---\nlicense: [broken\n---\nLicences are a topic.\n")
    assert data_licence(str(tmp_path)) == (None, None)
    assert data_licence("synthetic:tones") == (None, None)


@pytest.mark.slow
def test_onnx_of_a_trained_run_is_checked_on_its_own_clips(run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    made = export(run.folder.path, "onnx", tmp_path / "m.onnx", lambda event: said.append(str(event)))
    assert made.facts["parity"]["real"]
    assert made.facts["parity"]["difference"] < 1e-3
    assert any("windows of the collection: largest difference" in line for line in said)
    json.dumps(made.facts)
