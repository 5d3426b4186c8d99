"""Planted faults are found with reason and cure, sound clips are left in peace, and the numbers are right."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from nearfield.core.errors import DataError
from nearfield.data.check import Report, Stopped, inspect
from nearfield.data.collection import Collection
from nearfield.data.settings import Columns, DataSettings
from nearfield.data.signals import ArraySignals
from nearfield.data.store import Store
from nearfield.data.times import to_number

Write = Callable[..., Path]
RATE = 8000
AGAIN = "Copy or download it again, or remove it."


def noise(name: str, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    """Samples (T, C) of their own for each name."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.uniform(-0.5, 0.5, (round(seconds * RATE), channels))


def clipped(samples: np.ndarray, share: float, run: int) -> np.ndarray:
    """The share of samples, in runs, set to full scale."""
    out = samples.copy()
    for start in range(round(share * len(out)) // run):
        out[start * 2 * run : start * 2 * run + run] = 1.0 if start % 2 else -1.0
    return out


def bad_numbers() -> np.ndarray:
    """Noise with two samples that are no numbers."""
    samples = noise("nan")
    samples[5], samples[7] = np.nan, np.inf
    return samples


SILENT = "it is silent. Remove it, or check the recorder."
CUT = f"the file is shorter than its header declares. {AGAIN}"
FINE = ""

PLANTED: dict[str, tuple[np.ndarray, str]] = {
    "first.wav": (noise("first"), FINE),
    "loud.wav": (np.clip(3 * noise("loud"), -0.99, 0.99), FINE),
    "peaks.wav": (clipped(noise("peaks"), 0.05, 2), FINE),
    "slow.wav": (0.1 * noise("slow") + 0.015, FINE),
    "nan.wav": (
        bad_numbers(),
        "2 of 4,000 samples are NaN, infinite or beyond 1e10 (full scale is 1). "
        "Export the sound again, with samples from -1 to 1.",
    ),
    "silent.wav": (np.zeros((4000, 1)), SILENT),
    "hiss.wav": (5e-5 * noise("hiss"), SILENT),
    "clipped.wav": (
        clipped(noise("clip"), 0.05, 4),
        "5.0% of its samples are clipped at full scale. "
        "Record at a lower level, or remove it if it sounds distorted.",
    ),
    "offset.wav": (
        0.1 * noise("offset") + 0.2,
        "it has a DC offset of 0.200 (full scale = 1). It does not affect features that begin above 20 Hz "
        "(log_mel: feature.low, 50 Hz by default). For other features, apply a high-pass filter at 20 Hz.",
    ),
    "odd.wav": (
        noise("odd"),
        "its sample rate of 7001 Hz is unusual. Check that it plays at the right speed; if so, ignore this.",
    ),
    "many.wav": (
        noise("many", channels=9),
        "it has 9 channels. Check the file; use one channel or the mean with data.channels.",
    ),
    "dead.wav": (
        noise("dead", channels=2) * [1, 0],
        "channel 1 of 2 (counted from 0) is silent. "
        "Choose another with data.channels; the mean of all is quieter.",
    ),
    "again.flac": (noise("first"), "it is identical to first.wav. Keep one of them."),
    "cut.wav": (noise("cut.wav", 4.0), CUT),
    "cut.aiff": (noise("cut.aiff", 4.0), CUT),
    "cut.ogg": (noise("cut.ogg", 4.0), CUT),
    "cut.flac": (
        noise("cut.flac", 4.0),
        f"it cannot be read as sound (flac decoder lost sync). {AGAIN}",
    ),
    "cut.mp3": (noise("cut.mp3", 4.0), f"its header declares 4.00 s, but only 2.3 s can be decoded. {AGAIN}"),
}
"""Sounds, and what is to be said about each."""


def plant(folder: Path) -> None:
    """Writes them, and a table of them all."""
    folder.mkdir()
    for name, (samples, _) in PLANTED.items():
        path = folder / name
        if path.suffix == ".wav" and name != "first.wav":
            soundfile.write(path, samples, 7001 if name == "odd.wav" else RATE, subtype="FLOAT")
        else:
            soundfile.write(path, np.int16(samples * 32767), RATE)
        if path.stem == "cut":
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    rows = "".join(f"{name},train\n" for name in PLANTED)
    (folder / "labels.csv").write_text("path,split\n" + rows)


def by_file(report: Report) -> dict[str, list[str]]:
    """What is said of each file."""
    found: dict[str, list[str]] = {}
    for problem in report.problems:
        found.setdefault(problem.path, []).append(f"{problem.reason} {problem.cure}")
    return found


def test_every_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    plant(tmp_path / "set")
    collection = Collection.load(tmp_path / "set")
    assert list(collection.table["id"]) == list(PLANTED)
    steps: list[tuple[int, int]] = []
    report = inspect(collection, lambda done, total: steps.append((done, total)))
    assert steps == [(done, len(PLANTED)) for done in range(1, len(PLANTED) + 1)]
    found = by_file(report)
    for name, (_, text) in PLANTED.items():
        own = [re.sub(r"(2\.3)\d", r"\1", line) for line in found.pop(name, [FINE])]  # as the encoder pads
        assert own == [text], name
    assert sorted(found) == ["labels.csv", "set"]
    assert found["set"] == [
        "the clips have several sample rates: 8000 Hz (15), 7001 Hz (1). "
        "All clips are resampled to data.sample_rate. Set it to the lowest rate; otherwise the model may "
        "recognize recorders by their bandwidth.",
        "the clips have several numbers of channels: 1 (14), 2 (1), 9 (1). "
        "Set data.channels to mean or to a channel that all clips have; `all` is not possible.",
        "there are no test clips, so no model can be evaluated. Give some clips the split test.",
    ]
    lines = {name: line for line, name in enumerate(PLANTED, 2)}
    assert {problem.path: problem.row for problem in report.problems if problem.row} == {
        name: lines[name] for name, (_, text) in PLANTED.items() if text
    }
    left_out = [problem.path for problem in report.problems if problem.severity == "left out"]
    assert left_out == ["nan.wav", "cut.flac"]
    assert (report.clips["all"], report.clips["test"]) == (16, 0)


def test_a_file_of_impossible_samples_is_named_and_spoils_no_other(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "huge.wav", np.full(4000, 3e38), RATE, subtype="FLOAT")
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", noise(str(number)), RATE)
    report = inspect(Collection.load(tmp_path))
    assert by_file(report)["huge.wav"] == [
        "4,000 of 4,000 samples are NaN, infinite or beyond 1e10 (full scale is 1). "
        "Export the sound again, with samples from -1 to 1."
    ]
    assert report.clips["all"] == 3


def test_float_samples_beyond_full_scale_are_not_clipped_and_unscaled_integers_are_told(
    tmp_path: Path,
) -> None:
    loud = {"loud.wav": 4 * noise("loud"), "clipped.wav": np.clip(4 * noise("hard"), -1, 1)}
    for name, samples in (loud | {"unscaled.wav": 32768 * noise("whole"), "good.wav": noise("good")}).items():
        soundfile.write(tmp_path / name, samples, RATE, subtype="FLOAT")
    found = by_file(inspect(Collection.load(tmp_path)))
    assert "loud.wav" not in found
    assert "good.wav" not in found
    assert re.fullmatch(r"\d\d\.\d% of its samples are clipped at full scale.*", found["clipped.wav"][0])
    (text,) = found["unscaled.wav"]
    assert re.fullmatch(
        r"its samples reach 16,3\d\d \(full scale = 1\), like unscaled integers\. "
        r"Divide them by their full scale \(32,768 for 16 bits\) and export it again\.",
        text,
    )


def test_two_mp3_joined_are_told_and_a_tag_at_the_end_is_not(tmp_path: Path) -> None:
    parts = []
    for name in ("first", "second"):
        soundfile.write(tmp_path / f"{name}.mp3", noise(name, 2.0), RATE)
        parts.append((tmp_path / f"{name}.mp3").read_bytes())
    (tmp_path / "joined.mp3").write_bytes(parts[0] + parts[1])
    (tmp_path / "tagged.mp3").write_bytes(
        b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + parts[0] + b"TAG" + bytes(125)
    )
    (tmp_path / "both.mp3").write_bytes(
        parts[0] + b"TAG" + bytes(125) + b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + parts[1]
    )
    found = by_file(inspect(Collection.load(tmp_path)))
    cure = "Decode it to one sound (ffmpeg -i FILE.mp3 FILE.flac), or split the file."
    assert found["joined.mp3"] == [
        f"another mp3 is appended to it: the last {len(parts[1]):,} bytes are not read. {cure}",
        "it is identical to both.mp3, which is in another split. Keep one of them.",
    ]
    assert found["both.mp3"][0].startswith("another mp3 is appended to it")
    assert not [text for text in found.get("tagged.mp3", []) if "joined" in text]


def test_damage_within_an_mp3_is_told_with_the_words_of_the_decoder(tmp_path: Path) -> None:
    for name in ("good", "hurt"):
        soundfile.write(tmp_path / f"{name}.mp3", noise(name, 5.0), RATE)
    content = bytearray((tmp_path / "hurt.mp3").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 900] = bytes(900)
    (tmp_path / "hurt.mp3").write_bytes(content)
    found = by_file(inspect(Collection.load(tmp_path)))
    assert "good.mp3" not in found
    assert any(
        text.startswith(
            "parts of it are damaged; the decoder reports: Illegal Audio-MPEG-Header 0x00000000 at offset"
        )
        and text.endswith(f". {AGAIN}")
        for text in found["hurt.mp3"]
    )


def test_parts_of_one_file_are_judged_apart(tmp_path: Path) -> None:
    whole = np.concatenate([noise("a", 1.0), np.zeros((RATE, 1)), noise("b", 1.0), noise("a", 1.0)])
    soundfile.write(tmp_path / "long.flac", whole, RATE)
    (tmp_path / "t.csv").write_text("path,start,seconds\n" + "".join(f"long.flac,{n},1\n" for n in range(4)))
    report = inspect(Collection.load(tmp_path / "t.csv"))
    assert [(p.row, p.kind) for p in report.problems if p.path.startswith("long")] == [(3, "silent")]
    assert report.clips["all"] == 4


def test_a_break_in_the_middle_takes_every_clip_of_the_file_as_in_training(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", noise("long", 90.0), RATE)
    content = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "long.flac").write_bytes(content[: int(len(content) * 0.8)])
    (tmp_path / "t.csv").write_text(
        "path,start,seconds\nfirst.wav,0,0.5\n" + "".join(f"long.flac,{n},15\n" for n in range(0, 90, 15))
    )
    soundfile.write(tmp_path / "first.wav", noise("first"), RATE)
    collection = Collection.load(tmp_path / "t.csv")
    report = inspect(collection)
    broken = [problem.row for problem in report.problems if problem.kind == "unreadable"]
    assert broken == [3, 4, 5, 6, 7, 8]
    assert report.clips["all"] == 1
    assert len(Store(tmp_path / "cache").usable(collection, DataSettings())) == 1


def test_a_clip_after_the_end_of_what_can_be_decoded_is_left_out_as_in_training(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "cut.mp3", noise("cut.mp3", 4.0), RATE)
    content = (tmp_path / "cut.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    (tmp_path / "t.csv").write_text("path,start,seconds\ncut.mp3,0,1\ncut.mp3,3,1\n")
    collection = Collection.load(tmp_path / "t.csv")
    report = inspect(collection)
    left_out = [(each.row, each.reason) for each in report.problems if each.severity == "left out"]
    assert left_out == [(3, "it begins after the end of the decodable sound.")]
    kept = Store(tmp_path / "cache").usable(collection, DataSettings())
    assert list(kept.table["start"]) == [0.0]
    assert [problem.row for problem in kept.problems if problem.severity == "left out"] == [3]


def test_check_and_training_leave_out_the_same_clips(tmp_path: Path) -> None:
    plant(tmp_path / "set")
    collection = Collection.load(tmp_path / "set")
    checked = {each.path for each in inspect(collection).problems if each.severity == "left out"}
    trained = Store(tmp_path / "cache").usable(collection, DataSettings())
    assert {each.path for each in trained.problems if each.severity == "left out"} == checked
    assert set(trained.table["id"]) == set(PLANTED) - checked


def test_a_check_that_is_stopped_reports_what_it_has_heard(tmp_path: Path) -> None:
    for number in range(12):
        soundfile.write(tmp_path / f"{number:02d}.wav", (number % 2) * noise(str(number)), RATE)

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    collection = Collection.load(tmp_path)
    with pytest.raises(KeyboardInterrupt, match="stopped after 5 of 12 clips") as stopped:
        inspect(collection, stop)
    assert isinstance(stopped.value, Stopped)
    report = stopped.value.report
    assert [problem.path for problem in report.problems if problem.kind == "silent"] == [
        "00.wav",
        "02.wav",
        "04.wav",
    ]
    assert (report.clips["all"], report.rates) == (12, {"8000": 5})


def test_blank_broken_and_doubled_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (8, 9, 3), np.uint8) for _ in range(3)]
    for number, own in enumerate(pixels):
        Image.fromarray(own).save(tmp_path / f"{number}.png")
    Image.fromarray(pixels[0]).save(tmp_path / "again.bmp")
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "blank.png")
    Image.fromarray(rng.integers(0, 256, (99, 99), np.uint8)).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:4000])
    report = inspect(Collection.load(tmp_path))
    found = by_file(report)
    assert found["blank.png"] == ["all pixels have the same color. Remove it, or save it again."]
    assert found["half.png"] == [f"it cannot be read as an image. {AGAIN}"]
    assert found["again.bmp"][0].startswith("it is identical to 0.png")
    assert report.sizes == {"9x8": 4, "4x4": 1}
    assert report.channels == {"3": 4, "1": 1}
    assert (report.kind, report.hours, report.rates) == ("picture", 0.0, {})


