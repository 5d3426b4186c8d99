"""A margin study as a good user writes it by hand today, and the same study by Nearfield, document included.

    python benchmarks/study_by_hand.py [--data ../shared/data/esc10] [--seeds 3] [--updates 15]

By hand: librosa, a DataLoader over log-mels in memory, pytorch-metric-learning, an Optuna loop over the grid;
as usually written (fp32) and tuned (bf16, channels_last, freed memory kept). Every way trains the same
network on the same clips for as many updates of 64 clips and judges by a logistic probe and recall@1.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MARGINS = (0.3, 0.5, 0.7, 1.0, 2.0, 10.0)
STUDY = """
question: How does the margin affect the embedding space?
recipe:
  data: {{sample_rate: 16000, clip_seconds: 5.0}}
  feature: {{kind: log_mel, bands: 64, power: 2}}
  normalize: {{kind: band}}
  augment: [{{kind: time_shift, max_seconds: 0.6}}, {{kind: frequency_mask}}, {{kind: time_mask}}]
  backbone: {{kind: small_convnet, stem_stride: [1, 1]}}
  embedding: {{size: 128}}
  sampler: {{kind: balanced, classes: 8, per_class: 8}}
  loss: {{kind: triplet, distance: euclidean}}
  optimizer: {{kind: adam, lr: 1.0e-3}}
  train: {{updates: {updates}}}
vary: {{loss.margin: [0.3, 0.5, 0.7, 1.0, 2.0, 10.0]}}
seeds: {seeds}
judge: probe/macro_f1
measures: [retrieval_from_train/recall_at_1]
meaningful: 0.02
allow_impossible: true
"""


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default) / "esc10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=15)
    parser.add_argument("--ways", default="tuned,nearfield,usual")
    parser.add_argument("--by-hand", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.by_hand:
        print(json.dumps(by_hand(given.data, given.seeds, given.updates, tuned=given.by_hand == "tuned")))
        return
    machine = f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    print(f"{machine}; {given.data.name},")
    print(f"{len(MARGINS)} margins x {given.seeds} seeds, {given.updates} updates of 64 clips each.\n")
    print("| way | wall, s | " + " | ".join(f"F1, margin {margin:g}" for margin in MARGINS) + " |")
    print("|---|---|" + "---|" * len(MARGINS))
    for way in given.ways.split(","):
        begun = time.perf_counter()
        found = nearfield(given) if way == "nearfield" else other(given, way)
        wall = time.perf_counter() - begun
        medians = " | ".join(f"{statistics.median(found[str(margin)]):.3f}" for margin in MARGINS)
        print(f"| {way} | {wall:.0f} | {medians} |", flush=True)


def other(given: argparse.Namespace, way: str) -> dict[str, list[float]]:
    """By hand, in a process of its own, as it would be run."""
    kept = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)} if way == "tuned" else {}
    command = [sys.executable, __file__, "--by-hand", way, "--data", str(given.data)]
    command += ["--seeds", str(given.seeds), "--updates", str(given.updates)]
    done = subprocess.run(command, env={**os.environ, **kept}, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def nearfield(given: argparse.Namespace) -> dict[str, list[float]]:
    """By the command line, nothing decoded before, the document written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(STUDY.format(updates=given.updates, seeds=given.seeds))
        command = [shutil.which("nearfield") or str(Path(sys.executable).with_name("nearfield"))]
        command += ["study", "run", str(folder / "study.yaml"), "--data", str(given.data)]
        cache = {"NEARFIELD_CACHE": str(folder / "cache")}
        subprocess.run(
            [*command, "--out", str(folder / "out")],
            env={**os.environ, **cache},
            check=True,
            capture_output=True,
        )
        facts = json.loads((folder / "out" / "facts.json").read_text())
        assert (folder / "out" / "study.pdf").is_file()
    estimates = facts["conclusion"]["estimates"]
    arms = {float(arm["arm"]["changes"]["loss.margin"]): arm["arm"]["id"] for arm in facts["arms"]}
    return {str(margin): estimates[arms[margin]]["per_seed"] for margin in MARGINS}


def by_hand(data: Path, seeds: int, updates: int, tuned: bool) -> dict[str, list[float]]:
    """Macro F1 by margin, one a seed."""
    import librosa
    import numpy as np
    import optuna
    import pandas as pd
    import soundfile
    import torch
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.samplers import MPerClassSampler
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = pd.read_csv(data / "labels.csv")
    pictures = []
    for name in table["path"]:
        wave, rate = soundfile.read(data / name, dtype="float32", always_2d=True)
        sound = librosa.resample(wave.mean(1), orig_sr=rate, target_sr=16000)
        sound = np.resize(np.pad(sound, (0, max(0, 80000 - len(sound)))), 80000)
        mel = librosa.feature.melspectrogram(
            y=sound, sr=16000, n_fft=1024, win_length=480, hop_length=160, n_mels=64
        )
        pictures.append(np.log(mel + 1e-6).astype(np.float32))
    numbers = pd.factorize(table["label"], sort=True)[0]
    train, test = (np.flatnonzero(table["split"] == side) for side in ("train", "test"))
    x = torch.from_numpy(np.stack(pictures))[:, None]
    x = (x - x[train].mean()) / x[train].std()
    y = torch.from_numpy(numbers)

    def network() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in ((1, 32), (32, 64), (64, 128), (128, 256)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        made = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 128))
        return made.to(memory_format=torch.channels_last) if tuned else made  # type: ignore[call-overload]

    def bend(batch: torch.Tensor) -> torch.Tensor:
        batch = torch.roll(batch, int(torch.randint(-60, 61, ())), -1).clone()
        band, frame = int(torch.randint(0, 56, ())), int(torch.randint(0, 470, ()))
        batch[:, :, band : band + 8] = 0
        batch[..., frame : frame + 30] = 0
        return batch

    def embed(model: nn.Module, rows: Any) -> Any:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=tuned):
            parts = [nn.functional.normalize(model(part).float()) for part in torch.split(x[rows], 64)]
        return torch.cat(parts).numpy()

    def objective(trial: optuna.Trial) -> float:
        margin = trial.suggest_categorical("margin", list(MARGINS))
        torch.manual_seed(trial.suggest_categorical("seed", list(range(seeds))))
        model = network()
        loss = TripletMarginLoss(margin)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        sampler = MPerClassSampler(numbers[train], 8, 64, length_before_new_iter=64 * updates)
        loader = DataLoader(TensorDataset(x[train], y[train]), 64, sampler=sampler)
        for batch, labels in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
                vectors = model(bend(batch))
            value = loss(nn.functional.normalize(vectors.float()), labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        model.eval()
        known, heard = embed(model, train), embed(model, test)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, numbers[train])
        nearest = numbers[train][(heard @ known.T).argmax(1)]
        trial.set_user_attr("recall_at_1", float((nearest == numbers[test]).mean()))
        return float(f1_score(numbers[test], probe.predict(heard), average="macro"))

    grid: dict[str, list[float]] = {"margin": list(MARGINS), "seed": list(range(seeds))}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(grid))
    study.optimize(objective)
    found: dict[str, list[float]] = {str(margin): [] for margin in MARGINS}
    for trial in study.trials:
        if trial.value is not None:
            found[str(trial.params["margin"])].append(trial.value)
    return found


if __name__ == "__main__":
    main()
