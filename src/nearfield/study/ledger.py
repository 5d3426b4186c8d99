"""A ledger of judgements: an endless stream of candidates, and few false ones among those that are kept.

Whoever tries one change after another and keeps what looks better keeps many that are not. Here the level at
which a candidate is tested depends on the outcomes so far (ADDIS, Tian & Ramdas 2019): each test spends a
part of a wealth, each kept candidate earns some back, and candidates that are clearly worse cost nothing. At
any time, the expected share of false ones among all kept candidates is at most `FALSE_KEEPS`, for independent
p values; `benchmarks/streams.py` shows it for candidates that are all compared on the same test groups.

    level = min(TRIED, (COUNTED - TRIED) FALSE_KEEPS (g[n(0)] / 2 + g[n(k1)] / 2 + g[n(k2)] + ...))

with k1 < k2 < ... the tests that kept their candidate; n(k) = 1 + the number of tests after k with a p value
in (TRIED, COUNTED]; and weights g[j] ~ j ** -1.6 that sum to 1.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import locked, write_text
from nearfield.study.judge import Judgement

FALSE_KEEPS = 0.05
"""Largest expected share of false ones among the candidates that are kept."""
COUNTED = 0.5
"""A candidate with a larger p value spends nothing."""
TRIED = 0.25
"""A candidate with a p value of at most this spends nothing either: it may be better. The largest level."""

_POWER = 1.6


@cache
def _scale() -> float:
    """The sum of j ** -1.6 over all j: Riemann's zeta function."""
    from scipy.special import zeta

    return float(zeta(_POWER))


def weight(number: int) -> float:
    """g[number], from 1 on."""
    return float(number**-_POWER / _scale())


def level(tests: Sequence[tuple[float, bool]]) -> float:
    """The level of the next test, from the p value and the outcome (kept or not) of all tests so far."""
    spent = [TRIED < p <= COUNTED for p, _ in tests]
    kept = [place for place, (_, is_kept) in enumerate(tests) if is_kept]
    found = weight(1 + sum(spent)) / 2
    for number, place in enumerate(kept):
        found += weight(1 + sum(spent[place + 1 :])) * (0.5 if number == 0 else 1.0)
    return min(TRIED, (COUNTED - TRIED) * FALSE_KEEPS * found)


def keep(found: Judgement, path: Path, table: str) -> dict[str, Any]:
    """Adds a judgement to a ledger and decides whether its candidate is kept.

    Parameters
    ----------
    found : Judgement
        Of the candidate.
    path : Path
        The ledger: JSON lines, one for each judgement; made if missing.
    table : str
        What was judged, for the record.

    Returns
    -------
    dict
        The line that was added, or that the same scores had already: number, time, table, candidate,
        against, p, level, kept, and a sentence.

    Raises
    ------
    RequestError
        If the candidate was chosen by its scores.
    DataError
        If the file is no ledger.
    """
    if not found.is_named:
        raise RequestError(
            "A ledger tests a candidate that is chosen before its scores are seen. Name it with --candidate. "
            f"Arms: {', '.join(found.means)}."
        )
    values = [found.candidate, found.against, found.means, found.seeds, found.groups, found.p_better]
    content = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            earlier = [json.loads(line) for line in lines]
            tests = [_test(line) for line in earlier]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                f"{path}: this file is no ledger of judgements. Name another file with --ledger."
            ) from None
        for line in earlier:
            if line.get("content") == content:  # the same scores again: they are no further test
                return dict(line)
        limit = level(tests)
        is_kept = found.p_better <= limit
        entry = {
            "number": len(tests) + 1,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "table": table,
            "content": content,
            "candidate": found.candidate,
            "against": found.against,
            "difference": found.difference,
            "p": found.p_better,
            "level": limit,
            "kept": is_kept,
            "sentence": f"Candidate {len(tests) + 1} of the ledger: {'keep' if is_kept else 'do not keep'} "
            f"{found.candidate} (p {found.p_better:.2g}, level {limit:.2g}).",
        }
        write_text(path, "\n".join([*lines, json.dumps(entry)]) + "\n")
    return entry


def _test(line: Any) -> tuple[float, bool]:
    """The p value and the outcome of a line. Raises ValueError, KeyError, TypeError if it is none."""
    p = float(line["p"])
    if not 0 <= p <= 1 or not isinstance(line["kept"], bool):
        raise ValueError(line)
    return p, line["kept"]