def made(
    tmp_path: Path, write_sound: Write, rows: list[tuple[str, str, str, str]], leak: bool = False
) -> Report:
    """A report on rows of label, tags, split, group."""
    lines = ["path,label,tags,split,group"]
    for number, row in enumerate(rows):
        write_sound(tmp_path / f"{number}.wav")
        lines.append(",".join([f"{number}.wav", *row]))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return inspect(Collection.load(tmp_path, allow_leak=leak))


def said(report: Report) -> list[str]:
    return [str(problem) for problem in report.problems]


def test_labels_that_cannot_teach(tmp_path: Path, write_sound: Write) -> None:
    report = made(
        tmp_path, write_sound, [("dog", "", split, "") for split in ("train", "train", "val", "test")]
    )
    assert said(report) == [
        "dog: all labeled clips have this label, so labels cannot distinguish clips. "
        "Add clips of other labels, or train without labels."
    ]
    assert report.learnable_from == ("views",)
    assert not report.trainable


def test_single_unheard_alike_and_missing_labels(tmp_path: Path, write_sound: Write) -> None:
    rows = [
        ("dog", "", "train", ""), ("dog", "", "train", ""), ("cat", "", "train", ""), ("cat", "", "test", ""),
        ("owl", "", "val", ""), ("owl", "", "test", ""), ("Dog", "", "train", ""), ("Dog", "", "val", ""),
        ("", "", "train", ""), ("rain", "", "train", ""),
    ]  # fmt: skip
    report = made(tmp_path, write_sound, rows)
    assert said(report) == [
        "rain: only one clip has this label, so it has no positive pair. "
        "Add clips, or merge the label with another.",
        "owl: the label is not in train (1 val, 1 test). Move one of its groups to train, or leave it out.",
        "dog: it differs from the label 'Dog' only in case or blanks. "
        "Write both the same way if they mean the same.",
        f"{tmp_path.name}: clips have no label (1 of 10, the first is 8.wav). "
        "Add labels; without them, these clips are skipped in training on labels.",
    ]
    assert report.trainable
    assert list(report.labels) == ["Dog", "cat", "dog", "owl", "rain"]
    assert report.labels["cat"] == {"all": 2, "train": 1, "val": 0, "test": 1}


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("caf\u00e9", "cafe\u0301", "in how its accents are encoded (composed or decomposed)"),
        ("1", "01", "in the way the number is written"),
        ("1", "1.0", "in the way the number is written"),
        ("dog", "\uff44\uff4f\uff47", "in case, blanks or the form of its letters"),
        ("big dog", "big\u00a0dog", "in case, blanks or the form of its letters"),
        ("stra\u00dfe", "STRASSE", "in case or blanks"),
    ],
)
def test_marks_that_look_the_same_are_told(
    tmp_path: Path, write_sound: Write, one: str, other: str, how: str
) -> None:
    splits = ("train", "train", "test")
    rows = [
        (mark, f"{mark}|wet", split, f"g{mark}{split}") for mark in (one, other, "tea") for split in splits
    ]
    positive = [
        each for each in made(tmp_path, write_sound, rows, leak=True).problems if each.kind == "alike"
    ]
    two = sorted([one, other])
    reasons = [f"it differs from the {what} {two[0]!r} only {how}." for what in ("label", "tag")]
    assert [problem.reason for problem in positive if problem.path == two[1]] == reasons
    groups = [problem for problem in positive if problem.path not in two]
    assert len(groups) == (0 if to_number(one) else 2)


