"""DCASE 2018 task 5: folds, sessions, nodes and published counts, on small imitations of the set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection
from nearfield.replication.dcase2018_task5 import CLIPS, SESSIONS, Dcase2018Task5

Write = Callable[..., Path]

LABELS = {
    1: "cooking",
    2: "cooking",
    3: "eating",
    4: "eating",
    5: "cooking",
    6: "eating",
    7: "eating",
    8: "cooking",
}
"""The label of each session; session 2 k - 1 and 2 k are judged in fold k."""
NODES = (1, 4)


def clip(session: int, node: int, segment: int) -> str:
    return f"audio/DevNode{node}_ex{session}_{segment}.wav"


CLIPS_OF = {
    session: [clip(session, node, segment) for node in NODES for segment in (1, 2)] for session in LABELS
}


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory, write_sound: Write) -> Path:
    """Thirty-two sounds of four channels and ten seconds."""
    folder = tmp_path_factory.mktemp("sounds")
    for names in CLIPS_OF.values():
        for name in names:
            write_sound(folder / name, 10.0, 1000, 4)
    return folder


def row(name: str, session: int) -> str:
    return f"{name}\t{LABELS[session]}\tex{session}"


def write_meta(folder: Path, table: Write) -> None:
    table(folder / "meta.txt", *(row(name, session) for session in LABELS for name in CLIPS_OF[session]))


def write_fold(folder: Path, table: Write, fold: int, test: list[int]) -> None:
    setup = folder / "evaluation_setup"
    train = [session for session in LABELS if session not in test]
    names = [(name, session) for session in test for name in CLIPS_OF[session]]
    table(setup / f"fold{fold}_test.txt", *(name for name, _ in names))
    table(setup / f"fold{fold}_evaluate.txt", *(f"{name}\t{LABELS[session]}" for name, session in names))
    table(setup / f"fold{fold}_train.txt", *(row(name, s) for s in train for name in CLIPS_OF[s]))


@pytest.fixture
def made(tmp_path: Path, audio: Path, write_table: Write) -> Path:
    """The whole imitation with its four folds."""
    write_meta(tmp_path, write_table)
    for fold in (1, 2, 3, 4):
        write_fold(tmp_path, write_table, fold, [2 * fold - 1, 2 * fold])
    (tmp_path / "audio").symlink_to(audio / "audio")
    return tmp_path


@pytest.mark.parametrize("fold", [1, 2, 3, 4])
def test_a_fold_judges_its_sessions_and_holds_whole_ones_out(made: Path, fold: int) -> None:
    found = Collection.load(f"dcase2018_task5:{made}?fold={fold}")
    table = found.table
    assert found.problems == ()
    assert len(table) == 32
    judged = {f"ex{2 * fold - 1}", f"ex{2 * fold}"}
    assert set(table["session"][table["split"] == "test"]) == judged
    splits = table.groupby("session")["split"].nunique()
    assert set(splits) == {1}
    held = set(table["session"][table["split"] == "val"])
    assert 1 <= len(held) <= 2
    assert len(set(table["session"][table["split"] == "train"])) == 6 - len(held)
    again = Collection.load(f"dcase2018_task5:{made}?fold={fold}", seed=7)
    assert again.split_hash() == found.split_hash()
    assert found.split_from == (
        f"given by fold {fold} of DCASE 2018 task 5; val is sessions held out from its train part"
    )


def test_the_first_fold_is_meant_and_the_layout_is_known_again(made: Path) -> None:
    alone = Collection.load(made)
    assert alone.split_hash() == Collection.load(f"dcase2018_task5:{made}?fold=1").split_hash()
    assert list(alone.table["label"].unique()) == ["cooking", "eating"]


def test_nodes_sessions_and_the_session_clock_come_from_names(made: Path) -> None:
    table = Collection.load(made).table.set_index("id")
    first = table.loc[clip(3, 4, 2)]
    assert (first["node"], first["session"], first["group"]) == ("4", "ex3", "ex3")
    assert first["recording"] == "node4_ex3"
    assert first["moment"] == 20.0
    together = table[(table["session"] == "ex3") & (table["moment"] == 20.0)]
    assert sorted(together["node"]) == ["1", "4"]
    assert set(table.groupby("recording").size()) == {2}
    metadata = Collection.load(made).metadata()
    assert len(set(metadata.columns["node"])) == 2
    assert len(set(metadata.columns["session"])) == 8


def test_without_a_fold_a_split_by_sessions_is_made(made: Path) -> None:
    found = Collection.load(f"dcase2018_task5:{made}?fold=none")
    assert found.split_from == "made, with seed 0"
    assert set(found.table.groupby("session")["split"].nunique()) == {1}
    assert set(found.table["split"]) == {"train", "val", "test"}


def test_missing_and_cut_files_are_named(made: Path, audio: Path, write_sound: Write) -> None:
    (made / "audio").unlink()
    (made / "audio").mkdir()
    for names in CLIPS_OF.values():
        for name in names:
            (made / name).symlink_to(audio / name)
    (made / clip(1, 1, 1)).unlink()
    (made / clip(2, 4, 2)).unlink()
    write_sound(made / clip(2, 4, 2), 6.5, 1000, 4)
    found = Collection.load(made)
    assert len(found) == 30
    assert [(problem.kind, problem.path, problem.severity) for problem in found.problems] == [
        ("missing", clip(1, 1, 1), "left out"),
        ("short", clip(2, 4, 2), "left out"),
    ]
    assert str(found.problems[1]) == (
        f"{clip(2, 4, 2)} (row 8): it has 6.5 s, but each clip of this set has 10 s: it is truncated. "
        "Copy or download it again, or remove it."
    )


def test_the_sounds_may_lie_elsewhere_and_be_of_another_format(
    made: Path, audio: Path, write_sound: Write
) -> None:
    (made / "audio").unlink()
    found = Collection.load(f"dcase2018_task5:{made}?audio={audio}")
    assert len(found) == 32
    for names in CLIPS_OF.values():
        for name in names:
            write_sound(made / "copy" / Path(name).with_suffix(".flac"), 10.0, 1000, 4)
    other = Collection.load(f"dcase2018_task5:{made}?audio=copy")
    assert list(other.table["split"]) == list(found.table["split"])
    assert other.table["path"].str.endswith(".flac").all()
    assert set(other.table["recording"]) == set(found.table["recording"])


def test_a_session_on_both_sides_of_a_fold_is_refused(made: Path) -> None:
    train = made / "evaluation_setup" / "fold1_train.txt"
    train.write_text(train.read_text() + row(clip(2, 1, 1), 2) + "\n")
    for fold in (1, 2):  # a broken fold is refused whichever is asked for
        with pytest.raises(DataError) as error:
            Collection.load(f"dcase2018_task5:{made}?fold={fold}", allow_leak=True)
        assert str(error.value) == (
            f"{made}: session 'ex2' is in train and test of fold 1 (1 clips train, 4 test), so test is not "
            "independent. Copy the published folds again, or give ?fold=none."
        )
    assert len(Collection.load(f"dcase2018_task5:{made}?fold=none")) == 32


def test_a_session_that_is_judged_twice_is_refused(made: Path, write_table: Write) -> None:
    write_fold(made, write_table, 3, [5, 6, 1])
    with pytest.raises(DataError, match="session 'ex1' is in test of fold 1 and of fold 3"):
        Collection.load(made)


def test_clips_beside_the_fold_take_no_part(made: Path) -> None:
    train = made / "evaluation_setup" / "fold1_train.txt"
    lines = train.read_text().splitlines()
    train.write_text("\n".join([*lines[:-1], "audio/stranger.wav\tcooking\tex99"]) + "\n")
    found = Collection.load(made)
    assert found.table.set_index("id").loc[clip(8, 4, 2), "split"] == ""
    assert [str(problem) for problem in found.problems] == [
        "meta.txt: the fold lists clips that are not in meta.txt (1, the first is audio/stranger.wav). "
        "Copy the tables again.",
        "meta.txt: clips without a split are not used for training or evaluation (1 of 32). "
        "Write train, val or test into each row.",
    ]


EVALUATION = [clip(session, 1, 1) for session in LABELS][:5]
NAMED = [
    f"audio/EvalNode{node}_ex{session}_3.wav" for node, session in ((1, 1), (4, 1), (5, 1), (7, 2), (2, 2))
]


@pytest.fixture
def evaluation(tmp_path: Path, audio: Path, write_table: Write) -> Path:
    """An evaluation set: numbered sounds, and a map from them to names that say the node."""
    (tmp_path / "audio").mkdir()
    for number, name in enumerate(EVALUATION):
        (tmp_path / f"audio/{number}.wav").symlink_to(audio / name)
    rows = [f"audio/{number}.wav\tcooking\t{number // 3}" for number in range(5)]
    write_table(tmp_path / "evaluation_setup/evaluate.txt", *rows)
    pairs = [f"audio/{number}.wav\t{name}" for number, name in enumerate(NAMED)]
    write_table(tmp_path / "evaluation_setup/map.txt", *pairs)
    return tmp_path


def test_the_evaluation_set_knows_its_nodes(evaluation: Path, write_table: Write) -> None:
    found = Collection.load(f"dcase2018_task5:{evaluation}?part=evaluation")
    assert list(found.table["split"]) == ["test"] * 5
    assert list(found.table["node"]) == ["1", "4", "5", "7", "2"]
    assert list(found.table["known_node"]) == ["yes", "yes", "no", "no", "yes"]
    assert list(found.table["moment"]) == [30.0] * 5
    assert found.split_from == "given by the challenge: its whole evaluation set is test"
    setup = evaluation / "evaluation_setup"
    (setup / "evaluate.txt").rename(setup / "evaluation.txt")
    turned = [f"{name}\taudio/{number}.wav" for number, name in enumerate(NAMED)]
    write_table(setup / "map.txt", *turned)
    other = Collection.load(f"dcase2018_task5:{evaluation}?part=evaluation")
    assert other.fingerprint() == found.fingerprint()
    (setup / "map.txt").unlink()
    unnamed = Collection.load(f"dcase2018_task5:{evaluation}?part=evaluation")
    assert set(unnamed.table["node"]) == set(unnamed.table["known_node"]) == {""}
    assert list(unnamed.table["moment"]) == [0.0] * 5


REFUSED = {
    "fold": (
        "?fold=5",
        RequestError,
        "dcase2018_task5: fold: input should be less than or equal to 4. Given: '5'.",
    ),
    "word": (
        "?fold=all",
        RequestError,
        "dcase2018_task5: fold: a whole number is wanted. Given: 'all'.",
    ),
    "part": (
        "?part=eval",
        RequestError,
        "dcase2018_task5: part: input should be 'development' or 'evaluation'. Given: 'eval'.",
    ),
    "audio": (
        "?audio=nowhere",
        DataError,
        "dcase2018_task5: audio: there is no folder nowhere and {}/nowhere. Give the folder with the sounds.",
    ),
    "evaluation": (
        "?part=evaluation",
        DataError,
        "{}: there is no evaluation_setup/evaluate.txt in it. Give the folder of the evaluation set, "
        "or leave out part=evaluation.",
    ),
}


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_for(made: Path, options: str, kind: type[RequestError], text: str) -> None:
    with pytest.raises(kind) as error:
        Collection.load(f"dcase2018_task5:{made}{options}")
    assert str(error.value) == text.replace("{}", str(made))


def test_folds_that_are_not_there(made: Path) -> None:
    setup = made / "evaluation_setup"
    (setup / "fold2_train.txt").unlink()
    with pytest.raises(DataError) as error:
        Collection.load(f"dcase2018_task5:{made}?fold=2")
    assert str(error.value) == (
        f"{made}: there is no evaluation_setup/fold2_train.txt in it. Folds found: 1, 3, 4. "
        "Give ?fold=1 or ?fold=none to make a split."
    )
    for name in ("test", "evaluate"):
        (setup / f"fold3_{name}.txt").unlink()
    with pytest.raises(DataError) as error:
        Collection.load(made)
    assert str(error.value) == (
        f"{setup}: there is neither fold3_evaluate.txt nor fold3_test.txt in it. Copy the folds again."
    )


def test_a_table_that_is_not_what_it_should_be(made: Path) -> None:
    (made / "meta.txt").write_text("audio/a.wav\tcooking\tex1\tmore\n")
    with pytest.raises(DataError) as error:
        Collection.load(made)
    assert str(error.value) == (
        f"{made / 'meta.txt'}: line 1 has 4 cells, not 3. Use tabs only between cells."
    )
    (made / "meta.txt").write_text("\n")
    with pytest.raises(DataError, match=r"meta.txt: there are no rows in it. Copy it again"):
        Collection.load(made)
    (made / "meta.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"meta.txt: it is not UTF-8 text"):
        Collection.load(made)


def published_rows() -> list[str]:
    """As many clips and sessions of each class as are published."""
    return [
        f"audio/{label}{number}.wav\t{label}\t{label}{number % SESSIONS[label]}"
        for label, count in CLIPS.items()
        for number in range(count)
    ]


def test_the_counts_of_the_real_set_are_compared(tmp_path: Path, write_table: Write) -> None:
    assert (sum(CLIPS.values()), sum(SESSIONS.values())) == (72_984, 268)
    rows = published_rows()
    write_table(tmp_path / "meta.txt", *rows)
    layout = Dcase2018Task5(fold=None)
    assert layout.read(tmp_path).problems == ()
    changed = [line.replace("\teating\teating12", "\tworking\teating12") for line in rows[:-1]]
    write_table(tmp_path / "meta.txt", *changed)
    moved = sum(line.endswith("\teating12") for line in rows)
    problems = layout.read(tmp_path).problems
    assert [str(problem) for problem in problems] == [
        f"meta.txt: {what} found, {published} published. "
        "Check whether the download is complete; results may not be comparable with published ones."
        for what, published in (
            (f"clips of 'eating': {2308 - moved:,}", "2,308"),
            ("sessions of 'eating': 12", "13"),
            (f"clips of 'working': {18_644 + moved - 1:,}", "18,644"),
            ("sessions of 'working': 34", "33"),
        )
    ]
    assert {problem.severity for problem in problems} == {"warning"}
    write_table(tmp_path / "meta.txt", *rows[::2])
    assert layout.read(tmp_path).problems == ()


def test_the_imitation(real_data: Callable[[str], Path]) -> None:
    folder, sounds = real_data("tag-formats") / "dcase2018-task5", real_data("long-recordings")
    found = Collection.load(f"dcase2018_task5:{folder}?audio={sounds}")
    assert found.problems == ()
    assert set(found.table["label"]) == {"night", "dawn", "day", "dusk"}
    assert [len(found.rows(side)) for side in ("train", "val", "test")] == [60, 20, 16]
    listed = (folder / "evaluation_setup/fold1_test.txt").read_text().split()
    assert sorted(found.table["id"].iloc[found.rows("test")]) == sorted(listed)
    assert set(np.bincount(found.metadata().columns["session"])) == {4}
    assert set(found.table["recording"]) == set(found.table["id"])
    with pytest.raises(DataError, match=r"Folds found: 1. Give [?]fold=1 or"):
        Collection.load(f"dcase2018_task5:{folder}?audio={sounds}&fold=2")
