"""Makes docs/walkthrough.md: from a folder of sounds to a map in three commands, and what they say.

    python docs/walkthrough.py [--data FOLDER] [--out docs] [--clips 400] [--chromium /usr/bin/chromium]

Without a folder some sounds are made and written as wav files, a folder for each class. Then the three
commands are run as they stand in the page, and Chromium (playwright) takes pictures of what the third one
shows. Words after `--train` and `--explore` are added to these commands, and stand in the page too.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explore_pictures import DESKTOP, PHONE, choose, opened, settle

from nearfield.core.files import write_text
from nearfield.data.layouts.synthetic import make

TRAIN = "nearfield train words --data sounds --out run"
INDEX = "nearfield index run --data sounds --out space"
EXPLORE = "nearfield explore space"
QUERY = "new.wav"
PROGRESS = re.compile(r"(\D+) \d+/\d+\b")


@dataclass(frozen=True)
class Said:
    """A command as it was typed, and all that it said."""

    command: str
    text: str

    @property
    def shown(self) -> str:
        """As a page shows it: of the lines that tell the progress of one stage the last."""
        lines = [line.rstrip() for line in self.text.strip().splitlines()]
        stages = [PROGRESS.match(line) for line in lines]
        following = [*stages[1:], None]
        kept = [
            line
            for line, stage, after in zip(lines, stages, following, strict=True)
            if not (stage and after and stage[1] == after[1])
        ]
        return "\n".join(["```console", f"$ {self.command}", *kept, "```"])


def main() -> None:
    """Runs the three commands, takes the pictures, writes the page."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data", type=Path, help="A folder of sounds in class folders.")
    given.add_argument("--out", type=Path, default=Path(__file__).parent)
    given.add_argument("--clips", type=int, default=400, help="How many sounds are made.")
    given.add_argument("--chromium", default="/usr/bin/chromium")
    given.add_argument("--train", default="", help="Words added to the first command.")
    given.add_argument("--explore", default="", help="Words added to the third.")
    asked = given.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        lay_out(home, asked.data, asked.clips)
        train = run(f"{TRAIN} {asked.train}".strip(), home)
        index = run(INDEX, home)
        with exploring(f"{EXPLORE} {asked.explore}".strip(), home) as (explore, address):
            take(address, home / QUERY, asked.out, asked.chromium)
        write_text(asked.out / "walkthrough.md", written(home, (train, index, explore)))


def lay_out(home: Path, data: Path | None, clips: int) -> None:
    """The folder `sounds` and one more sound beside it."""
    if data is not None:
        (home / "sounds").symlink_to(data.resolve())
        first = next(
            path for path in sorted(data.rglob("*")) if path.suffix in (".wav", ".flac", ".ogg", ".mp3")
        )
        shutil.copy(first, home / QUERY)
        return
    made = make("tones", folder=home / "made", clips=clips)
    for path in sorted((made / "audio").glob("*.wav")):
        label, number = path.stem.split("_")
        (home / "sounds" / label).mkdir(parents=True, exist_ok=True)
        path.rename(home / "sounds" / label / f"{number}.wav")
    others = make("tones", seed=1, folder=home / "made", clips=8)  # by a player whom nobody heard
    shutil.copy(next((others / "audio").glob("bell_*.wav")), home / QUERY)


def run(command: str, home: Path) -> Said:
    """A command run to its end; what it said, progress and all."""
    done = subprocess.run(words(command), cwd=home, env=surroundings(), text=True, check=False, **both())
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}")
    return Said(command, done.stdout)


@contextmanager
def exploring(command: str, home: Path) -> Iterator[tuple[Said, str]]:
    """The third command while it serves: what it said until then, and the address that it gave."""
    serving = subprocess.Popen(words(command), cwd=home, env=surroundings(), text=True, **both())
    said: list[str] = []
    try:
        assert serving.stdout is not None
        for line in serving.stdout:
            said.append(line)
            if line.startswith("http"):
                break
        else:
            raise SystemExit(f"{command}\n{''.join(said)}")
        yield Said(command, "".join(said)), said[-1].strip()
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait(20)


def words(command: str) -> list[str]:
    """What is run: `nearfield` is that of this Python."""
    name, *rest = shlex.split(command)
    assert name == "nearfield"
    return [sys.executable, "-m", "nearfield", *rest]


def surroundings() -> dict[str, str]:
    """The environment, in which no browser opens by itself and lines are as wide as the page's."""
    return {**os.environ, "BROWSER": "true", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}