def test_labels_apart_are_said_once(tmp_path: Path, write_sound: Write) -> None:
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    rows = [(label, "", split, "") for label, split in zip("aabbccdd", splits, strict=True)]
    assert said(made(tmp_path, write_sound, rows)) == [
        "2 labels: no label of val or test is in train, so only unseen labels are evaluated. "
        "If this is not intended, put clips of each label into train."
    ]


def test_tags_and_leaks(tmp_path: Path, write_sound: Write) -> None:
    rows = [
        ("", "wet|loud", "train", "g"), ("", "wet", "train", "h"), ("", "loud", "train", "i"),
        ("", "", "train", "i"), ("", "rare", "test", "g"), ("", "wet", "val", "j"),
    ]  # fmt: skip
    report = made(tmp_path, write_sound, rows, leak=True)
    assert said(report) == [
        "g: the group occurs in more than one split: 1 train, 1 test. "
        "Give all its clips one split; until then test scores are too high.",
        f"{tmp_path.name}: clips have no tags (1 of 6, the first is 3.wav). "
        "Add tags; without them, these clips are skipped in training on tags.",
        "rare: the tag is not in train (1 test). Move one of its groups to train, or leave it out.",
    ]
    assert report.trainable
    assert report.tags["wet"] == {"all": 3, "train": 2, "val": 1, "test": 0}
    assert report.groups == {"all": 4, "train": 3, "val": 1, "test": 1}


