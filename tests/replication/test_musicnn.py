"""Published weights: through our names a network gives what it gave where it was published."""

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from nearfield.core.errors import RequestError
from nearfield.core.shipped import shipped
from nearfield.core.types import Vectors
from nearfield.models.embedder import assemble
from nearfield.replication.music_networks import MusicnnSettings
from nearfield.replication.musicnn import musicnn_weights
from nearfield.training.recipe import Recipe

BANDS, TIMBRAL, TEMPORAL, WIDTH, DENSE = 96, 3, 2, 4, 5
FRONT = 2 * TIMBRAL + 3 * TEMPORAL
POOLED = 2 * (FRONT + 3 * WIDTH)
RECIPE = shipped("recipes")["music_tags"]
NARROW = [f"backbone.timbral={TIMBRAL}", f"backbone.temporal={TEMPORAL}", f"backbone.width={WIDTH}",
          f"backbone.dense={DENSE}"]  # fmt: skip
Variables = dict[str, Vectors]


def numbered(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def made() -> Variables:
    """The variables of a small musicnn, as its training leaves them."""
    rng = np.random.default_rng(5)
    kernels = [(7, 38, 1, TIMBRAL), (7, 67, 1, TIMBRAL), *((long, 1, 1, TEMPORAL) for long in (128, 64, 32)),
               (7, FRONT, 1, WIDTH), (7, WIDTH, 1, WIDTH), (7, WIDTH, 1, WIDTH)]  # fmt: skip
    layers: dict[str, tuple[int, ...]] = {
        numbered("conv2d", number): shape for number, shape in enumerate(kernels)
    }
    layers |= {"dense": (POOLED, DENSE), "dense_1": (DENSE, 50)}
    norms = [1, *(shape[-1] for shape in kernels), POOLED, DENSE]
    found: Variables = {}
    for name, shape in layers.items():
        size = int(np.prod(shape[:-1]))
        found[f"{name}/kernel"] = (rng.normal(size=shape) / np.sqrt(size)).astype(np.float32)
        found[f"{name}/bias"] = rng.normal(scale=0.3, size=shape[-1:]).astype(np.float32)
        found[f"{name}/kernel/Adam"] = np.zeros(shape, np.float32)
    for number, size in enumerate(norms):
        name = numbered("batch_normalization", number)
        found[f"{name}/gamma"] = rng.uniform(0.5, 1.5, size).astype(np.float32)
        found[f"{name}/beta"] = rng.normal(scale=0.3, size=size).astype(np.float32)
        found[f"{name}/moving_mean"] = rng.normal(scale=0.3, size=size).astype(np.float32)
        # Small ones too, where the epsilon counts.
        found[f"{name}/moving_variance"] = (10.0 ** rng.uniform(-2, 0, size)).astype(np.float32)
    found["batch_normalization/moving_mean"] += 2
    found["beta1_power"] = np.float32(0.1) * np.ones((), np.float32)
    return found


class Published:
    """Their graph in plain numpy, float64: axes are time, bands, channels, as TensorFlow has them."""

    def __init__(self, variables: Variables) -> None:
        self.given = {name: value.astype(np.float64) for name, value in variables.items()}

    def norm(self, values: Any, number: int) -> Any:
        gamma, beta, mean, variance = (
            self.given[f"{numbered('batch_normalization', number)}/{name}"]
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (values - mean) / np.sqrt(variance + 1e-3) + beta

    def convolved(self, picture: Any, number: int) -> Any:
        """(time, bands, channels): zeros around time alone, the odd one behind, ReLU, then the norm."""
        name = numbered("conv2d", number)
        kernel, bias = self.given[f"{name}/kernel"], self.given[f"{name}/bias"]
        length, height = kernel.shape[:2]
        before = (length - 1) // 2
        padded = np.pad(picture, [(before, length - 1 - before), (0, 0), (0, 0)])
        out = np.empty((len(picture), picture.shape[1] - height + 1, kernel.shape[-1]))
        for time in range(out.shape[0]):
            for band in range(out.shape[1]):
                seen = padded[time : time + length, band : band + height]
                out[time, band] = np.tensordot(seen, kernel, axes=3) + bias
        return self.norm(np.maximum(out, 0), number + 1)

    def __call__(self, power: Any) -> Any:
        """Mel power (time, bands) -> the numbers before their last layer."""
        picture = self.norm(np.log10(10_000 * power + 1)[:, :, None], 0)
        front = np.concatenate([self.convolved(picture, number).max(axis=1) for number in range(5)], axis=1)
        first = self.convolved(front[:, :, None], 5)[:, 0]
        second = self.convolved(first[:, :, None], 6)[:, 0] + first
        third = self.convolved(second[:, :, None], 7)[:, 0] + second
        every = np.concatenate([front, first, second, third], axis=1)
        beside = np.stack([every.max(axis=0), every.mean(axis=0)], axis=1).reshape(-1)  # channel by channel
        dense = self.norm(beside, 9) @ self.given["dense/kernel"] + self.given["dense/bias"]
        return self.norm(np.maximum(dense, 0), 10)


def test_the_recipes_network_gives_what_the_published_graph_gives(tmp_path: Path) -> None:
    variables, file = made(), tmp_path / "small.safetensors"
    save_file(musicnn_weights(variables), file, {"licence": "ISC"})
    recipe = Recipe.load(RECIPE, [*NARROW, f"backbone.weights={file}", f"normalize.weights={file}",
                                  "embedding={size: null, normalize: false}"])  # fmt: skip
    # Loud and quiet, so that the picture's floor counts.
    wave = np.random.default_rng(6).normal(size=4000) * np.geomspace(1e-4, 0.3, 4000)
    embedder = assemble(recipe.feature, recipe.normalize, recipe.backbone, recipe.embedding, 16000, (1, 4000))
    with torch.no_grad():
        ours = embedder.eval()(torch.from_numpy(wave).float()[None, None])[0].numpy()
    power = librosa.feature.melspectrogram(
        y=wave, sr=16000, n_fft=512, hop_length=256, n_mels=BANDS, pad_mode="reflect"
    )
    theirs = Published(variables)(power.T)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).mean())
    assert np.abs(theirs - theirs.mean()).mean() > 0.1 * np.abs(theirs).mean()
    assert embedder.backbone.weights_source["licence"] == "ISC"  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conv2d_3/kernel": None}, "missing: conv2d_3/kernel"),
        ({"1CNN/kernel": np.zeros(3, np.float32)}, "unknown: 1CNN/kernel"),
        ({"dense/bias": np.zeros(6, np.float32)}, r"of another shape: dense/bias \(6,\) for \(5,\)"),
        ({"batch_normalization_9/beta": np.zeros(7, np.float32)}, r"_9/beta \(7,\) for \(48,\)"),
        ({"conv2d_5/kernel": np.zeros((7, 9, 1, WIDTH), np.float32)}, r"conv2d_5/kernel \(7, 9, 1, 4\) for"),
    ],
)  # fmt: skip
def test_other_variables_are_refused_by_name(change: dict[str, Vectors | None], told: str) -> None:
    variables = {name: value for name, value in (made() | change).items() if value is not None}
    with pytest.raises(RequestError, match=f"not the variables of a musicnn: .*{told}"):
        musicnn_weights(variables)


def test_every_weight_of_the_backbone_is_there_and_no_more() -> None:
    weights = musicnn_weights(made())
    module = MusicnnSettings(timbral=TIMBRAL, temporal=TEMPORAL, width=WIDTH, dense=DENSE).build(1, BANDS, 60)
    wanted = {f"backbone.{name}": tuple(value.shape) for name, value in module.state_dict().items()
              if not name.endswith("num_batches_tracked")}  # fmt: skip
    found = {name: value.shape for name, value in weights.items() if name.startswith("backbone.")}
    assert found == wanted