def both() -> dict[str, Any]:
    """Answers and talk in one stream, as a terminal shows them."""
    return {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


def take(address: str, query: Path, out: Path, chromium: str) -> None:
    """The pictures: the map, a clip, a search, a set; dark; on a phone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--use-angle=swiftshader"])
        light = opened(browser, address, "light", DESKTOP)
        keep(light, out, "map")
        clip = typical(light)
        choose(light, clip)
        keep(light, out, "clip")
        light.set_input_files("#file", query)
        light.wait_for_selector("#panel[data-sheet=search] ol li")
        keep(light, out, "search")
        light.keyboard.press("Escape")
        draw_round(light, clip)
        keep(light, out, "set")
        dark = opened(browser, address, "dark", DESKTOP)
        choose(dark, clip)
        keep(dark, out, "dark")
        for theme in ("light", "dark"):
            phone = opened(browser, address, theme, PHONE)
            choose(phone, clip)
            keep(phone, out, f"phone_{theme}")
        browser.close()


def in_page(page: Any, body: str, given: object = None) -> Any:
    """What a function body gives that sees the page's own stage and cloud."""
    begin = (
        "async (given) => { const { stages: [stage], clouds: [cloud] } = await import('/static/explore.js');"
    )
    return page.evaluate(f"{begin}{body}}}", given)


def typical(page: Any) -> str:
    """A clip in the middle of the first class."""
    found: str = in_page(
        page,
        "const column = cloud.columns.get('label') ?? cloud.columns.get('cluster');"
        "const rows = cloud.ids.map((_, row) => row).filter((row) => column.values[row] === 0);"
        "const middle = [0, 1].map((axis) => rows.map((row) => stage.at(row)[axis]).sort((a, b) => a - b)"
        "[rows.length >> 1]);"
        "const away = (row) => Math.hypot(stage.at(row)[0] - middle[0], stage.at(row)[1] - middle[1]);"
        "return cloud.ids[rows.sort((a, b) => away(a) - away(b))[0]];",
    )
    return found


def draw_round(page: Any, clip: str) -> None:
    """The lasso round the clips that lie near one on the map."""
    page.wait_for_timeout(400)
    corners = in_page(
        page,
        "const box = stage.root.getBoundingClientRect(), [x, y] = stage.at(cloud.rows.get(given));"
        "return Array.from({ length: 13 }, (_, step) => step * Math.PI / 6).map((angle) =>"
        "[x + box.left + 95 * Math.cos(angle), y + box.top + 80 * Math.sin(angle)]);",
        clip,
    )
    page.keyboard.press("l")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    page.wait_for_selector("#panel[data-sheet=set] ol li")


def keep(page: Any, out: Path, name: str) -> None:
    """A picture of the page once it has come to rest."""
    settle(page)
    page.screenshot(path=out / f"walkthrough_{name}.png")


def written(home: Path, said: tuple[Said, Said, Said]) -> str:
    """The page as Markdown."""
    folders = sorted(path for path in (home / "sounds").iterdir() if path.is_dir())
    counts = {path.name: sum(1 for each in path.iterdir() if each.is_file()) for path in folders}
    train, index, explore = (each.shown for each in said)
    return PAGE.format(
        clips=f"{sum(counts.values()):,}",
        names=len(counts),
        listed="\n".join(f"sounds/{name + '/':<12} {count:>3} files" for name, count in counts.items()),
        train=train,
        index=index,
        explore=explore,
    )


PAGE = """\
# From a folder to a map, in three commands

Three commands turn a folder of sounds into an embedding space, and the space into a map that you can
listen to. `python docs/walkthrough.py` makes this page: it runs the commands, copies their output (of
progress lines the last one) and takes the screenshots.

The folder holds {clips} sounds of one second, in one folder for each of {names} classes. It needs no
table; the [README](../README.md) lists the other forms that Nearfield reads, and the recipes for tags,
long recordings without labels, and images.

```text
{listed}
```

## 1. Train

{train}

The recipe `words` is for short sounds. Nearfield held some of the sounds back before training. The table
evaluates the embeddings on these sounds only and compares them with plain baselines. A space that does
not beat them is not worth a map.

## 2. Index

{index}

The index is a folder with a vector for each sound, ready for search. `--update` brings it up to date.

## 3. Explore

{explore}

The browser opens. Every point is a sound. Points that are close on the map are close in the embedding
space too, as far as the note below the map says.

![The map](walkthrough_map.png)

Click a point to play the sound, to see its log-mel spectrogram and to list its nearest neighbors **in
the embedding space**, with similarities. You can play and open each neighbor in turn. The arrow keys go
from sound to sound, and `?` lists the other keys.

![A clip with its neighbors](walkthrough_clip.png)

*Search by file*, or a file dropped anywhere on the page, finds the most similar sounds. Neither this
sound nor its player is in the folder:

![A search by a sound that is not in the folder](walkthrough_search.png)

Draw around points with the lasso to make a set, which you can play and export as a table.

![A set](walkthrough_set.png)

In the dark theme, and on a phone:

![Dark](walkthrough_dark.png)

<img src="walkthrough_phone_light.png" width="270" alt="On a phone"> \
<img src="walkthrough_phone_dark.png" width="270" alt="On a phone, dark">

## Next

- Clips that look wrong, to play and decide in the same page: [mending.md](mending.md)
- Filters, two runs side by side, watching a training: [explore.md](explore.md)
- Export as ONNX, Parquet or a model card: [export.md](export.md)
"""


if __name__ == "__main__":
    main()
