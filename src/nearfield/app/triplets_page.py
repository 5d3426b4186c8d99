"""Triplets of training as one HTML file: seen, and heard, without a server and without a network."""

import base64
import hashlib
import io
import re
from html import escape
from pathlib import Path

import numpy as np

from nearfield.core.files import write_text
from nearfield.core.words import visible
from nearfield.data.audio import resample
from nearfield.data.writing import write_sound
from nearfield.runs.triplet_figures import is_among, when, window_picture
from nearfield.runs.triplets import ROLES, Shown, Triplet, Triplets, Window

RATE = 16000
"""Samples a second of the sounds in the page, at most."""
TEMPLATE = Path(__file__).with_name("triplets.html")


def write_triplets_page(found: Triplets, out: Path, title: str) -> None:
    """Writes all triplets, with their pictures and sounds, to the file `out`."""
    write_text(out, triplets_page(found, title))


def triplets_page(found: Triplets, title: str) -> str:
    """The page as text."""
    body = "\n".join(_article(number, shown, found.rate) for number, shown in enumerate(found.shown, 1))
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in (("TITLE", _text(title)), ("SOURCE", _text(found.source)), ("TRIPLETS", body)):
        text = text.replace(f"<!--{name}-->", value)
    return text


def page_policy() -> str:
    """The content security policy that a server sends with the page: all that it shows is in it, and only
    its own script runs."""
    text = TEMPLATE.read_text(encoding="utf-8")
    own = {
        tag: base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        for tag, inside in re.findall(r"<(style|script)>(.*?)</\1>", text, re.DOTALL)
    }
    allowed = f"style-src 'sha256-{own['style']}'; script-src 'sha256-{own['script']}'"
    closed = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"{closed}; img-src data:; media-src data:; {allowed}"


def _article(number: int, shown: Shown, rate: int) -> str:
    if shown.before is None:
        return f"<article><h2>Triplet {number}</h2>{_section('', shown.triplet, rate, None)}</article>"
    before = _section("By a drawn tag", shown.before, rate, shown)
    after = _section("Rearranged by the tagger's errors", shown.triplet, rate, None)
    return f"<article><h2>Triplet {number}</h2>{before}{after}</article>"


def _section(name: str, triplet: Triplet, rate: int, now: Shown | None) -> str:
    """Three windows side by side; one that the triplet `now` holds too is heard there."""
    head = f"<h3>{_text(name)}</h3>" if name else ""
    cells = []
    for role, window in enumerate(triplet.windows):
        heard = None if now is not None and is_among(window, now) else _sound(window, rate)
        cells.append(_window(role, window, triplet.shared(role), rate, heard))
    return f'<section>{head}<p>{_text(triplet.said)}</p><div class="three">{"".join(cells)}</div></section>'


def _window(role: int, window: Window, shared: tuple[str, ...], rate: int, heard: str | None) -> str:
    picture = base64.b64encode(window_picture(window, rate)).decode()
    ordered = sorted(window.names, key=lambda name: name not in shared)
    names = "".join(
        f"<li class=shared>{_text(name)} <b>shared</b></li>" if name in shared else f"<li>{_text(name)}</li>"
        for name in ordered
    )
    player = f'<audio controls preload=auto src="{heard}"></audio>' if heard else "<p>The same below.</p>"
    return (
        f"<figure><figcaption><small>{ROLES[role]}</small> <strong>{_text(window.id)}</strong>"
        f"{''.join(f'<small>{_text(line)}</small>' for line in when(window, rate).splitlines())}</figcaption>"
        f'<div class=picture><img alt="Wave and log-mel" src="data:image/png;base64,{picture}"><i></i></div>'
        f"{player}<ul>{names}</ul></figure>"
    )


def _sound(window: Window, rate: int) -> str:
    """The window as a data URI that browsers play."""
    target = min(rate, RATE)
    wave = resample(window.wave.mean(axis=0, keepdims=True), rate, target)
    held = io.BytesIO()
    write_sound(held, np.clip(wave, -1, 1), target, ".wav")  # browsers fail to seek in short FLAC
    return "data:audio/wav;base64," + base64.b64encode(held.getvalue()).decode()


def _text(words: str) -> str:
    return escape(visible(words))
