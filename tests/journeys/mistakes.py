"""Planted mistakes: wrong folders, broken files, recipes with slips, combinations that cannot work."""

from pathlib import Path

import numpy as np
import soundfile
import yaml

from tests.training.conftest import small


def plant(here: Path) -> None:
    """Writes everything that the mistakes below refer to."""
    rng = np.random.default_rng(0)
    sounds = [f"good/{label}/{number}.wav" for label in "ab" for number in range(6)]
    for name in (*sounds, *(f"flat/{number}.wav" for number in range(4))):
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.sin(2 * np.pi * rng.uniform(200, 2000) * np.arange(4000) / 8000)
        soundfile.write(path, 0.3 * wave + 0.02 * rng.standard_normal(4000), 8000, subtype="FLOAT")
    (here / "nothing").mkdir()
    (here / "texts").mkdir()
    (here / "texts" / "a.txt").write_text("hello")
    (here / "broken" / "a").mkdir(parents=True)
    (here / "broken" / "a" / "x.wav").write_bytes(b"RIFF nothing")
    (here / "broken" / "a" / "y.wav").write_bytes(b"")
    rows = [(f"../{name}", name.split("/")[1], number) for number, name in enumerate(sounds)]
    for folder, head, lines in (
        ("nopath", "pth,label", ["x,a"]),
        ("badsplit", "path,label,split", [f"{p},{c},{'trian' if n % 2 else 'test'}" for p, c, n in rows]),
        (
            "leak",
            "path,label,split,speaker",
            [f"{p},{c},{'train' if n % 2 else 'test'},s{n // 4}" for p, c, n in rows],
        ),
        ("gone", "path,label", ["nowhere.wav,a", "nowhere2.wav,b"]),
        ("onelabel", "path,label", [f"{p},a" for p, _, _ in rows]),
        ("emptytable", "path,label", []),
        ("badstart", "path,label,start", [f"{p},{c},soon" for p, c, _ in rows]),
        ("notrain", "path,label,split", [f"{p},{c},test" for p, c, _ in rows]),
    ):
        (here / folder).mkdir()
        (here / folder / "labels.csv").write_text("\n".join([head, *lines]) + "\n")
    (here / "ok.yaml").write_text(yaml.safe_dump(small()))
    (here / "twice.yaml").write_text("loss: {kind: triplet}\nloss: {kind: circle}\n")
    (here / "list.yaml").write_text("- a\n- b\n")
    (here / "unclosed.yaml").write_text("loss: {kind: triplet\n")
    (here / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")


def training(*changes: str, data: str = "good", recipe: str = "ok.yaml", device: str = "cpu") -> list[str]:
    """The arguments of a training with some keys changed."""
    sets = [word for change in changes for word in ("--set", change)]
    return ["train", recipe, "--data", data, "--out", "out", "--device", device, *sets]


MISTAKES: dict[str, list[str]] = {
    "no such recipe": training(recipe="okk.yaml"),
    "a key twice": training(recipe="twice.yaml"),
    "a list for a recipe": training(recipe="list.yaml"),
    "a bracket left open": training(recipe="unclosed.yaml"),
    "a recipe that is no text": training(recipe="binary.yaml"),
    "a change without a value": training("loss.margin"),
    "a change below a number": training("loss.margin.x=1"),
    "a change beyond a list": training("augment.7.max_seconds=1"),
    "unknown section": training("los.margin=1"),
    "unknown key": training("loss.margn=1"),
    "unknown loss": training("loss.kind=tripelt"),
    "unknown setting of a library loss": training("loss.kind=MultiSimilarityLoss", "loss.alfa=2"),
    "unknown backbone": training("backbone.kind=resnet19"),
    "unknown feature": training("feature.kind=logmel"),
    "unknown miner": training("miner.kind=semi_hard"),
    "unknown sampler": training("sampler.kind=balancd"),
    "unknown relation": training("relation.kind=label"),
    "unknown augmentation": training("augment.0.kind=timeshift"),
    "unknown optimiser": training("optimizer.kind=adm"),
    "unknown schedule": training("schedule.kind=cosin"),
    "unknown normalization": training("normalize.kind=band_clip"),
    "a negative margin": training("loss.margin=-1"),
    "a margin in words": training("loss.margin=large"),
    "a margin beyond the sphere": training("loss.margin=10"),
    "a circle without an inside": training("loss.kind=circle", "loss.m=1.5"),
    "no updates": training("train.updates=0"),
    "a rate too low": training("data.sample_rate=10"),
    "one dimension": training("embedding.size=1"),
    "all dropped out": training("embedding.dropout=1.5"),
    "a rate of zero": training("optimizer.lr=0"),
    "unknown precision": training("train.precision=fp8"),
    "bands beyond Nyquist": training("feature.high=9000"),
    "a clip shorter than a frame": training("data.clip_seconds=0.01"),
    "the best without validation": training("train.keep=best"),
    "a plateau without validation": training("schedule.kind=plateau"),
    "proxies without labels": training(
        "relation.kind=views", "sampler.kind=views", "loss.kind=ProxyAnchorLoss"
    ),
    "a miner that leaves nothing": training("miner.kind=easy"),
    "tags where there are none": training("relation.kind=tags"),
    "tag triplets where there are no tags": training("sampler.kind=tag_triplets"),
    "tiles without neighbours": training("relation.kind=time", "sampler.kind=tiles"),
    "one class a batch": training("sampler.classes=1"),
    "pixels of a sound": training("feature.kind=pixels"),
    "weights that are not there": training("backbone.kind=resnet18", "backbone.weights=none.safetensors"),
    "a folder with a slip": training(data="god"),
    "unknown layout": training(data="esc51:good"),
    "unknown synthetic set": training(data="synthetic:tone"),
    "an empty folder": training(data="nothing"),
    "a folder of texts": training(data="texts"),
    "a table without paths": training(data="nopath"),
    "a split with a slip": training(data="badsplit"),
    "a group on two sides": training(data="leak"),
    "files that are gone": training(data="gone"),
    "one label only": training(data="onelabel"),
    "a table without rows": training(data="emptytable"),
    "starts in words": training(data="badstart"),
    "nothing to train on": training(data="notrain"),
    "broken files": training(data="broken"),
    "no labels at all": training(data="flat"),
    "a label column with a slip": training("data.label=lable", data="leak"),
    "unknown device": training(device="gpu"),
    "a run that is not there": ["evaluate", "norun"],
    "a folder that is no run": ["evaluate", "good"],
    "a run into a folder of texts": ["train", "ok.yaml", "--data", "good", "--out", "texts"],
    "unknown family": ["list", "loses"],
    "tags of nothing": ["tag", "norun"],
    "tags of a folder as a file": ["tag", "norun", "good"],
    "a table of tags of files": ["tag", "norun", "good/a/0.wav", "--out", "tags.csv"],
    "tags accepted into no table": ["tag", "norun", "--data", "good", "--accept", "0.9"],
}