def test_the_same_sound_on_both_sides(tmp_path: Path, write_sound: Write) -> None:
    rows = [
        ("dog", "", "train", ""),
        ("cat", "", "test", ""),
        ("dog", "", "val", ""),
        ("cat", "", "train", ""),
    ]
    made(tmp_path, write_sound, rows)
    (tmp_path / "1.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    report = inspect(Collection.load(tmp_path))
    assert said(report)[0] == (
        "1.wav (row 3): it is identical to 0.wav, which has another label and is in another split. "
        "Keep one of them."
    )


def test_a_report_is_json_and_counts_of_real_sets_are_right(real_data: Callable[[str], Path]) -> None:
    report = inspect(Collection.load(real_data("oneshots")))
    value = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert value["clips"] == {"all": 686, "train": 415, "val": 99, "test": 172}
    assert value["hours"] * 60 == pytest.approx(20.2, abs=0.05)
    assert value["rates"] == {"16000": 686}
    assert value["channels"] == {"1": 686}
    assert value["labels"]["body_slap"] == {"all": 102, "train": 62, "val": 16, "test": 24}
    assert value["tags"]["family/body"] == {"all": 202, "train": 122, "val": 30, "test": 50}
    assert value["learnable_from"] == ["labels", "tags", "time", "views"]
    assert value["trainable"] is True
    assert value["split_from"] == "given by the column 'split'"
    assert Counter(problem["kind"] for problem in value["problems"]) == {"clipped": 8, "offset": 1}
    assert value["problems"][0] == {
        "kind": "clipped",
        "path": "audio/kick/sp_bd_ada.ogg",
        "row": 28,
        "reason": "0.5% of its samples are clipped at full scale.",
        "cure": "Record at a lower level, or remove it if it sounds distorted.",
        "severity": "warning",
    }


def test_rows_made_by_hand_can_be_inspected(tmp_path: Path, write_sound: Write) -> None:
    paths = [str(write_sound(tmp_path / f"{number}.wav", 2.5)) for number in range(3)]
    rows = pd.DataFrame({"path": paths, "seconds": 2.5, "split": ["train", "train", "test"]})
    report = inspect(Collection.from_rows(rows))
    assert report.problems == ()
    assert report.learnable_from == ("time", "views")
    assert report.trainable


SONGS = {"House": (1.0, 3.0, 0.5), "Techno": (0.0, 2.0, 2.0), "Trance": (0.0, 4.0, 0.0)}
"""Seconds of silence, of sound and of silence again."""


def test_a_music_folder_says_how_much_of_it_is_silence(tmp_path: Path) -> None:
    for genre, (before, sounding, after) in SONGS.items():
        for song in range(5):
            parts = [np.zeros((round(before * RATE), 2)), noise(genre + str(song), sounding, 2)]
            path = tmp_path / genre / f"{song}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.concatenate([*parts, np.zeros((round(after * RATE), 2))]), RATE)
    found = Collection.load(tmp_path)
    report = inspect(found)
    silence = 5 * sum(before + after for before, _, after in SONGS.values())
    settings = DataSettings(sample_rate=RATE, trim_db=60.0)
    signals = Store(tmp_path / "cache").open(found, settings)
    assert isinstance(signals, ArraySignals)
    assert report.quiet_seconds == pytest.approx(silence, abs=15 * 2048 / RATE)
    assert report.quiet_seconds == pytest.approx(signals.trimmed, abs=0.2)
    assert report.labels == {genre: {"all": 5, "train": 3, "val": 1, "test": 1} for genre in sorted(SONGS)}
    assert report.groups == {"all": 15, "train": 9, "val": 3, "test": 3}


def test_the_split_of_a_music_folder_is_by_song_and_kept(tmp_path: Path, write_sound: Write) -> None:
    for genre in SONGS:
        for song in range(5):
            write_sound(tmp_path / "music" / genre / f"{song}.wav", 1.0)
    found = Collection.load(tmp_path / "music", seed=3)
    found.save_split(tmp_path / "split.csv")
    write_sound(tmp_path / "music" / "Techno" / "new.wav", 1.0)
    later = Collection.load(tmp_path / "music", seed=4).with_split(tmp_path / "split.csv")
    splits = dict(zip(later.table["id"], later.table["split"], strict=True))
    assert splits.pop("Techno/new.wav") == ""
    assert splits == dict(zip(found.table["id"], found.table["split"], strict=True))


def test_a_number_missing_beside_a_clip_is_told_as_training_would_tell_it(tmp_path: Path) -> None:
    samples = noise("beside", 2.0)
    samples[100] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", noise("good", 2.0), 16000, subtype="FLOAT")
    (tmp_path / "t.csv").write_text("path,start,seconds\nbad.wav,1,1\ngood.wav,0,0.5\ngood.wav,0.5,0.5\n")
    collection = Collection.load(tmp_path / "t.csv")
    report = inspect(collection)
    (left_out,) = [str(problem) for problem in report.problems if problem.severity == "left out"]
    assert left_out == (
        f"{collection.table['id'].iloc[0]} (row 2): 1 samples of its file, outside the clip, are NaN, "
        "infinite or beyond 1e10 (full scale is 1). Export the sound again, or save the clip as its own "
        "file."
    )
    assert (report.clips["all"], report.rates) == (2, {"16000": 2})  # what is left out is not counted either
    with pytest.raises(DataError, match=r"bad\.wav: some samples after 0\.0 s are NaN"):
        Store(tmp_path / "cache").open(collection, DataSettings())


def test_a_clip_of_no_given_length_is_heard_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.concatenate([noise("a", 1.0), np.zeros((RATE, 1))]), RATE)
    rows = pd.DataFrame({"id": ["whole", "rest"], "path": str(tmp_path / "a.wav"), "start": [0.0, 1.0]})
    report = inspect(Collection.from_rows(rows.assign(seconds=0.0, split="train")))
    assert [(problem.path, problem.kind) for problem in report.problems if problem.path != "rows"] == [
        ("rest", "silent")
    ]


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    """A misspelt speker keeps no speaker on one side: the report says that it is there and not used."""
    for name in "abcd":
        soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(8000) / (5 + ord(name))), 8000)
    rows = [f"{name}.wav,{label},p{label},{name}" for name, label in zip("abcd", "xxyy", strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,speker,instrument", *rows]) + "\n")
    assert inspect(Collection.load(str(tmp_path))).other_columns == ("speker", "instrument")
    used = Collection.load(str(tmp_path), Columns(group="speker", label="instrument"))
    assert inspect(used).other_columns == ("label",)
